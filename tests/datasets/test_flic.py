from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from densezoo.datasets.flic import META, Flic
from densezoo.errors import ConfigError, DataError
from densezoo.registry import DATASETS

StructArray = Callable[..., np.ndarray]
LABELLED = [0, 1, 2, 3, 4, 5, 6, 9, 12, 13, 16]


def example(name: str, offset: float, train: bool, torso: list[float], **more: Any) -> dict[str, Any]:
    """One struct with the fields of `examples.mat`, in their order."""
    coords = np.full((2, 29), np.nan)
    coords[0, LABELLED] = offset + np.arange(11)
    coords[1, LABELLED] = 20 + np.arange(11) ** 2 / 10
    return {
        "poselet_hit_idx": np.array([[3, 77, 1200]], np.uint16),
        "moviename": name.rsplit("-", 1)[0],
        "coords": coords,
        "filepath": name,
        "imgdims": np.array([[48.0, 72.0, 3.0]]),
        "currframe": 1281.0,
        "torsobox": np.array([torso]),
        "istrain": train,
        "istest": not train,
        **more,
    }


def write_archive(folder: Path, examples: np.ndarray) -> None:
    savemat(folder / "examples.mat", {"examples": examples})
    (folder / "images").mkdir(exist_ok=True)
    for name in ("bad-santa-00001281.jpg", "ten-00000011.jpg"):
        cv2.imwrite(str(folder / "images" / name), np.full((48, 72, 3), 128, np.uint8))


def records() -> list[dict[str, Any]]:
    return [
        example("ten-00000011.jpg", 10, True, [11.0, 5.0, 31.0, 45.0]),
        example("bad-santa-00001281.jpg", 30, False, [21.5, 10.5, 41.5, 30.5]),
        example("bad-santa-00001281.jpg", 50, False, [41.0, 11.0, 61.0, 31.0]),
    ]


@pytest.fixture
def flic(tmp_path: Path, struct_array: StructArray) -> Path:
    write_archive(tmp_path, struct_array(records()))
    return tmp_path


def test_eleven_of_the_29_points_are_read(flic: Path) -> None:
    data = DATASETS.build({"type": "Flic", "annotations": "examples.mat", "images": "images"}, data_root=flic)
    assert len(data) == 1
    sample = data.read(0)
    expected = np.stack([9.5 + np.arange(11), 19.5 + np.arange(11) ** 2 / 10, np.full(11, 2)], axis=1)
    np.testing.assert_allclose(sample["keypoints"], expected[None], rtol=1e-6)
    assert dict(zip(META.keypoint_names, sample["keypoints"][0, :, 0].tolist(), strict=True)) == {
        "left_shoulder": 9.5, "left_elbow": 10.5, "left_wrist": 11.5, "right_shoulder": 12.5, "right_elbow": 13.5,
        "right_wrist": 14.5, "left_hip": 15.5, "right_hip": 16.5, "left_eye": 17.5, "right_eye": 18.5, "nose": 19.5,
    }  # fmt: skip
    assert sample["boxes"].tolist() == [[9.5, 19.5, 19.5, 29.5]]
    assert sample["image"].shape == (48, 72, 3)
    assert (sample["image_id"], sample["ids"].tolist()) == (1, [1])


def test_frame_comes_from_the_torso_box_alone(flic: Path) -> None:
    # Torso (10.5, 4.5) – (30.5, 44.5) in the corner frame: 40 high, so a square of 140 about (20.5, 4.5 + 12).
    assert Flic(flic, "examples.mat", "images").read(0)["frame"].tolist() == [-49.5, -53.5, 90.5, 86.5]


def test_two_people_of_one_frame_share_image_and_truth(flic: Path) -> None:
    data = Flic(flic, "examples.mat", "images", split="test")
    assert len(data) == 2
    samples = [data.read(index) for index in range(2)]
    assert [sample["image_id"] for sample in samples] == [2, 2]
    assert [sample["ids"].tolist() for sample in samples] == [[2], [3]]
    for index in range(2):
        truth = data.truth(index)
        assert truth["ids"].tolist() == [2, 3]
        assert truth["size"] == (48, 72)
        assert truth["areas"].tolist() == [100.0, 100.0]
        np.testing.assert_array_equal(truth["keypoints"][index], samples[index]["keypoints"][0])


def test_missing_points_are_unlabelled(tmp_path: Path, struct_array: StructArray) -> None:
    people = records()
    people[0]["coords"][:, 16] = np.nan
    people[0]["coords"][0, 0] = np.nan
    people[1]["coords"][:] = np.nan
    write_archive(tmp_path, struct_array(people))
    data = Flic(tmp_path, "examples.mat", "images", split="all")
    keypoints = data.read(0)["keypoints"][0]
    assert keypoints[[0, 10]].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert (keypoints[1:10, 2] == 2).all()
    assert data.read(0)["boxes"].tolist() == [[10.5, pytest.approx(19.6), 18.5, pytest.approx(27.6)]]
    assert len(data) == 2
    assert data.left_out == {"bad_or_unchecked": 0, "no_keypoints": 1}
    # Without a label the torso box stands for the person.
    assert data.truth(1)["boxes"][0].tolist() == [21, 10, 41, 30]


def test_flic_full_leaves_bad_and_unchecked_examples_out(tmp_path: Path, struct_array: StructArray) -> None:
    marks = [(True, False), (False, True), (False, False)]
    people = [{**person, "isbad": bad, "isunchecked": new} for person, (bad, new) in zip(records(), marks, strict=True)]
    write_archive(tmp_path, struct_array(people))
    data = Flic(tmp_path, "examples.mat", "images", split="all")
    assert [int(data.read(index)["ids"][0]) for index in range(len(data))] == [3]
    assert data.left_out == {"bad_or_unchecked": 2, "no_keypoints": 0}
    assert len(Flic(tmp_path, "examples.mat", "images", split="all", keep_bad=True)) == 3
    with pytest.raises(DataError, match=r"split 'train' of .*examples\.mat has no people"):
        Flic(tmp_path, "examples.mat", "images", split="train")


def test_an_archive_of_one_example(tmp_path: Path, struct_array: StructArray) -> None:
    write_archive(tmp_path, struct_array(records()[:1]))
    assert len(Flic(tmp_path, "examples.mat", "images")) == 1


def test_people_of_one_image_stay_on_one_side_of_a_subset(flic: Path) -> None:
    sides = []
    for subset in ({"folds": 2, "keep": [0]}, {"folds": 2, "drop": [0]}):
        try:
            data = Flic(flic, "examples.mat", "images", split="all", subset=subset)
        except DataError:
            sides.append(set())
        else:
            sides.append({int(data.read(index)["ids"][0]) for index in range(len(data))})
    assert sides[0] | sides[1] == {1, 2, 3}
    assert {2, 3} <= sides[0] or {2, 3} <= sides[1]


def test_mirroring_swaps_left_and_right() -> None:
    mirrored = [META.keypoint_names[k] for k in META.flip_order]
    assert mirrored == [
        name.replace("left", "L").replace("right", "left").replace("L", "right") for name in META.keypoint_names
    ]


def test_errors_name_what_to_mend(flic: Path, struct_array: StructArray) -> None:
    with pytest.raises(ConfigError, match=r"no split 'val'.*subset"):
        Flic(flic, "examples.mat", "images", split="val")
    savemat(flic / "other.mat", {"joints": 1})
    with pytest.raises(DataError, match=r"other\.mat has no variable 'examples'; it holds 'joints'"):
        Flic(flic, "other.mat", "images")
    savemat(flic / "other.mat", {"examples": struct_array([{"filepath": "a.jpg", "coords": np.zeros((2, 29))}])})
    with pytest.raises(DataError, match=r"lack torsobox, istrain, istest; they have filepath, coords"):
        Flic(flic, "other.mat", "images")
    savemat(flic / "other.mat", {"examples": np.zeros((0, 0))})
    with pytest.raises(DataError, match="'examples' is empty"):
        Flic(flic, "other.mat", "images")
    people = records()
    people[1]["coords"] = np.zeros((2, 28))
    savemat(flic / "other.mat", {"examples": struct_array(people)})
    with pytest.raises(DataError, match=r"example 2: 'coords' has shape \(2, 28\)"):
        Flic(flic, "other.mat", "images")
    people[1] = {**records()[1], "filepath": np.zeros((0, 0))}
    savemat(flic / "other.mat", {"examples": struct_array(people)})
    with pytest.raises(DataError, match="example 2: 'filepath' is None"):
        Flic(flic, "other.mat", "images")
