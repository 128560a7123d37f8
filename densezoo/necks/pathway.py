"""The one structure that hourglass, FPN and U-Net share: a walk over a feature pyramid, one node per level.

    node(skips, above) = refine(fuse([lateral(skip) for skip in skips] + [resize(pre(above), like=skips[0])]))

A neck fills in the blanks; what it leaves empty is the identity.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from densezoo.layers.resize import resize_nearest
from densezoo.types import Pyramid


class Node(nn.Module):
    """One level of a pathway."""

    def __init__(
        self,
        laterals: Sequence[nn.Module],
        fuse: nn.Module | None = None,
        pre: nn.Module | None = None,
        refine: nn.Module | None = None,
    ) -> None:
        """Make the node.

        Args:
            laterals: one module per skip.
            fuse: joins the lateral maps and the map from above; None where there is a single map.
            pre: applied to the map from above before it is resized.
            refine: applied to the fused map.
        """
        super().__init__()
        self.laterals = nn.ModuleList(laterals)
        self.pre = pre or nn.Identity()
        self.fuse = fuse
        self.refine = refine or nn.Identity()

    def forward(self, skips: Sequence[Tensor], above: Tensor | None) -> Tensor:
        """Map skips (N, C_i, h, w) and a map of any size from `above` (None at the start) to one (N, C, h, w)."""
        maps = [lateral(skip) for lateral, skip in zip(self.laterals, skips, strict=True)]
        if above is not None:
            height, width = skips[0].shape[-2:]
            maps.append(resize_nearest(self.pre(above), (height, width)))
        out: Tensor = self.refine(maps[0] if self.fuse is None else self.fuse(maps))
        return out


class Pathway(nn.Module):
    """Nodes walked from the coarsest level to the finest."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Make the pathway from `nodes`, finest level first; the last one gets nothing from above."""
        super().__init__()
        self.nodes = nn.ModuleList(nodes)

    def forward(self, skips: Sequence[Sequence[Tensor]]) -> Pyramid:
        """Map the skips of every level, finest first, to one map per level, finest first."""
        inner: Pyramid = []
        above: Tensor | None = None
        for node, level in zip(reversed(self.nodes), reversed(skips), strict=True):
            above = node(level, above)
            inner.append(above)
        return inner[::-1]
