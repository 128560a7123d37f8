"""Half-body frames: which joints count, when a person qualifies, how small the frame may get."""

import numpy as np
import pytest

from densezoo.errors import ConfigError
from densezoo.transforms.half_body import half_body_frame, split_body

PAIRED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO = ["nose", *(f"{side}_{joint}" for joint in PAIRED for side in ("left", "right"))]
WHOLE = np.array([0.0, 0.0, 100.0, 200.0])


def person(labelled):
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[:, 0], keypoints[:, 1] = 10 + 4 * np.arange(17), 8 + 10 * np.arange(17)
    keypoints[list(labelled), 2] = 1
    return keypoints


def test_coco_halves():
    assert split_body(COCO) == (list(range(11)), [11, 12, 13, 14, 15, 16])


def test_mpii_pelvis_is_lower_and_thorax_upper():
    assert split_body(["Pelvis", "thorax", "R_Ankle"]) == ([1], [0, 2])


@pytest.mark.parametrize("names", [(), ("eye", "mouth"), ("left_knee",)])
def test_a_set_without_both_halves_is_refused(names):
    with pytest.raises(ConfigError, match=r"warp\.half_body"):
        split_body(names)


def test_frame_is_the_extent_of_the_labelled_half_enlarged():
    keypoints = person(range(17))
    keypoints[0, 2] = 0  # the nose is unlabelled, so the upper extent starts at joint 1
    upper = half_body_frame(keypoints, split_body(COCO), True, WHOLE)
    # Joints 1 to 10: x 14..50, y 18..108. Times 1.5 about (32, 63): sides of 54 and 135.
    np.testing.assert_allclose(upper, [5, -4.5, 59, 130.5])
    lower = half_body_frame(keypoints, split_body(COCO), False, WHOLE)
    # Joints 11 to 16: x 54..74, y 118..168, about (64, 143): sides of 30 and 75; 30 grows to a quarter of 200.
    np.testing.assert_allclose(lower, [39, 105.5, 89, 180.5])


def test_a_person_needs_half_of_its_joints():
    halves = split_body(COCO)
    assert half_body_frame(person(range(8)), halves, True, WHOLE) is None
    assert half_body_frame(person(range(9)), halves, True, WHOLE) is not None


def test_a_half_with_two_joints_gives_way_to_the_other():
    keypoints = person([*range(9), 15, 16])
    np.testing.assert_array_equal(
        half_body_frame(keypoints, split_body(COCO), False, WHOLE),
        half_body_frame(keypoints, split_body(COCO), True, WHOLE),
    )


def test_neither_half_has_enough():
    keypoints = np.ones((4, 3), np.float32)
    assert half_body_frame(keypoints, ([0, 1], [2, 3]), True, WHOLE) is None


def test_a_tight_group_of_joints_is_not_blown_up():
    keypoints = np.tile(np.array([[50.0, 60.0, 2.0]], np.float32), (6, 1))
    frame = half_body_frame(keypoints, ([0, 1, 2], [3, 4, 5]), True, WHOLE)
    np.testing.assert_allclose(frame, [25, 35, 75, 85])  # a quarter of 200, about the joints
