"""Matches of predicted with annotated boxes at COCO's ten IoU thresholds, class by class."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from densezoo.metrics.oks_matches import Matches
from densezoo.types import Array, ImageTruth

AREAS = ("all", "small", "medium", "large")
"""COCO's ranges of the annotated area, of all instances first."""
COUNTS = (1, 10, 100)
"""Best predictions per image and class that count."""
Entries = dict[int, list[dict[str, Any]]]
"""Label to the annotations or predictions of one image, as pycocotools has them."""


@dataclass
class BoxRecord:
    """Annotated and predicted boxes of one file, in its pixels.

    Attributes:
        truth: the file's annotations.
        boxes: (D, 4) float64 xyxy arrays, one of every sample of the file.
        scores: (D,) float64 for each of them.
        labels: (D,) int64 for each of them.
    """

    truth: ImageTruth
    boxes: list[Array] = field(default_factory=list)
    scores: list[Array] = field(default_factory=list)
    labels: list[Array] = field(default_factory=list)


@dataclass(frozen=True)
class ClassMatches:
    """Matches of one class, over all images.

    Attributes:
        found: area range and number of predictions per image to the matches.
    """

    found: dict[tuple[str, int], Matches]

    def curves(self, weights: Array) -> dict[tuple[str, int], tuple[Array, Array]]:
        """Return precision and recall of each, see `Matches.precision_recall`; `weights` are (I,) multiplicities."""
        return {key: matches.precision_recall(weights) for key, matches in self.found.items()}

    def image_ap(self) -> Iterator[tuple[int, float]]:
        """Give the row and AP of every image that has something to find."""
        matches = self.found["all", COUNTS[-1]]
        for row in np.flatnonzero(matches.positives):
            own = matches.image == row
            alone = Matches(
                image=np.zeros(np.count_nonzero(own), np.int64),
                correct=matches.correct[:, own],
                wrong=matches.wrong[:, own],
                positives=matches.positives[row : row + 1],
            )
            yield int(row), float(alone.precision_recall(np.ones(1))[0].mean())


def match_boxes(
    records: Mapping[int, BoxRecord], num_classes: int, class_agnostic: bool
) -> tuple[Array, list[ClassMatches]]:
    """Match within every image and class, as pycocotools does it.

    Args:
        records: image id to record.
        num_classes: labels are 0 to this, less 1; others are left out.
        class_agnostic: take all labels for 0.

    Returns:
        (I,) sorted image ids, and the matches of each class.
    """
    evaluator = COCOeval(iouType="bbox")
    parameters = evaluator.params
    parameters.maxDets = list(COUNTS)
    ranges = dict(zip(parameters.areaRngLbl, parameters.areaRng, strict=True))
    image_ids = sorted(records)
    found: list[dict[str, list[tuple[int, dict[str, Any]]]]]
    found = [{area: [] for area in AREAS} for _ in range(num_classes)]
    for row, image_id in enumerate(image_ids):
        truth, detections = _by_label(records[image_id], class_agnostic)
        for label in sorted(truth.keys() | detections.keys()):
            if not 0 <= label < num_classes:
                continue
            key = image_id, label
            # Filled in directly, because COCO's own index and `evaluate` print to the terminal and copy everything.
            evaluator._gts = {key: truth.get(label, [])}
            evaluator._dts = {key: detections.get(label, [])}
            evaluator.ious = {key: evaluator.computeIoU(*key)}
            for area in AREAS:
                found[label][area].append((row, evaluator.evaluateImg(*key, ranges[area], COUNTS[-1])))
    num_thresholds = len(parameters.iouThrs)
    matches = [
        ClassMatches(
            {
                (area, count): _collect(images, count, len(image_ids), num_thresholds)
                for area, images in areas.items()
                for count in (COUNTS if area == "all" else COUNTS[-1:])
            }
        )
        for areas in found
    ]
    return np.array(image_ids, np.int64), matches


def _by_label(record: BoxRecord, class_agnostic: bool) -> tuple[Entries, Entries]:
    """Return annotations and predictions as pycocotools has them, by label."""
    truth = record.truth
    annotations: Entries = {}
    detections: Entries = {}
    boxes = np.concatenate([np.zeros((0, 4)), *record.boxes])
    scores = np.concatenate([np.zeros(0), *record.scores])
    labels = np.concatenate([np.zeros(0, np.int64), *record.labels])
    for index, (box, area, crowd, label) in enumerate(
        zip(
            _xywh(truth["boxes"]),
            truth["areas"].tolist(),
            truth["crowd"].tolist(),
            truth["labels"].tolist(),
            strict=True,
        )
    ):
        entry = {"id": index + 1, "bbox": box, "area": area, "iscrowd": int(crowd), "ignore": int(crowd)}
        annotations.setdefault(0 if class_agnostic else label, []).append(entry)
    for index, (box, score, label) in enumerate(zip(_xywh(boxes), scores.tolist(), labels.tolist(), strict=True)):
        entry = {"id": index + 1, "bbox": box, "area": box[2] * box[3], "score": score}
        detections.setdefault(0 if class_agnostic else label, []).append(entry)
    return annotations, detections


def _xywh(boxes: Array) -> list[list[float]]:
    boxes = boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()  # type: ignore[no-any-return]


def _collect(images: list[tuple[int, dict[str, Any]]], count: int, num_images: int, num_thresholds: int) -> Matches:
    """Put the answers of `COCOeval.evaluateImg` side by side, `count` per image, and sort the detections by score."""
    empty = np.zeros((num_thresholds, 0), bool)
    scores = np.concatenate([np.zeros(0), *(image["dtScores"][:count] for _, image in images)])
    matched = np.concatenate([empty, *(image["dtMatches"][:, :count] > 0 for _, image in images)], axis=1)
    ignored = np.concatenate([empty, *(image["dtIgnore"][:, :count] for _, image in images)], axis=1).astype(bool)
    positives = np.zeros(num_images)
    for row, image in images:
        positives[row] = np.count_nonzero(image["gtIgnore"] == 0)
    counts = [len(image["dtScores"][:count]) for _, image in images]
    order = np.argsort(-scores, kind="stable")
    return Matches(
        image=np.repeat(np.array([row for row, _ in images], np.int64), counts)[order],
        correct=(matched & ~ignored)[:, order],
        wrong=(~matched & ~ignored)[:, order],
        positives=positives,
    )
