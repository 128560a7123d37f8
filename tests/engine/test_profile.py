import pytest

from densezoo.engine.profile import profile_model
from densezoo.models import build_model, create_model


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"), [("newell_hourglass_s1", 3.43, 5.2), ("newell_hourglass_s2", 6.57, 8.3)]
)
def test_published_parameters_and_macs(name, parameters, gmac):
    encoder, neck, heads, model = profile_model(create_model(name), (256, 256), repeats=1)
    assert model.parameters / 1e6 == pytest.approx(parameters, abs=0.005)
    assert model.macs / 1e9 == pytest.approx(gmac, abs=0.06)
    assert model.parameters == encoder.parameters + neck.parameters + heads.parameters
    assert model.macs == encoder.macs + neck.macs + heads.macs


def test_costs_per_image_do_not_depend_on_the_batch():
    model = create_model("newell_hourglass_s1", encoder={"channels": 16}, neck={"num_levels": 3})
    one, four = (profile_model(model, (64, 64), batch, repeats=1) for batch in (1, 4))
    for part_of_one, part_of_four in zip(one, four, strict=True):
        assert part_of_one.macs == part_of_four.macs
        assert part_of_four.activation_bytes == pytest.approx(part_of_one.activation_bytes, rel=0.02)
        assert part_of_one.activation_bytes > 0
        assert part_of_one.milliseconds > 0


def test_kept_memory_grows_with_the_image_and_shrinks_with_autocast():
    model = create_model("newell_hourglass_s1", encoder={"channels": 32}, neck={"num_levels": 3})
    small, large = (profile_model(model, (side, side), repeats=1)[-1].activation_bytes for side in (64, 128))
    assert large / small == pytest.approx(4, rel=0.1)
    assert profile_model(model, (128, 128), repeats=1, amp=True)[-1].activation_bytes < large


def test_images_have_the_channels_of_the_encoder():
    model = build_model({"type": "PlainUNet", "channels": [4, 8], "in_channels": 5})
    assert profile_model(model, (16, 16), repeats=1)[0].macs > 0
