"""Every registered part, and what it takes to build and feed one. A new part needs an entry only where it has arguments
without a default; what a test says about one part it says about all."""

import pytest
import torch

import densezoo.datasets  # these three register every part
import densezoo.metrics
import densezoo.models  # noqa: F401
from densezoo.registry import DATASETS, ENCODERS, FUSIONS, HEADS, METRICS, NECKS, TASKS
from densezoo.types import DatasetMeta

NAMES = ("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
META = DatasetMeta(
    classes=("person", "ball"),
    category_ids=(1, 2),
    keypoint_names=NAMES,
    flip_pairs=((1, 2), (3, 4)),
    sigmas=(0.1,) * 5,
    semantic_classes=("background", "person"),
    volume_slices=(3, 2.0),
)
REQUIRED = {
    "AssociativeEmbedding": {"num_keypoints": 5},
    "Centers": {"num_classes": 2},
    "Corners": {"num_classes": 2},
    "Pose": {"num_keypoints": 5},
    "Segmentation": {"num_classes": 2},
    "Volume": {"num_slices": 3},
    "ScoreSum": {"channels": 16},
    "Timm": {"model": "mobilenetv3_small_050"},
}
"""Arguments of parts that have no default."""
SMALL = {
    "AssociativeEmbedding": {"sigma": 1.0},
    "NewellStem": {"channels": 16},
    "Center": {"channels": 16},
    "Corner": {"channels": 16, "pool_channels": 8, "norm": "group"},
    "CornerNetStem": {"channels": 16},
    "Timm": {"strides": [4, 8]},
    "RectifiedGaussianVGG": {"channels": [8] * 5, "fc_channels": 16},
    "PlainUNet": {"channels": 4},
    "Deconv": {"channels": 16},
    "FPN": {"channels": 32},
    "PAFPN": {"channels": 32},
    "VocAP": {"threshold": 0.8},
}
"""Arguments that make a part small enough to test, or a score strict enough to see small errors."""


def pytest_generate_tests(metafunc):
    """Parametrise `encoder`, `neck`, `fusion`, `head`, `task`, `metric` and `dataset` over what is registered."""
    for registry in (ENCODERS, NECKS, FUSIONS, HEADS, TASKS, METRICS, DATASETS):
        kind = registry.name
        if kind in metafunc.fixturenames:
            names = [name for name in registry.names() if not name.lower().replace("_", "").endswith("inatest")]
            if registry is TASKS:  # a detector of torchvision's, which has no maps, is in tests/models/test_detector.py
                names = [name for name in names if name != "Boxes"]
            metafunc.parametrize(kind, names)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def config_of():
    """Registered name to a small config."""
    return lambda name, **more: {"type": name, **REQUIRED.get(name, {}), **SMALL.get(name, {}), **more}


@pytest.fixture
def meta():
    return META


@pytest.fixture
def make_batch():
    """A batch with every kind of annotation: `people` of them per image."""

    def make(num_images=2, size=(32, 40), people=1):
        height, width = size
        generator = torch.Generator().manual_seed(0)
        limits = torch.tensor([width, height])
        corners = torch.rand(num_images, people, 2, 2, generator=generator).sort(2).values * limits
        points = torch.rand(num_images, people, len(NAMES), 2, generator=generator) * limits
        seen = torch.full((num_images, people, len(NAMES), 1), 2.0)
        # areas that a map of a coarse stride can show: the left of one image, the top of the next
        semantic = torch.zeros(num_images, *size, dtype=torch.uint8)
        semantic[::2, :, : width // 2] = 1
        semantic[1::2, : height // 2] = 1
        inside = semantic == 1
        semantic[:, 0] = 255
        return {
            "images": torch.randint(0, 256, (num_images, 3, *size), dtype=torch.uint8, generator=generator),
            "valid": torch.ones(num_images, people, dtype=torch.bool),
            "keypoints": torch.cat([points, seen], -1),
            "boxes": corners.flatten(2),
            "labels": torch.zeros(num_images, people, dtype=torch.int64),
            "crowd": torch.zeros(num_images, people, dtype=torch.bool),
            "masks": torch.ones(num_images, people, *size, dtype=torch.uint8),
            "semantic": semantic,
            "volume": torch.stack([inside, ~inside, torch.ones_like(inside)], 1).to(torch.uint8),
        }

    return make
