"""U-Net++: every level is refined step by step, and each step reads all earlier maps of its level.

Zhou, Siddiquee, Tajbakhsh, Liang, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018,
https://arxiv.org/abs/1807.10165, figure 1a. With X[i][0] the encoder's map of level i, 0 being the finest,

    X[i][j] = refine(fuse(X[i][0], …, X[i][j-1], up(X[i+1][j-1])))

and the last map of a level is what the neck gives. Deviations: upsampling is nearest, without up-convolutions; a node
that is not its level's last keeps the width of the encoder's map; deep supervision is heads on several `out_levels`
rather than on several nodes of the finest one.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from densezoo.layers.double_conv import DoubleConv
from densezoo.layers.fusion import fusion_config
from densezoo.necks.level_plan import LevelPlan, encoder_widths, halved, plan_levels, stage_plans
from densezoo.necks.pathway import Blanks, Levels, Node, Skips, Walk
from densezoo.necks.staged_neck import StagedNeck
from densezoo.necks.ways_down import pool_and_convolve
from densezoo.registry import FUSIONS, NECKS


class DenseGrid(Walk):
    """The nodes X[i][j] of the levels from the finest that is read to the coarsest."""

    def __init__(self, plan: LevelPlan, skips: Mapping[int, Sequence[int]], blanks: Blanks) -> None:
        """Make the nodes for levels with skips of these widths."""
        super().__init__()
        self.nodes = nn.ModuleDict()
        self.columns: dict[int, int] = {}
        self.out_channels = {}
        dense = getattr(FUSIONS.get(blanks.fusion["type"]), "uses_skips", True)
        coarser: list[int] = []  # widths of the maps of the level before
        for level in range(plan.coarsest, plan.out[0] - 1, -1):
            widths = list(skips[level])
            if level == plan.coarsest:
                first = Node(blanks, level, widths, None, plan.channels[level], exact=level in plan.out)
                self.nodes[f"{level}_0"] = first
                widths = [first.out_channels]
            # without skips nobody would read the nodes in between
            above = coarser if dense and widths else coarser[-1:]
            self.columns[level] = len(above)
            for column, from_above in enumerate(above, 1):
                width = plan.channels[level] if column == len(above) else widths[0]
                node = Node(blanks, level, widths, from_above, width)
                self.nodes[f"{level}_{column}"] = node
                widths.append(node.out_channels)
            coarser = widths
            self.out_channels[level] = widths[-1]

    def forward(self, skips: Skips) -> Levels:
        """Map the skips of the levels to one map per level."""
        out: Levels = {}
        coarser: list[Tensor] = []
        for level, columns in self.columns.items():
            maps = list(skips[level]) if columns else [self.nodes[f"{level}_0"](skips[level], None)]
            for column, above in enumerate(coarser[len(coarser) - columns :], 1):
                maps.append(self.nodes[f"{level}_{column}"](maps, above))
            coarser, out[level] = maps, maps[-1]
        return out


@NECKS.register()
class UNetPlusPlus(StagedNeck):
    """A triangle of nodes between the encoder's levels and the way up."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] | None = None,
        num_stages: int = 1,
        num_levels: int | None = None,
        finer_levels: int = 0,
        fusion: str | Mapping[str, Any] = "concat",
        out_levels: Sequence[int] | None = (0,),
        feedback_channels: int = 0,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of the last map of all levels, or of each, finest first; None for the encoder's widths (its
                coarsest's for levels that it lacks), halved for each finer level. The coarsest level keeps the
                encoder's map and width unless it is read.
            num_stages: number of grids, each starting from the merged finest map of the one before.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's; they have no skip, and a single node.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that are read, 0 being the finest; None for all.
            feedback_channels: total width of the maps that are fed back to the next stage.
            norm: see `make_norm`; convolutions have a bias only with `'none'`.
            activation: see `make_activation`.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, norm or activation.
        """
        if channels is None:
            channels = encoder_widths(in_channels, num_levels, halved(in_channels[0], finer_levels))
        plan = plan_levels(
            "UNetPlusPlus", in_channels, in_strides, channels, num_stages, num_levels, finer_levels, out_levels
        )

        def refine(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return DoubleConv(in_channels, out_channels, None, norm, activation)

        blanks = Blanks(fusion_config(fusion), norm, activation, refine=refine)
        down = pool_and_convolve(norm, activation)
        super().__init__(stage_plans(plan, num_stages), feedback_channels, down, partial(DenseGrid, blanks=blanks))
