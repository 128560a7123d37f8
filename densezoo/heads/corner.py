"""Head of CornerNet: corner pooling, then heat, embedding and offset maps for both corners of a box.

Law and Deng, "CornerNet: Detecting Objects as Paired Keypoints", ECCV 2018, https://arxiv.org/abs/1808.01244, sections
3.4 and 3.5; layers as in its published code. Without pooling it is the paper's ablation: the same layers and
parameters, with nothing where the maxima were taken.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from densezoo.errors import ConfigError, near_names
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.corner_pool import corner_pool
from densezoo.layers.map_branch import MapBranch
from densezoo.layers.normalise import make_activation
from densezoo.registry import HEADS
from densezoo.types import Maps, Pyramid

POOLS = {"top_left": ("top", "left"), "bottom_right": ("bottom", "right")}
"""Corner to the two directions that are pooled for it."""


class CornerModule(nn.Module):
    """Two convolutions pooled in one direction each and added, as a residual block around a 1×1 convolution."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        pool_channels: int,
        directions: Sequence[str],
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the block.

        Args:
            in_channels: C in.
            channels: C out.
            pool_channels: width of the maps that are pooled.
            directions: of the two poolings, see `corner_pool`; none leaves them out.
            norm: see `make_norm`; without it convolutions have a bias.
            activation: see `make_activation`.

        Raises:
            ConfigError: an unknown norm or activation.
        """
        super().__init__()
        bias = norm == "none"
        self.directions = tuple(directions)
        self.before = nn.ModuleList(
            ConvNormAct(in_channels, pool_channels, 3, 1, norm, activation, bias) for _ in range(2)
        )
        self.after = ConvNormAct(pool_channels, channels, 3, 1, norm, "none", bias)
        self.skip = ConvNormAct(in_channels, channels, 1, 1, norm, "none", bias)
        self.activation = make_activation(activation, inplace=True)
        self.last = ConvNormAct(channels, channels, 3, 1, norm, activation, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C in, H, W) to (N, C out, H, W)."""
        first, second = (layer(x) for layer in self.before)
        if self.directions:
            first, second = corner_pool(first, self.directions[0]), corner_pool(second, self.directions[1])
        out: Tensor = self.last(self.activation(self.after(first + second) + self.skip(x)))
        return out


@HEADS.register()
class Corner(nn.Module):
    """A corner module per corner, then a branch per map (`MapBranch`).

    The map's name says which corner it belongs to: `top_left_…` or `bottom_right_…`.

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
        pool_channels: int = 128,
        pooling: bool = True,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the head.

        Args:
            in_channels: width of every level of the pyramid, finest first.
            in_strides: image pixels per cell of every level.
            outputs: map name to its channels.
            in_origins: image coordinate of the corner of each level's first cell; None where all are 0.
            level: index of the level that is read.
            channels: width of the corner modules and of the hidden convolutions.
            pool_channels: width of the maps that are pooled.
            pooling: whether maxima are taken; False keeps all layers and their parameters.
            norm: see `make_norm`; for the corner modules. The hidden convolutions have none.
            activation: see `make_activation`.

        Raises:
            ConfigError: the pyramid has no such level, a width below 1, a map belongs to no corner, or an unknown norm
                or activation.
        """
        super().__init__()
        if channels < 1 or pool_channels < 1:
            raise ConfigError(f"Corner: channels={channels} and pool_channels={pool_channels} must be at least 1")
        if not 0 <= level < len(in_channels):
            raise ConfigError(f"Corner: level={level}, but the pyramid has the levels 0 to {len(in_channels) - 1}")
        self.level = level
        self.stride = in_strides[level]
        self.origin = in_origins[level] if in_origins else 0.0
        self.corner_of = {name: _corner_of(name) for name in outputs}
        self.corners = nn.ModuleDict(
            {
                corner: CornerModule(
                    in_channels[level], channels, pool_channels, directions if pooling else (), norm, activation
                )
                for corner, directions in POOLS.items()
                if corner in self.corner_of.values()
            }
        )
        self.branches = nn.ModuleDict(
            {name: MapBranch(name, channels, channels, width, activation) for name, width in outputs.items()}
        )

    def forward(self, pyramid: Pyramid) -> Maps:
        """Map the pyramid to {map name: (N, channels, h, w)} at the size of the level that is read.

        The last convolution is float32 under autocast too: embeddings are compared, and offsets are parts of a cell.
        """
        features = {corner: module(pyramid[self.level]) for corner, module in self.corners.items()}
        return {name: branch(features[self.corner_of[name]]) for name, branch in self.branches.items()}


def _corner_of(name: str) -> str:
    """Return the corner that a map's name begins with.

    Raises:
        ConfigError: none.
    """
    for corner in POOLS:
        if name.startswith(f"{corner}_"):
            return corner
    raise ConfigError(
        f"Corner: the map {name!r} belongs to no corner; this head is for the task Corners, whose maps are called "
        f"'top_left_…' or 'bottom_right_…' ({near_names(name, POOLS)})"
    )
