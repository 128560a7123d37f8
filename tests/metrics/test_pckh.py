"""Golden values come from mmpose 1.3's `keypoint_pck_accuracy` and the mean that its `MpiiPCKAccuracy` takes."""

from collections.abc import Callable

import numpy as np
import pytest

from densezoo.errors import ConfigError, DataError
from densezoo.metrics.pckh import PCKh
from densezoo.types import Array, DatasetMeta

MPII = DatasetMeta(
    keypoint_names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
        "left_wrist",
    )
)  # fmt: skip


def five_people() -> tuple[Array, Array, Array]:
    """Give (5, 16, 3) annotated joints, (5, 16, 2) predicted ones and (5,) head sizes, from sines."""
    i, k = np.arange(5)[:, None], np.arange(16)[None]
    truth = np.stack([20 + 7 * k + 3 * i, 30 + 5 * k - 2 * i], axis=-1).astype(float)
    offset = np.stack([np.sin(1.3 * k + 2.1 * i) * (3 + k), np.cos(0.7 * k - 1.1 * i) * (2 + i)], axis=-1)
    labelled = (3 * i + 5 * k * k) % 7 < 4
    return np.concatenate([truth, labelled[..., None]], -1), truth + offset, np.array([11.0, 14, 9, 20, 16])


@pytest.fixture
def fill(make_truth: Callable, make_sample: Callable, make_prediction: Callable) -> Callable[[PCKh], PCKh]:
    def five(metric: PCKh) -> PCKh:
        for index, (truth, points, head) in enumerate(zip(*five_people(), strict=True)):
            annotated = make_truth(truth[None], head_sizes=np.array([head], np.float32))
            metric.update([make_prediction(points[None])], [make_sample(annotated, image_id=index)])
        return metric

    return five


def test_every_joint_equals_mmpose(fill: Callable):
    scores = fill(PCKh(MPII)).compute()
    expected = [1, 1, 1, 2 / 3, 2 / 3, 1, 1, 2 / 3, 1, 0, 0, 0, 0.5, 2 / 3, 0, 0]
    assert [scores[f"PCKh@0.5/{name}"] for name in MPII.keypoint_names] == pytest.approx(expected)


def test_mean_without_pelvis_and_thorax_equals_mmpose(fill: Callable):
    metric = fill(PCKh(MPII))
    assert metric.compute()["PCKh@0.5"] == pytest.approx(0.5263157894736842)
    thresholds = [0.1, 0.2, 0.3]
    np.testing.assert_allclose(metric.curve(thresholds), [1 / 38, 7 / 38, 13 / 38])


def test_all_joints_are_a_choice(fill: Callable):
    assert fill(PCKh(MPII, joints="all")).compute()["PCKh@0.5"] == pytest.approx(0.5681818181818182)
    assert fill(PCKh(MPII, joints=["pelvis"])).compute()["PCKh@0.5"] == 1


def test_area_equals_mmpose_with_many_thresholds(
    make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    """mmpose's `keypoint_auc` with 20,000 thresholds up to one length of 25 px, every joint labelled."""
    metric = PCKh(MPII, threshold=1.0, joints="all")
    for index, (truth, points, _) in enumerate(zip(*five_people(), strict=True)):
        truth[:, 2] = 2
        annotated = make_truth(truth[None], head_sizes=np.array([25.0], np.float32))
        metric.update([make_prediction(points[None])], [make_sample(annotated, image_id=index)])
    assert metric.compute()["PCKh_AUC"] == pytest.approx(0.70019375, abs=5e-5)


def test_head_joints_stand_in_where_the_set_has_no_head_boxes(
    body: DatasetMeta, make_truth: Callable, make_sample: Callable, make_prediction: Callable, person: Array
):
    metric = PCKh(body)  # head_top (20, -30) to neck (20, -10): 20 px, half of it 10
    points = person[None, :, :2] + np.array([[9.9, 0], [10.1, 0], [0, 0], [0, 0], [0, 0], [0, 0]])
    metric.update([make_prediction(points)], [make_sample(make_truth(person[None]))])
    scores = metric.compute()
    assert (scores["PCKh@0.5/left_shoulder"], scores["PCKh@0.5/right_shoulder"]) == (1, 0)


def test_without_any_head_the_message_names_other_normalisers(
    make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    metric = PCKh(DatasetMeta(keypoint_names=("tip", "root")))
    points = np.array([[[0, 0, 2], [9, 9, 2]]])
    with pytest.raises(DataError, match="choose normalizer='torso' or 'box'"):
        metric.update([make_prediction(points[..., :2])], [make_sample(make_truth(points))])


def test_unknown_joint_mask_is_refused():
    with pytest.raises(ConfigError, match="'limbs', 'all' or a list"):
        PCKh(MPII, joints="upper")
