import torch
from torch import nn

from densezoo.layers.fusion import SumFusion
from densezoo.necks.pathway import Node, Pathway


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def test_a_node_is_its_formula():
    node = Node([Scale(2.0), Scale(3.0)], SumFusion([1, 1, 1]), pre=Scale(10.0), refine=Scale(-1.0))
    skips = [torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3)]
    above = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    expected = -(5 + 10 * torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [3.0, 3.0, 4.0]]))
    assert torch.equal(node(skips, above)[0, 0], expected)


def test_a_pathway_goes_from_coarse_to_fine():
    nodes = [Node([Scale(1.0)], SumFusion([1, 1]), pre=Scale(0.1)) for _ in range(2)] + [Node([Scale(1.0)])]
    out = Pathway(nodes)([[torch.full((1, 1, size, size), value)] for size, value in ((5, 1.0), (3, 2.0), (2, 4.0))])
    assert [level.shape[-1] for level in out] == [5, 3, 2]
    torch.testing.assert_close(
        torch.stack([level[0, 0, 0, 0] for level in out]), torch.tensor([1 + 0.1 * (2 + 0.1 * 4), 2 + 0.1 * 4, 4.0])
    )
