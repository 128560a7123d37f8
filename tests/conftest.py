"""Fixtures that several folders of tests share."""

import os
from pathlib import Path

import pytest

# Small tensors: threads cost more than they give, and results must not depend on the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY_CONFIG = """
encoder = dict(type="NewellStem", channels=16, norm="group")
neck = dict(type="StackedHourglass", num_stages=2, depth=2, norm="group", feedback=["pose.heatmap"])
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
