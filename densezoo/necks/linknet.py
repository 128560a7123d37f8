"""LinkNet: thin transposed convolutions on the way up, the encoder's maps added behind them.

Chaurasia, Culurciello, "LinkNet: Exploiting Encoder Representations for Efficient Semantic Segmentation", VCIP 2017,
https://arxiv.org/abs/1707.03718. Deviations: the transposed convolutions are 4×4, which doubles exactly, not 3×3 with
output padding; the last level is one more of the same blocks, not the paper's own sequence of layers; any fusion.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from densezoo.layers.conv import ConvNormAct
from densezoo.layers.fusion import fusion_config
from densezoo.layers.upsample import TransposedConvNormAct, cut_or_resize
from densezoo.necks.level_plan import encoder_widths, plan_levels, stage_plans
from densezoo.necks.pathway import Blanks
from densezoo.necks.staged_neck import StagedNeck, top_down
from densezoo.necks.ways_down import pool_and_convolve
from densezoo.registry import NECKS

FINER_CHANNELS = 32  # the paper's width beyond the encoder's finest level


@NECKS.register()
class LinkNet(StagedNeck):
    """1×1 to a quarter of the width, transposed 4×4, 1×1 to the next level's width, plus the encoder's map."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] | None = None,
        num_stages: int = 1,
        num_levels: int | None = None,
        finer_levels: int = 0,
        fusion: str | Mapping[str, Any] = "sum",
        out_levels: Sequence[int] | None = (0,),
        feedback_channels: int = 0,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of all levels, or of each, finest first; None for the encoder's widths (its coarsest's for
                levels that it lacks), and 32 for finer levels. The coarsest level keeps the encoder's map and width
                unless it is read.
            num_stages: number of ways up, each starting from the merged finest map of the one before.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's, which have no skip.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that are read, 0 being the finest; None for all.
            feedback_channels: total width of the maps that are fed back to the next stage.
            norm: see `make_norm`; the 1×1 convolutions have a bias only with `'none'`.
            activation: see `make_activation`.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, norm or activation.
        """
        if channels is None:
            channels = encoder_widths(in_channels, num_levels, [FINER_CHANNELS] * finer_levels)
        plan = plan_levels(
            "LinkNet", in_channels, in_strides, channels, num_stages, num_levels, finer_levels, out_levels
        )
        bias = norm == "none"

        def pre(level: int, in_channels: int, out_channels: int) -> nn.Module:
            thin = max(in_channels // 4, 1)
            return nn.Sequential(
                ConvNormAct(in_channels, thin, 1, 1, norm, activation, bias),
                TransposedConvNormAct(thin, thin, norm, activation),
                ConvNormAct(thin, out_channels, 1, 1, norm, activation, bias),
            )

        blanks = Blanks(fusion_config(fusion), norm, activation, pre=pre, resize=cut_or_resize)
        down = pool_and_convolve(norm, activation)
        super().__init__(stage_plans(plan, num_stages), feedback_channels, down, top_down(blanks))
