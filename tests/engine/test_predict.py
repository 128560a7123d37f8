import json

import cv2
import numpy as np
import pytest
from PIL import Image

from densezoo.engine import predict
from densezoo.engine.predict import Region, RegionSet, find_images, regions_of
from densezoo.errors import DataError
from densezoo.types import DatasetMeta

META = DatasetMeta(classes=("person",), category_ids=(1,))


@pytest.fixture
def photos(tmp_path):
    for name in ("b.jpg", "a.PNG"):
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "notes.txt").touch()
    return tmp_path


def write_boxes(photos, content):
    path = photos / "boxes.json"
    path.write_text(json.dumps(content))
    return path


def test_folders_give_their_images_sorted_and_files_themselves(photos):
    assert [path.name for path in find_images([photos, photos / "b.jpg"])] == ["a.PNG", "b.jpg", "b.jpg"]
    with pytest.raises(DataError, match=r"no image or folder .*gone"):
        find_images([photos / "gone"])
    (photos / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        find_images([photos / "empty"])


def test_without_boxes_each_image_is_looked_at_whole(photos):
    regions = regions_of([photos / "b.jpg"], None, META)
    sample = RegionSet(regions, META).read(0)
    assert sample["frame"].tolist() == [0, 0, 30, 20]
    assert sample["image"].shape == (20, 30, 3)


def test_boxes_are_matched_by_file_name_and_category_and_crowds_left_out(photos):
    box = {"image_id": 4, "category_id": 1, "bbox": [2, 3, 10, 5]}
    content = {
        "images": [{"id": 4, "file_name": "elsewhere/b.jpg"}, {"id": 5, "file_name": "other.jpg"}],
        "annotations": [
            box,
            box | {"score": 0.25},
            box | {"category_id": 2},
            box | {"iscrowd": 1},
            box | {"bbox": [0, 0, 0, 5]},
            box | {"image_id": 5},
        ],
    }
    regions = regions_of([photos / "b.jpg"], write_boxes(photos, content), META)
    assert regions == [
        Region(photos / "b.jpg", 4, (2, 3, 12, 8), 1.0),
        Region(photos / "b.jpg", 4, (2, 3, 12, 8), 0.25),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"image_id": 1}], "must be a COCO JSON with images"),
        ({"images": [], "annotations": [{"image_id": 1, "category_id": 1}]}, "must be a COCO JSON with images"),
        ({"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": []}, "has no box in any of the 1 images"),
    ],
)
def test_box_files_that_do_not_do_are_explained(photos, content, message):
    with pytest.raises(DataError, match=message):
        regions_of([photos / "b.jpg"], write_boxes(photos, content), META)


def test_regions_know_the_size_of_their_file(photos):
    regions = [Region(photos / "b.jpg", 4, (2, 3, 12, 8))]
    assert RegionSet(regions, META).truth(0)["size"] == (20, 30)


def test_a_file_is_decoded_once_and_its_size_taken_from_what_opencv_read(photos, monkeypatch):
    monkeypatch.setattr(Image, "open", None)  # PIL refuses large files, and does not know all formats of OpenCV
    regions = [Region(photos / "b.jpg", 4, (2, 3, 12, 8)), Region(photos / "b.jpg", 4), Region(photos / "a.PNG", 5)]
    decoded = []
    real = predict.read_image
    monkeypatch.setattr(predict, "read_image", lambda path: decoded.append(path.name) or real(path))
    dataset = RegionSet(regions, META)
    for index in range(3):
        dataset.read(index)
        assert dataset.truth(index)["size"] == (20, 30)
    assert decoded == ["b.jpg", "a.PNG"]
