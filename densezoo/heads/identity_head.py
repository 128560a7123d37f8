"""Head without layers, for necks whose maps are what a task asks for already, such as `ScoreSum`."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from densezoo.errors import ConfigError
from densezoo.registry import HEADS
from densezoo.types import Maps, Pyramid


@HEADS.register()
class IdentityHead(nn.Module):
    """The channels of one level, shared out among the maps in their order.

    Attributes:
        level: index of the level that is read.
        stride: image pixels per cell of every map.
        origin: image coordinate, in pixels, of the corner of the maps' first cell.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        outputs: Mapping[str, int],
        in_origins: Sequence[float] | None = None,
        level: int = 0,
    ) -> None:
        """Check that the widths add up.

        Args:
            in_channels: width of every level of the pyramid, finest first.
            in_strides: image pixels per cell of every level.
            outputs: map name to its channels.
            in_origins: image coordinate of the corner of each level's first cell; None where all are 0.
            level: index of the level that is read.

        Raises:
            ConfigError: the pyramid has no such level, or it has more or fewer channels than the maps together.
        """
        super().__init__()
        if not 0 <= level < len(in_channels):
            raise ConfigError(
                f"IdentityHead: level={level}, but the pyramid has the levels 0 to {len(in_channels) - 1}"
            )
        if in_channels[level] != sum(outputs.values()):
            raise ConfigError(
                f"IdentityHead: level {level} has {in_channels[level]} channels, but the maps {dict(outputs)} need "
                f"{sum(outputs.values())}; give the neck channels={sum(outputs.values())}, or take a ConvHead"
            )
        self.level = level
        self.stride = in_strides[level]
        self.origin = in_origins[level] if in_origins else 0.0
        self.widths = dict(outputs)

    def forward(self, pyramid: Pyramid) -> Maps:
        """Map the pyramid to {map name: (N, channels, h, w)}, float32, at the size of the level that is read."""
        parts = torch.split(pyramid[self.level].float(), list(self.widths.values()), dim=1)
        return dict(zip(self.widths, parts, strict=True))
