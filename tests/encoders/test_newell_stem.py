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


def test_width_must_divide_by_four():
    with pytest.raises(ConfigError, match="channels=10"):
        NewellStem(10)
