import pytest
import torch

from densezoo.encoders.corner_net_stem import CornerNetStem
from densezoo.errors import ConfigError
from densezoo.necks.stacked_hourglass import StackedHourglass


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameter_count_by_hand():
    stem = CornerNetStem()
    assert (stem.channels, stem.strides, stem.origins) == ([256], [4], [0.0])
    first = 3 * 128 * 49 + 2 * 128
    block = 128 * 256 * 9 + 256 * 256 * 9 + 128 * 256 + 3 * 2 * 256
    assert count(stem) == first + block == 938_112


@pytest.mark.parametrize(("num_stages", "millions"), [(1, 93.66), (2, 187.70)])
def test_it_makes_the_published_hourglasses(num_stages, millions):
    with torch.device("meta"):
        stem = CornerNetStem()
        neck = StackedHourglass(
            stem.channels,
            stem.strides,
            channels=[256, 256, 384, 384, 384, 512],
            num_levels=6,
            num_stages=num_stages,
            block="basic",
            blocks=[2, 2, 2, 2, 2, 4],
        )
    assert (count(stem) + count(neck)) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("size", [(64, 64), (61, 70), (4, 5), (1, 1), (3, 130)])
def test_sizes_round_up(size):
    (out,) = CornerNetStem(8).eval()(torch.randn(1, 3, *size))
    assert out.shape == (1, 8, -(-size[0] // 4), -(-size[1] // 4))
    assert (out >= 0).all()


def test_grey_images_carry_one_mean():
    stem = CornerNetStem(8, in_channels=1).eval()
    assert (stem.mean, stem.std) == ((0.5,), (0.5,))
    assert stem(torch.randn(1, 1, 8, 8))[0].shape == (1, 8, 2, 2)


def test_width_must_be_even():
    with pytest.raises(ConfigError, match="channels=9"):
        CornerNetStem(9)
