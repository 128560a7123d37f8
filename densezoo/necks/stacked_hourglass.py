"""Stacked hourglass: a pathway down to the smallest maps and back, repeated with supervision in between.

Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, https://arxiv.org/abs/1603.06937.
Deviations, none of which changes the paper's case (a 64×64 map of width 256): pooling rounds sizes up and upsampling
goes to the skip's size, so any input works; levels may differ in width; levels of an encoder that has them are the
first stage's way down.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.residual import Residual
from densezoo.layers.resize import resize_nearest
from densezoo.necks.pathway import Node, Pathway
from densezoo.registry import FUSIONS, NECKS
from densezoo.types import Pyramid


class Hourglass(nn.Module):
    """One stage: the way down, the pathway back up, and what follows on the levels that are read."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        out_levels: Sequence[int],
        fusion: Mapping[str, Any],
        norm: str,
        activation: str,
    ) -> None:
        """Make the stage.

        Args:
            in_channels: widths of the levels that come in; the stage makes the rest.
            channels: width of every level, finest first.
            out_levels: levels that are read, ascending; nothing finer than the first of them is built.
            fusion: config of the fusion of every level.
            norm: see `make_norm`.
            activation: see `make_activation`.
        """
        super().__init__()
        coarsest = len(channels) - 1
        self.out_levels = list(out_levels)
        widths = [*in_channels, *channels[len(in_channels) :]]
        self.downs = nn.ModuleList(
            nn.Sequential(
                # ceil_mode keeps a last odd row and lets maps of a single cell through
                nn.MaxPool2d(2, ceil_mode=True),
                Residual(widths[level - 1], widths[level], norm, activation),
            )
            for level in range(len(in_channels), coarsest + 1)
        )
        nodes = []
        for level in range(out_levels[0], coarsest):
            width = channels[level]
            fuse = FUSIONS.build(fusion, in_channels=[width, width])
            nodes.append(
                Node(
                    laterals=[Residual(widths[level], width, norm, activation)],
                    pre=Residual(channels[level + 1], width, norm, activation),
                    fuse=fuse,
                    refine=None if fuse.out_channels == width else nn.Conv2d(fuse.out_channels, width, 1),
                )
            )
        nodes.append(Node(laterals=[Residual(widths[coarsest], channels[coarsest], norm, activation)]))
        self.pathway = Pathway(nodes)
        self.posts = nn.ModuleList(
            nn.Sequential(
                Residual(channels[level], channels[level], norm, activation),
                ConvNormAct(channels[level], channels[level], 1, 1, norm, activation),
            )
            for level in out_levels
        )

    def forward(self, x: Pyramid) -> Pyramid:
        """Map the incoming levels, finest first, to the read levels, finest first."""
        levels = list(x)
        for down in self.downs:
            levels.append(down(levels[-1]))
        finest = self.out_levels[0]
        inner = self.pathway([[level] for level in levels[finest:]])
        return [post(inner[level - finest]) for level, post in zip(self.out_levels, self.posts, strict=True)]


class Merge(nn.Module):
    """What the next stage starts from: the input + 1×1(features) + 1×1(fed-back maps)."""

    def __init__(self, channels: int, feedback_channels: int) -> None:
        """Make the layers for maps of width `channels`; no feedback layer where `feedback_channels` is 0."""
        super().__init__()
        self.features = nn.Conv2d(channels, channels, 1)
        self.feedback = nn.Conv2d(feedback_channels, channels, 1) if feedback_channels else None

    def forward(self, x: Tensor, features: Tensor, feedback: Sequence[Tensor]) -> Tensor:
        """Map x and features (N, C, h, w) and maps of any size to (N, C, h, w)."""
        merged: Tensor = x + self.features(features)
        if self.feedback is not None:
            height, width = x.shape[-2:]
            maps = [resize_nearest(fed, (height, width)) for fed in feedback]
            merged = merged + self.feedback(maps[0] if len(maps) == 1 else torch.cat(maps, 1))
        return merged


@NECKS.register()
class StackedHourglass(nn.Module):
    """`num_stages` hourglasses, each starting from the merged result of the one before.

    Attributes:
        out_channels: width of every level that is read, finest first.
        out_strides: image pixels per cell of every level that is read.
        num_stages: N.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] | None = None,
        num_stages: int = 2,
        depth: int = 4,
        fusion: str | Mapping[str, Any] = "sum",
        out_levels: Sequence[int] = (0,),
        feedback_channels: int = 0,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first; levels beyond `depth` are not read.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of all levels, or of each of the `depth` + 1 levels, finest first; None takes the width of
                the encoder's finest level.
            num_stages: number of hourglasses.
            depth: how many times the size is halved.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that heads read, 0 being the finest.
            feedback_channels: total width of the maps that are fed back to the next stage.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, norm or activation.
        """
        super().__init__()
        if num_stages < 1 or depth < 1:
            raise ConfigError(f"StackedHourglass: num_stages={num_stages} and depth={depth} must be at least 1")
        widths = _widths(in_channels[0] if channels is None else channels, depth)
        levels = sorted(set(out_levels))
        if not levels or levels[0] < 0 or levels[-1] > depth:
            raise ConfigError(f"StackedHourglass: out_levels={list(out_levels)} must name levels from 0 to {depth}")
        if num_stages > 1 and levels[0] != 0:
            raise ConfigError(
                f"StackedHourglass: out_levels={levels} must contain 0 with num_stages={num_stages}, "
                "since the next stage starts from the finest level"
            )
        strides = list(in_strides[: depth + 1])
        while len(strides) <= depth:
            strides.append(strides[-1] * 2)
        self.num_stages = num_stages
        self.out_channels = [widths[level] for level in levels]
        self.out_strides = [strides[level] for level in levels]
        self.num_in_levels = min(len(in_channels), depth + 1)
        self.project = nn.Identity() if in_channels[0] == widths[0] else nn.Conv2d(in_channels[0], widths[0], 1)
        first = [widths[0], *in_channels[1 : self.num_in_levels]]
        style = {"type": fusion} if isinstance(fusion, str) else fusion
        self.stages = nn.ModuleList(
            Hourglass(first if stage == 0 else widths[:1], widths, levels, style, norm, activation)
            for stage in range(num_stages)
        )
        self.merges = nn.ModuleList(Merge(widths[0], feedback_channels) for _ in range(num_stages - 1))

    def begin(self, pyramid: Pyramid) -> Pyramid:
        """Map the encoder's levels to what the first stage starts from."""
        return [self.project(pyramid[0]), *pyramid[1 : self.num_in_levels]]

    def stage(self, index: int, x: Pyramid) -> Pyramid:
        """Run stage `index` on what `begin` or `merge` gave; gives the read levels, finest first."""
        out: Pyramid = self.stages[index](x)
        return out

    def merge(self, index: int, x: Pyramid, pyramid: Pyramid, feedback: Sequence[Tensor] = ()) -> Pyramid:
        """Make what stage `index` + 1 starts from.

        Args:
            index: the stage that has run.
            x: what it started from.
            pyramid: what it gave.
            feedback: raw maps (N, C_i, h_i, w_i) of the heads, `feedback_channels` in all.
        """
        return [self.merges[index](x[0], pyramid[0], feedback)]

    def forward(self, pyramid: Pyramid) -> list[Pyramid]:
        """Run all stages without feedback; gives one pyramid per stage.

        Raises:
            ConfigError: the neck was built for feedback, which only a model with heads can give.
        """
        if any(merge.feedback is not None for merge in self.merges):
            raise ConfigError("this StackedHourglass expects feedback; run its stages one by one, as DenseModel does")
        x = self.begin(pyramid)
        pyramids = []
        for index in range(self.num_stages):
            pyramids.append(self.stage(index, x))
            if index + 1 < self.num_stages:
                x = self.merge(index, x, pyramids[-1])
        return pyramids


def _widths(channels: int | Sequence[int], depth: int) -> list[int]:
    """Return one width per level, finest first."""
    widths = [channels] * (depth + 1) if isinstance(channels, int) else list(channels)
    if len(widths) != depth + 1 or min(widths) < 2:
        raise ConfigError(
            f"StackedHourglass: channels={channels} must be one width, or {depth + 1} for depth={depth}, of 2 or more"
        )
    return widths
