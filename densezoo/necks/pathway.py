"""The structure that hourglass, FPN and U-Net share: a walk over a feature pyramid, one node per level.

    node(skips, above) = refine(fuse([lateral(skip) for skip in skips] + [resize(pre(above), like=skips[0])]))

A family fills in the blanks (`Blanks`); what it leaves empty is the identity. `above` is the map of the level that the
walk comes from: the coarser one on the way up, the finer one of a bottom-up pathway.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.layers.fusion import build_fusion
from densezoo.layers.resize import crop_centre, resize_nearest
from densezoo.registry import FUSIONS

Levels = dict[int, Tensor]
"""Level to its map, 0 being the finest."""
Skips = Mapping[int, Sequence[Tensor]]
"""Level to its skips; none for levels finer than the encoder's."""
Resize = Callable[[Tensor, tuple[int, int]], Tensor]
Make = Callable[[int, int, int], nn.Module | None]
"""Level, width in and width out to a module; None is the identity, which keeps the width that comes in."""


def identity(level: int, in_channels: int, out_channels: int) -> None:
    """Leave a blank empty."""


@dataclass(frozen=True)
class Blanks:
    """What a family fills into its nodes, and how maps are joined.

    Attributes:
        fusion: config of the fusion.
        norm: for fusions that ask for it.
        activation: for fusions that ask for it.
        lateral: on a skip.
        pre: on the map from the other level, before it is resized.
        refine: on the fused map; takes any width in.
        resize: brings the map from the other level to the size of the skips, where there are any. What is smaller
            after that is what the skips are cropped to.
    """

    fusion: Mapping[str, Any]
    norm: str
    activation: str
    lateral: Make = identity
    pre: Make = identity
    refine: Make = identity
    resize: Resize = resize_nearest


class Node(nn.Module):
    """One step of a pathway.

    Attributes:
        out_channels: width of what it gives.
        word: how it joins its maps: the fusion's name, `'lateral'` where a walk starts, `'up'` without a skip.
    """

    def __init__(
        self, blanks: Blanks, level: int, skips: Sequence[int], above: int | None, width: int, exact: bool = False
    ) -> None:
        """Fill in the blanks.

        A fusion that needs maps of one width gets 1×1 convolutions where the family has the identity, and a 1×1
        convolution follows a fusion that changes the width where the family has nothing that would absorb it.

        Args:
            blanks: the family's.
            level: the node's, 0 being the finest.
            skips: width of each skip; empty at levels that have none.
            above: width of the map from the other level; None where the walk starts.
            width: width of what the node gives. A walk that starts with the identity keeps its skip's width.
            exact: give `width` in that case, too.

        Raises:
            ConfigError: an unknown fusion, or one that does not say how wide its map is.
        """
        super().__init__()
        kind = FUSIONS.get(blanks.fusion["type"])
        starts = above is None
        used = skips if starts or getattr(kind, "uses_skips", True) else ()
        joins = len(used) + (not starts) > 1
        one_width = exact if starts else joins and getattr(kind, "equal_widths", True)
        filled = [_fill(blanks.lateral, level, skip, width, one_width) for skip in used]
        widths = [found for _, found in filled]
        self.laterals = nn.ModuleList(module for module, _ in filled)
        self.pre: nn.Module | None = None
        if above is not None:
            self.pre, pre_width = _fill(blanks.pre, level, above, width, one_width)
            widths.append(pre_width)
        self.word: str = blanks.fusion["type"] if joins else "lateral" if starts else "up"
        self.fuse: nn.Module | None = None
        self.out_channels = widths[-1]
        if joins:
            fuse = build_fusion(blanks.fusion, widths, blanks.norm, blanks.activation)
            self.fuse, self.out_channels = fuse, fuse.out_channels
        self._fused_channels = self.out_channels
        self.refine: nn.Module | None = None
        if not starts:
            self.refine, self.out_channels = _fill(blanks.refine, level, self.out_channels, width, True)
        self.resize = blanks.resize

    def forward(self, skips: Sequence[Tensor], above: Tensor | None) -> Tensor:
        """Map skips (N, C_i, h, w) and a map of any size from `above` (None at the start) to one (N, C, h, w).

        Without a skip the map from above doubles its size.

        Raises:
            ConfigError: the fusion gives something else than one map of the width that it says.
        """
        maps = list(skips[: len(self.laterals)])
        if above is not None:
            height, width = skips[0].shape[-2:] if skips else (2 * side for side in above.shape[-2:])
            if self.pre is not None:
                above = self.pre(above)
            above = self.resize(above, (height, width))
            height, width = above.shape[-2:]
            maps = [crop_centre(skip, (height, width)) for skip in maps]
        maps = [lateral(skip) for lateral, skip in zip(self.laterals, maps, strict=True)]
        if above is not None:
            maps.append(above)
        fused: Tensor = maps[-1] if self.fuse is None else self._fuse(self.fuse, maps)
        return fused if self.refine is None else self.refine(fused)

    def _fuse(self, fuse: nn.Module, maps: list[Tensor]) -> Tensor:
        fused = fuse(maps)
        if isinstance(fused, Tensor) and fused.ndim == 4 and fused.shape[1] == self._fused_channels:
            return fused
        found = f"a map of shape {tuple(fused.shape)}" if isinstance(fused, Tensor) else f"a {type(fused).__name__}"
        raise ConfigError(
            f"fusion {self.word!r} must give one map (N, {self._fused_channels}, h, w), as its out_channels says, and "
            f"gives {found}"
        )


def _fill(make: Make, level: int, in_channels: int, width: int, one_width: bool) -> tuple[nn.Module, int]:
    """Return the module of a blank and the width that it gives."""
    module = make(level, in_channels, width)
    if module is not None:
        return module, width
    if one_width and in_channels != width:
        return nn.Conv2d(in_channels, width, 1), width
    return nn.Identity(), in_channels


class Walk(nn.Module):
    """What maps `Skips` to `Levels`: one pathway or several.

    Attributes:
        out_channels: level to the width of its map.
    """

    out_channels: dict[int, int]


class Pathway(Walk):
    """Nodes walked one after the other: from the coarsest level to the finest, or the other way."""

    def __init__(
        self, blanks: Blanks, skips: Mapping[int, Sequence[int]], widths: Sequence[int], exact: Sequence[int] = ()
    ) -> None:
        """Make a node for each level.

        Args:
            blanks: the family's.
            skips: level to the widths of its skips, in the order in which the levels are walked.
            widths: of what the node of each level gives, finest level first.
            exact: levels that give just this width, even where the walk starts with the identity.
        """
        super().__init__()
        self.nodes = nn.ModuleDict()
        self.out_channels = {}
        above: int | None = None
        for level, level_skips in skips.items():
            node = Node(blanks, level, level_skips, above, widths[level], exact=level in exact)
            self.nodes[str(level)] = node
            above = self.out_channels[level] = node.out_channels

    def forward(self, skips: Skips) -> Levels:
        """Map the skips of the levels to one map per level."""
        maps: Levels = {}
        above: Tensor | None = None
        for name, node in self.nodes.items():
            above = maps[int(name)] = node(skips[int(name)], above)
        return maps
