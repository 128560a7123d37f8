"""Path aggregation: a feature pyramid network, then a second pathway back, from fine to coarse.

Liu, Qi, Qin, Shi, Jia, "Path Aggregation Network for Instance Segmentation", CVPR 2018,
https://arxiv.org/abs/1803.01534. In the words of the node, the way back has the FPN's 3×3 convolution as `lateral` and
a strided 3×3 convolution as `pre`. Deviations, both as in mmdetection: the way back goes on from the sums, not from
what the last 3×3 convolutions make of them, and convolutions have no activation by default (the paper's have ReLU).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from densezoo.necks.fpn import conv3x3, fpn_blanks
from densezoo.necks.level_plan import LevelPlan, plan_levels, stage_plans
from densezoo.necks.pathway import Blanks, Levels, Pathway, Skips, Walk
from densezoo.necks.staged_neck import StagedNeck, top_down
from densezoo.necks.ways_down import halve
from densezoo.registry import NECKS


class ThereAndBack(Walk):
    """A pathway from the coarsest level to the finest, then one over its maps to the coarsest that is read."""

    def __init__(self, plan: LevelPlan, skips: Mapping[int, Sequence[int]], there: Blanks, back: Blanks) -> None:
        """Make both pathways for levels with these skips."""
        super().__init__()
        self.there = top_down(there)(replace(plan, out=[0]), skips)
        inner = {level: [self.there.out_channels[level]] for level in range(plan.out[-1] + 1)}
        self.back = Pathway(back, inner, plan.channels)
        self.out_channels = self.back.out_channels

    def forward(self, skips: Skips) -> Levels:
        """Map the skips of the levels to the levels from the finest to the coarsest that is read."""
        levels: Levels = self.back({level: [inner] for level, inner in self.there(skips).items()})
        return levels


@NECKS.register()
class PAFPN(StagedNeck):
    """The FPN's laterals and pathway, a pathway back, and a convolution on every level that it has changed."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] = 256,
        num_stages: int = 1,
        num_levels: int | None = None,
        finer_levels: int = 0,
        fusion: str | Mapping[str, Any] = "sum",
        out_levels: Sequence[int] | None = None,
        feedback_channels: int = 0,
        norm: str = "none",
        activation: str = "none",
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of all levels, or of each, finest first.
            num_stages: how often to go there and back, each time from the merged finest map of the one before.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's, which have no skip.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments; of both pathways.
            out_levels: levels that are read, 0 being the finest; None for all.
            feedback_channels: total width of the maps that are fed back to the next stage.
            norm: see `make_norm`; after every convolution, laterals too.
            activation: see `make_activation`; after the 3×3 convolutions.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, norm or activation.
        """
        plan = plan_levels("PAFPN", in_channels, in_strides, channels, num_stages, num_levels, finer_levels, out_levels)
        conv = conv3x3(norm, activation)
        shrink = halve(norm, activation)

        def smooth(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return conv(in_channels, out_channels)

        def post(level: int, in_channels: int, out_channels: int) -> nn.Module | None:
            return conv(in_channels, out_channels) if level else None

        there = fpn_blanks(fusion, norm, activation)
        back = replace(there, lateral=smooth, pre=shrink)
        walk = partial(ThereAndBack, there=there, back=back)
        super().__init__(stage_plans(plan, num_stages), feedback_channels, shrink, walk, post)
