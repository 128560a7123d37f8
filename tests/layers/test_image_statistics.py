import pytest

from densezoo.encoders.corner_net_stem import CornerNetStem
from densezoo.encoders.newell_stem import NewellStem
from densezoo.encoders.plain_unet import PlainUNet
from densezoo.encoders.rectified_gaussian_vgg import RectifiedGaussianVGG
from densezoo.encoders.timm import Timm
from densezoo.errors import ConfigError
from densezoo.layers.image_statistics import IMAGENET_MEAN, IMAGENET_STD, image_statistics

ENCODERS = {
    "NewellStem": (NewellStem, {"channels": 8}),
    "CornerNetStem": (CornerNetStem, {"channels": 8}),
    "PlainUNet": (PlainUNet, {"channels": 2}),
    "RectifiedGaussianVGG": (RectifiedGaussianVGG, {"channels": [2] * 5, "fc_channels": 2}),
    "Timm": (Timm, {"model": "resnet18", "strides": [4]}),
}


def test_three_channels_are_imagenets_unless_told_and_others_one_half():
    assert image_statistics("X", 3, None, None) == (IMAGENET_MEAN, IMAGENET_STD)
    assert image_statistics("X", 3, None, None, [0.5] * 3, [0.6] * 3) == ((0.5,) * 3, (0.6,) * 3)
    assert image_statistics("X", 2, None, None) == ((0.5, 0.5), (0.5, 0.5))
    assert image_statistics("X", 1, [0.25], [1]) == ((0.25,), (1,))
    assert image_statistics("X", 3, None, [1.0] * 3) == (IMAGENET_MEAN, (1.0,) * 3)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.5], None, r"X: mean=\[0.5\] must have in_channels=3 numbers"),
        (None, [], r"X: std=\[\] must have in_channels=3 numbers"),
        ([123.675, 116.28, 103.53], None, "must be from 0 to 1, as of pixels in 0–1; divide numbers of 0–255"),
        ([-0.5] * 3, None, "from 0 to 1"),
        (None, [0.5, 0.5, 0.0], "above 0 and up to 1"),
        (None, [58.4, 57.1, 57.4], "above 0 and up to 1"),
    ],
)
def test_numbers_that_cannot_be_say_what_can(mean, std, message):
    with pytest.raises(ConfigError, match=message):
        image_statistics("X", 3, mean, std)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_takes_them(name):
    make, arguments = ENCODERS[name]
    encoder = make(**arguments, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    assert (encoder.mean, encoder.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (make(**arguments).mean, make(**arguments).std) == (IMAGENET_MEAN, IMAGENET_STD)
    grey = make(**arguments, in_channels=1, mean=[0.3])
    assert (grey.mean, grey.std) == ((0.3,), (0.5,))
    with pytest.raises(ConfigError, match=rf"{name}: std=\[0.5\] must have in_channels=3 numbers"):
        make(**arguments, std=[0.5])
    for in_channels in (0, -3):
        with pytest.raises(ConfigError, match=f"{name}: in_channels={in_channels} must be at least 1"):
            make(**arguments, in_channels=in_channels)
