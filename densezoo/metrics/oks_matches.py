"""Matches of predicted with annotated poses at COCO's ten OKS thresholds, by pycocotools."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from densezoo.metrics.matches import ImageMatches, Matches
from densezoo.metrics.records import ImageRecord
from densezoo.types import Array, ImageTruth, Prediction

_CATEGORY = 1  # pycocotools wants one; all annotated people are of the same kind


def restricted(record: ImageRecord, labels: set[int]) -> ImageRecord:
    """Return the annotations of the classes `labels` and the predictions that do not claim another class."""
    chosen = np.isin(record.truth["labels"], list(labels))
    truth = ImageTruth(
        ids=record.truth["ids"][chosen],
        labels=record.truth["labels"][chosen],
        boxes=record.truth["boxes"][chosen],
        areas=record.truth["areas"][chosen],
        crowd=record.truth["crowd"][chosen],
        keypoints=record.truth["keypoints"][chosen],
        size=record.truth["size"],
    )
    kept = []
    for prediction in record.predictions:
        own = np.isin(prediction["labels"], list(labels)) if "labels" in prediction else slice(None)
        kept.append(Prediction(keypoints=prediction["keypoints"][own], scores=prediction["scores"][own]))
    return ImageRecord(truth, kept)


def ranked_poses(record: ImageRecord, max_detections: int) -> tuple[Array, Array]:
    """Return (D, K, 2) poses and (D,) scores of all samples, best first, at most `max_detections`."""
    num_keypoints = record.truth["keypoints"].shape[1]
    keypoints = np.concatenate([np.zeros((0, num_keypoints, 2)), *(each["keypoints"] for each in record.predictions)])
    scores = np.concatenate([np.zeros(0), *(each["scores"] for each in record.predictions)])
    order = np.argsort(-scores, kind="stable")[:max_detections]
    return keypoints[order], scores[order]


def keypoint_labels(records: Iterable[ImageRecord]) -> set[int]:
    """Return the labels of which any instance has a labelled joint: the classes that have a pose."""
    found: set[int] = set()
    for record in records:
        posed = (record.truth["keypoints"][..., 2] > 0).any(axis=1)
        found.update(int(label) for label in record.truth["labels"][posed])
    return found


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
    found: dict[str, list[ImageMatches]] = {name: [] for name in parameters.areaRngLbl}
    for row, image_id in enumerate(image_ids):
        key = image_id, _CATEGORY
        # Filled in directly, because COCO's own index and `evaluate` print to the terminal and copy everything.
        evaluator._gts = {key: _annotations(records[image_id].truth)}
        evaluator._dts = {key: _detections(records[image_id], max_detections)}
        evaluator.ious = {key: evaluator.computeOks(*key)}
        for name, area_range in zip(parameters.areaRngLbl, parameters.areaRng, strict=True):
            answer: dict[str, Any] | None = evaluator.evaluateImg(*key, area_range, max_detections)
            if answer is not None:
                found[name].append(ImageMatches.from_pycocotools(row, answer, max_detections))
    num_images, num_thresholds = len(image_ids), len(parameters.iouThrs)
    joined = {name: Matches.joined(images, num_images, num_thresholds) for name, images in found.items()}
    return np.array(image_ids, np.int64), joined


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
    keypoints, scores = ranked_poses(record, max_detections)
    padded = np.concatenate([keypoints, np.zeros_like(keypoints[..., :1])], axis=-1)
    # A detection's area is that of the box around its joints, as `COCO.loadRes` has it.
    areas = np.ptp(keypoints, axis=1).prod(axis=-1)
    return [
        {"id": index + 1, "score": float(score), "area": float(area), "keypoints": points.ravel().tolist()}
        for index, (points, score, area) in enumerate(zip(padded, scores, areas, strict=True))
    ]
