"""What every neck shares: its levels, a way down to those that the encoder lacks, and stages one after the other.

A neck's first stage starts from the encoder's levels; each later stage starts from the merged finest map of the one
before and goes down by the family's own block, as stacked hourglasses do (Newell et al. 2016,
https://arxiv.org/abs/1603.06937).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from densezoo.errors import ConfigError, near_names
from densezoo.layers.resize import resize_nearest
from densezoo.necks.pathway import Blanks, Levels, Make, Pathway, Walk, identity
from densezoo.registry import FUSIONS
from densezoo.types import Pyramid

DEFAULT_LEVELS = 5  # of hourglass and U-Net: four times half the size


@dataclass(frozen=True)
class LevelPlan:
    """The levels of a neck, finest first.

    Attributes:
        incoming: widths of the encoder's levels.
        finer: number of levels that are finer than the encoder's; they have no skip.
        channels: width that the neck gives each level.
        strides: image pixels per cell of each level.
        origins: image coordinate, in pixels, of the corner of each level's first cell.
        out: levels that are read, ascending.
        extra: how many of the coarsest levels come out of the walk without going into it, as FPN's P6 and P7.
    """

    incoming: list[int]
    finer: int
    channels: list[int]
    strides: list[int]
    origins: list[float]
    out: list[int]
    extra: int = 0

    @property
    def coarsest(self) -> int:
        """Index of the last level that the walk starts from."""
        return len(self.channels) - 1 - self.extra


def count_levels(in_channels: Sequence[int], num_levels: int | None) -> int:
    """Return `num_levels`, or if it is None the number that the encoder gives, or 5 if it gives just one."""
    if num_levels is not None:
        return num_levels
    return len(in_channels) if len(in_channels) > 1 else DEFAULT_LEVELS


def plan_levels(
    neck: str,
    in_channels: Sequence[int],
    in_strides: Sequence[int],
    channels: int | Sequence[int],
    num_stages: int,
    num_levels: int | None = None,
    finer_levels: int = 0,
    out_levels: Sequence[int] | None = (0,),
    extra_levels: int = 0,
    in_origins: Sequence[float] | None = None,
) -> LevelPlan:
    """Check what a neck was asked for.

    Args:
        neck: its name, for messages.
        in_channels: widths of the encoder's levels, finest first.
        in_strides: image pixels per cell of the encoder's levels.
        channels: width of every level, or of each, finest first.
        num_stages: of the neck.
        num_levels: from the encoder's finest level on; None for the encoder's number, or 5 if it gives just one.
        finer_levels: how many levels to add that are finer than the encoder's.
        out_levels: levels that are read; None for all.
        extra_levels: how many levels to add at the end that come out of the walk without going into it.
        in_origins: image coordinate of the corner of each encoder level's first cell; None where all are 0.

    Raises:
        ConfigError: a number that cannot be; the message says which.
    """
    num_levels = count_levels(in_channels, num_levels)
    if num_levels < len(in_channels):
        raise ConfigError(
            f"{neck}: num_levels={num_levels}, but the encoder gives {len(in_channels)} levels, and the last would "
            f"never be read; ask the encoder for the strides {list(in_strides[:num_levels])}"
        )
    if num_stages < 1 or num_levels < 1 or finer_levels < 0 or extra_levels < 0 or num_levels + finer_levels < 2:
        raise ConfigError(
            f"{neck}: num_stages={num_stages} must be at least 1, num_levels={num_levels} at least 2 (1 with finer "
            f"levels), finer_levels={finer_levels} and extra_levels={extra_levels} at least 0"
        )
    if len(in_channels) != len(in_strides):
        raise ConfigError(f"{neck}: in_channels={list(in_channels)} and in_strides={list(in_strides)} differ in number")
    if num_stages > 1 and any(2 * fine != coarse for fine, coarse in itertools.pairwise(in_strides)):
        raise ConfigError(
            f"{neck}: with num_stages={num_stages} the encoder's strides must double from level to level, since later "
            f"stages halve; they are {list(in_strides)}"
        )
    if in_strides[0] % 2**finer_levels:
        raise ConfigError(f"{neck}: finer_levels={finer_levels} would go below one pixel from stride {in_strides[0]}")
    total = finer_levels + num_levels + extra_levels
    widths = [channels] * total if isinstance(channels, int) else list(channels)
    if len(widths) != total or min(widths) < 1:
        raise ConfigError(f"{neck}: channels={channels} must be one width, or {total} of them, one for each level")
    strides = [in_strides[0] // 2**step for step in range(finer_levels, 0, -1)] + list(in_strides)
    origins = list(in_origins or [0.0] * len(in_strides))
    origins = origins[:1] * finer_levels + origins
    while len(strides) < total:
        strides.append(strides[-1] * 2)
        origins.append(origins[-1])
    out = sorted(set(range(total) if out_levels is None else out_levels))
    if not out or out[0] < 0 or out[-1] >= total:
        raise ConfigError(f"{neck}: out_levels={out} must name levels from 0 to {total - 1}")
    if num_stages > 1 and out[0] != 0:
        raise ConfigError(
            f"{neck}: out_levels={out} must contain 0 with num_stages={num_stages}, since the next stage starts from "
            "the finest level"
        )
    return LevelPlan(list(in_channels), finer_levels, widths, strides, origins, out, extra_levels)


class Stage(nn.Module):
    """The way down to the levels that do not come in, the walk over all levels, and what follows on those read."""

    def __init__(
        self,
        plan: LevelPlan,
        first: bool,
        down: Make,
        walk: Callable[[Mapping[int, Sequence[int]]], Walk],
        post: Make = identity,
    ) -> None:
        """Make the stage.

        Args:
            plan: the neck's levels.
            first: whether it starts from the encoder's levels, not from a merged map.
            down: makes the next coarser level; gets that level, the width of the finer one and its own.
            walk: makes the module that maps `Skips` to `Levels`; gets level to the widths of
                its skips, which are none at levels finer than the encoder's.
            post: on each level that is read.
        """
        super().__init__()
        self.finer = plan.finer if first else 0
        coming = plan.incoming if first else plan.channels[:1]
        widths: list[list[int]] = [[]] * self.finer + [[width] for width in coming]
        self.downs = nn.ModuleList()
        for level in range(len(widths), plan.coarsest + 1):
            self.downs.append(_made(down(level, widths[-1][0], plan.channels[level])))
            widths.append([plan.channels[level]])
        self.walk = walk(dict(enumerate(widths)))
        self.posts = nn.ModuleDict(
            {str(level): _made(post(level, self.walk.out_channels[level], plan.channels[level])) for level in plan.out}
        )

    def forward(self, x: Pyramid) -> Pyramid:
        """Map the incoming levels, finest first, to the levels that are read, finest first."""
        skips: list[list[Tensor]] = [[]] * self.finer + [[level] for level in x]
        for down in self.downs:
            skips.append([down(skips[-1][0])])
        inner: Levels = self.walk(dict(enumerate(skips)))
        return [post(inner[int(name)]) for name, post in self.posts.items()]


def top_down(plan: LevelPlan, blanks: Blanks) -> Callable[[Mapping[int, Sequence[int]]], Pathway]:
    """Return what makes the pathway of a plan: from the coarsest level to the finest that is read."""

    def walk(skips: Mapping[int, Sequence[int]]) -> Pathway:
        upwards = range(plan.coarsest, plan.out[0] - 1, -1)
        return Pathway(blanks, {level: skips[level] for level in upwards}, plan.channels, plan.out)

    return walk


def _made(module: nn.Module | None) -> nn.Module:
    return nn.Identity() if module is None else module


class Merge(nn.Module):
    """What the next stage starts from: the input + 1×1(features) + 1×1(fed-back maps), as Newell et al. have it."""

    def __init__(self, in_channels: int | None, channels: int, feedback_channels: int) -> None:
        """Make the layers.

        Args:
            in_channels: width of the stage's input, brought to `channels` where it differs; None leaves the input out.
            channels: width of the stage's finest output, and of the result.
            feedback_channels: total width of the maps that are fed back; no layer where it is 0.
        """
        super().__init__()
        self.features = nn.Conv2d(channels, channels, 1)
        self.feedback = nn.Conv2d(feedback_channels, channels, 1) if feedback_channels else None
        self.input: nn.Module | None = None
        if in_channels is not None:
            self.input = nn.Identity() if in_channels == channels else nn.Conv2d(in_channels, channels, 1)

    def forward(self, x: Tensor, features: Tensor, feedback: Sequence[Tensor]) -> Tensor:
        """Map x (N, C in, h, w), features (N, C, h, w) and maps of any size to (N, C, h, w)."""
        merged: Tensor = self.features(features)
        if self.input is not None:
            merged = self.input(x) + merged
        if self.feedback is not None:
            height, width = features.shape[-2:]
            maps = [resize_nearest(fed, (height, width)) for fed in feedback]
            merged = merged + self.feedback(maps[0] if len(maps) == 1 else torch.cat(maps, 1))
        return merged


class StagedNeck(nn.Module):
    """A neck whose stages follow one another.

    Attributes:
        out_levels: levels that are read, 0 being the neck's finest.
        out_channels: width of every level that is read, finest first.
        out_strides: image pixels per cell of every level that is read.
        out_origins: image coordinate, in pixels, of the corner of the first cell of every level that is read.
        num_stages: N.
    """

    def __init__(
        self,
        plan: LevelPlan,
        num_stages: int,
        feedback_channels: int,
        make_stage: Callable[[bool], nn.Module],
        make_merge: Callable[[int | None, int, int], nn.Module] = Merge,
    ) -> None:
        """Make the stages and what joins them.

        Args:
            plan: the neck's levels.
            num_stages: how many.
            feedback_channels: total width of the maps that are fed back to the next stage.
            make_stage: makes a stage; gets whether it is the first.
            make_merge: makes what joins two stages; its arguments are those of `Merge`.
        """
        super().__init__()
        self.num_stages = num_stages
        self.out_levels = plan.out
        self.out_channels = [plan.channels[level] for level in plan.out]
        self.out_strides = [plan.strides[level] for level in plan.out]
        self.out_origins = [plan.origins[level] for level in plan.out]
        self.fed_back = feedback_channels > 0 and num_stages > 1
        self.stages = nn.ModuleList(make_stage(stage == 0) for stage in range(num_stages))
        first = None if plan.finer else plan.incoming[0]
        self.merges = nn.ModuleList(
            make_merge(plan.channels[0] if stage else first, plan.channels[0], feedback_channels)
            for stage in range(num_stages - 1)
        )

    def begin(self, pyramid: Pyramid) -> Pyramid:
        """Map the encoder's levels to what the first stage starts from."""
        return list(pyramid)

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
        if self.fed_back:
            raise ConfigError("this neck expects feedback; run its stages one by one, as DenseModel does")
        x = self.begin(pyramid)
        pyramids = []
        for index in range(self.num_stages):
            pyramids.append(self.stage(index, x))
            if index + 1 < self.num_stages:
                x = self.merge(index, x, pyramids[-1])
        return pyramids


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
