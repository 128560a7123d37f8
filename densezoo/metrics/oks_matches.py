"""Matches of predicted with annotated poses at COCO's ten OKS thresholds, and precision and recall over them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from densezoo.types import Array, ImageTruth

_CATEGORY = 1  # pycocotools wants one; all annotated people are of the same kind


@dataclass
class ImageRecord:
    """Annotated and predicted poses of one file, in its pixels.

    Attributes:
        truth: the file's annotations.
        keypoints: (D, K, 2) float64 arrays, one of every sample of the file.
        scores: (D,) float64 instance scores for each of them.
        labels: (D,) labels for each of them, or None where the model tells no classes apart.
    """

    truth: ImageTruth
    keypoints: list[Array] = field(default_factory=list)
    scores: list[Array] = field(default_factory=list)
    labels: list[Array | None] = field(default_factory=list)

    def restricted(self, labels: set[int]) -> "ImageRecord":
        """Return the annotations of the classes `labels` and the predictions that do not claim another class."""
        chosen = np.isin(self.truth["labels"], list(labels))
        truth = ImageTruth(
            ids=self.truth["ids"][chosen],
            labels=self.truth["labels"][chosen],
            boxes=self.truth["boxes"][chosen],
            areas=self.truth["areas"][chosen],
            crowd=self.truth["crowd"][chosen],
            keypoints=self.truth["keypoints"][chosen],
            size=self.truth["size"],
        )
        record = ImageRecord(truth)
        for keypoints, scores, claimed in zip(self.keypoints, self.scores, self.labels, strict=True):
            kept = slice(None) if claimed is None else np.isin(claimed, list(labels))
            record.keypoints.append(keypoints[kept])
            record.scores.append(scores[kept])
            record.labels.append(None)
        return record

    def ranked(self, max_detections: int) -> tuple[Array, Array]:
        """Return (D, K, 2) poses and (D,) scores of all samples, best first, at most `max_detections`."""
        num_keypoints = self.truth["keypoints"].shape[1]
        keypoints = np.concatenate([np.zeros((0, num_keypoints, 2)), *self.keypoints])
        scores = np.concatenate([np.zeros(0), *self.scores])
        order = np.argsort(-scores, kind="stable")[:max_detections]
        return keypoints[order], scores[order]


def keypoint_labels(records: Iterable[ImageRecord]) -> set[int]:
    """Return the labels of which any instance has a labelled joint: the classes that have a pose."""
    found: set[int] = set()
    for record in records:
        posed = (record.truth["keypoints"][..., 2] > 0).any(axis=1)
        found.update(int(label) for label in record.truth["labels"][posed])
    return found


@dataclass(frozen=True)
class Matches:
    """Every detection of one area range, best score first.

    Attributes:
        image: (D,) which image each detection is in.
        correct: (T, D) bool, matched an instance that counts.
        wrong: (T, D) bool, matched nothing; what matched an ignored instance is neither.
        positives: (I,) instances that count, of each image.
    """

    image: Array
    correct: Array
    wrong: Array
    positives: Array

    def precision_recall(self, weights: Array) -> tuple[Array, Array]:
        """Accumulate over images.

        Args:
            weights: (I,) multiplicity of each image.

        Returns:
            (T, 101) precision at recall 0, 0.01, …, 1 and (T,) highest recall; NaN without any instance to find.
        """
        levels = np.linspace(0.0, 1.0, 101)
        num_thresholds, num_detections = self.correct.shape
        total = float(weights @ self.positives)
        if total <= 0:
            return np.full((num_thresholds, len(levels)), np.nan), np.full(num_thresholds, np.nan)
        if not num_detections:
            return np.zeros((num_thresholds, len(levels))), np.zeros(num_thresholds)
        weight = weights[self.image]
        correct = np.cumsum(self.correct * weight, axis=1)
        wrong = np.cumsum(self.wrong * weight, axis=1)
        recall = correct / total
        precision = correct / (correct + wrong + np.spacing(1))
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # A recall that is never reached reads the extra last column.
        padded = np.concatenate([envelope, np.zeros((num_thresholds, 1))], axis=1)
        first = np.stack([np.searchsorted(row, levels, side="left") for row in recall])
        return np.take_along_axis(padded, first, axis=1), recall[:, -1]


def match_images(
    records: Mapping[int, ImageRecord], sigmas: Iterable[float], max_detections: int
) -> tuple[Array, dict[str, Matches]]:
    """Match within every image, as pycocotools does it.

    Returns:
        (I,) sorted image ids, and the matches of the area ranges `all`, `medium` and `large`.
    """
    evaluator = COCOeval(iouType="keypoints")
    parameters = evaluator.params
    parameters.kpt_oks_sigmas = np.array(list(sigmas))
    parameters.maxDets = [max_detections]
    image_ids = sorted(records)
    found: dict[str, list[dict[str, Any] | None]] = {name: [] for name in parameters.areaRngLbl}
    for image_id in image_ids:
        key = image_id, _CATEGORY
        # Filled in directly, because COCO's own index and `evaluate` print to the terminal and copy everything.
        evaluator._gts = {key: _annotations(records[image_id].truth)}
        evaluator._dts = {key: _detections(records[image_id], max_detections)}
        evaluator.ious = {key: evaluator.computeOks(*key)}
        for name, area_range in zip(parameters.areaRngLbl, parameters.areaRng, strict=True):
            found[name].append(evaluator.evaluateImg(*key, area_range, max_detections))
    num_thresholds = len(parameters.iouThrs)
    return np.array(image_ids, np.int64), {name: _collect(images, num_thresholds) for name, images in found.items()}


def _annotations(truth: ImageTruth) -> list[dict[str, Any]]:
    boxes = truth["boxes"].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    num_labelled = (truth["keypoints"][..., 2] > 0).sum(axis=1)
    return [
        {
            "id": index + 1,
            "bbox": boxes[index].tolist(),
            "area": float(truth["areas"][index]),
            "iscrowd": int(truth["crowd"][index]),
            "ignore": bool(truth["crowd"][index] or num_labelled[index] == 0),
            "keypoints": truth["keypoints"][index].astype(np.float64).ravel().tolist(),
        }
        for index in range(len(boxes))
    ]


def _detections(record: ImageRecord, max_detections: int) -> list[dict[str, Any]]:
    keypoints, scores = record.ranked(max_detections)
    padded = np.concatenate([keypoints, np.zeros_like(keypoints[..., :1])], axis=-1)
    # A detection's area is that of the box around its joints, as `COCO.loadRes` has it.
    areas = np.ptp(keypoints, axis=1).prod(axis=-1)
    return [
        {"id": index + 1, "score": float(score), "area": float(area), "keypoints": points.ravel().tolist()}
        for index, (points, score, area) in enumerate(zip(padded, scores, areas, strict=True))
    ]


def _collect(images: list[dict[str, Any] | None], num_thresholds: int) -> Matches:
    """Put the per-image answers of `COCOeval.evaluateImg` side by side and sort the detections by score."""
    empty = np.zeros((num_thresholds, 0), bool)
    given = [image for image in images if image is not None]
    scores = np.concatenate([np.zeros(0), *(image["dtScores"] for image in given)])
    matched = np.concatenate([empty, *(image["dtMatches"] > 0 for image in given)], axis=1)
    ignored = np.concatenate([empty, *(image["dtIgnore"] for image in given)], axis=1)
    positives = [0 if image is None else np.count_nonzero(image["gtIgnore"] == 0) for image in images]
    counts = [0 if image is None else len(image["dtScores"]) for image in images]
    order = np.argsort(-scores, kind="stable")
    return Matches(
        image=np.repeat(np.arange(len(images)), counts)[order],
        correct=(matched & ~ignored)[:, order],
        wrong=(~matched & ~ignored)[:, order],
        positives=np.array(positives, np.float64),
    )
