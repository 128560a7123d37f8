"""The named models: their configs, the image size they were published with, and where.

Tasks are those of the publication; `create_model(name, tasks=None)` leaves them out and gives feature pyramids.
"""

from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True)
class NamedModel:
    """One entry of the table.

    Attributes:
        config: `encoder`, `neck` and `tasks`.
        size: (height, width) of the images that it was published with, in pixels.
        source: the paper or the implementation that it equals.
    """

    config: Config
    size: tuple[int, int]
    source: str


NEWELL = "https://arxiv.org/abs/1603.06937"
CORNERNET = "https://arxiv.org/abs/1808.01244"
RESNET_STRIDES = [4, 8, 16, 32]


def _newell_hourglass(num_stages: int) -> NamedModel:
    """Return the network of Newell et al. 2016 for MPII's 16 keypoints."""
    config = {
        "encoder": {"type": "NewellStem", "channels": 256},
        "neck": {"type": "StackedHourglass", "num_stages": num_stages, "feedback": ["pose.heatmap"]},
        "tasks": {"pose": {"type": "Pose", "num_keypoints": 16, "joints": "zero_target"}},
    }
    return NamedModel(config, (256, 256), NEWELL)


def _corner_hourglass(num_stages: int, **tasks: Config) -> NamedModel:
    """Return the backbone of CornerNet (two stacks, 104 layers) or of CenterNet-52 (one stack)."""
    neck = {
        "type": "StackedHourglass",
        "num_stages": num_stages,
        "num_levels": 6,
        "channels": [256, 256, 384, 384, 384, 512],
        "block": "basic",
        "blocks": [2, 2, 2, 2, 2, 4],
    }
    config: Config = {"encoder": {"type": "CornerNetStem"}, "neck": neck}
    return NamedModel({**config, "tasks": tasks} if tasks else config, (511, 511), CORNERNET)


def _on_resnet(
    model: str, neck: Config, source: str, size: tuple[int, int] = (512, 512), **tasks: Config
) -> NamedModel:
    """Return a neck on a ResNet of timm; strides from 2 where the neck goes finer."""
    strides = [2, *RESNET_STRIDES] if neck.get("finer_levels") else RESNET_STRIDES
    config: Config = {"encoder": {"type": "Timm", "model": model, "strides": strides}, "neck": neck}
    return NamedModel({**config, "tasks": tasks} if tasks else config, size, source)


def _segmenter(neck: Config, final_kernel_size: int = 3) -> NamedModel:
    """Return a U-Net or one of its kin on a ResNet-34, with one output, as segmentation_models_pytorch has them."""
    head = {"type": "ConvHead", "final_kernel_size": final_kernel_size}
    task = {"type": "Segmentation", "num_classes": 1, "head": head}
    return _on_resnet("resnet34", {"finer_levels": 1, **neck}, SMP, segmentation=task)


def _rectified_gaussian(passes: int) -> NamedModel:
    """Return QP1 or QP2 of Hu and Ramanan 2016 for MPII's 16 keypoints."""
    config = {
        "encoder": {"type": "RectifiedGaussianVGG", "passes": passes},
        "neck": {"type": "ScoreSum", "channels": 16},
        "tasks": {"pose": {"type": "Pose", "num_keypoints": 16, "head": {"type": "IdentityHead"}}},
    }
    return NamedModel(config, (256, 256), "https://arxiv.org/abs/1507.05699")


def _unet_2015() -> NamedModel:
    """Return the U-Net of Ronneberger et al. 2015: valid convolutions, a grey image of 572² to two classes of 388²."""
    config = {
        "encoder": {"type": "PlainUNet", "in_channels": 1, "padding": "valid", "norm": "none"},
        "neck": {"type": "UNet", "upsample": "transposed", "align": "crop", "norm": "none"},
        "tasks": {"segmentation": {"type": "Segmentation", "num_classes": 2}},
    }
    return NamedModel(config, (572, 572), "https://arxiv.org/abs/1505.04597")


SMP = "https://github.com/qubvel-org/segmentation_models.pytorch"
SMP_CHANNELS = [16, 32, 64, 128, 256, 512]
PYRAMID_HEAD: Config = {"type": "PyramidHead", "dropout": 0.2, "enlarge": 4, "align_corners": True}
SIMPLE_BASELINE_POSE: Config = {"type": "Pose", "num_keypoints": 17, "joints": "mask"}

COCO_CORNERS: Config = {
    "type": "Corners",
    "num_classes": 80,
    "cells": "image",
    "rules": "published",
    "head": {"type": "Corner"},
}

MODELS: dict[str, NamedModel] = {
    **{f"newell_hourglass_s{num_stages}": _newell_hourglass(num_stages) for num_stages in (1, 2, 4, 8)},
    "hourglass52": _corner_hourglass(1),
    "hourglass104": _corner_hourglass(2),
    "cornernet_hourglass104": _corner_hourglass(2, corners=COCO_CORNERS),
    "fpn_resnet50": _on_resnet("resnet50", {"type": "FPN"}, "https://arxiv.org/abs/1612.03144"),
    "pafpn_resnet50": _on_resnet("resnet50", {"type": "PAFPN"}, "https://arxiv.org/abs/1803.01534"),
    "bifpn_efficientnet_b0": NamedModel(
        {
            "encoder": {"type": "Timm", "model": "efficientnet_b0", "strides": [8, 16, 32]},
            "neck": {"type": "BiFPN", "channels": 64, "num_levels": 5, "repeats": 3},
        },
        (512, 512),
        "https://arxiv.org/abs/1911.09070",
    ),
    "simple_baseline_resnet50": _on_resnet(
        "resnet50", {"type": "Deconv"}, "https://arxiv.org/abs/1804.06208", (256, 192), pose=SIMPLE_BASELINE_POSE
    ),
    "unet_2015": _unet_2015(),
    "unet_resnet34": _segmenter({"type": "UNet", "channels": SMP_CHANNELS, "upsample": "nearest"}),
    "unetplusplus_resnet34": _segmenter({"type": "UNetPlusPlus", "channels": SMP_CHANNELS}),
    "linknet_resnet34": _segmenter({"type": "LinkNet"}, final_kernel_size=1),
    "fpn_resnet34": _on_resnet(
        "resnet34",
        {"type": "FPN", "post": False},
        SMP,
        segmentation={"type": "Segmentation", "num_classes": 1, "head": PYRAMID_HEAD},
    ),
    **{f"rg_qp{passes}_vgg16": _rectified_gaussian(passes) for passes in (1, 2)},
}
