"""Golden value from mmpose 1.3's `keypoint_nme`; the rest by hand."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from densezoo.errors import ConfigError
from densezoo.metrics.nme import NME
from densezoo.types import Array, DatasetMeta, Prediction

FACE = DatasetMeta(keypoint_names=("left_eye", "right_eye", "mouth"))


@pytest.fixture
def face() -> Array:
    """(3, 3) joints: eyes 20 px apart."""
    return np.array([[10, 10, 2], [22, 26, 2], [16, 40, 1]], np.float32)


def test_eye_distance_by_hand(face: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable):
    metric = NME(FACE, normalizer="interocular")
    points = face[None, :, :2] + np.array([[3, 4], [0, 0], [0, 10]])
    metric.update([make_prediction(points)], [make_sample(make_truth(face[None]))])
    scores = metric.compute()
    assert metric.primary == "NME_interocular"
    assert not metric.higher_is_better
    assert scores["NME_interocular"] == pytest.approx((0.25 + 0 + 0.5) / 3)
    assert scores["NME_interocular/left_eye"] == pytest.approx(0.25)
    assert scores["NME_interocular/mouth"] == pytest.approx(0.5)
    assert metric.per_image() == {1: {"NME_interocular": pytest.approx(0.25)}}
    visible = NME(FACE, normalizer="interocular", visible_only=True)
    visible.update([make_prediction(points)], [make_sample(make_truth(face[None]))])
    assert visible.compute()["NME_interocular"] == pytest.approx(0.125)


def test_ends_of_the_length_can_be_named(
    face: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    metric = NME(FACE, normalizer="interocular", keypoints=("right_eye", "mouth"))  # hypot(6, 14)
    metric.update([make_prediction(face[None, :, :2] + [0, 5])], [make_sample(make_truth(face[None]))])
    assert metric.compute()["NME_interocular"] == pytest.approx(5 / np.hypot(6, 14))


def test_box_size_is_the_root_of_the_box_area(
    face: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    metric = NME(FACE)
    truth = make_truth(face[None], boxes=np.array([[0, 0, 10, 40]], np.float32))
    metric.update([make_prediction(face[None, :, :2] + [0, 5])], [make_sample(truth)])
    assert metric.compute()["NME"] == pytest.approx(0.25)


def test_equals_mmpose(make_truth: Callable, make_sample: Callable, make_prediction: Callable):
    i, k = np.arange(5)[:, None], np.arange(16)[None]
    truth = np.stack([20 + 7 * k + 3 * i, 30 + 5 * k - 2 * i], axis=-1).astype(float)
    offset = np.stack([np.sin(1.3 * k + 2.1 * i) * (3 + k), np.cos(0.7 * k - 1.1 * i) * (2 + i)], axis=-1)
    labelled = (3 * i + 5 * k * k) % 7 < 4
    metric = NME(DatasetMeta(keypoint_names=tuple(f"joint_{index}" for index in range(16))))
    for index, side in enumerate((11.0, 14, 9, 20, 16)):
        annotated = make_truth(
            np.concatenate([truth[index], labelled[index][:, None]], -1)[None],
            boxes=np.array([[0, 0, side, side]], np.float32),
        )
        metric.update([make_prediction((truth + offset)[index][None])], [make_sample(annotated, image_id=index)])
    assert metric.compute()["NME"] == pytest.approx(0.49235106, abs=1e-6)


def test_missed_and_unmeasurable_faces_are_counted_not_averaged(
    face: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    blind = face.copy()
    blind[0, 2] = 0
    metric = NME(FACE, normalizer="interocular")
    metric.update(
        [make_prediction(face[None, :, :2] + [0, 2]), Prediction(keypoints=np.zeros((0, 3, 3)), scores=np.zeros(0)),
         make_prediction(blind[None, :, :2])],
        [make_sample(make_truth(points[None]), image_id=index) for index, points in enumerate((face, face, blind))],
    )  # fmt: skip
    scores = metric.compute()
    assert scores["NME_interocular"] == pytest.approx(0.1)
    assert (scores["NME_interocular_missed"], scores["NME_interocular_skipped"]) == (1, 1)
    values = metric.per_image()
    assert values[0]["NME_interocular"] == pytest.approx(0.1)
    assert np.isnan(values[1]["NME_interocular"])
    assert np.isnan(values[2]["NME_interocular"])


def test_weights_equal_repeated_images_and_parts_merge(
    face: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    def add(metric: NME, shift: float, image_id: int) -> None:
        metric.update(
            [make_prediction(face[None, :, :2] + [0, shift])], [make_sample(make_truth(face[None]), image_id=image_id)]
        )

    single, repeated, part = NME(FACE), NME(FACE), NME(FACE)
    for image_id, shift in ((0, 2.0), (1, 6.0)):
        add(single, shift, image_id)
    for image_id, shift in ((0, 2.0), (10, 2.0), (20, 2.0)):
        add(repeated, shift, image_id)
    assert single.compute({0: 3}) == pytest.approx(repeated.compute())
    assert single.compute({0: 1, 1: 3})["NME"] == pytest.approx(single.compute()["NME"] * 5 / 4)
    add(part, 6.0, 1)
    other = NME(FACE)
    add(other, 2.0, 0)
    part.merge(pickle.loads(pickle.dumps(other)))
    assert part.compute() == single.compute()
    assert part.per_image() == single.per_image()


def test_impossible_arguments_are_refused(body: DatasetMeta):
    with pytest.raises(ConfigError, match="'left_eye'"):
        NME(body, normalizer="interocular")
    with pytest.raises(ConfigError, match="two different names"):
        NME(FACE, normalizer="interocular", keypoints=("mouth",))
    with pytest.raises(ConfigError, match="two different names"):
        NME(FACE, normalizer="interocular", keypoints=("left_eye", "left_eye"))
    with pytest.raises(ConfigError, match="does not use it"):
        NME(FACE, keypoints=("left_eye", "mouth"))
