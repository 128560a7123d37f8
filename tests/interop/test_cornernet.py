import logging

import pytest
import torch
from converting import assert_every_tensor_counts, assert_named, assert_reads_pixels, convert
from filling import assert_golden, conv, filled, hollow, image, pixels
from hourglasses import HOURGLASS, SMALL, branch, corner_heads, cornernet, features, pool

from densezoo.errors import DataError
from densezoo.interop import convert_state_dict
from densezoo.models import create_model


def zhou_heads(stacks, width, classes):
    """Names and shapes of the heads that Zhou's CenterNet has on the same backbone."""
    for stack in range(stacks):
        for part, channels in (("hm", classes), ("wh", 2), ("reg", 2)):
            yield from branch(f"{part}.{stack}", width, channels)


@pytest.mark.parametrize("heads", [[], [*zhou_heads(2, 24, 3)]])
def test_golden_features_of_every_stage(heads):
    """Of CornerNet's backbone, and of `large_hourglass` of Zhou's CenterNet."""
    assert_golden(features(filled([*cornernet(2, **SMALL), *heads]), "cornernet", image(48, 61)), CORNERNET)


CORNERNET = [
    ((0.0, 3.5389946, 0.59350551), [0.19528483, 0.0, 0.63884252, 0.966102, 0.33959046, 0.43250588]),
    ((0.0, 6.1208668, 0.53796034), [0.1534932, 0.73450053, 0.0, 0.0, 1.4147456, 0.0]),
]


def test_golden_corner_maps_of_every_stage():
    sizes = {**SMALL, "out": 16}
    state_dict = filled([*cornernet(2, **sizes), *corner_heads(2, 16, 3)])
    _, model = convert({f"module.{key}": value for key, value in state_dict.items()}, "cornernet")
    with torch.no_grad():
        stages = model(image(48, 61))["corners"]
    assert stages[0].keys() == CORNER_MAPS.keys()
    for name, golden in CORNER_MAPS.items():
        assert_golden([maps[name] for maps in stages], golden)


CORNER_MAPS = {
    "top_left_heat": [
        (
            (-1.3623286, 0.568524, -0.15542994),
            [-0.17864332, -1.2894465, 0.3706935, 0.26718515, 0.24599716, 0.059579656],
        ),
        ((-0.57975227, 2.2417407, 0.71800319), [1.0327066, 2.0498054, 1.6148508, 0.70767862, 0.22455157, 0.73974741]),
    ],
    "top_left_embedding": [
        (
            (-0.27895981, 0.86000228, 0.086302359),
            [0.27640837, -0.058590561, 0.09336789, -0.084780425, 0.011795774, -0.10661991],
        ),
        ((0.14301737, 1.7923143, 1.0977979), [0.49983561, 1.5144992, 1.7923143, 1.0459121, 1.4573045, 1.2289977]),
    ],
    "top_left_offset": [
        (
            (-1.9566803, 0.32941365, -0.9154929),
            [0.26475221, -0.68393856, -0.85492092, -1.1664438, -0.46769804, -0.20776793],
        ),
        ((-3.088289, 0.4154633, -1.1567067), [-0.77535522, -2.3177824, -3.088289, -0.5119375, -2.2644055, -1.1053973]),
    ],
    "bottom_right_heat": [
        ((-0.7337411, 1.2324077, 0.3952534), [-0.25208095, 0.38686582, 0.72545081, 0.92290068, 0.56063241, 0.48926181]),
        (
            (-0.66719836, 1.3446407, 0.23301838),
            [-0.11095116, 0.932419, -0.2823076, -0.43709096, 0.28768751, -0.36657882],
        ),
    ],
    "bottom_right_embedding": [
        (
            (-0.9039948, 0.18537681, -0.35076986),
            [-0.17939857, -0.49627736, -0.12921974, -0.29111224, -0.33931574, -0.050118748],
        ),
        ((-0.17100914, 1.3839717, 0.70195369), [0.29843792, 0.99041075, 1.2894856, 0.53409708, 0.88048446, 0.57924831]),
    ],
    "bottom_right_offset": [
        (
            (-2.7363071, 1.7711427, -0.34131624),
            [-0.75251091, -2.1936238, -2.5933862, 0.59582233, -2.0142682, -1.7507008],
        ),
        ((-0.055502191, 2.0012817, 0.99614184), [0.19304626, 1.5556704, 1.7831957, 0.43375209, 1.4932008, 0.55958015]),
    ],
}


@pytest.fixture(scope="module")
def hourglass104():
    """Numbers of CornerNet-104's backbone."""
    return filled(cornernet(2, **HOURGLASS))


@pytest.mark.slow
def test_full_size_corner_maps(hourglass104):
    """CornerNet-104, on an image whose levels are odd; its last stage."""
    _, model = convert(hourglass104 | filled(corner_heads(2, 256, 80)), "cornernet")
    with torch.no_grad():
        maps = model(image(127, 125))["corners"][1]
    assert maps.keys() == FULL_SIZE_MAPS.keys()
    for name, golden in FULL_SIZE_MAPS.items():
        assert_golden([maps[name]], [golden], tolerance=3e-5)


FULL_SIZE_MAPS = {
    "top_left_heat": (
        (-17.907694, 17.627094, -1.2051004),
        [-1.2329706, -2.9479499, -1.8158823, 0.4056651, 0.28577924, -5.2593408],
    ),
    "top_left_embedding": (
        (-6.8252401, 2.8834414, -3.7437716),
        [2.7484047, -2.8408668, -4.996604, 1.4716583, -1.1664472, -2.1123056],
    ),
    "top_left_offset": (
        (-7.7671366, 21.908186, 4.9161375),
        [-0.45661283, -4.3278446, -4.8770685, 0.53317922, 9.6019297, 3.8323357],
    ),
    "bottom_right_heat": (
        (-25.179279, 21.884697, -0.70235042),
        [0.33268419, 1.2481035, 6.1900349, -1.5769814, -5.0312567, -6.3090134],
    ),
    "bottom_right_embedding": (
        (1.1989999, 13.896853, 9.3012791),
        [1.1989999, 6.2319279, 12.174204, 8.7980814, 9.1405916, 3.8496437],
    ),
    "bottom_right_offset": (
        (-6.505723, 11.928593, 1.403791),
        [2.8890617, 4.307425, 6.3712125, 2.8250732, -5.053277, -2.4821644],
    ),
}


@pytest.mark.slow
def test_full_size_features_of_zhous_centernet(hourglass104):
    state_dict = hourglass104 | filled(zhou_heads(2, 256, 80))
    assert_golden(features(state_dict, "cornernet", image(127, 125)), FULL_SIZE, tolerance=3e-5)


FULL_SIZE = [
    ((0.0, 15.168893, 1.8360849), [0.0, 1.2385952, 5.4424334, 4.3105102, 5.6657143, 1.3305149]),
    ((0.0, 63.122562, 5.5136185), [1.9255877, 0.0, 0.0, 3.8014684, 0.0, 3.9410229]),
]


@pytest.mark.parametrize(("stacks", "name"), [(1, "hourglass52"), (2, "hourglass104")])
def test_the_network_is_the_named_one(stacks, name):
    config, _ = convert_state_dict(hollow(cornernet(stacks, **HOURGLASS)), "cornernet")
    assert_named(config, name)
    whole = [*cornernet(stacks, **HOURGLASS), *corner_heads(stacks, 256, 80)]
    config, _ = convert_state_dict(hollow(whole), "cornernet")
    assert_named(config, name, tasks={"corners": {"type": "Corners", "num_classes": 80, "head": {"type": "Corner"}}})


def test_the_whole_network_has_the_published_count():
    shapes = [*cornernet(2, **HOURGLASS), *corner_heads(2, 256, 80)]
    config, weights = convert_state_dict(hollow(shapes), "cornernet")
    assert config["tasks"]["corners"]["num_classes"] == 80
    with torch.device("meta"):
        assert sum(values.numel() for values in create_model(config).parameters()) == 201_035_212
    assert len(weights) == len(shapes)
    with pytest.raises(DataError, match=r"unknown tl_tags.2.1.bias \(1,\)"):
        convert_state_dict({**hollow(shapes), "tl_tags.2.1.bias": torch.empty(1)}, "cornernet")


def test_heads_can_be_left_out(caplog):
    shapes = [*cornernet(1, **HOURGLASS), *corner_heads(1, 256, 80)]
    with caplog.at_level(logging.WARNING, "densezoo"):
        config, _ = convert_state_dict(hollow(shapes), "cornernet", heads=False)
    assert "tasks" not in config
    assert "left out 84 tensors of 'tl_cnvs.', 'tl_heats.', 'tl_tags.', … (6.67 M numbers): heads=False" in caplog.text


@pytest.mark.parametrize(("stacks", "count"), [(1, 93_662_848), (2, 187_700_352)])
def test_published_parameter_counts(stacks, count):
    config, _ = convert_state_dict(hollow(cornernet(stacks, **HOURGLASS)), "cornernet")
    with torch.device("meta"):
        assert sum(values.numel() for values in create_model(config).parameters()) == count


def test_pixels_are_taken_as_the_source_does_and_can_be_rgb(caplog):
    state_dict = filled(cornernet(1, **SMALL))
    mean, std = [0.40789654, 0.44719302, 0.47026115], [0.28863828, 0.27408164, 0.27809835]
    with caplog.at_level(logging.WARNING, "densezoo"):
        assert_reads_pixels(state_dict, "cornernet", mean, std)
    assert "the network takes BGR images; give rgb=True" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "densezoo"):
        (bgr,) = features(state_dict, "cornernet", pixels(32, 32).flip(1), rgb=False)
        (rgb,) = features(state_dict, "cornernet", pixels(32, 32), rgb=True)
    assert not caplog.records
    torch.testing.assert_close(rgb, bgr)


def test_heads_without_a_counterpart_are_left_out_and_named(caplog):
    backbone = hollow(cornernet(1, **SMALL))
    zhou = hollow(zhou_heads(1, 24, 3))
    with caplog.at_level(logging.WARNING, "densezoo"):
        _, weights = convert_state_dict({**backbone, **zhou}, "cornernet")
    assert len(weights) == len(backbone)
    assert "left out 12 tensors of 'hm.', 'wh.', 'reg.'" in caplog.text
    duan = hollow([*corner_heads(1, 24, 3), *conv("tl_cnvs.0.P1_look_conv", 128, 128, 3), *pool("ct_cnvs.0", 24)])
    _, weights = convert_state_dict({**backbone, **duan}, "cornernet")
    assert len(weights) == len(backbone)
    with pytest.raises(DataError, match=r"unknown segm.0.1.bias \(4,\)"):
        convert_state_dict({**backbone, "segm.0.1.bias": torch.empty(4)}, "cornernet")


def test_every_tensor_counts(monkeypatch):
    shapes = [*cornernet(1, (16, 12), (1, 2), stem=8, out=16), *corner_heads(1, 16, 3)]
    assert_every_tensor_counts(monkeypatch, hollow(shapes), "cornernet")


def test_what_is_missing_is_named():
    complete = hollow(cornernet(2, **SMALL))
    for key in [key for key in complete if not key.endswith("num_batches_tracked")][::13]:
        with pytest.raises(DataError, match=f"{key}(?![\\w.])"):
            convert_state_dict({name: value for name, value in complete.items() if name != key}, "cornernet")
