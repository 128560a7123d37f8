import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from densezoo.errors import ConfigError, DataError
from densezoo.metrics.pck import PCK
from densezoo.types import Array, DatasetMeta, Prediction, Sample


def shifted(person: Array, distances: list[float]) -> Array:
    """Move joint k of (6, 3) by `distances[k]` along the direction (0.6, 0.8); gives (1, 6, 2)."""
    return (person[:, :2] + np.array(distances)[:, None] * [0.6, 0.8])[None]


@pytest.fixture
def score(body: DatasetMeta, make_sample: Callable, make_prediction: Callable) -> Callable[..., PCK]:
    def one(truth: Array, points: Array, **arguments) -> PCK:
        metric = PCK(body, **arguments)
        metric.update([make_prediction(points)], [make_sample(truth)])
        return metric

    return one


def test_torso_by_hand(score: Callable, make_truth: Callable, person: Array):
    # Left shoulder (40, 0) to right hip (10, 40) is 50 px, so 0.2 torsos are 10 px.
    metric = score(make_truth(person[None]), shifted(person, [0, 9.99, 10.01, 5, 100, 2]))
    scores = metric.compute()
    assert metric.primary == "PCK@0.2"
    assert scores["PCK@0.2"] == pytest.approx(4 / 6)
    assert [scores[f"PCK@0.2/{name}"] for name in metric.meta.keypoint_names] == [1, 1, 0, 1, 0, 1]
    # Each joint is right for the part of 0..10 px beyond its distance.
    assert scores["PCK_AUC"] == pytest.approx((1 + 0.001 + 0 + 0.5 + 0 + 0.8) / 6, abs=1e-6)
    assert scores["PCK_skipped"] == 0
    assert metric.per_image() == {1: {"PCK@0.2": pytest.approx(4 / 6), "PCK_AUC": pytest.approx(scores["PCK_AUC"])}}


def test_torso_takes_the_other_diagonal_where_an_end_is_not_labelled(
    score: Callable, make_truth: Callable, person: Array
):
    person[3, 2] = 0  # right hip; right shoulder (0, 10) to left hip (30, 20) is sqrt(1000) = 31.6 px, a fifth 6.32
    scores = score(make_truth(person[None]), shifted(person, [6.3, 6.35, 0, 0, 0, 0])).compute()
    assert scores["PCK@0.2/left_shoulder"] == 1
    assert scores["PCK@0.2/right_shoulder"] == 0
    assert np.isnan(scores["PCK@0.2/right_hip"])
    assert scores["PCK@0.2"] == pytest.approx(4 / 5)


def test_a_person_without_a_torso_is_skipped_and_counted(score: Callable, make_truth: Callable, person: Array):
    person[:2, 2] = 0
    metric = score(make_truth(person[None]), shifted(person, [0] * 6))
    scores = metric.compute()
    assert scores["PCK_skipped"] == 1
    assert np.isnan(scores["PCK@0.2"])
    assert np.isnan(metric.per_image()[1]["PCK@0.2"])
    assert metric.compute({1: 3})["PCK_skipped"] == 3
    assert metric.compute({})["PCK_skipped"] == 0


def test_the_box_is_measured_by_its_longer_side(score: Callable, make_truth: Callable, person: Array):
    truth = make_truth(person[None], boxes=np.array([[-5, -40, 45, 60]], np.float32))
    scores = score(truth, shifted(person, [9.9, 10.1, 0, 0, 0, 0]), normalizer="box", threshold=0.1).compute()
    assert scores["PCK_box@0.1/left_shoulder"] == 1
    assert scores["PCK_box@0.1/right_shoulder"] == 0
    assert "PCK_box_AUC" in scores


def test_only_named_joints_are_in_the_mean_but_every_joint_is_listed(
    score: Callable, make_truth: Callable, person: Array
):
    truth = make_truth(person[None])
    metric = score(truth, shifted(person, [0, 99, 99, 99, 99, 99]), joints=["neck", "left_shoulder"])
    scores = metric.compute()
    assert scores["PCK@0.2"] == 0.5
    assert scores["PCK_AUC"] == pytest.approx(0.5)
    assert scores["PCK@0.2/right_hip"] == 0
    assert metric.per_image()[1]["PCK@0.2"] == 0.5
    np.testing.assert_allclose(metric.curve([0.2]), [0.5])


def test_hidden_joints_count_unless_only_visible_ones_are_asked_for(
    score: Callable, make_truth: Callable, person: Array
):
    person[4, 2] = 1
    truth, points = make_truth(person[None]), shifted(person, [0, 0, 0, 0, 99, 0])
    assert score(truth, points).compute()["PCK@0.2"] == pytest.approx(5 / 6)
    assert score(truth, points, visible_only=True).compute()["PCK@0.2"] == 1


def test_mean_weighs_joints_by_how_often_they_are_labelled(
    body: DatasetMeta, make_truth: Callable, make_sample: Callable, make_prediction: Callable, person: Array
):
    metric = PCK(body)
    sparse = person.copy()
    sparse[[1, 2, 4, 5], 2] = 0
    metric.update(
        [make_prediction(shifted(person, [0] * 6)), make_prediction(shifted(person, [99] * 6))],
        [make_sample(make_truth(person[None]), image_id=1), make_sample(make_truth(sparse[None]), image_id=2)],
    )
    # Six right and two wrong joints; the mean of per-joint shares would be (0.5 + 1 + 1 + 0.5 + 1 + 1) / 6.
    assert metric.compute()["PCK@0.2"] == pytest.approx(6 / 8)


def test_a_top_down_sample_is_scored_on_its_own_person_by_the_best_scored_prediction(
    body: DatasetMeta, make_truth: Callable, make_sample: Callable, make_prediction: Callable, person: Array
):
    truth = make_truth(np.stack([person, person + np.float32([300, 0, 0])]))
    perfect, poor = person[:, :2] + [300, 0], person[:, :2]
    for scores, expected in (([0.9, 0.2], 1.0), ([0.2, 0.9], 0.0)):
        metric = PCK(body)
        metric.update([make_prediction(np.stack([perfect, poor]), np.array(scores))], [make_sample(truth, ids=(2,))])
        assert metric.compute()["PCK@0.2"] == expected


def test_people_of_a_scene_each_get_their_own_prediction(
    body: DatasetMeta, make_truth: Callable, make_sample: Callable, make_prediction: Callable, person: Array
):
    people = np.stack([person, person + np.float32([300, 0, 0]), person + np.float32([0, 500, 0])])
    truth = make_truth(people, crowd=np.array([False, False, True]))
    metric = PCK(body)
    metric.update([make_prediction(people[[1, 0], :, :2])], [make_sample(truth, ids=(1, 2, 3))])
    assert metric.compute()["PCK@0.2"] == 1
    one_missed = PCK(body)
    one_missed.update([make_prediction(people[[1], :, :2])], [make_sample(truth, ids=(1, 2, 3))])
    assert one_missed.compute()["PCK@0.2"] == 0.5
    assert one_missed.compute()["PCK_AUC"] == pytest.approx(0.5)


def test_what_is_found_as_another_class_takes_nobodys_place(
    body: DatasetMeta, make_sample: Callable, make_prediction: Callable, make_truth: Callable, person: Array
):
    both = make_prediction(np.stack([person[:, :2] + 40, person[:, :2]]), scores=[0.9, 0.8])
    for labels, expected in (([1, 0], 1.0), ([0, 0], 0.0)):
        metric = PCK(body)
        metric.update([{**both, "labels": np.array(labels)}], [make_sample(make_truth(person[None]))])
        assert metric.compute()["PCK@0.2"] == expected


def test_curve_by_hand(score: Callable, make_truth: Callable, person: Array):
    metric = score(make_truth(person[None]), shifted(person, [0, 5, 10, 15, 20, 25]))  # 0, 0.1, … 0.5 torsos
    np.testing.assert_allclose(metric.curve([0.05, 0.151, 0.31, 9]), [1 / 6, 2 / 6, 4 / 6, 1])
    assert np.isnan(PCK(metric.meta).curve([0.1, 0.2])).all()


distances = arrays(np.float64, (5, 6), elements=st.floats(0, 40))
visibilities = arrays(np.int64, (5, 6), elements=st.integers(0, 2))


@settings(max_examples=30, deadline=None)
@given(distances=distances, visible=visibilities, counts=arrays(np.int64, 5, elements=st.integers(0, 3)))
def test_weights_equal_repeated_images_and_merging_equals_the_whole(distances: Array, visible: Array, counts: Array):
    meta = DatasetMeta(keypoint_names=("left_shoulder", "right_shoulder", "left_hip", "right_hip", "a", "b"))
    corners = np.array([[0, 0], [30, 0], [0, 40], [30, 40], [15, 15], [15, 25]], np.float32)

    def add(metric: PCK, person: int, image_id: int) -> None:
        keypoints = np.concatenate([corners, visible[person][:, None]], axis=1).astype(np.float32)[None]
        truth = {
            "ids": np.array([7]), "labels": np.zeros(1, int), "boxes": np.zeros((1, 4)), "areas": np.ones(1),
            "crowd": np.zeros(1, bool), "keypoints": keypoints, "size": (9, 9),
        }  # fmt: skip
        sample = {"image_id": image_id, "path": "", "to_original": np.eye(2, 3), "ids": np.array([7]), "truth": truth}
        points = corners + distances[person][:, None] * [0, 1]
        predicted = np.concatenate([points, np.ones((6, 1))], axis=1)[None]
        metric.update([Prediction(keypoints=predicted, scores=np.ones(1))], [sample])  # type: ignore[list-item]

    single, repeated, parts = PCK(meta), PCK(meta), [PCK(meta), PCK(meta)]
    for person in range(5):
        add(single, person, person)
        add(parts[person % 2], person, person)
        for copy in range(counts[person]):
            add(repeated, person, person + 100 * copy)
    weights = {person: float(count) for person, count in enumerate(counts)}
    assert single.compute(weights) == pytest.approx(repeated.compute(), nan_ok=True)
    np.testing.assert_allclose(single.curve([0.1, 0.3], weights), repeated.curve([0.1, 0.3]))
    scores, curve = single.compute(), single.curve([0.2])
    np.testing.assert_allclose(curve, [scores["PCK@0.2"]])
    grid = single.curve(np.linspace(0, 0.2, 4001))
    np.testing.assert_allclose(np.trapezoid(grid) / 4000, scores["PCK_AUC"], atol=2e-3)
    parts[1].merge(pickle.loads(pickle.dumps(parts[0])))
    assert str(parts[1].compute()) == str(scores)
    assert str(parts[1].per_image()) == str(single.per_image())


def test_a_person_given_twice_counts_once(
    body: DatasetMeta, make_truth: Callable, make_sample: Callable, make_prediction: Callable, person: Array
):
    metric = PCK(body)
    good, bad = make_prediction(shifted(person, [0] * 6)), make_prediction(shifted(person, [99] * 6))
    first, second = (make_sample(make_truth(person[None]), image_id=image_id) for image_id in (1, 2))
    metric.update([good, bad, good], [first, second, first])
    assert metric.compute()["PCK@0.2"] == 0.5


def test_an_unreadable_image_is_left_out(
    body: DatasetMeta, make_truth: Callable, make_sample: Callable, make_prediction: Callable, person: Array
):
    metric = PCK(body)
    sample = Sample(**{**make_sample(make_truth(person[None])), "error": "truncated"})
    metric.update([make_prediction(shifted(person, [99] * 6))], [sample])
    assert np.isnan(metric.compute()["PCK@0.2"])
    assert metric.per_image() == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalizer": "torsos"}, "did you mean 'torso'"),
        ({"threshold": 0}, "threshold must be positive"),
        ({"threshold": float("inf")}, "threshold must be positive and finite"),
        ({"joints": ["left_hop"]}, "did you mean 'left_hip'"),
        ({"joints": "neck"}, "list of keypoint names"),
        ({"joints": []}, "list of keypoint names"),
    ],
)
def test_impossible_arguments_are_refused(body: DatasetMeta, arguments: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        PCK(body, **arguments)


def test_joints_without_a_torso_are_refused_with_a_way_out():
    with pytest.raises(ConfigError, match="choose normalizer='box'"):
        PCK(DatasetMeta(keypoint_names=("tip", "root")))
    with pytest.raises(ConfigError, match="needs a data set with keypoints"):
        PCK(DatasetMeta())


def test_samples_without_truth_are_refused(
    body: DatasetMeta, make_truth: Callable, make_sample: Callable, make_prediction: Callable, person: Array
):
    sample = make_sample(make_truth(person[None]))
    del sample["truth"]
    with pytest.raises(DataError, match="no annotated keypoints"):
        PCK(body).update([make_prediction(person[None, :, :2])], [sample])


def test_detected_boxes_are_left_out_with_one_warning(
    body: DatasetMeta, make_truth: Callable, make_sample: Callable, make_prediction: Callable, person: Array, caplog
):
    sample = make_sample(make_truth(person[None]))
    del sample["ids"]
    metric = PCK(body)
    metric.update([make_prediction(person[None, :, :2])] * 2, [sample] * 2)
    assert np.isnan(metric.compute()["PCK@0.2"])
    assert len(caplog.records) == 1
