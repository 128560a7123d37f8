import numpy as np
import pytest

from densezoo.errors import DataError
from densezoo.functional.commonest_pose import commonest_pose


def sample(boxes, labels, keypoints, crowd=None):
    return {
        "image": np.zeros((9, 9, 3), np.uint8),
        "boxes": np.float32(boxes),
        "labels": np.array(labels),
        "keypoints": np.float32(keypoints),
        "crowd": np.zeros(len(labels), bool) if crowd is None else np.array(crowd),
    }


def test_without_boxes_people_reach_as_far_as_their_joints():
    joints = np.float32([[[2, 4, 2], [12, 24, 1], [99, 99, 0]], [[0, 0, 0]] * 3])
    prediction = commonest_pose([{"image": np.zeros((9, 9, 3), np.uint8), "keypoints": joints}])
    assert prediction["boxes"].tolist() == [[2, 4, 12, 24]]
    assert prediction["keypoints"][0, :2].tolist() == [[2, 4, 1], [12, 24, 1]]


def test_the_mean_pose_stands_in_the_mean_box_of_the_class_that_has_poses():
    """Class 0 is the most frequent, but only class 2 has poses; the third keypoint is labelled nowhere."""
    nothing = [[0, 0, 0]] * 3
    first = sample(
        [[0, 0, 10, 20], [1, 1, 4, 4], [0, 0, 8, 8], [5, 5, 5, 9]],
        [2, 0, 0, 2],
        [[[0, 0, 2], [5, 20, 2], [0, 0, 0]], nothing, nothing, [[5, 5, 2]] * 3],
    )
    second = sample(
        [[10, 10, 30, 20], [0, 0, 9, 9], [0, 0, 2, 2]],
        [2, 2, 0],
        [[[20, 15, 1], [99, 99, 0], [0, 0, 0]], [[9, 9, 2]] * 3, nothing],
        [False, True, False],
    )
    without = {"boxes": np.float32([[0, 0, 5, 5]]), "labels": np.array([0])}
    prediction = commonest_pose(iter([first, second, without]))
    assert prediction["labels"].tolist() == [2]
    assert prediction["boxes"].tolist() == [[5, 5, 20, 20]]
    # in parts of the box: (0, 0) and (0.5, 0.5), then (0.5, 1), then the mean of all three
    expected = [[5 + 0.25 * 15, 5 + 0.25 * 15, 1], [12.5, 20, 1], [5 + 15 / 3, 12.5, 1]]
    np.testing.assert_allclose(prediction["keypoints"], [expected], rtol=1e-6)
    assert prediction["keypoints"].dtype == np.float32


def test_nobody_with_a_pose():
    with pytest.raises(DataError, match="none"):
        commonest_pose([sample([[0, 0, 4, 4]], [0], [[[1, 1, 0]]])])
