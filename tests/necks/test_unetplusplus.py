import pytest
import torch
from torch.nn.functional import interpolate

from densezoo.errors import ConfigError
from densezoo.necks.unetplusplus import UNetPlusPlus


def count(module):
    return sum(p.numel() for p in module.parameters())


def double(x):
    return interpolate(x, scale_factor=2, mode="nearest")


def block(before, after):
    return 9 * (before * after + after * after) + 2 * 2 * after


def test_the_grid_is_its_formula():
    neck = UNetPlusPlus([3, 4, 5], [1, 2, 4], channels=[6, 7, 8]).eval()
    fine, middle, coarse = (torch.randn(2, width, size, size) for width, size in ((3, 8), (4, 4), (5, 2)))
    nodes = neck.stages[0].walk.nodes
    assert set(nodes) == {"0_1", "0_2", "1_1", "2_0"}
    first = nodes["0_1"].refine(torch.cat([fine, double(middle)], 1))
    below = nodes["1_1"].refine(torch.cat([middle, double(coarse)], 1))
    expected = nodes["0_2"].refine(torch.cat([fine, first, double(below)], 1))
    torch.testing.assert_close(neck([fine, middle, coarse])[0][0], expected)
    # nodes in between have the encoder's width, the last of a level has that of `channels`
    assert count(neck) == block(3 + 4, 3) + block(4 + 5, 7) + block(3 + 3 + 7, 6)


def test_levels_that_are_not_read_are_not_built():
    neck = UNetPlusPlus([3, 4, 5], [1, 2, 4], out_levels=(1, 2))
    assert set(neck.stages[0].walk.nodes) == {"1_1", "2_0"}
    assert (neck.out_channels, neck.out_strides) == ([4, 5], [2, 4])


def test_without_skips_one_node_per_level_is_left():
    neck = UNetPlusPlus([3, 4, 5], [1, 2, 4], channels=[6, 7, 8], fusion="none").eval()
    assert set(neck.stages[0].walk.nodes) == {"0_1", "1_1", "2_0"}
    assert count(neck) == block(5, 7) + block(7, 6)
    pyramid = [torch.randn(1, width, size, size) for width, size in ((3, 7), (4, 4), (5, 2))]
    neck(pyramid)[0][0].sum().backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_finer_levels_have_one_node():
    neck = UNetPlusPlus([8, 16], [4, 8], finer_levels=2, out_levels=None).eval()
    assert set(neck.stages[0].walk.nodes) == {"0_1", "1_1", "2_1", "3_0"}
    assert (neck.out_channels, neck.out_strides) == ([2, 4, 8, 16], [1, 2, 4, 8])
    out = neck([torch.randn(1, 8, 5, 3), torch.randn(1, 16, 3, 2)])[0]
    assert [level.shape for level in out] == [(1, 2, 20, 12), (1, 4, 10, 6), (1, 8, 5, 3), (1, 16, 3, 2)]


@pytest.mark.parametrize("fusion", ["sum", "weighted", "gated", "attention"])
def test_fusions_read_all_earlier_maps_of_a_level(fusion):
    neck = UNetPlusPlus([8, 16, 16], [1, 2, 4], fusion=fusion, norm="group")
    pyramid = [torch.randn(1, width, size, size) for width, size in ((8, 8), (16, 4), (16, 2))]
    node = neck.stages[0].walk.nodes["0_2"]
    maps = [torch.randn(1, 8, 8, 8, requires_grad=True), torch.randn(1, 8, 8, 8, requires_grad=True)]
    node(maps, pyramid[1]).square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in maps)
    neck(pyramid)[0][0].sum().backward()
    assert all(p.grad is not None for p in neck.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_stages": 0}, "num_stages=0"),
        ({"channels": [8, 8]}, "UNetPlusPlus: .* or 3 of them"),
        ({"fusion": "concta"}, "did you mean 'concat'"),
        ({"norm": "bacth"}, "did you mean 'batch'"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        UNetPlusPlus([8, 8, 8], [1, 2, 4], **arguments)
