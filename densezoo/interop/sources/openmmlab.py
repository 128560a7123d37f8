"""`HourglassNet` of mmpose and of mmdetection: CornerNet's backbone in their words.

https://github.com/open-mmlab/mmpose and https://github.com/open-mmlab/mmdetection (models/backbones/hourglass.py): any
number of stacks, widths and blocks. A whole model converts, too: mmpose's plain final layers (`CPMHead`) become pose
heatmaps, mmdetection's `CornerHead` becomes corner maps, other heads are left out. With a single stack both libraries
build a block between stacks that never runs. Images are RGB, with ImageNet's mean and deviation in all their configs.
"""

from collections.abc import Sequence
from typing import Any

from densezoo.interop.conversion import Weights, given_statistics, source
from densezoo.interop.sources.cornernet import CornerNames, Names, move_corner_heads, move_hourglasses

OPENMMLAB = Names(
    stem=("stem.0", "stem.1.0"),
    stacks="hourglass_modules",
    after="out_convs",
    between="inters",
    projections=("conv1x1s", "remap_convs"),
    projection=("conv", "bn"),
    skip="downsample",
)
CORNER_HEAD = CornerNames(
    prefix="bbox_head.",
    module="pool",
    layers={
        "before.0": ("direction1_conv.conv", "direction1_conv.bn"),
        "before.1": ("direction2_conv.conv", "direction2_conv.bn"),
        "after": ("aftpool_conv.conv", "aftpool_conv.bn"),
        "skip": ("conv1.conv", "conv1.bn"),
        "last": ("conv2.conv", "conv2.bn"),
    },
    branches={"heat": "heat", "embedding": "emb", "offset": "off"},
    final="1.conv",
)
NO_COUNTERPART = "this head has no counterpart here; the backbone is converted without it"


@source("mmpose")
def convert_mmpose(
    weights: Weights, *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> dict[str, Any]:
    """Convert a backbone to feature pyramids per stage, and with plain final layers to pose heatmaps per stage.

    Args:
        weights: the state dict of the backbone, or of a model with it.
        mean: of RGB in 0–1, which is the config's divided by 255; None for ImageNet's.
        std: in the same way.
    """
    config = _convert_backbone(weights, mean, std)
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
def convert_mmdet(
    weights: Weights, *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> dict[str, Any]:
    """Convert a backbone to feature pyramids per stage, and with CornerNet's head to corner maps per stage.

    Args:
        weights: the state dict of the backbone, or of a detector with it.
        mean: of RGB in 0–1, which is the config's divided by 255; None for ImageNet's.
        std: in the same way.
    """
    config = _convert_backbone(weights, mean, std)
    if weights.has("bbox_head.tl_pool.") and weights.has("bbox_head.tl_emb."):  # CentripetalNet has no embeddings
        return config | {"tasks": {"corners": move_corner_heads(weights, CORNER_HEAD, config["neck"]["num_stages"])}}
    weights.dead("bbox_head.", NO_COUNTERPART)
    return config


def _convert_backbone(weights: Weights, mean: Sequence[float] | None, std: Sequence[float] | None) -> dict[str, Any]:
    weights.drop_prefix("backbone.")
    config = move_hourglasses(weights, OPENMMLAB)
    config["encoder"] |= given_statistics(weights, 3, mean, std, "ImageNet's, as in the source's configs")
    if config["neck"]["num_stages"] == 1:
        weights.dead("inters.", "the source builds a block between stacks for a single stack, too, and never runs it")
    return config
