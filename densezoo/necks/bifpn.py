"""Bidirectional feature pyramid: pathways from coarse to fine and back, repeated, with learned weights.

Tan, Pang, Le, "EfficientDet: Scalable and Efficient Object Detection", CVPR 2020, https://arxiv.org/abs/1911.09070.
On the way back a node has up to three maps: the repeat's input, what the first pathway made of it, and the finer level.
Details that the paper leaves open are those of the authors' code: an input of another width is projected by 1×1 and
normalisation, anew in each node that reads it; a node activates what it has fused and then convolves, depthwise and
1×1; levels shrink by 3×3 max-pooling. Deviations: a convolution in front of a normalisation has no bias, pooling pads
both sides alike at even sizes, and batch normalisation has torch's epsilon and momentum (1e-5 and 0.1; theirs 1e-3,
0.01).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from torch import nn

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.fusion import fusion_config
from densezoo.layers.normalise import make_activation
from densezoo.necks.level_plan import LevelPlan, plan_levels, stage_plans
from densezoo.necks.pathway import Blanks, Levels, Pathway, Skips, Walk
from densezoo.necks.staged_neck import StagedNeck, top_down
from densezoo.registry import NECKS

Item = TypeVar("Item")


class Repeat(Walk):
    """A pathway from the coarsest level to the finest, then one back that reads the inputs once more."""

    def __init__(
        self, plan: LevelPlan, skips: Mapping[int, Sequence[int]], there: Blanks, back: Blanks, last: int
    ) -> None:
        """Make both pathways for levels with these skips; the way back ends at level `last`."""
        super().__init__()
        self.coarsest = plan.coarsest
        self.there = top_down(there)(replace(plan, out=[0]), skips)
        inner = self.there.out_channels
        widths = {level: self._choose(level, list(skips[level]), inner[level]) for level in range(last + 1)}
        self.back = Pathway(back, widths, plan.channels)
        self.out_channels = self.back.out_channels

    def _choose(self, level: int, inputs: Sequence[Item], inner: Item) -> list[Item]:
        """Return what the way back reads of a level: at both ends the first pathway has nothing to add, or all."""
        if level == 0:
            return [inner]
        return list(inputs) if level == self.coarsest else [*inputs, inner]

    def forward(self, skips: Skips) -> Levels:
        """Map the skips of the levels to the levels from the finest to the last."""
        inner = self.there(skips)
        chosen = {level: self._choose(level, skips[level], inner[level]) for level in self.out_channels}
        levels: Levels = self.back(chosen)
        return levels


class BiFPNWalk(Walk):
    """Several repeats; only the last one ends at the coarsest level that is read."""

    def __init__(
        self, plan: LevelPlan, skips: Mapping[int, Sequence[int]], there: Blanks, back: Blanks, repeats: int
    ) -> None:
        """Make the repeats; the first is for levels with these skips."""
        super().__init__()
        self.repeats = nn.ModuleList()
        for index in range(repeats):
            last = plan.out[-1] if index + 1 == repeats else plan.coarsest
            repeat = Repeat(plan, skips, there, back, last)
            self.out_channels = repeat.out_channels
            skips = {level: [width] for level, width in repeat.out_channels.items()}
            self.repeats.append(repeat)

    def forward(self, skips: Skips) -> Levels:
        """Map the skips of the levels to the levels from the finest to the coarsest that is read."""
        levels: Levels = {}
        for repeat in self.repeats:
            levels = repeat(skips)
            skips = {level: [found] for level, found in levels.items()}
        return levels


@NECKS.register()
class BiFPN(StagedNeck):
    """`repeats` times there and back over all levels, within one stage."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] = 64,
        num_stages: int = 1,
        num_levels: int | None = None,
        finer_levels: int = 0,
        repeats: int = 3,
        fusion: str | Mapping[str, Any] = "weighted",
        out_levels: Sequence[int] | None = None,
        feedback_channels: int = 0,
        norm: str = "batch",
        activation: str = "silu",
    ) -> None:
        """Make the neck; the defaults are those of EfficientDet-D0, which has `num_levels=5` on strides 8, 16 and 32.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of all levels, or of each, finest first.
            num_stages: number of stages, each starting from the merged finest map of the one before.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's, which have no skip.
            repeats: how often each stage goes there and back.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that are read, 0 being the finest; None for all.
            feedback_channels: total width of the maps that are fed back to the next stage.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, norm or activation.
        """
        plan = plan_levels("BiFPN", in_channels, in_strides, channels, num_stages, num_levels, finer_levels, out_levels)
        if repeats < 1:
            raise ConfigError(f"BiFPN: repeats={repeats} must be at least 1")
        bias = norm == "none"

        def project(level: int, in_channels: int, out_channels: int) -> nn.Module | None:
            if in_channels == out_channels:
                return None
            return ConvNormAct(in_channels, out_channels, 1, 1, norm, "none", bias)

        def shrink(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return nn.Sequential(project(level, in_channels, out_channels) or nn.Identity(), nn.MaxPool2d(3, 2, 1))

        def refine(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return nn.Sequential(
                make_activation(activation),
                nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
                ConvNormAct(in_channels, out_channels, 1, 1, norm, "none", bias),
            )

        there = Blanks(fusion_config(fusion), norm, activation, lateral=project, pre=project, refine=refine)
        back = replace(there, pre=shrink)
        walk = partial(BiFPNWalk, there=there, back=back, repeats=repeats)
        super().__init__(stage_plans(plan, num_stages), feedback_channels, shrink, walk)
