"""Builders of truths, samples and predictions that several metric tests share."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from densezoo.contracts import Metric
from densezoo.functional.affine import apply_affine, invert, transform_boxes
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

TO_ORIGINAL = np.array([[1.5, -0.25, 12.0], [0.5, 2.0, -7.0]])
"""Not a pure scale, so that a metric which forgets or transposes it is caught."""


def build_truth(keypoints: Array, **given: Array) -> ImageTruth:
    """Make the truth of one file from (P, K, 3); boxes and areas default to those around all joints."""
    keypoints = np.asarray(keypoints, np.float32)
    count = len(keypoints)
    low, high = keypoints[..., :2].min(axis=1), keypoints[..., :2].max(axis=1)
    boxes = np.concatenate([low, high], axis=1)
    truth = ImageTruth(
        ids=np.arange(1, count + 1),
        labels=np.zeros(count, np.int64),
        boxes=boxes,
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        crowd=np.zeros(count, bool),
        keypoints=keypoints,
        size=(480, 640),
    )
    truth.update(given)  # type: ignore[typeddict-item]
    return truth


def build_sample(truth: ImageTruth, image_id: int = 1, ids: tuple[int, ...] = (1,)) -> Sample:
    return Sample(
        image=np.zeros((2, 2, 3), np.uint8),
        image_id=image_id,
        path=f"{image_id}.jpg",
        to_original=TO_ORIGINAL,
        frame=np.array([0, 0, 640, 480], np.float32),
        ids=np.array(ids),
        truth=truth,
    )


def build_prediction(points: Array, scores: Array | None = None) -> Prediction:
    """Make a prediction in network pixels from (P, K, 2) points in file pixels."""
    points = apply_affine(invert(TO_ORIGINAL), np.asarray(points, np.float64))
    keypoints = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    return Prediction(keypoints=keypoints, scores=np.ones(len(points)) if scores is None else np.asarray(scores))


CELLS = DatasetMeta(classes=("red", "white", "platelet", "never"), category_ids=(1, 2, 3, 4))
BOX_TO_ORIGINAL = np.array([[2.0, 0.0, 12.0], [0.0, 1.5, -7.0]])
Scene = tuple[Array, Array, Array, Array, Array, Array]


def draw_scenes(num_images: int = 25, seed: int = 0, decimals: int = 12) -> list[Scene]:
    """Per image: annotated boxes, labels, crowds, and predicted boxes, labels, scores; all in the file's pixels.

    Image 4 is empty and image 6 has more than a hundred predictions. Few decimals make equal scores.
    """
    rng = np.random.default_rng(seed)
    content = []
    for image in range(num_images):
        count = 0 if image == 3 else int(rng.integers(1, 9))
        low = rng.integers(0, 300, (count, 2))
        boxes = np.concatenate([low, low + rng.choice([12, 50, 130], (count, 1)) + rng.integers(0, 30, (count, 2))], 1)
        labels, crowds = rng.integers(0, 3, count), rng.random(count) < 0.15
        seen = rng.random(count) < 0.8
        found = [boxes[seen] + rng.normal(0, 6, (seen.sum(), 4)), boxes[seen] + rng.normal(0, 20, (seen.sum(), 4))]
        found.append(np.tile([[5.0, 5, 40, 60]], (150 if image == 5 else 2, 1)) + rng.uniform(0, 200, (1, 1)))
        predicted = np.concatenate(found)
        predicted[:, 2:] = np.maximum(predicted[:, 2:], predicted[:, :2] + 1)
        guesses = np.concatenate([labels[seen], labels[seen], rng.integers(0, 3, len(found[-1]))])
        scores = rng.random(len(predicted)).round(decimals)
        content.append((boxes.astype(float), labels, crowds, predicted, guesses, scores))
    return content


def feed_scenes(metric: Metric, content: Sequence[Scene]) -> Metric:
    """Give a metric the scenes as images 1, 2, …, with predictions in network pixels."""
    for image_id, (boxes, labels, crowds, predicted, guesses, scores) in enumerate(content, 1):
        truth = ImageTruth(
            ids=np.arange(len(boxes)),
            labels=labels,
            boxes=boxes.astype(np.float32),
            areas=(boxes[:, 2:] - boxes[:, :2]).prod(1).astype(np.float32),
            crowd=crowds,
            size=(480, 640),
        )
        sample = {"image_id": image_id, "path": "", "to_original": BOX_TO_ORIGINAL, "truth": truth}
        own = transform_boxes(invert(BOX_TO_ORIGINAL), predicted)
        metric.update([{"boxes": own, "labels": guesses, "scores": scores}], [sample])
    return metric


@pytest.fixture
def cells() -> DatasetMeta:
    """Four classes, the last of which no scene has."""
    return CELLS


@pytest.fixture
def scenes() -> Callable[..., list[Scene]]:
    return draw_scenes


@pytest.fixture
def feed() -> Callable[..., Metric]:
    return feed_scenes


@pytest.fixture
def make_truth() -> Callable[..., ImageTruth]:
    return build_truth


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    return build_sample


@pytest.fixture
def make_prediction() -> Callable[..., Prediction]:
    return build_prediction


@pytest.fixture
def body() -> DatasetMeta:
    """Six joints with a torso and a head."""
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "head_top", "neck")
    return DatasetMeta(classes=("person",), category_ids=(1,), keypoint_names=names)


@pytest.fixture
def person() -> Array:
    """(6, 3) joints of `body`: left shoulder to right hip 50 px, right shoulder to left hip 10·sqrt(10) px, head 20."""
    return np.array([[40, 0, 2], [0, 10, 2], [30, 20, 2], [10, 40, 2], [20, -30, 2], [20, -10, 2]], np.float32)
