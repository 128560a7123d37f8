"""Stacked hourglasses of princeton-vl/pytorch_stacked_hourglass.

https://github.com/princeton-vl/pytorch_stacked_hourglass (models/posenet.py, models/layers.py). Every residual block of
the source has a 1×1 convolution for its skip, used only where the width changes; the others are left out. Images are
RGB in 0–1, neither shifted nor scaled. The pooling of the stem drops the last row of an odd map.
"""

from typing import Any

from densezoo.interop.conversion import Weights, one_or_list, source


@source("princeton")
def convert_princeton(weights: Weights) -> dict[str, Any]:
    """Convert a network to pose heatmaps per stage.

    Args:
        weights: the state dict.
    """
    weights.drop_prefix("model.module.")  # its checkpoints hold the trainer around the network
    stacks = weights.count("hgs.")
    stem = [weights.width(f"pre.{name}.conv.weight") for name in ("0", "1.conv3", "3.conv3", "4.conv3")]
    hourglass = "hgs.0.0"
    channels = []
    while weights.has(f"{hourglass}.up1."):
        channels.append(weights.width(f"{hourglass}.up1.bn1.weight", 1))
        hourglass += ".low2"
    channels.append(weights.width(f"{hourglass}.bn1.weight", 1))
    bottom = len(channels) - 1
    unused: list[str] = []

    def residual(name: str, target: str) -> None:
        for index in range(3):
            weights.layer(f"{name}.bn{index + 1}", f"{target}.body.{2 * index}.0")
            weights.layer(f"{name}.conv{index + 1}.conv", f"{target}.body.{2 * index + 1}")
        skip = f"{name}.skip_layer.conv"
        if not weights.has(f"{skip}."):
            return  # somebody has taken the unused ones out
        out_channels, in_channels = weights.shape(f"{skip}.weight")[:2]
        if in_channels == out_channels:
            unused.append(f"{skip}.")
        else:
            weights.layer(skip, f"{target}.skip")

    weights.layer("pre.0.conv", "encoder.layers.0.conv")
    weights.layer("pre.0.bn", "encoder.layers.0.norm_act.0")
    for place in (1, 3, 4):
        residual(f"pre.{place}", f"encoder.layers.{place}")
    for stack in range(stacks):
        stage, hourglass = f"neck.stages.{stack}", f"hgs.{stack}.0"
        for level in range(bottom):
            residual(f"{hourglass}.up1", f"{stage}.walk.nodes.{level}.laterals.0.0")
            residual(f"{hourglass}.low1", f"{stage}.downs.{level}.1.0")
            residual(f"{hourglass}.low3", f"{stage}.walk.nodes.{level}.pre.0")
            hourglass += ".low2"
        residual(hourglass, f"{stage}.walk.nodes.{bottom}.laterals.0.0")
        residual(f"features.{stack}.0", f"{stage}.posts.0.0.0")
        weights.layer(f"features.{stack}.1.conv", f"{stage}.posts.0.1.conv")
        weights.layer(f"features.{stack}.1.bn", f"{stage}.posts.0.1.norm_act.0")
        weights.layer(f"outs.{stack}.conv", f"heads.{stack}.pose.branches.heatmap.0")
        if stack + 1 < stacks:
            weights.layer(f"merge_features.{stack}.conv.conv", f"neck.merges.{stack}.features")
            weights.layer(f"merge_preds.{stack}.conv.conv", f"neck.merges.{stack}.feedback")
    weights.dead(unused, "the source builds them and never runs them")
    return {
        "encoder": {"type": "NewellStem", "channels": stem, "ceil_mode": False, "mean": [0.0] * 3, "std": [1.0] * 3},
        "neck": {
            "type": "StackedHourglass",
            "channels": one_or_list(channels),
            "num_stages": stacks,
            "num_levels": bottom + 1,
            "feedback": ["pose.heatmap"],
        },
        "tasks": {"pose": {"type": "Pose", "num_keypoints": weights.width("outs.0.conv.weight")}},
    }
