"""U-Net of https://github.com/milesial/Pytorch-UNet, with transposed convolutions or bilinear upsampling.

Images are in 0–1, neither shifted nor scaled. Its checkpoints hold a list `mask_values` beside the tensors, which is to
be taken out before.
"""

from typing import Any

from densezoo.interop.conversion import Weights, source

NUM_LEVELS = 5


@source("milesial")
def convert_milesial(weights: Weights) -> dict[str, Any]:
    """Move a state dict of `UNet`; widths, input channels, classes and the kind of upsampling are read from it."""
    encoder = [_double_conv(weights, "inc.double_conv", "encoder.levels.0")]
    for level in range(1, NUM_LEVELS):
        encoder.append(_double_conv(weights, f"down{level}.maxpool_conv.1.double_conv", f"encoder.levels.{level}"))
    decoder = []
    transposed = weights.has("up1.up.")
    for level in range(NUM_LEVELS - 1):
        up, node = f"up{NUM_LEVELS - 1 - level}", f"neck.stages.0.walk.nodes.{level}"
        if transposed:
            weights.layer(f"{up}.up", f"{node}.pre")
        decoder.append(_double_conv(weights, f"{up}.conv.double_conv", f"{node}.refine"))
    weights.layer("outc.conv", "heads.0.segmentation.branches.logits.0")
    channels = [*[width for _, width in decoder], encoder[-1][1]]
    middle = [width for width, _ in decoder]
    neck = {
        "type": "UNet",
        "channels": channels,
        "upsample": "transposed" if transposed else "bilinear",
        "align": "pad",
    }
    in_channels = weights.shape("inc.double_conv.0.weight")[1]
    return {
        "encoder": {
            "type": "PlainUNet",
            "channels": [width for _, width in encoder],
            "in_channels": in_channels,
            "ceil_mode": False,
            "mean": [0.0] * in_channels,
            "std": [1.0] * in_channels,
        },
        "neck": neck if middle == channels[:-1] else {**neck, "mid_channels": middle},
        "tasks": {"segmentation": {"type": "Segmentation", "num_classes": weights.width("outc.conv.weight")}},
    }


def _double_conv(weights: Weights, source: str, target: str) -> tuple[int, int]:
    """Move two convolutions with their normalisations; returns their widths."""
    for index in range(2):
        weights.layer(f"{source}.{3 * index}", f"{target}.{index}.conv")
        weights.layer(f"{source}.{3 * index + 1}", f"{target}.{index}.norm_act.0")
    return weights.width(f"{source}.0.weight"), weights.width(f"{source}.3.weight")
