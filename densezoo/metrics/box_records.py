"""Predicted boxes and annotations of images, as box metrics keep them."""

from collections.abc import Iterable

import numpy as np

from densezoo.errors import DataError
from densezoo.functional.affine import transform_boxes
from densezoo.metrics.records import ImageRecord, Records
from densezoo.types import Array, Prediction, Sample


def add_boxes(records: Records, predictions: Iterable[Prediction], samples: Iterable[Sample]) -> None:
    """Add predictions and, for images not seen before, the annotations. Images that could not be read are left out.

    Raises:
        DataError: a sample or prediction lacks what it is scored by.
    """
    for prediction, sample in zip(predictions, samples, strict=True):
        if "error" in sample:
            continue
        if "truth" not in sample:
            raise DataError(f"{sample['path']}: no annotated boxes to compare with; evaluate on a set that has them")
        records.add(_in_file(prediction, sample), sample)


def predicted_boxes(record: ImageRecord, class_agnostic: bool) -> tuple[Array, Array, Array]:
    """Return what all samples of a file predict: (D, 4) xyxy boxes, (D,) scores and (D,) labels."""
    found = record.predictions
    labels = np.concatenate([np.zeros(0, np.int64), *(each["labels"] for each in found)])
    return (
        np.concatenate([np.zeros((0, 4)), *(each["boxes"] for each in found)]),
        np.concatenate([np.zeros(0), *(each["scores"] for each in found)]),
        np.zeros_like(labels) if class_agnostic else labels,
    )


def annotated_labels(record: ImageRecord, class_agnostic: bool) -> Array:
    """Return the (P,) labels of a file's annotations."""
    labels = record.truth["labels"]
    return np.zeros_like(labels) if class_agnostic else labels


def _in_file(prediction: Prediction, sample: Sample) -> Prediction:
    """Map predicted boxes to the file's pixels.

    Raises:
        DataError: the prediction has no boxes or labels, or numbers that are not finite.
    """
    if "boxes" not in prediction or "labels" not in prediction:
        raise DataError(f"{sample['path']}: the model predicts no boxes; a box metric needs a detection task")
    boxes = np.asarray(prediction["boxes"], np.float64)
    if not (np.isfinite(boxes).all() and np.isfinite(prediction["scores"]).all()):
        raise DataError(f"{sample['path']}: the model predicts numbers that are not finite; its training diverged")
    return Prediction(
        boxes=transform_boxes(sample["to_original"], boxes),
        scores=prediction["scores"],
        labels=np.asarray(prediction["labels"], np.int64),
    )
