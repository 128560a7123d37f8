import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

TOOL = Path(__file__).parents[2] / "tools" / "make_coco_person.py"


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("make_coco_person")


def annotation(annotation_id, image_id, **changes):
    return {
        "segmentation": [[10.0, 20.0, 100.33, 20.0, 100.33, 90.07]],
        "num_keypoints": 1,
        "area": 1000.5,
        "iscrowd": 0,
        "keypoints": [101, 77, 2],
        "image_id": image_id,
        "bbox": [412.8, 157.61, 53.05, 138.01],
        "category_id": 1,
        "id": annotation_id,
    } | changes


@pytest.fixture
def official(tmp_path):
    """Images 10 (640 x 426, a crowd too), 3 (300 x 200) and 4 (not of the set), in COCO's form."""
    crowd = np.zeros((426, 640), np.uint8)
    crowd[100:200, 50:300] = 1
    bits = crowd.T.ravel()
    counts = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(bits)) + 1, [bits.size]])).tolist()
    sizes = {3: (300, 200), 10: (640, 426), 4: (640, 480)}
    records = {
        "images": [
            {"id": k, "file_name": f"{k:012}.jpg", "width": w, "height": h, "license": 1, "flickr_url": "u"}
            for k, (w, h) in sizes.items()
        ],
        "annotations": [
            annotation(8, 10, iscrowd=1, segmentation={"size": [426, 640], "counts": counts}),
            annotation(7, 10),
            annotation(6, 3),
            annotation(5, 4),
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose"], "skeleton": []}],
        "licenses": [{"id": 1}],
    }
    (tmp_path / "official.json").write_text(json.dumps(records))
    (tmp_path / "ids.txt").write_text("10\n3\n")
    (tmp_path / "val2017").mkdir()
    for k, (w, h) in sizes.items():
        ramp = np.tile(np.linspace(0, 255, w).astype(np.uint8)[None, :, None], (h, 1, 3))
        cv2.imwrite(str(tmp_path / "val2017" / f"{k:012}.jpg"), ramp)
    names = ("annotations", "official.json"), ("images", "val2017"), ("out", "out"), ("ids", "ids.txt")
    return [part for name, value in names for part in (f"--{name}", str(tmp_path / value))]


def test_the_set_is_scaled_and_split(tool, official, tmp_path):
    assert tool.main(official) == 0
    test, train = (
        json.loads((tmp_path / "out" / "annotations" / f"person_{part}.json").read_text()) for part in ("test", "train")
    )
    assert [image["id"] for image in train["images"]] == [3]
    assert train["annotations"] == [annotation(6, 3)]  # not over 400 pixels: nothing changes
    assert test["images"] == [
        {
            "id": 10,
            "file_name": "000000000010.jpg",
            "width": 400,
            "height": 266,
            "license": 1,
            "flickr_url": "u",
            "orig_width": 640,
            "orig_height": 426,
        }
    ]
    person, crowd = test["annotations"]
    assert (person["id"], crowd["id"]) == (7, 8)
    assert person["bbox"] == [258.0, 98.51, 33.16, 86.26]
    assert person["area"] == 390.82
    assert person["keypoints"] == [63.12, 48.12, 2]
    assert person["segmentation"] == [[6.25, 12.5, 62.71, 12.5, 62.71, 56.29]]
    assert crowd["segmentation"]["size"] == [266, 400]
    assert sum(crowd["segmentation"]["counts"]) == 266 * 400
    assert sum(crowd["segmentation"]["counts"][1::2]) == pytest.approx(100 * 250 * 0.625**2, rel=0.02)
    picture = cv2.imread(str(tmp_path / "out" / "images" / "000000000010.jpg"))
    assert picture.shape == (266, 400, 3)
    assert picture[100, 200].tolist() == pytest.approx([128] * 3, abs=3)
    assert not (tmp_path / "out" / "images" / "000000000004.jpg").exists()


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)))
def test_runs_restore_the_mask(tool, mask):
    runs = tool.runs_of(mask)
    bits = np.repeat(np.arange(len(runs)) & 1, runs)
    np.testing.assert_array_equal(bits.reshape(mask.shape[::-1]).T, mask)


def test_what_is_missing_is_named(tool, official, tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("10\n3\n99\n")
    assert tool.main(official) == 2
    assert "1 images, 99 the first" in capsys.readouterr().err
    (tmp_path / "ids.txt").write_text("10\n")
    (tmp_path / "val2017" / "000000000010.jpg").unlink()
    assert tool.main(official) == 2
    assert "000000000010.jpg is missing" in capsys.readouterr().err
    assert tool.main(official) == 2
    assert "not empty" in capsys.readouterr().err


def test_the_ids_are_those_of_the_set():
    ids = [int(line) for line in TOOL.with_name("coco_person_ids.txt").read_text().split()]
    assert len(set(ids)) == len(ids) == 1234
    assert sum(image_id % 5 == 0 for image_id in ids) == 256
