"""What every neck shares: a way down to the levels that the encoder lacks, and stages one after the other.

A neck's first stage starts from the encoder's levels; each later stage starts from the merged finest map of the one
before and goes down by the family's own block, as stacked hourglasses do (Newell et al. 2016,
https://arxiv.org/abs/1603.06937).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.layers.resize import crop_centre, resize_nearest
from densezoo.necks.level_plan import LevelPlan
from densezoo.necks.pathway import Blanks, Levels, Make, Pathway, Walk, identity
from densezoo.types import Pyramid

MakeWalk = Callable[[LevelPlan, Mapping[int, Sequence[int]]], Walk]
"""A stage's levels, and level to the widths of its skips (none at levels finer than the encoder's), to what walks."""


class Stage(nn.Module):
    """The way down to the levels that do not come in, the walk over all levels, and what follows on those read."""

    def __init__(self, plan: LevelPlan, down: Make, walk: MakeWalk, post: Make = identity) -> None:
        """Make the stage.

        Args:
            plan: its levels.
            down: makes the next coarser level; gets that level, the width of the finer one and its own.
            walk: makes the module that maps `Skips` to `Levels`.
            post: on each level that is read.
        """
        super().__init__()
        self.finer = plan.finer
        widths: list[list[int]] = [[]] * plan.finer + [[width] for width in plan.incoming]
        self.downs = nn.ModuleList()
        for level in range(len(widths), plan.coarsest + 1):
            self.downs.append(_made(down(level, widths[-1][0], plan.channels[level])))
            widths.append([plan.channels[level]])
        self.walk = walk(plan, dict(enumerate(widths)))
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


def top_down(blanks: Blanks) -> Callable[[LevelPlan, Mapping[int, Sequence[int]]], Pathway]:
    """Return what makes the pathway of a plan: from the coarsest level to the finest that is read."""

    def walk(plan: LevelPlan, skips: Mapping[int, Sequence[int]]) -> Pathway:
        upwards = range(plan.coarsest, plan.out[0] - 1, -1)
        return Pathway(blanks, {level: skips[level] for level in upwards}, plan.channels, plan.out)

    return walk


def _made(module: nn.Module | None) -> nn.Module:
    return nn.Identity() if module is None else module


class Merge(nn.Module):
    """What the next stage starts from: the input + 1×1(features) + 1×1(fed-back maps), as Newell et al. have it."""

    def __init__(
        self,
        in_channels: int | None,
        channels: int,
        feedback_channels: int,
        features: int | None = None,
        project: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        """Make the layers.

        Args:
            in_channels: width of the stage's input, brought to `channels` where it differs; None leaves the input out.
            channels: width of the result.
            feedback_channels: total width of the maps that are fed back; no layer where it is 0.
            features: width of the stage's finest output; None for `channels`.
            project: makes what brings a map of one width to another, the input's too where widths are the same; None
                for bare 1×1 convolutions where they are needed.
        """
        super().__init__()
        make = project or _conv1x1
        self.features = make(features or channels, channels)
        self.feedback = make(feedback_channels, channels) if feedback_channels else None
        self.input: nn.Module | None = None
        if in_channels is not None:
            as_it_is = project is None and in_channels == channels
            self.input = nn.Identity() if as_it_is else make(in_channels, channels)

    def forward(self, x: Tensor, features: Tensor, feedback: Sequence[Tensor]) -> Tensor:
        """Map x (N, C in, H, W), features (N, C', h, w) and maps of any size to (N, C, h, w).

        `x` is larger than the features where valid convolutions have lost borders; its middle is taken.
        """
        merged: Tensor = self.features(features)
        if self.input is not None:
            height, width = features.shape[-2:]
            merged = self.input(crop_centre(x, (height, width))) + merged
        if self.feedback is not None:
            height, width = features.shape[-2:]
            maps = [resize_nearest(fed, (height, width)) for fed in feedback]
            merged = merged + self.feedback(maps[0] if len(maps) == 1 else torch.cat(maps, 1))
        return merged


def _conv1x1(in_channels: int, channels: int) -> nn.Module:
    return nn.Conv2d(in_channels, channels, 1)


class StagedNeck(nn.Module):
    """A neck whose stages follow one another.

    Attributes:
        out_levels: levels that are read, 0 being the neck's finest.
        out_channels: width of every level that is read, finest first.
        out_strides: image pixels per cell of every level that is read.
        out_origins: of every stage, the image coordinate, in pixels, of the corner of the first cell of every level
            that is read.
        num_stages: N.
        coarsest: stride of the coarsest level, and where its first cell begins in the first stage.
    """

    def __init__(
        self,
        plans: Sequence[LevelPlan],
        feedback_channels: int,
        down: Make,
        walk: MakeWalk,
        post: Make = identity,
        merge: Callable[[int | None, int, int], nn.Module] = Merge,
    ) -> None:
        """Make the stages and what joins them.

        Args:
            plans: levels of every stage, see `stage_plans`.
            feedback_channels: total width of the maps that are fed back to the next stage.
            down: see `Stage`.
            walk: see `Stage`.
            post: see `Stage`.
            merge: makes what joins two stages; its arguments are those of `Merge`.
        """
        super().__init__()
        last = plans[-1]
        self.num_stages = len(plans)
        self.out_levels = last.out
        self.out_channels = [last.channels[level] for level in last.out]
        self.out_strides = [last.strides[level] for level in last.out]
        self.out_origins = [[plan.origins[level] for level in last.out] for plan in plans]
        bottom = max(plans[0].coarsest, last.out[-1])
        self.coarsest = (plans[0].strides[bottom], plans[0].origins[bottom])
        self.fed_back = feedback_channels > 0 and len(plans) > 1
        self.stages = nn.ModuleList(Stage(plan, down, walk, post) for plan in plans)
        self.merges = nn.ModuleList(
            merge(None if plan.finer else plan.incoming[0], plan.channels[0], feedback_channels) for plan in plans[:-1]
        )

    def begin(self, pyramid: Pyramid) -> Pyramid:
        """Map the encoder's levels to what the first stage starts from."""
        return list(pyramid)

    def stage(self, index: int, x: Pyramid) -> tuple[Pyramid, Tensor]:
        """Run stage `index` on what `begin` or `merge` gave.

        Returns:
            The levels that are read, finest first, and the finest map that the stage has made, for `merge`.
        """
        levels: Pyramid = self.stages[index](x)
        return levels[-len(self.out_levels) :], levels[0]

    def merge(self, index: int, x: Pyramid, finest: Tensor, feedback: Sequence[Tensor] = ()) -> Pyramid:
        """Make what stage `index` + 1 starts from.

        Args:
            index: the stage that has run.
            x: what it started from.
            finest: the finest map that it has made.
            feedback: raw maps (N, C_i, h_i, w_i) of the heads, `feedback_channels` in all.
        """
        return [self.merges[index](x[0], finest, feedback)]

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
            pyramid, finest = self.stage(index, x)
            pyramids.append(pyramid)
            if index + 1 < self.num_stages:
                x = self.merge(index, x, finest)
        return pyramids
