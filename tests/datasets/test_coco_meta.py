from pathlib import Path

import pytest

from densezoo.datasets.coco_meta import infer_flip_pairs, keypoint_meta
from densezoo.errors import ConfigError, DataError
from densezoo.functional.oks import COCO_KEYPOINTS, COCO_SIGMAS

FILE = Path("file.json")


def category(names, skeleton=()):
    return {"id": 3, "name": "bird", "keypoints": list(names), "skeleton": [list(limb) for limb in skeleton]}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("l_eye", "r_eye"),
        ("L_Eye", "R_Eye"),
        ("leftEye", "rightEye"),
        ("LeftEye", "RightEye"),
        ("LEye", "REye"),
        ("eye_left", "eye_right"),
        ("eyeLeft", "eyeRight"),
        ("Left Eye", "Right Eye"),
        ("eye-l", "eye-r"),
        ("lefteye", "righteye"),
        ("eyeleft", "eyeright"),
        ("front.l.paw", "front.r.paw"),
        ("left_thumb1", "right_thumb1"),
        ("LEFT_EYE", "RIGHT_EYE"),
    ],
)
def test_sides_are_found_in_every_spelling(left, right):
    assert infer_flip_pairs(["nose", right, left]) == ((2, 1),)
    assert infer_flip_pairs([left, "l", "tail", right]) == ((0, 3),)


def test_names_that_only_look_sided_stay():
    assert infer_flip_pairs(["nose", "rear", "lear", "leg", "reg", "upright", "left_ear", "light", "right"]) == ()


def test_all_sides_of_a_name_change():
    corners = ["left_eye_left", "left_eye_right", "right_eye_left", "right_eye_right"]
    assert infer_flip_pairs(corners) == ((0, 3), (1, 2))


def test_numbers_tell_names_apart():
    assert infer_flip_pairs(["left_toe_1", "left_toe_2", "right_toe_2", "right_toe_1"]) == ((0, 3), (1, 2))


def test_coco_gets_its_own_pairs_and_sigmas():
    meta = keypoint_meta(category(COCO_KEYPOINTS, [(16, 14), (1, 2)]), FILE)
    assert meta.flip_pairs == tuple((k, k + 1) for k in range(1, 17, 2))
    assert meta.sigmas == COCO_SIGMAS
    assert meta.skeleton == ((15, 13), (0, 1))
    assert (meta.classes, meta.category_ids, meta.num_keypoints) == (("bird",), (3,), 17)


def test_other_keypoints_have_no_sigmas_unless_given():
    assert keypoint_meta(category(["a", "b"]), FILE).sigmas == ()
    assert keypoint_meta(category(["a", "b"]), FILE, sigmas=[0.1, 0.2]).sigmas == (0.1, 0.2)


def test_pairs_can_be_given_by_name_and_by_index():
    meta = keypoint_meta(category(["a", "b", "c"]), FILE, flip_pairs=[("a", 2)])
    assert meta.flip_pairs == ((0, 2),)
    assert meta.flip_order == [2, 1, 0]
    assert keypoint_meta(category(["left_a", "right_a"]), FILE, flip_pairs=[]).flip_pairs == ()


def test_a_skeleton_with_a_zero_counts_from_zero():
    assert keypoint_meta(category(["a", "b"], [(0, 1)]), FILE).skeleton == ((0, 1),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sigmas": [0.1]}, "2 positive numbers"),
        ({"sigmas": [0.1, -1]}, "2 positive numbers"),
        ({"flip_pairs": [("beek", "tail")]}, "'beek', which is no keypoint; did you mean 'beak'"),
        ({"flip_pairs": [(0, 2)]}, "index 2"),
        ({"flip_pairs": [(0, 0)]}, "more than once"),
        ({"flip_pairs": [(0, 1, 1)]}, "pairs of"),
        ({"flip_pairs": ["ab"]}, "pairs of"),
    ],
)
def test_config_that_does_not_fit_the_keypoints(given, message):
    with pytest.raises(ConfigError, match=message):
        keypoint_meta(category(["beak", "tail"]), FILE, **given)


def test_a_category_that_contradicts_itself():
    with pytest.raises(DataError, match=r"file\.json.*'skeleton'.*keypoint 3"):
        keypoint_meta(category(["a", "b"], [(1, 3)]), FILE)
    with pytest.raises(DataError, match="two keypoints called 'a'"):
        keypoint_meta(category(["a", "a"]), FILE)
