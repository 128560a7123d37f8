import json
from pathlib import Path

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
        ({"images": [{"id": 1}], "annotations": []}, "must be a COCO JSON with images .*KeyError 'file_name'"),
        ({"images": [], "annotations": [{"image_id": 1, "category_id": 1}]}, r"annotations\[0\] must have .*'bbox'"),
        ({"images": [], "annotations": ["a box"]}, r"annotations\[0\] must have .*TypeError"),
        (
            {"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": []},
            "has no box in any of the 1 images: it has no annotation",
        ),
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


@pytest.mark.parametrize(
    "change",
    [
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, 4, 5]},
        {"bbox": [1, 2, float("nan"), 4]},
        {"bbox": [1, 2, float("inf"), 4]},
        {"bbox": None},
        {"score": None},
        {"score": float("nan")},
        {"image_id": "first"},
    ],
)
def test_an_annotation_that_does_not_do_is_named(photos, change):
    box = {"image_id": 4, "category_id": 1, "bbox": [2, 3, 10, 5]}
    content = {"images": [{"id": 4, "file_name": "b.jpg"}], "annotations": [box, box | change]}
    with pytest.raises(DataError, match=r"boxes\.json: annotations\[1\] must have .*(TypeError|ValueError)"):
        regions_of([photos / "b.jpg"], write_boxes(photos, content), META)


def test_why_no_box_is_left_is_said_with_numbers(photos):
    box = {"image_id": 4, "category_id": 1, "bbox": [2, 3, 10, 5]}
    content = {
        "images": [{"id": 4, "file_name": "b.jpg"}, {"id": 5, "file_name": "other.jpg"}],
        "annotations": [
            *[box | {"category_id": 2}] * 3,
            *[box | {"image_id": 5}] * 2,
            box | {"iscrowd": 1},
            box | {"bbox": [0, 0, 0, 5]},
        ],
    }
    with pytest.raises(DataError) as raised:
        regions_of([photos / "b.jpg"], write_boxes(photos, content), META)
    assert str(raised.value).endswith(
        "has no box in any of the 1 images: 3 of another category_id than the model's (1), "
        "2 of other images (names must match file_name), 1 of a crowd, 1 without an area"
    )


def matched(photos, images, names):
    """Look at `images` with a JSON of a box in each of `names`, numbered from 1; return file to the box's number."""
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names, 1)],
        "annotations": [
            {"image_id": number, "category_id": 1, "bbox": [number, 0, 5, 5]} for number in range(1, len(names) + 1)
        ],
    }
    regions = regions_of([photos / name for name in images], write_boxes(photos, content), META)
    assert [region.box[0] for region in regions] == [region.image_id for region in regions]
    return {str(region.path.relative_to(photos)): region.image_id for region in regions}


@pytest.mark.parametrize(
    ("images", "names", "expected"),
    [
        (["a/1.jpg"], ["a/1.jpg", "b/1.jpg"], {"a/1.jpg": 1}),
        (["b/1.jpg", "a/1.jpg"], ["a/1.jpg", "b/1.jpg"], {"a/1.jpg": 1, "b/1.jpg": 2}),
        (["x/a/1.jpg", "y/a/1.jpg"], ["y/a/1.jpg", "x/a/1.jpg"], {"x/a/1.jpg": 2, "y/a/1.jpg": 1}),
        (["a/1.jpg", "b/1.jpg"], ["b/1.jpg"], {"b/1.jpg": 1}),  # a/1.jpg is not in the JSON
        (["a/1.jpg", "b/1.jpg"], ["c/1.jpg", "b/1.jpg", "a/1.jpg"], {"b/1.jpg": 2, "a/1.jpg": 3}),
        (["a/1.jpg", "a/1.jpg", "a/../a/1.jpg"], ["c/1.jpg"], {"a/../a/1.jpg": 1}),  # one file, named three times
        (["a/1.jpg", "a/11.jpg"], ["1.jpg", "a/11.jpg"], {"a/1.jpg": 1, "a/11.jpg": 2}),
    ],
)
def test_of_equal_names_the_longest_common_end_decides(photos, images, names, expected):
    assert matched(photos, images, names) == expected


def test_a_file_named_from_its_own_folder_is_told_by_that_folder(photos, monkeypatch):
    (photos / "a").mkdir()
    box = {"image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 5]}
    images = [{"id": 2, "file_name": "b/1.jpg"}, {"id": 1, "file_name": "a/1.jpg"}]
    boxes = write_boxes(photos, {"images": images, "annotations": [box, box | {"image_id": 2}]})
    monkeypatch.chdir(photos / "a")
    assert regions_of([Path("1.jpg")], boxes, META) == [Region(Path("1.jpg"), 1, (2, 3, 12, 8))]


@pytest.mark.parametrize(
    ("images", "names", "message"),
    [
        (["a/1.jpg", "b/1.jpg"], ["1.jpg"], r"a/1\.jpg or .*b/1\.jpg may be 1\.jpg \(id 1\)"),
        (["x/1.jpg"], ["a/1.jpg", "b/1.jpg"], r"x/1\.jpg may be a/1\.jpg \(id 1\) or b/1\.jpg \(id 2\)"),
        (["a/1.jpg", "c/1.jpg"], ["a/1.jpg", "b/1.jpg"], r"c/1\.jpg may be a/1\.jpg \(id 1\) or b/1\.jpg \(id 2\)"),
        (["a/1.jpg"], ["a/1.jpg", "a/1.jpg"], r"a/1\.jpg may be a/1\.jpg \(id 1\) or a/1\.jpg \(id 2\)"),
    ],
)
def test_images_that_cannot_be_told_apart_are_named(photos, images, names, message):
    with pytest.raises(DataError, match=f"boxes.json does not tell which image is which: .*{message}; give paths"):
        matched(photos, images, names)
