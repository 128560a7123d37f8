import pytest
import torch
from torch import nn

from densezoo.errors import ConfigError
from densezoo.necks.stacked_hourglass import StackedHourglass
from densezoo.registry import FUSIONS


@FUSIONS.register("concat_in_a_test")
class Concat(nn.Module):
    def __init__(self, in_channels, scale=1.0):
        super().__init__()
        self.out_channels = sum(in_channels)
        self.scale = scale

    def forward(self, maps):
        return torch.cat(maps, 1) * self.scale


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_counts_by_hand():
    residual, lin = 214_528, 256 * 256 + 256 + 2 * 256
    one = StackedHourglass([256], [4], num_stages=1)
    assert count(one) == (3 * 4 + 1 + 1) * residual + lin
    fed = StackedHourglass([256], [4], num_stages=3, feedback_channels=16)
    assert count(fed) == 3 * count(one) + 2 * (256 * 256 + 256 + 16 * 256 + 256)
    assert count(StackedHourglass([256], [4], num_stages=1, feedback_channels=16)) == count(one)


@pytest.mark.parametrize("size", [(64, 64), (17, 13), (5, 5), (1, 1), (1, 31)])
def test_any_size_comes_out_as_it_went_in(size):
    neck = StackedHourglass([8], [4], num_stages=2).eval()
    pyramids = neck([torch.randn(1, 8, *size)])
    assert [[level.shape for level in pyramid] for pyramid in pyramids] == [[(1, 8, *size)]] * 2


def test_stages_run_one_by_one_equal_all_at_once():
    neck = StackedHourglass([8], [4], num_stages=3, norm="group")
    pyramid = [torch.randn(2, 8, 16, 12)]
    x = neck.begin(pyramid)
    for index, expected in enumerate(neck(pyramid)):
        out = neck.stage(index, x)
        assert torch.equal(out[0], expected[0])
        if index < 2:
            x = neck.merge(index, x, out)


def test_feedback_is_projected_resized_and_added():
    neck = StackedHourglass([8], [4], num_stages=2, feedback_channels=3)
    x, features = [torch.randn(1, 8, 4, 4)], [torch.randn(1, 8, 4, 4)]
    maps = [torch.randn(1, 2, 4, 4), torch.randn(1, 1, 2, 2)]
    merge = neck.merges[0]
    expected = x[0] + merge.features(features[0])
    large = maps[1].repeat_interleave(2, -1).repeat_interleave(2, -2)
    expected = expected + merge.feedback(torch.cat([maps[0], large], 1))
    torch.testing.assert_close(neck.merge(0, x, features, maps)[0], expected)
    with pytest.raises(ConfigError, match="feedback"):
        neck(x)


def test_levels_may_differ_in_width_and_all_be_read():
    neck = StackedHourglass([8], [4], channels=[8, 12, 16], depth=2, out_levels=(0, 1, 2), num_stages=2)
    assert (neck.out_channels, neck.out_strides) == ([8, 12, 16], [4, 8, 16])
    out = neck([torch.randn(1, 8, 7, 9)])[1]
    assert [level.shape for level in out] == [(1, 8, 7, 9), (1, 12, 4, 5), (1, 16, 2, 3)]


def test_encoder_levels_are_the_first_way_down():
    neck = StackedHourglass([6, 10, 20, 99], [4, 8, 16, 64], channels=8, depth=2, num_stages=2)
    assert [len(stage.downs) for stage in neck.stages] == [0, 2]
    pyramid = [torch.randn(1, width, size, size) for width, size in ((6, 8), (10, 4), (20, 2), (99, 1))]
    coarse = pyramid[2].requires_grad_()
    neck(pyramid)[0][0].sum().backward()
    assert coarse.grad is not None
    assert coarse.grad.abs().sum() > 0
    assert StackedHourglass([6, 10], [4, 16], channels=8, depth=2, out_levels=(0, 1, 2)).out_strides == [4, 16, 32]


def test_nothing_is_built_that_is_not_read():
    full = StackedHourglass([8], [4], num_stages=1, depth=3)
    coarse = StackedHourglass([8], [4], num_stages=1, depth=3, out_levels=(2,))
    residual = count(full.stages[0].posts[0][0])
    assert count(full) - count(coarse) == 2 * 2 * residual
    assert coarse.out_strides == [16]
    assert coarse([torch.randn(2, 8, 16, 16)])[0][0].shape == (2, 8, 4, 4)


def test_a_fusion_is_one_class():
    plain = StackedHourglass([8], [4], num_stages=1, depth=2)
    concat = StackedHourglass([8], [4], num_stages=1, depth=2, fusion={"type": "concat_in_a_test", "scale": 2.0})
    assert count(concat) - count(plain) == 2 * (16 * 8 + 8)
    assert concat([torch.randn(2, 8, 5, 5)])[0][0].shape == (2, 8, 5, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_stages": 0}, "num_stages=0"),
        ({"depth": 0}, "depth=0"),
        ({"channels": [8, 8]}, "5 for depth=4"),
        ({"out_levels": (5,)}, "0 to 4"),
        ({"out_levels": (1,)}, "must contain 0"),
        ({"fusion": "summ"}, "did you mean 'sum'"),
        ({"norm": "bacth"}, "did you mean 'batch'"),
    ],
)
def test_impossible_numbers_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        StackedHourglass([8], [4], **arguments)
