import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from densezoo.functional.oks import (
    COCO_KEYPOINTS,
    COCO_SIGMAS,
    CROWDPOSE_KEYPOINTS,
    oks,
    published_sigmas,
)
from densezoo.types import Array


def coco_oks(predicted: Array, truth: Array, areas: Array, sigmas: Array, boxes: Array) -> Array:
    """Give (D, G) as pycocotools computes it."""
    evaluator = COCOeval(iouType="keypoints")
    evaluator.params.kpt_oks_sigmas = sigmas
    padded = np.concatenate([predicted, np.ones_like(predicted[..., :1])], axis=-1)
    evaluator._gts[1, 1] = [
        {"keypoints": points.ravel().tolist(), "area": area, "bbox": [*box[:2], *(box[2:] - box[:2])]}
        for points, area, box in zip(truth, areas, boxes, strict=True)
    ]
    evaluator._dts[1, 1] = [
        {"keypoints": points.ravel().tolist(), "score": -index} for index, points in enumerate(padded)
    ]
    return np.asarray(evaluator.computeOks(1, 1))


def test_coco_constants_are_those_of_pycocotools():
    np.testing.assert_allclose(COCO_SIGMAS, COCOeval(iouType="keypoints").params.kpt_oks_sigmas, rtol=1e-12)


def test_oks_of_one_joint_by_hand():
    # Distance 3, 4 -> 25; 2 · area · (2 · sigma)² = 2 · 100 · 0.04 = 8.
    value = oks(np.array([[[13, 14]]]), np.array([[[10, 10, 1]]]), np.array([100]), np.array([0.1]), np.zeros((1, 4)))
    np.testing.assert_allclose(value, [[np.exp(-25 / 8)]], rtol=1e-12)


def test_unlabelled_joints_do_not_count():
    truth = np.array([[[0, 0, 2], [50, 50, 0], [10, 0, 1]]])
    predicted = np.array([[[0, 0], [-900, 300], [1e6, 0]]])
    value = oks(predicted, truth, np.array([400.0]), np.full(3, 0.05), np.array([[0, 0, 20, 20]]))
    np.testing.assert_allclose(value, [[0.5]])


@pytest.mark.parametrize("num_keypoints", [1, 5, 17])
def test_equals_pycocotools_also_for_instances_without_labelled_joints(num_keypoints: int):
    rng = np.random.default_rng(num_keypoints)
    boxes = np.sort(rng.uniform(0, 100, (6, 2, 2)), axis=1).reshape(6, 4)
    areas = rng.uniform(50, 4000, 6)
    truth = np.concatenate(
        [rng.uniform(0, 100, (6, num_keypoints, 2)), rng.integers(0, 3, (6, num_keypoints, 1))], axis=-1
    )
    truth[2:4, :, 2] = 0
    truth[4, 0, 2] = 2
    areas[5] = 0.0
    predicted = np.concatenate([truth[:, :, :2] + rng.normal(0, 4, (6, num_keypoints, 2)), truth[:1, :, :2] - 150])
    sigmas = rng.uniform(0.02, 0.1, num_keypoints)
    expected = coco_oks(predicted, truth, areas, sigmas, boxes)
    assert ((expected[:, 2:4] > 0) & (expected[:, 2:4] < 1)).any(), "the rule for unlabelled instances must be at work"
    np.testing.assert_allclose(oks(predicted, truth, areas, sigmas, boxes), expected, rtol=1e-9, atol=1e-300)


def test_nothing_to_compare_gives_empty_matrices():
    shape = oks(np.zeros((0, 4, 2)), np.zeros((3, 4, 3)), np.ones(3), np.ones(4), np.zeros((3, 4))).shape
    assert shape == (0, 3)
    shape = oks(np.zeros((2, 4, 2)), np.zeros((0, 4, 3)), np.ones(0), np.ones(4), np.zeros((0, 4))).shape
    assert shape == (2, 0)


def test_published_sigmas_follow_the_names_whatever_their_order():
    assert published_sigmas(COCO_KEYPOINTS) == COCO_SIGMAS
    # of crowdposetools
    crowdpose = (0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79)
    assert published_sigmas(CROWDPOSE_KEYPOINTS) == pytest.approx([tenfold / 10 for tenfold in crowdpose])
    as_in_its_files = ["head" if name == "top_head" else name for name in CROWDPOSE_KEYPOINTS]
    assert published_sigmas(as_in_its_files) == published_sigmas(CROWDPOSE_KEYPOINTS)
    assert published_sigmas([name.replace("_", " ").title() for name in COCO_KEYPOINTS[::-1]]) == COCO_SIGMAS[::-1]


def test_other_joints_get_nobodys_sigmas():
    assert published_sigmas([f"joint_{index}" for index in range(17)]) is None
    assert published_sigmas(COCO_KEYPOINTS[:16]) is None
    assert published_sigmas(()) is None
