import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from densezoo.datasets.mpii import META, Mpii
from densezoo.errors import ConfigError, DataError
from densezoo.registry import DATASETS

StructArray = Callable[..., np.ndarray]
EMPTY = np.zeros((0, 0))
# The first labelled person of the set has this head box and this scale: 0.6 · √(79² + 98²) = 75.526 = 25 · 3.021046.
HEAD = {"x1": 627, "y1": 100, "x2": 706, "y2": 198}
SCALE = 3.021046
POSITION = (594, 257)
FRAME = [
    594 - 0.5 - 125 * SCALE,
    257 - 0.5 + (15 - 125) * SCALE,
    594 - 0.5 + 125 * SCALE,
    257 - 0.5 + (15 + 125) * SCALE,
]
NAMES = ("015601864.jpg", "005808361.jpg", "060111501.jpg", "000000007.jpg", "015599452.jpg")


def points(joints: dict[int, tuple[float, float, Any]]) -> list[dict[str, Any]]:
    return [{"x": x, "y": y, "id": joint, "is_visible": visible} for joint, (x, y, visible) in joints.items()]


@pytest.fixture
def release(tmp_path: Path, struct_array: StructArray) -> Path:
    """Five images with every irregularity of `mpii_human_pose_v1_u12_1.mat`."""

    def position(x: float, y: float) -> np.ndarray:
        return struct_array([{"x": x, "y": y}])

    def labels(joints: dict[int, tuple[float, float, Any]]) -> np.ndarray:
        return struct_array([{"point": struct_array(points(joints))}])

    # Two people; flags as number, character and nothing; head top and neck from the head box, without a flag.
    first = struct_array([
        {
            **HEAD, "scale": SCALE, "objpos": position(*POSITION),
            "annopoints": labels({
                0: (620, 394, 1), 1: (616, 269, "0"), 2: (573, 185, "1"), 6: (610, 187, np.uint8(0)),
                8: (637.0201, 189.8183, EMPTY), 9: (695.9799, 108.1817, EMPTY),
            }),
        },
        {
            "x1": 841, "y1": 145, "x2": 902, "y2": 228, "scale": 2.472117, "objpos": position(952, 222),
            "annopoints": labels({15: (1109, 391, True)}),  # one point: a struct, not an array of structs
        },
    ])  # fmt: skip
    # One person; a point struct without `is_visible` at all.
    bare = struct_array([{"x": 4.0, "y": 6.0, "id": 3}, {"x": -7.5, "y": 2.0, "id": 4}])
    second = struct_array([{
        "x1": 10, "y1": 10, "x2": 13, "y2": 14, "scale": 0.12, "objpos": position(5, 8),
        "annopoints": struct_array([{"point": bare}]),
    }])  # fmt: skip
    # Someone without labels, someone without a scale, beside someone whole but without a head box.
    third = struct_array([
        {"x1": 1, "y1": 1, "x2": 4, "y2": 5, "scale": 1.0, "objpos": position(9, 9), "annopoints": EMPTY},
        {"x1": EMPTY, "y1": EMPTY, "x2": EMPTY, "y2": EMPTY, "scale": EMPTY, "objpos": EMPTY, "annopoints": EMPTY},
        {
            "x1": EMPTY, "y1": EMPTY, "x2": EMPTY, "y2": EMPTY, "scale": 0.8, "objpos": position(20, 30),
            "annopoints": labels({5: (2, 3, 1), 10: (12, 23, 1)}),
        },
    ])  # fmt: skip
    # A test image: only scale and position; and one with nothing.
    fourth = struct_array([{"scale": 1.6, "objpos": position(41, 51)}])
    images = [
        {
            "image": struct_array([{"name": name}]), "annorect": rects, "frame_sec": EMPTY, "vididx": EMPTY,
        }
        for name, rects in zip(NAMES, (first, second, third, fourth, EMPTY), strict=True)
    ]  # fmt: skip
    content = {
        "annolist": struct_array(images),
        "img_train": np.array([[1, 1, 1, 0, 0]], np.uint8),
        "version": "12",
        "single_person": np.array([[np.array([[1], [2]]), 1, EMPTY, 1, EMPTY]], dtype=object).T,
        "act": struct_array([{"act_name": "curling", "cat_name": "sports", "act_id": 1}] * 5).T,
        "video_list": np.array([["a"], ["b"]], dtype=object),
    }
    savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": struct_array([content])})
    write_images(tmp_path)
    return tmp_path


def write_images(root: Path) -> None:
    (root / "images").mkdir()
    for row, name in enumerate(NAMES):
        cv2.imwrite(str(root / "images" / name), np.full((16 + row, 32, 3), 100, np.uint8))


def mat(root: Path, **options: Any) -> Mpii:
    return Mpii(root, "mpii_human_pose_v1_u12_1.mat", "images", **options)


def test_mat_person_has_every_number(release: Path) -> None:
    cfg = {"type": "Mpii", "annotations": "mpii_human_pose_v1_u12_1.mat", "images": "images"}
    data = DATASETS.build(cfg, data_root=release)
    sample = data.read(0)
    expected = np.zeros((16, 3))
    expected[0] = 619.5, 393.5, 2
    expected[1] = 615.5, 268.5, 1
    expected[2] = 572.5, 184.5, 2
    expected[6] = 609.5, 186.5, 1
    expected[8] = 636.5201, 189.3183, 2
    expected[9] = 695.4799, 107.6817, 2
    np.testing.assert_allclose(sample["keypoints"], expected[None], rtol=1e-6)
    np.testing.assert_allclose(sample["frame"], FRAME, rtol=1e-6)
    np.testing.assert_allclose(sample["boxes"], [[572.5, 107.6817, 695.4799, 393.5]], rtol=1e-6)
    assert sample["image_id"] == 15601864
    assert sample["image"].shape == (16, 32, 3)
    assert sample["labels"].tolist() == [0]


def test_mat_truth_has_everyone_of_the_image_with_head_sizes(release: Path) -> None:
    data = mat(release)
    for index in (0, 1):
        truth = data.truth(index)
        assert truth["ids"].tolist() == [1, 2]
        np.testing.assert_allclose(truth["head_sizes"], [0.6 * np.hypot(79, 98), 0.6 * np.hypot(61, 83)], rtol=1e-6)
        assert truth["keypoints"][1, 15].tolist() == [1108.5, 390.5, 2]
        assert (truth["keypoints"][1, :15] == 0).all()
        assert truth["size"] == (16, 32)
    assert int(data.read(1)["ids"][0]) == 2


def test_mat_tolerates_missing_and_empty_fields(release: Path) -> None:
    data = mat(release)
    assert [int(data.read(index)["ids"][0]) for index in range(len(data))] == [1, 2, 3, 6]
    assert data.left_out == {"no_position": 1, "no_keypoints": 1}
    keypoints = data.read(2)["keypoints"][0]
    assert keypoints[[3, 4]].tolist() == [[3.5, 5.5, 2], [-8.0, 1.5, 2]]
    assert data.truth(2)["head_sizes"].tolist() == [3.0]
    truth = data.truth(3)
    assert truth["ids"].tolist() == [4, 6]
    np.testing.assert_allclose(truth["head_sizes"], [3.0, 20.0])  # the second from its scale: 25 · 0.8
    np.testing.assert_allclose(truth["boxes"], [[-116.5, -101.5, 133.5, 148.5], [1.5, 2.5, 11.5, 22.5]])


def test_mat_test_people_have_a_frame_and_no_labels(release: Path) -> None:
    data = mat(release, split="test")
    assert len(data) == 1
    sample = data.read(0)
    assert sample["image_id"] == 7
    assert (sample["keypoints"] == 0).all()
    np.testing.assert_allclose(sample["frame"], [-159.5, -125.5, 240.5, 274.5], rtol=1e-6)
    np.testing.assert_allclose(sample["boxes"], [sample["frame"]])


def test_mat_splits_by_a_list_of_validation_images(release: Path) -> None:
    (release / "valid_images.txt").write_text("005808361.jpg\n015601864.jpg\n")

    def ids(**options: Any) -> list[int]:
        data = mat(release, **options)
        return [int(data.read(index)["ids"][0]) for index in range(len(data))]

    assert ids(split="val", val_list="valid_images.txt") == [1, 2, 3]
    assert ids(split="train", val_list="valid_images.txt") == [6]
    assert ids(split="all", val_list="valid_images.txt") == [1, 2, 3, 6]
    with pytest.raises(ConfigError, match=r"does not say which images validate: name a `val_list`"):
        mat(release, split="val")
    with pytest.raises(DataError, match=r"there is no file .*nowhere\.txt"):
        mat(release, split="val", val_list="nowhere.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"005808361.jpg\n01560186.jpg\n", r"names 1 images .*'01560186\.jpg' is no image.*015601864\.jpg"),
        (b"005808361\n015601864\n", r"names 2 images that the annotations have not got"),
        (b"\n", r"names\.txt is empty"),
        (b"\xff\xfe0\x00", r"names\.txt is no list of image names"),
    ],
)
def test_a_list_that_names_other_images_would_train_on_what_validates(release: Path, text: bytes, message: str) -> None:
    (release / "names.txt").write_bytes(text)
    with pytest.raises(DataError, match=message):
        mat(release, split="train", val_list="names.txt")


def test_mat_of_one_image_with_one_person(tmp_path: Path, struct_array: StructArray) -> None:
    person = {
        **HEAD, "scale": SCALE, "objpos": struct_array([{"x": 594, "y": 257}]),
        "annopoints": struct_array([{"point": struct_array(points({0: (620, 394, 1)}))}]),
    }  # fmt: skip
    image = {"image": struct_array([{"name": NAMES[0]}]), "annorect": struct_array([person])}
    savemat(tmp_path / "m.mat", {"RELEASE": struct_array([{"annolist": struct_array([image]), "img_train": 1}])})
    write_images(tmp_path)
    data = Mpii(tmp_path, "m.mat", "images")
    assert len(data) == 1
    assert data.read(0)["keypoints"][0, 0].tolist() == [619.5, 393.5, 2]


def pytorch_pose_person(name: str, validation: float, scale: float, joints: dict[int, list[float]]) -> dict[str, Any]:
    """A record with the keys that gen_mpii.m writes."""
    rows = [joints.get(joint, [0.0, 0.0, 0.0]) for joint in range(16)]
    return {
        "dataset": "MPI", "isValidation": validation, "img_paths": name, "img_width": 32, "img_height": 16,
        "objpos": list(POSITION), "joint_self": rows, "scale_provided": scale, "joint_others": [],
        "scale_provided_other": [], "objpos_other": [], "annolist_index": 5, "people_index": 1, "numOtherPeople": 0,
    }  # fmt: skip


@pytest.fixture
def pytorch_pose(tmp_path: Path) -> Path:
    people = [
        pytorch_pose_person(NAMES[0], 0.0, SCALE, {0: [620.0, 394.0, 1.0], 1: [616.0, 269.0, 0.0]}),
        pytorch_pose_person(NAMES[1], 1.0, 4.718488, {15: [1142.0, 478.0, 1.0]}),
        pytorch_pose_person(NAMES[1], 1.0, 2.0, {}),
    ]
    (tmp_path / "mpii_annotations.json").write_text(json.dumps(people))
    (tmp_path / "cpm.json").write_text(json.dumps({"root": people}))
    write_images(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["mpii_annotations.json", "cpm.json"])
def test_pytorch_pose_json_knows_splits_and_hidden_joints(pytorch_pose: Path, name: str) -> None:
    train, val = (Mpii(pytorch_pose, name, "images", split=split) for split in ("train", "val"))
    sample = train.read(0)
    assert len(train) == len(val) == 1
    assert sample["keypoints"][0, :3].tolist() == [[619.5, 393.5, 2], [615.5, 268.5, 1], [0, 0, 0]]
    np.testing.assert_allclose(sample["frame"], FRAME, rtol=1e-6)
    np.testing.assert_allclose(train.truth(0)["head_sizes"], [0.6 * np.hypot(79, 98)], rtol=1e-5)
    assert val.read(0)["image_id"] == 5808361
    assert val.truth(0)["ids"].tolist() == [2, 3]
    assert val.left_out == {"no_position": 0, "no_keypoints": 1}
    assert len(Mpii(pytorch_pose, name, "images", split="all")) == 2
    with pytest.raises(DataError, match="split 'test'"):
        Mpii(pytorch_pose, name, "images", split="test")


def test_hrnet_json_is_one_split(tmp_path: Path) -> None:
    joints = [[-1.0, -1.0]] * 15 + [[906.0, 553.0]]
    people = [
        {"joints_vis": [0] * 15 + [1], "joints": joints, "image": NAMES[row], "scale": SCALE, "center": list(POSITION)}
        for row in (0, 1, 1)
    ]
    (tmp_path / "valid.json").write_text(json.dumps(people))
    test = [
        {"image": NAMES[3], "scale": 1.6, "center": [41.0, 51.0]},
        {"image": NAMES[4], "scale": -1, "center": [-1, -1]},
    ]
    (tmp_path / "test.json").write_text(json.dumps(test))
    (tmp_path / "val.txt").write_text(NAMES[0])
    write_images(tmp_path)
    data = Mpii(tmp_path, "valid.json", "images", split="all")
    assert len(data) == 3
    sample = data.read(0)
    assert sample["keypoints"][0, 15].tolist() == [905.5, 552.5, 2]
    assert (sample["keypoints"][0, :15] == 0).all()
    np.testing.assert_allclose(sample["frame"], FRAME, rtol=1e-6)
    assert data.truth(1)["ids"].tolist() == [2, 3]
    with pytest.raises(ConfigError, match="use split='all', or name a `val_list`"):
        Mpii(tmp_path, "valid.json", "images", split="val")
    assert len(Mpii(tmp_path, "valid.json", "images", split="val", val_list="val.txt")) == 1
    assert len(Mpii(tmp_path, "valid.json", "images", split="train", val_list="val.txt")) == 2
    unlabelled = Mpii(tmp_path, "test.json", "images", split="test")
    assert len(unlabelled) == 1
    assert unlabelled.left_out["no_position"] == 1


def test_subset_keeps_the_people_of_an_image_together(release: Path) -> None:
    sides = []
    for subset in ({"folds": 3, "keep": [0]}, {"folds": 3, "drop": [0]}):
        try:
            data = mat(release, subset=subset)
        except DataError:
            sides.append(set())
        else:
            sides.append({int(data.read(index)["ids"][0]) for index in range(len(data))})
    assert sides[0] | sides[1] == {1, 2, 3, 6}
    assert {1, 2} <= sides[0] or {1, 2} <= sides[1]


def test_meta_is_mirrored_consistently() -> None:
    assert META.num_keypoints == 16
    assert META.sigmas == ()
    assert [META.keypoint_names[k] for k in META.flip_order] == [
        name.replace("left", "L").replace("right", "left").replace("L", "right") for name in META.keypoint_names
    ]


def test_errors_name_what_to_mend(release: Path, struct_array: StructArray) -> None:
    with pytest.raises(DataError, match=r"there is no file .*mpii\.json"):
        Mpii(release, "mpii.json", "images")
    with pytest.raises(DataError, match=r"there is no file .*mpii\.mat"):
        Mpii(release, "mpii.mat", "images")
    with pytest.raises(ConfigError, match="no split 'valid'; did you mean 'val'"):
        mat(release, split="valid")
    savemat(release / "other.mat", {"annolist": 1})
    with pytest.raises(DataError, match="no variable 'RELEASE'; it holds 'annolist'"):
        Mpii(release, "other.mat", "images")
    savemat(release / "other.mat", {"RELEASE": struct_array([{"version": "12"}])})
    with pytest.raises(DataError, match="needs 'annolist' and 'img_train'; it has version"):
        Mpii(release, "other.mat", "images")
    (release / "images" / NAMES[1]).unlink()
    with pytest.raises(DataError, match=NAMES[1]):
        mat(release).read(2)
    with pytest.raises(DataError, match=NAMES[1]):
        mat(release).truth(2)
