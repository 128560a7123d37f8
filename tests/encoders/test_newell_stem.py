import pytest
import torch

from densezoo.encoders.newell_stem import NewellStem
from densezoo.errors import ConfigError


def test_widths_and_parameter_count():
    stem = NewellStem(256)
    assert (stem.channels, stem.strides) == ([256], [4])
    assert [layer.body[-1].out_channels for layer in (stem.layers[1], stem.layers[3], stem.layers[4])] == [
        128,
        128,
        256,
    ]
    # by hand: the convolution with its normalisation, then the residuals
    assert sum(p.numel() for p in stem.parameters()) == 9_600 + 58_112 + 54_016 + 230_912


@pytest.mark.parametrize("size", [(64, 64), (61, 70), (4, 5), (1, 1), (3, 130)])
def test_sizes_round_up(size):
    (out,) = NewellStem(8).eval()(torch.randn(1, 3, *size))
    assert out.shape == (1, 8, -(-size[0] // 4), -(-size[1] // 4))


def test_grey_images_carry_one_mean():
    stem = NewellStem(8, in_channels=1).eval()
    assert (stem.mean, stem.std) == ((0.5,), (0.5,))
    assert stem(torch.randn(1, 1, 8, 8))[0].shape == (1, 8, 2, 2)


def test_each_layer_may_have_a_width_of_its_own():
    stem = NewellStem([4, 6, 10, 12])
    assert stem.channels == [12]
    assert [layer.body[-1].out_channels for layer in (stem.layers[1], stem.layers[3], stem.layers[4])] == [6, 10, 12]
    assert stem.layers[0].conv.out_channels == 4


def test_pooling_may_drop_an_odd_row():
    (out,) = NewellStem(8, ceil_mode=False).eval()(torch.randn(1, 3, 66, 63))
    assert out.shape == (1, 8, 16, 16)


def test_statistics_may_be_given_one_for_each_channel():
    stem = NewellStem(8, mean=[0.1, 0.2, 0.3], std=[1.0, 1.0, 1.0])
    assert (stem.mean, stem.std) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match=r"std=\[0.5\] must have in_channels=3 numbers"):
        NewellStem(8, std=[0.5])


@pytest.mark.parametrize("channels", [10, [4, 8, 8], [4, 8, 8, 0]])
def test_impossible_widths_say_how(channels):
    with pytest.raises(ConfigError, match="must be a positive multiple of 4, or four widths"):
        NewellStem(channels)
