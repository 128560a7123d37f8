import pytest
import torch
from torch import nn

from densezoo.errors import ConfigError
from densezoo.necks.stacked_hourglass import StackedHourglass


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
        out, finest = neck.stage(index, x)
        assert torch.equal(out[0], expected[0])
        if index < 2:
            x = neck.merge(index, x, finest)


def test_feedback_is_projected_resized_and_added():
    neck = StackedHourglass([8], [4], num_stages=2, feedback_channels=3)
    x, features = [torch.randn(1, 8, 4, 4)], torch.randn(1, 8, 4, 4)
    maps = [torch.randn(1, 2, 4, 4), torch.randn(1, 1, 2, 2)]
    merge = neck.merges[0]
    expected = x[0] + merge.features(features)
    large = maps[1].repeat_interleave(2, -1).repeat_interleave(2, -2)
    expected = expected + merge.feedback(torch.cat([maps[0], large], 1))
    torch.testing.assert_close(neck.merge(0, x, features, maps)[0], expected)
    with pytest.raises(ConfigError, match="feedback"):
        neck(x)


def test_levels_may_differ_in_width_and_all_be_read():
    neck = StackedHourglass([8], [4], channels=[8, 12, 16], num_levels=3, out_levels=(0, 1, 2), num_stages=2)
    assert (neck.out_channels, neck.out_strides) == ([8, 12, 16], [4, 8, 16])
    out = neck([torch.randn(1, 8, 7, 9)])[1]
    assert [level.shape for level in out] == [(1, 8, 7, 9), (1, 12, 4, 5), (1, 16, 2, 3)]


def test_encoder_levels_are_the_first_way_down():
    neck = StackedHourglass([6, 10, 20], [4, 8, 16], channels=8, num_stages=2)
    assert [len(stage.downs) for stage in neck.stages] == [0, 2]
    pyramid = [torch.randn(1, width, size, size) for width, size in ((6, 8), (10, 4), (20, 2))]
    coarse = pyramid[2].requires_grad_()
    neck(pyramid)[0][0].sum().backward()
    assert coarse.grad is not None
    assert coarse.grad.abs().sum() > 0
    gap = StackedHourglass([6, 10], [4, 16], channels=8, num_levels=3, out_levels=(0, 1, 2), num_stages=1)
    assert gap.out_strides == [4, 16, 32]


def test_nothing_is_built_that_is_not_read():
    full = StackedHourglass([8], [4], num_stages=1, num_levels=4)
    coarse = StackedHourglass([8], [4], num_stages=1, num_levels=4, out_levels=(2,))
    residual = count(full.stages[0].posts["0"][0])
    assert count(full) - count(coarse) == 2 * 2 * residual
    assert coarse.out_strides == [16]
    assert coarse([torch.randn(2, 8, 16, 16)])[0][0].shape == (2, 8, 4, 4)


def test_the_basic_variant_strides_widens_and_repeats():
    neck = StackedHourglass(
        [16], [4], channels=[16, 16, 24], num_levels=3, block="basic", blocks=[1, 2, 3], num_stages=1
    )
    assert not [part for part in neck.modules() if isinstance(part, nn.MaxPool2d)]

    def block(before, after, changes_size=False):
        projected = changes_size or before != after
        return 9 * (before + after) * after + 2 * 2 * after + projected * (before * after + 2 * after)

    laterals = block(16, 16) + 2 * block(16, 16) + 3 * block(24, 24)
    downs = block(16, 16, True) + block(16, 24, True) + block(24, 24)
    ups = block(16, 16) + block(24, 24) + block(24, 16)  # the last block of a level changes the width
    assert count(neck) == laterals + downs + ups + 9 * 16 * 16 + 2 * 16
    assert neck([torch.randn(1, 16, 9, 7)])[0][0].shape == (1, 16, 9, 7)
    two = StackedHourglass([16], [4], num_levels=2, block="basic", num_stages=2)
    merged = two.merges[0]
    x, features = torch.randn(2, 16, 4, 4), torch.randn(2, 16, 4, 4)
    expected = merged.block((merged.eval().input(x) + merged.features(features)).relu())
    torch.testing.assert_close(two.merge(0, [x], features)[0], expected)


def test_the_basic_variant_takes_feedback_too():
    neck = StackedHourglass([16], [4], num_levels=2, block="basic", num_stages=2, feedback_channels=3).eval()
    x, features, fed = torch.randn(2, 16, 4, 4), torch.randn(2, 16, 4, 4), torch.randn(2, 3, 4, 4)
    merged = neck.merges[0]
    expected = merged.block((merged.input(x) + merged.features(features) + merged.feedback(fed)).relu())
    torch.testing.assert_close(neck.merge(0, [x], features, [fed])[0], expected)


def test_what_is_read_may_have_a_width_of_its_own():
    neck = StackedHourglass([16], [4], num_levels=3, block="basic", num_stages=2, out_levels=(0, 2), out_channels=6)
    assert neck.out_channels == [6, 6]
    for pyramid in neck([torch.randn(2, 16, 8, 8)]):
        assert [level.shape for level in pyramid] == [(2, 6, 8, 8), (2, 6, 2, 2)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_stages": 0}, "num_stages=0"),
        ({"num_levels": 1}, "num_levels=1"),
        ({"channels": [8, 8]}, "or 5 of them"),
        ({"blocks": [1, 2]}, "or 5 of them"),
        ({"block": "residul"}, "did you mean 'residual'"),
        ({"out_channels": 8}, "out_channels=8 needs block='basic'"),
        ({"block": "basic", "out_channels": 0}, "at least 1"),
        ({"finer_levels": 3}, "below one pixel"),
        ({"out_levels": (5,)}, "0 to 4"),
        ({"fusion": "summ"}, "did you mean 'sum'"),
        ({"norm": "bacth"}, "did you mean 'batch'"),
    ],
)
def test_impossible_numbers_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        StackedHourglass([8], [4], **arguments)


def test_an_encoder_level_that_nobody_would_read_is_refused():
    with pytest.raises(ConfigError, match=r"would never be read; ask the encoder for the strides \[4, 8\]"):
        StackedHourglass([8, 8, 8], [4, 8, 16], num_levels=2)


def test_later_stages_need_strides_that_double():
    StackedHourglass([8, 8], [4, 16], num_stages=1)
    with pytest.raises(ConfigError, match=r"must double from level to level.*\[4, 16\]"):
        StackedHourglass([8, 8], [4, 16], num_stages=2)
    with pytest.raises(ConfigError, match="differ in number"):
        StackedHourglass([8, 8], [4])
    with pytest.raises(ConfigError, match=r"fusion=\{\} has no 'type'"):
        StackedHourglass([8], [4], fusion={})
