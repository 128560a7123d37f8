"""The answer to many-person pose that needs no image."""

from collections.abc import Iterable

import numpy as np

from densezoo.functional.boxes import commonest_box
from densezoo.types import Array, Prediction, Sample


def commonest_pose(samples: Iterable[Sample]) -> Prediction:
    """Return `commonest_box` of the objects with a labelled keypoint, and their mean pose in it.

    Of every keypoint, the mean place in the objects' boxes, over those of the class that label it; one that nobody
    labels takes the mean of the others.

    Args:
        samples: of one size. Crowds, boxes without an area, and objects without a labelled keypoint are left out. Where
            boxes are not annotated, the extents of the labelled keypoints take their place.

    Raises:
        DataError: no sample has such an object.
    """
    posed = [_posed(sample) for sample in samples if "keypoints" in sample]
    prediction = commonest_box(posed)
    (low, high), label = prediction["boxes"].reshape(2, 2), prediction["labels"][0]
    total, count = 0.0, 0
    for sample in posed:
        chosen = sample["labels"] == label
        corners, points = sample["boxes"][chosen, None].astype(np.float64), sample["keypoints"][chosen]
        labelled = points[..., 2:] > 0
        places = (points[..., :2] - corners[..., :2]) / (corners[..., 2:] - corners[..., :2])
        total = total + (places * labelled).sum(0)
        count = count + labelled.sum(0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.sum(total, 0) / np.sum(count))
    pose = np.concatenate([low + mean * (high - low), np.ones((len(mean), 1))], 1)
    prediction["keypoints"] = pose[None].astype(np.float32)
    return prediction


def _posed(sample: Sample) -> Sample:
    """Return a sample without its image, and without the objects that are left out."""
    keypoints = sample["keypoints"]
    seen = keypoints[..., 2:] > 0
    labelled: Array = np.any(keypoints[..., 2] > 0, axis=1)
    boxes = sample["boxes"] if "boxes" in sample else _extents(keypoints[..., :2], seen)
    labels = sample.get("labels", np.zeros(len(boxes), np.int64))
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    chosen: Array = labelled & has_area & ~sample.get("crowd", np.zeros(len(boxes), bool))
    kept = sample.copy()
    kept["image"], kept["crowd"] = np.zeros((0, 0, 3), np.uint8), np.zeros(int(chosen.sum()), bool)
    kept["boxes"], kept["labels"], kept["keypoints"] = boxes[chosen], labels[chosen], keypoints[chosen]
    return kept


def _extents(points: Array, seen: Array) -> Array:
    """Return (P, 4) boxes around points (P, K, 2) that are seen, (P, K, 1) bool; infinite and empty without any."""
    low, high = points.min(1, where=seen, initial=np.inf), points.max(1, where=seen, initial=-np.inf)
    return np.concatenate([low, high], 1)
