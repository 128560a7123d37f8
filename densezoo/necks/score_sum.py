"""Sum of scores: 1×1 classifiers of several levels, upsampled and added up from coarse to fine.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015,
https://arxiv.org/abs/1411.4038 (FCN-32s, -16s and -8s are 1, 2 and 3 levels), and the skip classifiers of Hu, Ramanan,
"Bottom-Up and Top-Down Reasoning with Hierarchical Rectified Gaussians", CVPR 2016, https://arxiv.org/abs/1507.05699.
The maps are the scores themselves, as many as a task has channels: read them with an `IdentityHead`. So, like the last
convolution of every head, they are float32 under autocast too. Deviations: FCN learns its upsampling, starting from the
bilinear one that is fixed here, and pads the image by 100 pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from densezoo.layers.conv import ConvNormAct
from densezoo.layers.fusion import fusion_config
from densezoo.layers.precision import full_precision
from densezoo.layers.resize import resize_bilinear
from densezoo.necks.level_plan import plan_levels, stage_plans
from densezoo.necks.pathway import Blanks
from densezoo.necks.staged_neck import StagedNeck, top_down
from densezoo.necks.ways_down import halve
from densezoo.registry import NECKS
from densezoo.types import Pyramid


@NECKS.register()
class ScoreSum(StagedNeck):
    """A classifier for each level, and a pathway from coarse to fine without any other layer."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int,
        num_stages: int = 1,
        num_levels: int | None = None,
        finer_levels: int = 0,
        fusion: str | Mapping[str, Any] = "sum",
        out_levels: Sequence[int] | None = (0,),
        feedback_channels: int = 0,
        norm: str = "none",
        activation: str = "relu",
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: number of scores, the same on all levels.
            num_stages: number of stages, each starting from the merged finest scores of the one before.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's, which have no classifier.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that are read, 0 being the finest; None for all.
            feedback_channels: total width of the maps that are fed back to the next stage.
            norm: see `make_norm`; after the classifiers, and on the way down to levels that the encoder lacks.
            activation: see `make_activation`; on that way down only, since scores may have any sign.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, norm or activation.
        """
        plan = plan_levels(
            "ScoreSum", in_channels, in_strides, channels, num_stages, num_levels, finer_levels, out_levels
        )

        def classify(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return ConvNormAct(in_channels, out_channels, 1, 1, norm, "none", bias=norm == "none")

        blanks = Blanks(fusion_config(fusion), norm, activation, lateral=classify, resize=resize_bilinear)
        down = halve(norm, activation)
        super().__init__(stage_plans(plan, num_stages), feedback_channels, down, top_down(blanks))

    def stage(self, index: int, x: Pyramid) -> tuple[Pyramid, Tensor]:
        """Run stage `index` in full precision; gives the read levels, finest first, and the finest map made."""
        dtype = next(self.stages[index].parameters()).dtype
        with full_precision(x[0]):
            return super().stage(index, [level.to(dtype) for level in x])
