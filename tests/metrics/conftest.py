"""Builders of truths, samples and predictions that several metric tests share."""

from collections.abc import Callable

import numpy as np
import pytest

from densezoo.functional.affine import apply_affine, invert
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
