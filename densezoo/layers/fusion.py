"""Fusions: how a pathway's node joins its maps. A fusion is one class, registered under its short word.

A fusion is built with `in_channels`, the width of every map it will get (skips first, then the map from the coarser
level), carries `out_channels`, and maps a list of (N, in_channels[i], h, w) to one (N, out_channels, h, w).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.registry import FUSIONS


@FUSIONS.register("sum")
class SumFusion(nn.Module):
    """Sum of the maps."""

    def __init__(self, in_channels: Sequence[int]) -> None:
        """Make the fusion.

        Args:
            in_channels: one width per map; all equal.

        Raises:
            ConfigError: the widths differ.
        """
        super().__init__()
        if len(set(in_channels)) != 1:
            raise ConfigError(f"fusion 'sum' needs maps of one width, got {list(in_channels)}; give one 'channels'")
        self.out_channels = in_channels[0]

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map a list of (N, C, h, w) to their (N, C, h, w) sum."""
        total = maps[0]
        for other in maps[1:]:
            total = total + other
        return total
