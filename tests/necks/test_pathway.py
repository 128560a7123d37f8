import pytest
import torch
from torch import nn

from densezoo.errors import ConfigError
from densezoo.layers.resize import fit, resize_nearest
from densezoo.necks.pathway import Blanks, Node, Pathway
from densezoo.registry import FUSIONS


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


@FUSIONS.register("weigh_in_a_test")
class WeighInATest(nn.Module):
    def __init__(self, in_channels, scale=1.0):
        super().__init__()
        self.out_channels = in_channels[0]
        self.scale = scale

    def forward(self, maps):
        return sum(maps) * self.scale


@FUSIONS.register("broken_in_a_test")
class BrokenInATest(nn.Module):
    def __init__(self, in_channels, out_channels=None, gives="map"):
        super().__init__()
        if out_channels is not None:
            self.out_channels = out_channels
        self.gives = gives

    def forward(self, maps):
        return {"map": sum(maps), "list": maps, "flat": sum(maps).flatten(1)}[self.gives]


def scaled(factor):
    return lambda level, in_channels, out_channels: Scale(factor)


def blanks(fusion="sum", **more):
    return Blanks({"type": fusion} if isinstance(fusion, str) else fusion, "none", "relu", **more)


def cells(values):
    return torch.tensor(values)[None, None]


def test_a_node_is_its_formula():
    filled = blanks(lateral=scaled(2.0), pre=scaled(10.0), refine=scaled(-1.0))
    node = Node(filled, 0, skips=[1, 1], above=1, width=1)
    skips = [torch.ones(1, 1, 3, 3), 2 * torch.ones(1, 1, 3, 3)]
    expected = -(6 + 10 * torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [3.0, 3.0, 4.0]]))
    assert torch.equal(node(skips, cells([[1.0, 2.0], [3.0, 4.0]]))[0, 0], expected)


def test_a_node_without_skips_doubles():
    node = Node(blanks(), 0, skips=[], above=1, width=1)
    assert torch.equal(node([], cells([[1.0, 2.0]]))[0, 0], torch.tensor([[1.0, 1, 2, 2], [1, 1, 2, 2]]))


def test_skips_are_cropped_to_what_is_smaller():
    filled = blanks(resize=lambda x, size: fit(x, (2, 2)))
    node = Node(filled, 0, skips=[1], above=1, width=1)
    skip = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert torch.equal(node([skip], torch.zeros(1, 1, 2, 2))[0, 0], torch.tensor([[14.0, 15], [20, 21]]))


@pytest.mark.parametrize(
    ("fusion", "laterals", "pre", "refine"),
    [
        ("sum", [nn.Conv2d, nn.Identity], nn.Conv2d, None),  # all maps get the node's width
        ("concat", [nn.Identity, nn.Identity], nn.Identity, nn.Conv2d),  # one convolution brings them back to it
        ("gated", [nn.Identity, nn.Identity], nn.Identity, nn.Conv2d),
        ("none", [], nn.Identity, nn.Conv2d),
    ],
)
def test_a_node_mends_widths(fusion, laterals, pre, refine):
    node = Node(blanks(fusion), 0, skips=[4, 8], above=16, width=8)
    assert [type(lateral) for lateral in node.laterals] == laterals
    assert type(node.pre) is pre
    assert type(node.refine) is (refine or nn.Identity)
    assert node.out_channels == 8
    maps = [torch.randn(1, 4, 3, 3), torch.randn(1, 8, 3, 3)]
    assert node(maps, torch.randn(1, 16, 2, 2)).shape == (1, 8, 3, 3)


def test_a_walk_starts_with_what_its_first_skip_has():
    assert Node(blanks(), 2, skips=[16], above=None, width=8).out_channels == 16
    assert Node(blanks(), 2, skips=[16], above=None, width=8, exact=True).out_channels == 8
    assert Node(blanks("none"), 2, skips=[16], above=None, width=8)([torch.ones(1, 16, 1, 1)], None).shape == (
        1,
        16,
        1,
        1,
    )


def test_a_refinement_absorbs_the_width():
    filled = blanks("concat", refine=lambda level, before, after: nn.Conv2d(before, after, 3, padding=1))
    node = Node(filled, 0, skips=[4], above=6, width=5)
    assert node.refine.weight.shape == (5, 10, 3, 3)


def test_a_fusion_of_ones_own_gets_its_arguments():
    node = Node(blanks({"type": "weigh_in_a_test", "scale": 3.0}), 0, skips=[1], above=1, width=1)
    assert node([torch.ones(1, 1, 2, 2)], torch.ones(1, 1, 1, 1)).flatten().tolist() == [6.0] * 4


@pytest.mark.parametrize("width", [None, 0, [1]])
def test_a_fusion_must_say_how_wide_its_map_is(width):
    with pytest.raises(ConfigError, match="fusion 'broken_in_a_test': its constructor must set out_channels"):
        Node(blanks({"type": "broken_in_a_test", "out_channels": width}), 0, skips=[1], above=1, width=1)


@pytest.mark.parametrize(
    ("gives", "width", "found"),
    [
        ("map", 7, r"one map \(N, 7, h, w\), .* a map of shape \(1, 2, 2, 2\)"),
        ("list", 2, "gives a list"),
        ("flat", 2, r"a map of shape \(1, 8\)"),
    ],
)
def test_a_fusion_must_give_the_map_that_it_says(gives, width, found):
    fusion = {"type": "broken_in_a_test", "out_channels": width, "gives": gives}
    node = Node(blanks(fusion), 0, skips=[2], above=2, width=2)
    with pytest.raises(ConfigError, match=f"fusion 'broken_in_a_test' must give .*{found}"):
        node([torch.ones(1, 2, 2, 2)], torch.ones(1, 2, 1, 1))


def test_a_node_compiles_into_one_graph():
    node = Node(blanks({"type": "weigh_in_a_test", "scale": 3.0}), 0, skips=[1], above=1, width=1)
    compiled = torch.compile(node, fullgraph=True, backend="eager")
    for size in (2, 3, 5):
        given = [torch.rand(1, 1, size, size)], torch.rand(1, 1, -(-size // 2), -(-size // 2))
        assert torch.equal(compiled(*given), node(*given))


def test_a_pathway_goes_from_coarse_to_fine_or_back():
    def walk(order):
        return Pathway(blanks(pre=scaled(0.1), resize=resize_nearest), {level: [1] for level in order}, [1, 1, 1])

    maps = {
        level: [torch.full((1, 1, size, size), value)] for level, size, value in ((0, 5, 1.0), (1, 3, 2.0), (2, 2, 4.0))
    }
    up, down = walk([2, 1, 0])(maps), walk([0, 1, 2])(maps)
    assert {level: value.shape[-1] for level, value in up.items()} == {2: 2, 1: 3, 0: 5}
    found = [float(up[level][0, 0, 0, 0]) for level in range(3)]
    assert found == pytest.approx([1 + 0.1 * (2 + 0.1 * 4), 2 + 0.1 * 4, 4.0])
    assert [float(down[level][0, 0, 0, 0]) for level in range(3)] == pytest.approx([1, 2.1, 4.21])
