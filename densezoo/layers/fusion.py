"""Fusions: how a pathway's node joins its maps. A fusion is one class, registered under its short word.

A fusion is built with `in_channels`, the width of every map it will get (skips first, then the map from the coarser or
finer level), and with `norm` and `activation` if it asks for them. It carries `out_channels` and maps a list of
(N, in_channels[i], h, w) to one (N, out_channels, h, w). Two class attributes may say more about it:

- `equal_widths` (true unless given): the node brings all maps to one width first;
- `uses_skips` (true unless given): the node builds no laterals for a fusion that would not read them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densezoo.errors import ConfigError, near_names
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.normalise import MIN_GROUP_CHANNELS, make_activation
from densezoo.registry import FUSIONS


@FUSIONS.register("sum")
class SumFusion(nn.Module):
    """Sum of the maps."""

    word = "sum"

    def __init__(self, in_channels: Sequence[int]) -> None:
        """Make the fusion of maps of one width.

        Raises:
            ConfigError: the widths differ.
        """
        super().__init__()
        self.out_channels = one_width(in_channels, self.word)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map a list of (N, C, h, w) to their (N, C, h, w) sum."""
        total = maps[0]
        for other in maps[1:]:
            total = total + other
        return total


@FUSIONS.register("mean")
class MeanFusion(SumFusion):
    """Mean of the maps: the sum, at a scale that does not grow with their number."""

    word = "mean"

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map a list of (N, C, h, w) to their (N, C, h, w) mean."""
        return super().forward(maps) / len(maps)


@FUSIONS.register("max")
class MaxFusion(SumFusion):
    """Largest of the maps, cell by cell and channel by channel."""

    word = "max"

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map a list of (N, C, h, w) to their (N, C, h, w) maximum."""
        largest = maps[0]
        for other in maps[1:]:
            largest = torch.maximum(largest, other)
        return largest


@FUSIONS.register("concat")
class ConcatFusion(nn.Module):
    """All maps side by side; the node brings them back to its width, by a 1×1 convolution or by its own layers."""

    equal_widths = False

    def __init__(self, in_channels: Sequence[int]) -> None:
        """Make the fusion of maps of any width."""
        super().__init__()
        self.out_channels = sum(in_channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map a list of (N, C_i, h, w) to (N, sum of C_i, h, w)."""
        return torch.cat(maps, 1)


@FUSIONS.register("none")
class NoFusion(nn.Module):
    """No skips: the map from the other level alone, which makes an encoder-decoder."""

    uses_skips = False

    def __init__(self, in_channels: Sequence[int]) -> None:
        """Make the fusion; only the last width counts."""
        super().__init__()
        self.out_channels = in_channels[-1]

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return the last map."""
        return maps[-1]


@FUSIONS.register("weighted")
class WeightedFusion(nn.Module):
    """Mean with a learned weight per map.

    Of BiFPN (Tan, Pang, Le 2020, https://arxiv.org/abs/1911.09070, section 3.3).
    """

    EPSILON = 1e-4  # the paper's

    def __init__(self, in_channels: Sequence[int], method: str = "fast") -> None:
        """Make the fusion of maps of one width.

        Args:
            in_channels: one width per map; all equal.
            method: `'fast'` divides rectified weights by their sum, `'softmax'` takes their softmax.

        Raises:
            ConfigError: the widths differ, or another word for `method`.
        """
        super().__init__()
        self.out_channels = one_width(in_channels, "weighted")
        if method not in ("fast", "softmax"):
            raise ConfigError(f"fusion 'weighted': method must be 'fast' or 'softmax', not {method!r}")
        self.method = method
        self.weights = nn.Parameter(torch.ones(len(in_channels)))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map a list of (N, C, h, w) to their (N, C, h, w) weighted mean."""
        if self.method == "softmax":
            weights = self.weights.softmax(0)
        else:
            rectified = self.weights.relu()
            weights = rectified / (rectified.sum() + self.EPSILON)
        total = maps[0] * weights[0]
        for index in range(1, len(maps)):
            total = total + maps[index] * weights[index]
        return total


@FUSIONS.register("gated")
class GatedFusion(nn.Module):
    """Concatenation of the other level's map with skips that it has gated, cell by cell.

    The additive attention gate of Attention U-Net (Oktay et al. 2018, https://arxiv.org/abs/1804.03999, fig. 2), with
    the gating map at the skip's size. A gate is one number per cell.
    """

    equal_widths = False

    def __init__(self, in_channels: Sequence[int], activation: str = "relu") -> None:
        """Make a gate for each of the maps but the last, which gates them.

        Args:
            in_channels: one width per map.
            activation: see `make_activation`; of the sum of skip and gating map.
        """
        super().__init__()
        self.out_channels = sum(in_channels)
        self.gates = nn.ModuleList(AttentionGate(width, in_channels[-1], activation) for width in in_channels[:-1])

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map a list of (N, C_i, h, w) to (N, sum of C_i, h, w)."""
        *skips, above = maps
        return torch.cat([*(gate(skip, above) for gate, skip in zip(self.gates, skips, strict=True)), above], 1)


class AttentionGate(nn.Module):
    """`skip * sigmoid(psi(act(W skip + V above)))`; like the paper's, it has no normalisation."""

    def __init__(self, skip_channels: int, above_channels: int, activation: str) -> None:
        """Make the gate; the maps meet at half the skip's width."""
        super().__init__()
        hidden = max(skip_channels // 2, 1)
        self.skip = nn.Conv2d(skip_channels, hidden, 1, bias=False)
        self.above = nn.Conv2d(above_channels, hidden, 1)
        self.gate = nn.Sequential(make_activation(activation), nn.Conv2d(hidden, 1, 1), nn.Sigmoid())

    def forward(self, skip: Tensor, above: Tensor) -> Tensor:
        """Map (N, C, h, w) and (N, C', h, w) to (N, C, h, w)."""
        gated: Tensor = skip * self.gate(self.skip(skip) + self.above(above))
        return gated


@FUSIONS.register("attention")
class AttentionalFusion(nn.Module):
    """Attentional feature fusion (Dai et al. 2021, https://arxiv.org/abs/2009.14082, section 3.2).

    `M(x + y) x + (1 - M(x + y)) y`, where M looks at each cell and at the whole map. More than two maps are joined one
    after the other.
    """

    def __init__(
        self, in_channels: Sequence[int], reduction: int = 4, norm: str = "batch", activation: str = "relu"
    ) -> None:
        """Make the fusion of maps of one width.

        Args:
            in_channels: one width per map; all equal.
            reduction: the attention works at C / `reduction` channels.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: the widths differ, or `reduction` is below 1.
        """
        super().__init__()
        if reduction < 1:
            raise ConfigError(f"fusion 'attention': reduction={reduction} must be at least 1")
        channels = one_width(in_channels, "attention")
        self.out_channels = channels
        hidden = max(channels // reduction, MIN_GROUP_CHANNELS)
        self.local = nn.ModuleList()
        self.whole = nn.ModuleList()
        for _ in in_channels[1:]:
            self.local.append(_squeeze(channels, hidden, norm, activation))
            self.whole.append(_squeeze(channels, hidden, norm, activation))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map a list of (N, C, h, w) to one (N, C, h, w)."""
        fused = maps[0]
        for local, whole, other in zip(self.local, self.whole, maps[1:], strict=True):
            both = fused + other
            weight = (local(both) + whole(both.mean((2, 3), keepdim=True))).sigmoid()
            fused = weight * fused + (1 - weight) * other
        return fused


def _squeeze(channels: int, hidden: int, norm: str, activation: str) -> nn.Sequential:
    """Make 1×1 convolutions to `hidden` and back."""
    return nn.Sequential(
        ConvNormAct(channels, hidden, 1, norm=norm, activation=activation),
        ConvNormAct(hidden, channels, 1, norm=norm, activation="none"),
    )


def one_width(in_channels: Sequence[int], fusion: str) -> int:
    """Return the width that all maps have.

    Raises:
        ConfigError: they differ.
    """
    if len(set(in_channels)) != 1:
        raise ConfigError(f"fusion {fusion!r} needs maps of one width, got {list(in_channels)}; give one 'channels'")
    return in_channels[0]


def build_fusion(config: Mapping[str, Any], in_channels: Sequence[int], norm: str, activation: str) -> Any:
    """Build a fusion.

    Args:
        config: `type` and the fusion's own arguments.
        in_channels: width of every map it will get.
        norm: see `make_norm`; for a fusion that asks for it.
        activation: see `make_activation`; for a fusion that asks for it.

    Raises:
        ConfigError: an unknown fusion or argument, or a fusion that does not say how wide its map is.
    """
    fuse = FUSIONS.build(config, in_channels=list(in_channels), norm=norm, activation=activation)
    width = getattr(fuse, "out_channels", None)
    if not isinstance(width, int) or width < 1:
        raise ConfigError(
            f"fusion {config['type']!r}: its constructor must set out_channels, the width of the map that it gives, "
            f"and has {width!r}"
        )
    return fuse


def fusion_config(fusion: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a fusion given by name or as a dict with `type`.

    Raises:
        ConfigError: a dict without `type`.
    """
    if isinstance(fusion, str):
        return {"type": fusion}
    if "type" not in fusion:
        raise ConfigError(f"fusion={dict(fusion)} has no 'type'; {near_names('', FUSIONS.names())}")
    return dict(fusion)
