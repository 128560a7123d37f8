"""Distances between predicted and annotated joints, one record per annotated instance: what PCK and NME count."""

import logging
from collections.abc import Mapping

import numpy as np

from densezoo.errors import DataError
from densezoo.functional.affine import apply_affine
from densezoo.metrics.normalizers import Normalizer
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

logger = logging.getLogger("densezoo")


def truth_of(sample: Sample) -> ImageTruth:
    """Return the annotations that evaluation compares with.

    Raises:
        DataError: the sample carries none, or none with keypoints.
    """
    truth = sample.get("truth")
    if truth is None or "keypoints" not in truth:
        raise DataError(f"{sample['path']}: no annotated keypoints to compare with; evaluate on a set that has them")
    return truth


def keypoints_in_file(prediction: Prediction, sample: Sample, num_keypoints: int) -> Array:
    """Map predicted joints to the file's pixels.

    Returns:
        (P, K, 3) float64 x, y, score.

    Raises:
        DataError: the prediction has no keypoints, another number of them, or numbers that are not finite.
    """
    if "keypoints" not in prediction:
        raise DataError(f"{sample['path']}: the model predicts no keypoints; a keypoint metric needs a pose task")
    points = np.array(prediction["keypoints"], np.float64)
    if points.ndim != 3 or points.shape[1:] != (num_keypoints, 3):
        raise DataError(
            f"{sample['path']}: predicted keypoints have shape {points.shape}, the data set has {num_keypoints} "
            "keypoints; set num_keypoints of the task to that"
        )
    if not (np.isfinite(points).all() and np.isfinite(prediction["scores"]).all()):
        raise DataError(f"{sample['path']}: the model predicts numbers that are not finite; its training diverged")
    points[..., :2] = apply_affine(sample["to_original"], points[..., :2])
    return points


class JointErrors:
    """Collects, for every annotated instance, each joint's distance divided by the instance's own length.

    A sample is scored on the annotations that its `ids` name. Predicted instances choose in falling score: each takes
    the annotated instance still free that lies nearest by the mean distance of its labelled joints. With one
    annotation, as in a top-down sample, that is the highest score. Annotations that nobody takes are missed.
    Left out are crowds, instances without a labelled joint, and unreadable images. An instance given twice counts once.

    Args:
        meta: names the joints.
        normalizer: the length to divide by.
        visible_only: count joints of visibility 2 only; else every labelled joint, hidden ones too.
    """

    def __init__(self, meta: DatasetMeta, normalizer: Normalizer, visible_only: bool = False) -> None:
        """Make an empty collection."""
        self.num_keypoints = meta.num_keypoints
        self.normalizer = normalizer
        self.visible_only = visible_only
        self._records: dict[tuple[int, int], Array] = {}
        self._skipped: set[tuple[int, int]] = set()
        self._images: set[int] = set()
        self._table: tuple[Array, Array] | None = None
        self._warned = False

    def add(self, prediction: Prediction, sample: Sample) -> None:
        """Add the instances of one sample.

        A sample of a detected box, which names no annotation, is left out, with a warning.

        Raises:
            DataError: sample or prediction lacks what it is scored by.
        """
        if "error" in sample:
            return
        truth = truth_of(sample)
        if "ids" not in sample:
            if not self._warned:
                logger.warning("PCK and NME are left out: they need samples of annotated boxes, not of detected ones")
            self._warned = True
            return
        points = keypoints_in_file(prediction, sample, self.num_keypoints)
        self._images.add(sample["image_id"])
        self._table = None
        labelled = truth["keypoints"][..., 2] > 0
        scored = np.isin(truth["ids"], sample["ids"]) & ~truth["crowd"] & labelled.any(axis=1)
        counted = truth["keypoints"][..., 2] == 2 if self.visible_only else labelled
        scores = np.asarray(prediction["scores"])
        if "labels" in prediction:  # what claims to be something without these joints takes nobody's place
            posed = np.isin(prediction["labels"], truth["labels"][scored])
            points, scores = points[posed], scores[posed]
        distances = _matched_distances(points, scores, truth["keypoints"][scored])
        for index, distance in zip(np.flatnonzero(scored), distances, strict=True):
            key = sample["image_id"], int(truth["ids"][index])
            try:
                length = self.normalizer.measure(truth, int(index))
            except DataError as error:
                raise DataError(f"{sample['path']}: {error}") from error
            if np.isnan(length):
                self._skipped.add(key)
            else:
                self._records[key] = np.where(counted[index], distance / length, np.nan)

    def merge(self, other: "JointErrors") -> None:
        """Take over the records of `other`."""
        self._records.update(other._records)
        self._skipped |= other._skipped
        self._images |= other._images
        self._table = None

    @property
    def image_ids(self) -> list[int]:
        """Every image seen, sorted, also those without anything to score."""
        return sorted(self._images)

    def table(self) -> tuple[Array, Array]:
        """Return all records.

        Returns:
            (M, K) float64 distances in lengths, NaN where the joint does not count, infinite where the instance was
            missed; and (M,) int64 image ids. Sorted by image and annotation, so that merging in any order gives the
            same sums.
        """
        if self._table is None:
            keys = sorted(self._records)
            errors = np.array([self._records[key] for key in keys]).reshape(-1, self.num_keypoints)
            self._table = errors, np.array([image_id for image_id, _ in keys], np.int64)
        return self._table

    def num_skipped(self, weights: Mapping[int, float] | None) -> float:
        """Return how many instances have no length to divide by."""
        return float(instance_weights(np.array([image_id for image_id, _ in self._skipped]), weights).sum())


def instance_weights(image_ids: Array, weights: Mapping[int, float] | None) -> Array:
    """Return the (M,) float64 multiplicity of each instance: 1 without `weights`, 0 for an image not among them."""
    if weights is None:
        return np.ones(len(image_ids))
    return np.array([weights.get(int(image_id), 0.0) for image_id in image_ids], np.float64)


def _matched_distances(points: Array, scores: Array, truth: Array) -> Array:
    """Give each of (G, K, 3) annotated instances its prediction among (D, K, 3).

    Returns:
        (G, K) pixels; infinite for an instance that got none.
    """
    distances = np.linalg.norm(points[:, None, :, :2] - truth[None, :, :, :2].astype(np.float64), axis=-1)
    labelled = truth[..., 2] > 0
    cost = (distances * labelled).sum(axis=-1) / np.maximum(labelled.sum(axis=-1), 1)
    matched = np.full(truth.shape[:2], np.inf)
    free = np.ones(len(truth), bool)
    for row in np.argsort(-scores, kind="stable"):
        if not free.any():
            break
        column = int(np.argmin(np.where(free, cost[row], np.inf)))
        matched[column] = distances[row, column]
        free[column] = False
    return matched
