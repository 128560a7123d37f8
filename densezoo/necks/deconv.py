"""Deconvolutions of the simple baseline: transposed 4×4 convolutions from the coarsest map up, without skips.

Xiao, Wu, Wei, "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018, https://arxiv.org/abs/1804.06208.
The paper's three layers come of an encoder with the strides 4, 8, 16 and 32; an encoder with the single stride 16, such
as a vision transformer, gets two of them with `num_levels=1, finer_levels=2`. Any other fusion than `none` adds skips.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from densezoo.layers.fusion import fusion_config
from densezoo.layers.upsample import TransposedConvNormAct, cut_or_resize
from densezoo.necks.level_plan import plan_levels, stage_plans
from densezoo.necks.pathway import Blanks
from densezoo.necks.staged_neck import StagedNeck, top_down
from densezoo.necks.ways_down import pool_and_convolve
from densezoo.registry import NECKS


@NECKS.register()
class Deconv(StagedNeck):
    """One transposed convolution, normalised and activated, per level on the way up."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] = 256,
        num_stages: int = 1,
        num_levels: int | None = None,
        finer_levels: int = 0,
        fusion: str | Mapping[str, Any] = "none",
        out_levels: Sequence[int] | None = (0,),
        feedback_channels: int = 0,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of all levels, or of each, finest first. The coarsest level keeps the encoder's map and
                width unless it is read.
            num_stages: number of ways up, each starting from the merged finest map of the one before.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's, which have no skip.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that are read, 0 being the finest; None for all.
            feedback_channels: total width of the maps that are fed back to the next stage.
            norm: see `make_norm`; convolutions have a bias only with `'none'`.
            activation: see `make_activation`.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, norm or activation.
        """
        plan = plan_levels(
            "Deconv", in_channels, in_strides, channels, num_stages, num_levels, finer_levels, out_levels
        )

        def pre(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return TransposedConvNormAct(in_channels, out_channels, norm, activation, bias=norm == "none")

        blanks = Blanks(fusion_config(fusion), norm, activation, pre=pre, resize=cut_or_resize)
        down = pool_and_convolve(norm, activation)
        super().__init__(stage_plans(plan, num_stages), feedback_channels, down, top_down(blanks))
