import pytest
import torch
from converting import assert_every_tensor_counts, assert_reads_pixels, convert
from filling import assert_golden, conv, filled, hollow, image, norm

from densezoo.errors import DataError
from densezoo.interop import convert_state_dict

WIDTHS = (4, 6, 8, 10, 12)


def double_conv(name, before, middle, after):
    yield from conv(f"{name}.0", middle, before, 3, bias=False)
    yield from norm(f"{name}.1", middle)
    yield from conv(f"{name}.3", after, middle, 3, bias=False)
    yield from norm(f"{name}.4", after)


def shapes(bilinear, classes=3, widths=WIDTHS, channels=3):
    """Names and shapes of the source's network, at other widths than its own."""
    yield from double_conv("inc.double_conv", channels, widths[0], widths[0])
    for level in range(1, 5):
        name = f"down{level}.maxpool_conv.1.double_conv"
        yield from double_conv(name, widths[level - 1], widths[level], widths[level])
    above = widths[4]
    for up in range(1, 5):
        skip = widths[4 - up]
        if bilinear:
            after = max(skip - 2, 3)
            yield from double_conv(f"up{up}.conv.double_conv", skip + above, (skip + above) // 2, after)
        else:
            after = skip
            yield f"up{up}.up.weight", (above, skip, 2, 2)
            yield f"up{up}.up.bias", (skip,)
            yield from double_conv(f"up{up}.conv.double_conv", 2 * skip, skip, skip)
        above = after
    yield from conv("outc.conv", classes, above)


GOLDEN = {
    True: ((-0.17872, 0.120027, -0.041968), [-0.000321, -0.013533, -0.015236, -0.002445, -0.065827, -0.012987]),
    False: ((-0.179573, 0.120182, -0.019007), [-0.012305, -0.01804, -0.020141, -0.010237, -0.067687, 0.010683]),
}
"""Whether bilinear, to the logits of the source on image(37, 50)."""


@pytest.mark.parametrize("bilinear", [True, False])
def test_logits_are_those_of_the_source(bilinear):
    _, model = convert(filled(shapes(bilinear)), "milesial")
    with torch.no_grad():
        (maps,) = model(image(37, 50))["segmentation"]
    assert maps["logits"].shape == (1, 3, 37, 50)
    assert_golden([maps["logits"]], [GOLDEN[bilinear]])


@pytest.mark.slow
def test_full_size():
    """The network of the published Carvana weights."""
    _, model = convert(filled(shapes(False, 2, (64, 128, 256, 512, 1024))), "milesial")
    with torch.no_grad():
        (maps,) = model(image(64, 96))["segmentation"]
    assert_golden([maps["logits"]], FULL_SIZE, tolerance=3e-5)


FULL_SIZE = [
    (
        (-0.48205078, 0.1910065, -0.091226775),
        [0.0042857002, -0.20008151, 0.056080241, 0.10160583, -0.31141829, -0.045225527],
    )
]


@pytest.mark.parametrize("channels", [3, 1])
def test_images_are_in_0_to_1(channels):
    state_dict = filled(shapes(True, channels=channels))
    assert_reads_pixels(state_dict, "milesial", [0.0] * channels, [1.0] * channels, channels)


def test_the_config_says_what_the_tensors_show():
    config, _ = convert_state_dict(filled(shapes(False)), "milesial")
    assert config == {
        "encoder": {
            "type": "PlainUNet",
            "channels": [*WIDTHS],
            "in_channels": 3,
            "ceil_mode": False,
            "mean": [0.0] * 3,
            "std": [1.0] * 3,
        },
        "neck": {"type": "UNet", "channels": [*WIDTHS], "upsample": "transposed", "align": "pad"},
        "tasks": {"segmentation": {"type": "Segmentation", "num_classes": 3}},
    }
    config, _ = convert_state_dict(filled(shapes(True)), "milesial")
    assert config["neck"] == {
        "type": "UNet",
        "channels": [3, 4, 6, 8, 12],
        "mid_channels": [4, 6, 8, 11],
        "upsample": "bilinear",
        "align": "pad",
    }


@pytest.mark.parametrize("bilinear", [True, False])
def test_every_tensor_counts(monkeypatch, bilinear):
    assert_every_tensor_counts(monkeypatch, hollow(shapes(bilinear)), "milesial")


def test_what_is_missing_or_unknown_is_listed():
    tensors = filled(shapes(True))
    del tensors["up2.conv.double_conv.4.weight"]
    tensors["extra.weight"] = torch.zeros(2)
    with pytest.raises(DataError, match=r"missing up2.conv.double_conv.4.weight[\s\S]*unknown extra.weight \(2,\)"):
        convert_state_dict(tensors, "milesial")
