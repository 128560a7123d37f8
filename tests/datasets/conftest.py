import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

StructArray = Callable[[Sequence[dict[str, Any]]], np.ndarray]


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


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep parsed annotations out of the user's cache."""
    monkeypatch.setenv("DENSEZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


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


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of the real data sets; skip where there is none."""
    folder = Path(os.environ.get("DENSEZOO_DATA", Path(__file__).parents[2] / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; name its folder in DENSEZOO_DATA")
    return folder
