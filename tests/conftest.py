"""Fixtures that several folders of tests share."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

StructArray = Callable[[Sequence[dict[str, Any]]], np.ndarray]

# Small tensors: threads cost more than they give, and results must not depend on the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY_CONFIG = """
encoder = dict(type="NewellStem", channels=16, norm="group")
neck = dict(type="StackedHourglass", num_stages=2, num_levels=3, norm="group", feedback=["pose.heatmap"])
tasks = dict(pose=dict(type="Pose", num_keypoints=17, metrics=[dict(type="PCK"), dict(type="KeypointAP")]))
warp = dict(size=(48, 32), padding=1.25, scale=(0.75, 1.25), rotation=30, flip=0.5)
photometric = dict(gain=0.4)
data_root = "{root}"
train_data = dict(type="Synthetic", split="train", num_images=12, size=64)
val_data = dict(type="Synthetic", split="val", num_images=6, size=64)
optimizer = dict(type="adamw", lr=1e-3)
schedule = dict(type="one_cycle")
epochs = 2
batch_size = 4
engine = dict(workers=0, device="cpu")
"""


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data root that the tiny config's sets are drawn into, once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def tiny_text(tiny_root: Path) -> str:
    """Text of the config of a network that trains in seconds."""
    return TINY_CONFIG.format(root=tiny_root)


@pytest.fixture
def tiny_config(tmp_path: Path, tiny_text: str) -> Path:
    """The same as a file."""
    path = tmp_path / "tiny.py"
    path.write_text(tiny_text)
    return path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets (`DENSEZOO_DATA`, else `data/`)."""
    root = Path(os.environ.get("DENSEZOO_DATA", Path(__file__).parents[1] / "data"))
    if not (root / "coco_person").is_dir():
        pytest.skip(f"no real data in {root}; set DENSEZOO_DATA to the folder that holds coco_person")
    return root


@pytest.fixture
def struct_array() -> StructArray:
    """Return a function that makes a 1 × N MATLAB struct array for `savemat`; every record has the same fields."""

    def make(records: Sequence[dict[str, Any]]) -> np.ndarray:
        array = np.empty((1, len(records)), dtype=[(name, object) for name in records[0]])
        for column, record in enumerate(records):
            for name, value in record.items():
                array[0, column][name] = value
        return array

    return make


@pytest.fixture
def write_coco(tmp_path):
    """Return a function that writes `file.json` and black images, and gives the arguments of a data set."""

    def write(images, annotations, categories, name="file.json"):
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        for image in images:
            path = folder / image["file_name"]
            if not path.exists():
                cv2.imwrite(str(path), np.zeros((image["height"], image["width"], 3), np.uint8))
        records = {"images": images, "annotations": annotations, "categories": categories}
        (tmp_path / name).write_text(json.dumps(records))
        return {"annotations": name, "images": "images", "data_root": tmp_path}

    return write
