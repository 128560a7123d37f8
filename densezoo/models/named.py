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


def _corner_hourglass(num_stages: int, blocks: list[int]) -> NamedModel:
    """Return the backbone of CornerNet (104 layers) or CornerNet-Squeeze's and CenterNet's smaller one (52)."""
    neck = {
        "type": "StackedHourglass",
        "num_stages": num_stages,
        "num_levels": 6,
        "channels": [256, 256, 384, 384, 384, 512],
        "block": "basic",
        "blocks": blocks,
    }
    return NamedModel({"encoder": {"type": "CornerNetStem"}, "neck": neck}, (511, 511), CORNERNET)


def _on_resnet(
    model: str, neck: Config, source: str, size: tuple[int, int] = (512, 512), **tasks: Config
) -> NamedModel:
    """Return a neck on a ResNet of timm; strides from 2 where the neck goes finer."""
    strides = [2, *RESNET_STRIDES] if neck.get("finer_levels") else RESNET_STRIDES
    config: Config = {"encoder": {"type": "Timm", "model": model, "strides": strides}, "neck": neck}
    return NamedModel({**config, "tasks": tasks} if tasks else config, size, source)


MODELS: dict[str, NamedModel] = {
    **{f"newell_hourglass_s{num_stages}": _newell_hourglass(num_stages) for num_stages in (1, 2, 4, 8)},
    "hourglass52": _corner_hourglass(1, [1, 1, 1, 1, 1, 2]),
    "hourglass104": _corner_hourglass(2, [2, 2, 2, 2, 2, 4]),
    "fpn_resnet50": _on_resnet("resnet50", {"type": "FPN"}, "https://arxiv.org/abs/1612.03144"),
}
