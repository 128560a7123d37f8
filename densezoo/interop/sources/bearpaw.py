"""Stacked hourglasses of bearpaw/pytorch-pose: any number of stacks and blocks, any width.

https://github.com/bearpaw/pytorch-pose (pose/models/hourglass.py). The stem is wider than the paper's, and its pooling
drops the last row of an odd map.
"""

from collections.abc import Sequence
from typing import Any

from densezoo.interop.conversion import Weights, source

MPII_MEAN = (0.4404, 0.4440, 0.4327)  # of RGB in 0–1; the source subtracts it and does not divide by a deviation


@source("bearpaw")
def convert_bearpaw(weights: Weights, *, mean: Sequence[float] | None = None) -> dict[str, Any]:
    """Convert a network to pose heatmaps per stage.

    Args:
        weights: the state dict.
        mean: per channel, of RGB in 0–1, that is subtracted from images; the source works it out for each data set.
            None for that of MPII.
    """
    if mean is None:
        mean = MPII_MEAN
        weights.assume("mean", mean, "that of MPII")
    stacks, blocks = weights.count("hg."), weights.count("hg.0.hg.0.0.")
    levels = weights.count("hg.0.hg.") + 1
    stem = [
        weights.width(f"{layer}.weight") for layer in ("conv1", "layer1.0.conv3", "layer2.0.conv3", "layer3.0.conv3")
    ]
    weights.layer("conv1", "encoder.layers.0.conv")
    weights.layer("bn1", "encoder.layers.0.norm_act.0")
    for name, place in (("layer1.0", 1), ("layer2.0", 3), ("layer3.0", 4)):
        _residual(weights, name, f"encoder.layers.{place}")
    for stack in range(stacks):
        stage = f"neck.stages.{stack}"
        for level in range(levels - 1):
            # the source counts from the coarsest; its parts are the skip, the way down and the way up
            nodes = f"hg.{stack}.hg.{levels - 2 - level}"
            for block in range(blocks):
                _residual(weights, f"{nodes}.0.{block}", f"{stage}.walk.nodes.{level}.laterals.0.{block}")
                _residual(weights, f"{nodes}.1.{block}", f"{stage}.downs.{level}.1.{block}")
                _residual(weights, f"{nodes}.2.{block}", f"{stage}.walk.nodes.{level}.pre.{block}")
        for block in range(blocks):
            _residual(weights, f"hg.{stack}.hg.0.3.{block}", f"{stage}.walk.nodes.{levels - 1}.laterals.0.{block}")
            _residual(weights, f"res.{stack}.{block}", f"{stage}.posts.0.0.{block}")
        weights.layer(f"fc.{stack}.0", f"{stage}.posts.0.1.conv")
        weights.layer(f"fc.{stack}.1", f"{stage}.posts.0.1.norm_act.0")
        weights.layer(f"score.{stack}", f"heads.{stack}.pose.branches.heatmap.0")
        if stack + 1 < stacks:
            weights.layer(f"fc_.{stack}", f"neck.merges.{stack}.features")
            weights.layer(f"score_.{stack}", f"neck.merges.{stack}.feedback")
    return {
        "encoder": {"type": "NewellStem", "channels": stem, "ceil_mode": False, "mean": list(mean), "std": [1.0] * 3},
        "neck": {
            "type": "StackedHourglass",
            "num_stages": stacks,
            "num_levels": levels,
            "blocks": blocks,
            "feedback": ["pose.heatmap"],
        },
        "tasks": {"pose": {"type": "Pose", "num_keypoints": weights.width("score.0.weight")}},
    }


def _residual(weights: Weights, name: str, target: str) -> None:
    """Take one bottleneck."""
    for index in range(3):
        weights.layer(f"{name}.bn{index + 1}", f"{target}.body.{2 * index}.0")
        weights.layer(f"{name}.conv{index + 1}", f"{target}.body.{2 * index + 1}")
    if weights.has(f"{name}.downsample."):
        weights.layer(f"{name}.downsample.0", f"{target}.skip")
