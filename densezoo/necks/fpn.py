"""Feature pyramid network: 1×1 laterals, summed on the way up, 3×3 on every level that is read.

Lin, Dollár, Girshick, He, Hariharan, Belongie, "Feature Pyramid Networks for Object Detection", CVPR 2017,
https://arxiv.org/abs/1612.03144; the extra levels P6 and P7 by convolutions are those of RetinaNet,
https://arxiv.org/abs/1708.02002. Defaults are the paper's: 256 channels, biases, neither normalisation nor activation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from densezoo.errors import ConfigError, near_names
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.fusion import fusion_config
from densezoo.necks.level_plan import LevelPlan, plan_levels, stage_plans
from densezoo.necks.pathway import Blanks, Levels, Pathway, Skips, Walk
from densezoo.necks.staged_neck import StagedNeck, top_down
from densezoo.necks.ways_down import halve
from densezoo.registry import NECKS

EXTRAS = ("pool", "conv", "conv_of_input")


class FPNWalk(Walk):
    """The pathway, what follows on the levels that are read, and the levels beyond."""

    def __init__(
        self, plan: LevelPlan, skips: Mapping[int, Sequence[int]], blanks: Blanks, extra: str, post: bool
    ) -> None:
        """Make the layers for levels with these skips; `extra` and `post` are those of `FPN`."""
        super().__init__()
        self.coarsest = plan.coarsest
        self.of_input = extra == "conv_of_input"
        beyond = range(plan.coarsest + 1, plan.out[-1] + 1)
        read = [level for level in plan.out if level <= plan.coarsest]
        if beyond and not self.of_input and plan.coarsest not in read:
            read.append(plan.coarsest)
        self.pathway: Pathway | None = None
        if read:
            self.pathway = top_down(blanks)(replace(plan, out=read), skips)
        self.out_channels = {level: plan.channels[level] for level in [*read, *beyond]}
        conv = conv3x3(blanks.norm, blanks.activation)
        self.posts = nn.ModuleDict()
        for level in read:
            width = plan.channels[level]
            self.posts[str(level)] = conv(width, width) if post else nn.Identity()
        width = skips[plan.coarsest][0] if self.of_input else plan.channels[plan.coarsest]
        self.beyond = nn.ModuleDict()
        for level in beyond:
            if extra == "pool":
                if width != plan.channels[level]:
                    raise ConfigError(f"FPN: extra='pool' keeps the width, so channels={plan.channels} cannot be")
                self.beyond[str(level)] = nn.MaxPool2d(1, 2)
            else:
                # RetinaNet has a ReLU in front of P7, not of P6; a P6 with an activation of its own needs none
                bare = blanks.activation == "none" and level > beyond[0]
                before = nn.ReLU() if bare else nn.Identity()
                self.beyond[str(level)] = nn.Sequential(before, conv(width, plan.channels[level], stride=2))
            width = plan.channels[level]

    def forward(self, skips: Skips) -> Levels:
        """Map the skips of the levels to the levels that are read."""
        inner = {} if self.pathway is None else self.pathway(skips)
        out = {int(name): post(inner[int(name)]) for name, post in self.posts.items()}
        if self.beyond:
            above = skips[self.coarsest][0] if self.of_input else out[self.coarsest]
            for name, layer in self.beyond.items():
                above = out[int(name)] = layer(above)
        return out


@NECKS.register()
class FPN(StagedNeck):
    """Laterals, a pathway from coarse to fine, and a convolution on every level that is read."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] = 256,
        num_stages: int = 1,
        num_levels: int | None = None,
        finer_levels: int = 0,
        extra_levels: int = 0,
        fusion: str | Mapping[str, Any] = "sum",
        out_levels: Sequence[int] | None = None,
        feedback_channels: int = 0,
        extra: str = "pool",
        post: bool = True,
        norm: str = "none",
        activation: str = "none",
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of all levels, or of each, finest first.
            num_stages: number of pyramids, each starting from the merged finest map of the one before.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's, which have no skip.
            extra_levels: levels made of the coarsest one on the way out: P6, or P6 and P7.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that are read, 0 being the finest; None for all.
            feedback_channels: total width of the maps that are fed back to the next stage.
            extra: what makes extra levels: `'pool'` takes every second cell, `'conv'` is a strided convolution of the
                coarsest output, `'conv_of_input'` of the coarsest input.
            post: whether a 3×3 convolution follows on the levels that are read; without it they are the bare sums.
            norm: see `make_norm`; after every convolution, laterals too.
            activation: see `make_activation`; after the 3×3 convolutions.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, extra, norm or activation.
        """
        plan = plan_levels(
            "FPN", in_channels, in_strides, channels, num_stages, num_levels, finer_levels, out_levels, extra_levels
        )
        if extra not in EXTRAS:
            raise ConfigError(f"FPN: no extra={extra!r}; {near_names(extra, EXTRAS)}")
        blanks = fpn_blanks(fusion, norm, activation)
        walk = partial(FPNWalk, blanks=blanks, extra=extra, post=post)
        super().__init__(stage_plans(plan, num_stages), feedback_channels, halve(norm, activation), walk)


def conv3x3(norm: str, activation: str) -> Callable[..., nn.Module]:
    """Return what makes the family's 3×3 convolution of two widths, with a bias where no normalisation follows."""

    def make(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        return ConvNormAct(in_channels, out_channels, 3, stride, norm, activation, bias=norm == "none")

    return make


def fpn_blanks(fusion: str | Mapping[str, Any], norm: str, activation: str) -> Blanks:
    """Return the blanks of FPN and its kin: normalised 1×1 laterals, nothing else."""

    def lateral(level: int, in_channels: int, out_channels: int) -> nn.Module:
        return ConvNormAct(in_channels, out_channels, 1, 1, norm, "none", bias=norm == "none")

    return Blanks(fusion_config(fusion), norm, activation, lateral=lateral)
