"""Head of "Objects as Points": a branch per map, heat with the bias of a rare answer.

Zhou, Wang, Krähenbühl, "Objects as Points", 2019, https://arxiv.org/abs/1904.07850; layers as its published code has
them on an hourglass. `channels` is 256 there, 64 on its other networks and in mmdetection
(https://github.com/open-mmlab/mmdetection). Deviation: both start the weights of some branches near zero; here they
start as torch's default.
"""

from collections.abc import Mapping, Sequence

from torch import nn

from densezoo.errors import ConfigError
from densezoo.layers.map_branch import MapBranch
from densezoo.registry import HEADS
from densezoo.types import Maps, Pyramid


@HEADS.register()
class Center(nn.Module):
    """Per map a 3×3 convolution, an activation and a 1×1 convolution; maps called `…heat` start at 0.1.

    Attributes:
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
        channels: int = 256,
        activation: str = "relu",
    ) -> None:
        """Make the head.

        Args:
            in_channels: width of every level of the pyramid, finest first.
            in_strides: image pixels per cell of every level.
            outputs: map name to its channels.
            in_origins: image coordinate of the corner of each level's first cell; None where all are 0.
            level: index of the level that is read.
            channels: width of the hidden convolutions.
            activation: see `make_activation`.

        Raises:
            ConfigError: the pyramid has no such level, a width below 1, or an unknown activation.
        """
        super().__init__()
        if not 0 <= level < len(in_channels):
            raise ConfigError(f"Center: level={level}, but the pyramid has the levels 0 to {len(in_channels) - 1}")
        if channels < 1:
            raise ConfigError(f"Center: channels={channels} must be at least 1")
        self.level = level
        self.stride = in_strides[level]
        self.origin = in_origins[level] if in_origins else 0.0
        self.branches = nn.ModuleDict(
            {name: MapBranch(name, in_channels[level], channels, width, activation) for name, width in outputs.items()}
        )

    def forward(self, pyramid: Pyramid) -> Maps:
        """Map the pyramid to {map name: (N, channels, h, w)} at the size of the level that is read."""
        return {name: branch(pyramid[self.level]) for name, branch in self.branches.items()}
