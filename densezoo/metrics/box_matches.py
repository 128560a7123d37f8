"""Matches of predicted with annotated boxes at COCO's ten IoU thresholds, class by class, by pycocotools."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from densezoo.metrics.box_records import annotated_labels, predicted_boxes
from densezoo.metrics.matches import ImageMatches, Matches
from densezoo.metrics.records import ImageRecord
from densezoo.types import Array

AREAS = ("all", "small", "medium", "large")
"""COCO's ranges of the annotated area, of all instances first."""
COUNTS = (1, 10, 100)
"""Best predictions per image and class that count."""
Curves = dict[tuple[str, int], tuple[Array, Array]]
"""Range of areas and number of predictions to (K, T, 101) precision and (K, T) highest recall of K classes."""
Entries = list[dict[str, Any]]
"""Annotations or predictions of one image, as pycocotools has them."""


@dataclass(frozen=True)
class BoxMatches:
    """Matches of all images.

    Attributes:
        image_ids: (I,) sorted.
        classes: of each class, range of areas and number of predictions per image to the matches.
    """

    image_ids: Array
    classes: list[dict[tuple[str, int], Matches]]

    def curves(self, weights: Array) -> Curves:
        """Return precision and recall, see `Matches.precision_recall`; `weights` are (I,) multiplicities."""
        found = [{key: matches.precision_recall(weights) for key, matches in areas.items()} for areas in self.classes]
        return {
            key: (np.stack([each[key][0] for each in found]), np.stack([each[key][1] for each in found]))
            for key in found[0]
        }

    def image_ap(self) -> Iterator[tuple[int, float]]:
        """Give the row and AP of every image and class that has something to find."""
        for areas in self.classes:
            matches = areas["all", COUNTS[-1]]
            for row in np.flatnonzero(matches.positives):
                precision, _ = matches.of_image(int(row)).precision_recall(np.ones(1))
                yield int(row), float(precision.mean())


def match_boxes(records: Mapping[int, ImageRecord], num_classes: int, class_agnostic: bool) -> BoxMatches:
    """Match within every image and class, as pycocotools does it.

    Args:
        records: image id to record.
        num_classes: labels are 0 to this, less 1; others are left out.
        class_agnostic: take all labels for 0.
    """
    evaluator = COCOeval(iouType="bbox")
    parameters = evaluator.params
    parameters.maxDets = list(COUNTS)
    ranges = dict(zip(parameters.areaRngLbl, parameters.areaRng, strict=True))
    image_ids = sorted(records)
    found: list[dict[str, list[tuple[int, dict[str, Any]]]]]
    found = [{area: [] for area in AREAS} for _ in range(num_classes)]
    for row, image_id in enumerate(image_ids):
        truth, detections = (_by_label(entries) for entries in box_entries(records[image_id], class_agnostic))
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

    def joined(answers: list[tuple[int, dict[str, Any]]], count: int) -> Matches:
        images = (ImageMatches.from_pycocotools(row, answer, count) for row, answer in answers)
        return Matches.joined(images, len(image_ids), num_thresholds)

    classes = [
        {
            (area, count): joined(answers, count)
            for area, answers in areas.items()
            for count in (COUNTS if area == "all" else COUNTS[-1:])
        }
        for areas in found
    ]
    return BoxMatches(np.array(image_ids, np.int64), classes)


def box_entries(record: ImageRecord, class_agnostic: bool) -> tuple[Entries, Entries]:
    """Return annotations and predictions of an image as pycocotools has them, with ids from 1 within the image."""
    truth = record.truth
    boxes, scores, labels = predicted_boxes(record, class_agnostic)
    annotations = [
        {"id": number, "category_id": label, "bbox": box, "area": area, "iscrowd": int(crowd), "ignore": int(crowd)}
        for number, (label, box, area, crowd) in enumerate(
            zip(
                annotated_labels(record, class_agnostic).tolist(),
                _xywh(truth["boxes"]),
                truth["areas"].tolist(),
                truth["crowd"].tolist(),
                strict=True,
            ),
            start=1,
        )
    ]
    detections = [
        {"id": number, "category_id": label, "bbox": box, "area": box[2] * box[3], "score": score}
        for number, (label, box, score) in enumerate(
            zip(labels.tolist(), _xywh(boxes), scores.tolist(), strict=True), start=1
        )
    ]
    return annotations, detections


def _by_label(entries: Entries) -> dict[int, Entries]:
    ordered = sorted(entries, key=lambda entry: int(entry["category_id"]))
    return {label: list(own) for label, own in groupby(ordered, key=lambda entry: int(entry["category_id"]))}


def _xywh(boxes: Array) -> list[list[float]]:
    boxes = boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()  # type: ignore[no-any-return]
