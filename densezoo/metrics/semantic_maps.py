"""What metrics of semantic maps compare: annotated and answered labels of one file, in its own pixels."""

from abc import ABC, abstractmethod

import numpy as np

from densezoo.contracts import Metric
from densezoo.errors import ConfigError, DataError
from densezoo.functional.answered_labels import labels_in_file
from densezoo.functional.label_maps import IGNORE
from densezoo.metrics.records import same_kind
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample


class CountsLabels(Metric, ABC):
    """A metric that keeps of each image some counts for each class."""

    def __init__(self, meta: DatasetMeta, ignore_index: int) -> None:
        """Make an empty metric.

        Raises:
            ConfigError: a data set without semantic classes, or an `ignore_index` that is no label.
        """
        name = type(self).__name__
        self.names = class_names(meta, name)
        self.ignore_index = check_ignore_index(ignore_index, name)
        self._records: dict[int, Array] = {}

    @abstractmethod
    def _count(self, truth: Array, answer: Array, where: str) -> Array:
        """Return (…, C) int64 counts of annotated and answered labels, (H, W) uint8; `where` begins messages."""

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add the counts of `samples`; an image without a semantic map is left out.

        Raises:
            DataError: sample or prediction lacks what it is scored by, or holds labels that are no class.
        """
        for prediction, sample in zip(predictions, samples, strict=True):
            maps = compared_maps(prediction, sample, type(self).__name__)
            if maps is not None:
                self._records[sample["image_id"]] = self._count(*maps, sample["path"])

    def add_truth(self, image_id: int, truth: ImageTruth) -> None:
        """Count every label of a file that no sample shows as one without an answer."""
        if "semantic" in truth:
            labels = truth["semantic"]
            self._records[image_id] = self._count(labels, unanswered(labels), f"image {image_id}")

    def merge(self, other: Metric) -> None:
        """Take over the records of another metric of the same kind.

        Raises:
            TypeError: `other` is of another kind.
        """
        self._records.update(same_kind(type(self), other)._records)


def class_names(meta: DatasetMeta, metric: str) -> tuple[str, ...]:
    """Return the names of the labels, from 0.

    Args:
        meta: of the data set.
        metric: who asks, for the message.

    Raises:
        ConfigError: the data set has no semantic classes.
    """
    if not meta.semantic_classes:
        raise ConfigError(f"{metric} needs a data set with semantic maps that says its classes; this one has none")
    return meta.semantic_classes


def check_ignore_index(ignore_index: int, metric: str) -> int:
    """Return a label that is not scored.

    Raises:
        ConfigError: it is none; `metric` is who asks.
    """
    if not 0 <= ignore_index <= IGNORE:
        raise ConfigError(f"{metric}: ignore_index={ignore_index} must be 0 to {IGNORE}")
    return ignore_index


def compared_maps(prediction: Prediction, sample: Sample, metric: str) -> tuple[Array, Array] | None:
    """Return annotated and answered labels of a file.

    Args:
        prediction: in network pixels.
        sample: with `to_original` and `truth`.
        metric: who asks, for the message.

    Returns:
        Two (H, W) uint8 of the file's size, 255 where nothing is annotated or answered; None for an image that could
        not be read or has no semantic map.

    Raises:
        DataError: sample or prediction lacks what it is scored by.
    """
    if "error" in sample:
        return None
    if "truth" not in sample:
        raise DataError(f"{sample['path']}: nothing annotated to compare with; evaluate on a set that has it")
    truth = sample["truth"]
    if "semantic" not in truth:
        return None
    if "semantic" not in prediction:
        raise DataError(f"{sample['path']}: the model predicts no semantic map; {metric} needs a segmentation task")
    return truth["semantic"], labels_in_file(prediction, sample["to_original"], truth["size"])


def unanswered(truth: Array) -> Array:
    """Return the answer to a file that nobody looked at: (H, W) uint8, all 255."""
    return np.full(truth.shape, IGNORE, np.uint8)


def count_pairs(truth: Array, answer: Array, names: tuple[str, ...], where: str, ignore_index: int = IGNORE) -> Array:
    """Count the pixels of every pair of labels.

    Args:
        truth: (H, W) uint8, annotated.
        answer: (H, W) uint8.
        names: of the classes.
        where: what the message begins with.
        ignore_index: annotated label that is not counted, besides 255.

    Returns:
        (256, 256) int64, by annotated and answered label.

    Raises:
        DataError: a counted label is no class.
    """
    count = len(names)
    pairs = np.bincount((truth.astype(np.uint16) << 8 | answer).ravel(), minlength=1 << 16).reshape(256, 256)
    pairs[[ignore_index, IGNORE]] = 0
    for labels, whose in ((pairs.sum(1), "annotated"), (pairs.sum(0), "predicted")):
        wrong = np.flatnonzero(labels[count:IGNORE]) + count
        if len(wrong):
            raise DataError(
                f"{where}: {whose} labels {wrong.tolist()} are no classes; there are {count}, "
                f"{', '.join(names)}, and {IGNORE} means none"
            )
    return pairs
