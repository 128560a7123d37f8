import json
import multiprocessing

import cv2
import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from densezoo.datasets import synthetic_files
from densezoo.datasets.synthetic_files import SyntheticSpec, generate, is_generated, segmentation
from densezoo.errors import ConfigError, DataError

SPEC = SyntheticSpec(8, (64, 96), seed=3)


def _bytes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic" / SPEC.name
    assert generate(folder, SPEC)
    return folder


@pytest.fixture(scope="module")
def coco(folder):
    return COCO(str(folder / "annotations" / "train.json"))


def test_every_named_file_exists_and_decodes(folder, coco):
    assert len(coco.imgs) == 8
    for image in coco.dataset["images"]:
        picture = cv2.imread(str(folder / "images" / image["file_name"]))
        semantic = cv2.imread(str(folder / image["semantic"]), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (64, 96, 3) == (image["height"], image["width"], 3)
        assert semantic.shape == (64, 96)
        assert semantic.dtype == np.uint8


def test_masks_boxes_areas_and_semantic_maps_agree(folder, coco):
    kinds = set()
    for image in coco.dataset["images"]:
        semantic = cv2.imread(str(folder / image["semantic"]), cv2.IMREAD_UNCHANGED)
        painted = np.zeros_like(semantic)
        for annotation in coco.imgToAnns[image["id"]]:
            kinds.add(type(annotation["segmentation"]))
            mask = coco.annToMask(annotation)
            rows, columns = np.nonzero(mask)
            x, y, width, height = annotation["bbox"]
            assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert annotation["area"] == mask.sum()
            assert annotation["iscrowd"] == 0
            painted[mask > 0] = annotation["category_id"]
        np.testing.assert_array_equal(painted, semantic)
    assert kinds == {list, dict}  # polygons, and RLE where a polygon is not enough


def test_people_alone_have_coco_keypoints(coco):
    person = coco.loadCats([1])[0]
    assert person["name"] == "person"
    assert person["keypoints"][0] == "nose"
    assert person["keypoints"][15:] == ["left_ankle", "right_ankle"]
    assert sorted(map(sorted, person["skeleton"]))[0] == [1, 2]
    for annotation in coco.dataset["annotations"]:
        assert ("keypoints" in annotation) == (annotation["category_id"] == 1)
        if "keypoints" in annotation:
            flags = annotation["keypoints"][2::3]
            assert len(flags) == 17
            assert annotation["num_keypoints"] == sum(flag > 0 for flag in flags)


def test_the_same_arguments_give_the_same_bytes(folder, tmp_path):
    generate(tmp_path / "again", SPEC)
    assert _bytes(tmp_path / "again") == _bytes(folder)


def test_a_larger_set_begins_with_a_smaller_one(folder, tmp_path):
    generate(tmp_path / "few", SyntheticSpec(3, SPEC.size, seed=3))
    few, many = _bytes(tmp_path / "few"), _bytes(folder)
    pictures = [name for name in few if name.startswith(("images/", "semantic/"))]
    assert len(pictures) == 6
    assert all(few[name] == many[name] for name in pictures)


@pytest.mark.parametrize("change", [{"seed": 4}, {"split": "val"}, {"max_people": 2}, {"difficulty": 0.5}])
def test_other_arguments_give_other_images(folder, tmp_path, change):
    generate(tmp_path / "other", SyntheticSpec(**{"num_images": 2, "size": SPEC.size, "seed": 3, **change}))
    for name in ("images/000000.jpg", "images/000001.jpg"):
        assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_a_finished_set_is_not_written_again(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert is_generated(folder, SPEC)
    assert not generate(folder, SPEC)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_an_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic_files, "categories", stop)  # after all images, before the annotations
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "set", SPEC)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once_both_end_with_the_whole_set(folder, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2) as pool:
        wrote = pool.starmap(generate, [(tmp_path / "set", SPEC)] * 2)
    assert sum(wrote) == 1
    assert _bytes(tmp_path / "set") == _bytes(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_losing_the_race_is_no_error(folder, tmp_path, monkeypatch):
    write = synthetic_files._write

    def write_after_another(temporary, spec):
        write(temporary, spec)
        monkeypatch.setattr(synthetic_files, "_write", write)
        assert generate(write_other, spec)

    write_other = tmp_path / "set"
    monkeypatch.setattr(synthetic_files, "_write", write_after_another)
    assert not generate(tmp_path / "set", SPEC)
    assert _bytes(tmp_path / "set") == _bytes(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": 1, "num_images": 5}', "seed"),
        ("[]", "num_images"),
        ("{", "not JSON"),
        (None, "not a synthetic set"),
    ],
)
def test_a_folder_with_something_else_is_never_overwritten(tmp_path, content, message):
    (tmp_path / "mine.txt").write_text("precious")
    if content is not None:
        (tmp_path / "synthetic.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        generate(tmp_path, SPEC)
    assert str(tmp_path) in str(caught.value)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_the_record_names_what_differs(folder, tmp_path):
    record = json.loads((folder / "synthetic.json").read_text())
    (tmp_path / "synthetic.json").write_text(json.dumps({**record, "seed": 99}))
    with pytest.raises(DataError, match=r"\(seed differ\)"):
        is_generated(tmp_path, SPEC)


def test_an_unwritable_place_is_a_data_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        generate(tmp_path / "file" / "set", SPEC)


@pytest.mark.parametrize(
    "change",
    [
        {"num_images": 0},
        {"size": (16, 64)},
        {"max_people": 0},
        {"max_people": 21},
        {"seed": -1},
        {"split": "dev"},
        {"difficulty": 1.1},
        {"difficulty": float("nan")},
    ],
)
def test_impossible_arguments_are_named(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        SyntheticSpec(**{"num_images": 1, "size": (64, 64), **change})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24), st.floats(0.05, 0.95))
def test_a_segmentation_decodes_to_the_very_same_mask(seed, height, width, density):
    noise = np.random.default_rng(seed).random((height, width))
    for mask in (noise < density, cv2.GaussianBlur(noise, (0, 0), 2) < np.quantile(noise, density)):
        if not mask.any():
            continue
        coded = segmentation(mask)
        if isinstance(coded, list):
            assert len(coded[0]) >= 8
            decoded = pycocotools.mask.decode(pycocotools.mask.frPyObjects(coded, height, width))[..., 0]
        else:
            decoded = pycocotools.mask.decode(coded)
        np.testing.assert_array_equal(decoded, mask)


def test_a_rectangle_is_its_four_corners():
    mask = np.zeros((20, 30), np.bool_)
    mask[4:9, 7:25] = True
    [polygon] = segmentation(mask)
    corners = {tuple(polygon[i : i + 2]) for i in range(0, 8, 2)}
    assert len(polygon) == 8
    assert corners == {(7, 4), (25, 4), (25, 9), (7, 9)}
