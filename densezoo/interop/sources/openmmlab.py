"""`HourglassNet` of mmpose and of mmdetection: CornerNet's backbone in their words.

https://github.com/open-mmlab/mmpose and https://github.com/open-mmlab/mmdetection (models/backbones/hourglass.py): any
number of stacks, widths and blocks. A whole model converts, too: mmpose's plain final layers (`CPMHead`) become pose
heatmaps, other heads are left out. With a single stack both libraries build a block between stacks that never runs.
"""

from typing import Any

from densezoo.interop.conversion import Weights, source
from densezoo.interop.sources.cornernet import Names, move_hourglasses

OPENMMLAB = Names(
    stem=("stem.0", "stem.1.0"),
    stacks="hourglass_modules",
    after="out_convs",
    between="inters",
    projections=("conv1x1s", "remap_convs"),
    projection=("conv", "bn"),
    skip="downsample",
)
NO_COUNTERPART = "this head has no counterpart here; the backbone is converted without it"


@source("mmpose")
def convert_mmpose(weights: Weights) -> dict[str, Any]:
    """Convert a backbone to feature pyramids per stage, and with plain final layers to pose heatmaps per stage.

    Args:
        weights: the state dict of the backbone, or of a model with it.
    """
    config = _convert_backbone(weights)
    heads = [name for name in ("head", "keypoint_head") if weights.has(f"{name}.multi_final_layers.")]
    stacks = config["neck"]["num_stages"]
    if not heads or weights.has(f"{heads[0]}.multi_deconv_layers."):
        weights.dead(("head.", "keypoint_head."), NO_COUNTERPART)
        return config
    final = f"{heads[0]}.multi_final_layers"
    for stack in range(stacks):
        weights.layer(f"{final}.{stack}", f"heads.{stack}.pose.branches.heatmap.0")
    num_keypoints, _, kernel_size, _ = weights.shape(f"{final}.0.weight")
    head = {"type": "ConvHead", "final_kernel_size": kernel_size}
    return {**config, "tasks": {"pose": {"type": "Pose", "num_keypoints": num_keypoints, "head": head}}}


@source("mmdet")
def convert_mmdet(weights: Weights) -> dict[str, Any]:
    """Convert a backbone to feature pyramids per stage.

    Args:
        weights: the state dict of the backbone, or of a detector with it, whose head is left out.
    """
    config = _convert_backbone(weights)
    weights.dead("bbox_head.", NO_COUNTERPART)
    return config


def _convert_backbone(weights: Weights) -> dict[str, Any]:
    weights.drop_prefix("backbone.")
    config = move_hourglasses(weights, OPENMMLAB)
    if config["neck"]["num_stages"] == 1:
        weights.dead("inters.", "the source builds a block between stacks for a single stack, too, and never runs it")
    return config
