"""Scores of maps of two classes, such as vessels: overlap, sensitivity and specificity, and areas under curves.

As vessel segmentation reports them (Staal et al. 2004, https://doi.org/10.1109/TMI.2004.825627): pixels of all images
are counted together, inside labelled pixels only, so a field of view is what is labelled. Predictions are compared in
the file's own pixels.

The areas need the order of all pixels by their probability. Of each image a histogram of the log odds is kept, whose
bins are a 4096th of the distance from even odds wide, 1/512 at odds of 1 to 3000, and 1/65536 about even ones. The odds
come from the probabilities of both labels, not from one and its complement, so the extremes near 0 and 1 are kept apart
to the end of float32. The order within a bin is taken as random. So AUC differs from that of all pixels in order by
less than 1e-5, unless nearly all log odds lie within a hundredth of their distance from 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from densezoo.contracts import Metric
from densezoo.errors import ConfigError
from densezoo.functional.affine import opencv_matrix
from densezoo.functional.label_maps import IGNORE
from densezoo.metrics.records import same_kind
from densezoo.metrics.semantic_maps import check_ignore_index, class_names, compared_maps, count_pairs, unanswered
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

_TINY = np.finfo(np.float32).tiny
_SHARP, _FINE = 16.0, 4096.0
_MIDDLE = 32540  # log odds of float32 are below 88, which is 32535 bins from the middle
_LAST = 2 * _MIDDLE  # the first and the last bin are for pixels without an answer


@dataclass(frozen=True)
class _Record:
    """What is kept of an image.

    Attributes:
        counts: (5,) int64 pixels: annotated positive, of those answered so; annotated negative, of those answered so;
            answered positive.
        bins: (n,) uint16 bins of log odds that hold a pixel, ascending; None without probabilities.
        tally: (2, n) negative and positive pixels in each of them, of the smallest unsigned dtype that holds them.
    """

    counts: Array
    bins: Array | None = None
    tally: Array | None = None


@METRICS.register()
class BinaryScores:
    """Scores of the second label, the positive one, over all labelled pixels.

    Scores of `compute`, and of `per_image` over the image's own pixels, NaN where nothing is to be divided by:

    * `Dice`: 2·overlap / (annotated + answered), and `IoU`: overlap / union, of the positive label;
    * `sensitivity`, `specificity`: share of the positive and of the negative pixels that are answered so;
    * `accuracy`: share of all pixels that are right;
    * `AUC`: area under the ROC curve, and `AP`: average precision, the sum of precision over steps of recall; NaN
      where the answer has no probabilities, as that of a human observer or the constant one.

    A labelled pixel without an answer, as beyond the map of a network with valid convolutions, is wrong, and ranks
    behind all others.

    Args:
        meta: names the classes; there must be two.
        ignore_index: annotated pixels of this label are not scored, as those of 255.

    Raises:
        ConfigError: a data set with more classes, or without any.
    """

    higher_is_better = True
    primary = "Dice"
    reads_probabilities = True

    def __init__(self, meta: DatasetMeta, ignore_index: int = IGNORE) -> None:
        """Make an empty metric."""
        self.ignore_index = check_ignore_index(ignore_index, "BinaryScores")
        self.names = class_names(meta, "BinaryScores")
        if len(self.names) != 2:
            raise ConfigError(
                f"BinaryScores needs two classes, and this data set has {len(self.names)}: {', '.join(self.names)}; "
                "take MeanIoU for more"
            )
        self._records: dict[int, _Record] = {}

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add the counts of `samples`; an image without a semantic map is left out.

        Raises:
            DataError: sample or prediction lacks what it is scored by, or holds labels that are no class.
        """
        for prediction, sample in zip(predictions, samples, strict=True):
            maps = compared_maps(prediction, sample, "BinaryScores")
            if maps is None:
                continue
            maps = self._scored(maps[0]), maps[1]
            counts, odds = self._counts(*maps, sample["path"]), None
            if "probabilities" in prediction:
                odds = _log_odds(prediction["probabilities"], sample["to_original"], maps[0].shape)
            self._records[sample["image_id"]] = _Record(counts, *(() if odds is None else _tally(*maps, odds)))

    def add_truth(self, image_id: int, truth: ImageTruth) -> None:
        """Count every labelled pixel of a file that no sample shows as one without an answer."""
        if "semantic" in truth:
            labels = self._scored(truth["semantic"])
            nothing = unanswered(labels)
            counts = self._counts(labels, nothing, f"image {image_id}")
            self._records[image_id] = _Record(counts, *_tally(labels, nothing, np.zeros(labels.shape, np.float32)))

    def _scored(self, truth: Array) -> Array:
        return np.where(truth == self.ignore_index, np.uint8(IGNORE), truth)

    def _counts(self, truth: Array, answer: Array, where: str) -> Array:
        pairs = count_pairs(truth, answer, self.names, where)
        return np.array([pairs[1].sum(), pairs[1, 1], pairs[0].sum(), pairs[0, 0], pairs[:, 1].sum()])

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Return the scores over all images, or over images repeated `weights` times; NaN where nothing counts."""
        factors = {image_id: 1.0 if weights is None else weights.get(image_id, 0.0) for image_id in self._records}
        return _scores([(factors[image_id], each) for image_id, each in self._records.items() if factors[image_id]])

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return all scores of each image."""
        return {image_id: _scores([(1.0, record)]) for image_id, record in sorted(self._records.items())}

    def merge(self, other: Metric) -> None:
        """Take over the records of another BinaryScores.

        Raises:
            TypeError: `other` is no BinaryScores.
        """
        self._records.update(same_kind(BinaryScores, other)._records)


def _log_odds(probabilities: Array, affine: Array, size: tuple[int, ...]) -> Array:
    """Return (H, W) float32 log odds of the positive label in the file's pixels.

    Probabilities (2, h, w) are interpolated, bilinear between pixels' centres. Beside the image's rim both labels fade
    alike, which leaves their odds as they are.
    """
    maps = np.ascontiguousarray(probabilities.transpose(1, 2, 0), np.float32)
    warped = cv2.warpAffine(maps, opencv_matrix(affine), size[::-1], flags=cv2.INTER_LINEAR)
    logs = np.log(np.maximum(warped, _TINY))
    odds: Array = logs[..., 1] - logs[..., 0]
    return odds


def _tally(truth: Array, answer: Array, odds: Array) -> tuple[Array, Array]:
    """Return the bins of labelled pixels and how many of each label they hold, as `_Record` has them."""
    positive = truth == 1
    bins = np.rint(np.arcsinh(odds * _SHARP) * _FINE).astype(np.int64) + _MIDDLE
    bins = np.where(answer == IGNORE, np.where(positive, 0, _LAST), bins)
    known = truth != IGNORE
    tally = np.bincount((bins + positive * (_LAST + 1))[known], minlength=2 * (_LAST + 1)).reshape(2, -1)
    used = np.flatnonzero(tally.any(0))
    return used.astype(np.uint16), tally[:, used].astype(np.min_scalar_type(tally.max()))


def _scores(records: list[tuple[float, _Record]]) -> dict[str, float]:
    """Return the scores of images that count so often."""
    positive, hit, negative, spared, answered = sum(
        (factor * record.counts for factor, record in records), np.zeros(5)
    ).tolist()
    auc, precision = _areas(records)
    return {
        "Dice": _share(2 * hit, positive + answered),
        "IoU": _share(hit, positive + answered - hit),
        "sensitivity": _share(hit, positive),
        "specificity": _share(spared, negative),
        "accuracy": _share(hit + spared, positive + negative),
        "AUC": auc,
        "AP": precision,
    }


def _areas(records: list[tuple[float, _Record]]) -> tuple[float, float]:
    """Return the area under the ROC curve and the average precision; NaN where an image has no probabilities."""
    total = np.zeros((2, _LAST + 1))
    for factor, record in records:
        if record.bins is None or record.tally is None:
            return float("nan"), float("nan")
        total[:, record.bins] += factor * record.tally
    # from the surest down
    negative, positive = total[:, ::-1]
    negatives_above, positives_above = np.cumsum(negative) - negative, np.cumsum(positive) - positive
    # a negative of the same bin stands above a positive in half of all orders
    above = (positive * (negatives_above + negative / 2)).sum()
    # and the middle one of a bin's positives has half of the bin before it, and itself
    right = positives_above + (positive + 1) / 2
    precision = right / (right + negatives_above + negative / 2)
    count = positive.sum()
    inverted = _share(float(above), float(count * negative.sum()))
    return 1 - inverted, _share(float((positive * precision).sum()), float(count))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
