"""PASCAL VOC's average precision (Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4).

As the development kit has it: the detections of a class are taken from the best score down, and each is compared with
the one annotated box of its image that it overlaps most. It is right where that overlap reaches the threshold and
nobody took the box before, wrong where somebody did or the overlap is too small, and neither where the box is
"difficult": a crowd, in the words of this package. (COCO's rules give a detection the best box that is still free.)

The kit counts pixels: its coordinates are numbers of pixels, both of which belong to the box, so that a width is
x2 - x1 + 1. Coordinates here lie between pixels and the width is x2 - x1, which is the same number for the same box;
boxes of a VOC file reach from x1 - 1 to x2 in this frame. The kit takes an overlap of just the threshold as enough, and
so does this; py-faster-rcnn's port wants more than that. Among equal scores the first image comes first.
"""

from collections.abc import Mapping

import numpy as np
import torch

from densezoo.contracts import Metric
from densezoo.errors import ConfigError, near_names
from densezoo.functional.boxes import box_iou
from densezoo.metrics.box_records import add_boxes, annotated_labels, predicted_boxes
from densezoo.metrics.joint_errors import instance_weights
from densezoo.metrics.matches import ImageMatches, Matches, mean_of_known
from densezoo.metrics.records import ImageRecord, Records, same_kind
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

_PREFIXES = {"area": "VOC", "11-point": "VOC07"}


@METRICS.register()
class VocAP:
    """Average precision at one IoU threshold.

    Scores of `compute`: `VOC_AP50` (`VOC07_AP50` with 11 points; the number is the threshold in percent), the mean over
    the classes with something to find, and `VOC_AP50/class` of every class where there are several. `per_image` gives
    the first of the image alone, over the classes that are on it.

    Annotations come from `sample['truth']`, once per image however many samples show it; crowds take the place of VOC's
    difficult objects. A prediction's score is its own times the sample's. Images that could not be read are left out.

    Args:
        meta: names the classes.
        threshold: the IoU from which a detection is right.
        interpolation: `'area'`, the area under the precision that is highest at a recall or a higher one, as VOC has it
            since 2010; or `'11-point'`, its mean at the recalls 0, 0.1, …, 1, as VOC2007 had it.
        class_agnostic: take all labels for one class.

    Raises:
        ConfigError: the data set has no classes, or an argument cannot be.
    """

    higher_is_better = True

    def __init__(
        self,
        meta: DatasetMeta,
        threshold: float = 0.5,
        interpolation: str = "area",
        class_agnostic: bool = False,
    ) -> None:
        """Make an empty metric."""
        if not meta.classes:
            raise ConfigError("VocAP: the data set names no classes; it needs one with boxes")
        if not 0 < threshold <= 1:
            raise ConfigError(f"VocAP: threshold={threshold} must be above 0 and at most 1")
        if interpolation not in _PREFIXES:
            raise ConfigError(f"VocAP: no interpolation={interpolation!r}; {near_names(interpolation, _PREFIXES)}")
        self.classes = ("object",) if class_agnostic else meta.classes
        self.threshold = threshold
        self.interpolation = interpolation
        self.class_agnostic = class_agnostic
        self.primary = f"{_PREFIXES[interpolation]}_AP{100 * threshold:g}"
        self._records = Records()
        self._matches: tuple[Array, list[Matches]] | None = None

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add predictions and, for images not seen before, the annotations.

        Raises:
            DataError: a sample or prediction lacks what it is scored by.
        """
        self._matches = None
        add_boxes(self._records, predictions, samples)

    def add_truth(self, image_id: int, truth: ImageTruth) -> None:
        """Count the objects of a file that no sample comes from as missed."""
        self._matches = None
        self._records.setdefault(image_id, ImageRecord(truth))

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Return the scores over all images, or over images repeated `weights` times; NaN where nothing counts."""
        image_ids, classes = self._matched()
        multiplicity = instance_weights(image_ids, weights)
        values = [self._average(matches, multiplicity) for matches in classes]
        scores = {self.primary: mean_of_known(np.array(values))}
        if len(self.classes) > 1:
            scores |= {f"{self.primary}/{name}": value for name, value in zip(self.classes, values, strict=True)}
        return scores

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return the AP of each image alone; NaN where it has nothing to find."""
        image_ids, classes = self._matched()
        scores = {}
        for row, image_id in enumerate(image_ids.tolist()):
            values = [self._average(matches.of_image(row), np.ones(1)) for matches in classes if matches.positives[row]]
            scores[image_id] = {self.primary: mean_of_known(np.array(values))}
        return scores

    def merge(self, other: Metric) -> None:
        """Take over the records of another VocAP; an image's annotations that both have are kept once.

        Raises:
            TypeError: `other` is no VocAP.
        """
        self._matches = None
        self._records.take_over(same_kind(VocAP, other)._records)

    def _average(self, matches: Matches, weights: Array) -> float:
        """Return the AP of one class over images repeated `weights` times; NaN without anything to find."""
        if self.interpolation == "11-point":
            return float(matches.precision_recall(weights, 11)[0].mean())
        recall, precision = matches.curve(weights)
        steps = np.diff(recall, prepend=0.0)
        return float((steps * precision).sum()) if weights @ matches.positives > 0 else float("nan")

    def _matched(self) -> tuple[Array, list[Matches]]:
        """Return (I,) sorted image ids and the matches of each class."""
        if self._matches is None:
            image_ids = sorted(self._records)
            found = [self._match(row, self._records[image_id]) for row, image_id in enumerate(image_ids)]
            classes = [Matches.joined(images, len(found), 1) for images in zip(*found, strict=True)]
            if not found:
                classes = [Matches.joined([], 0, 1) for _ in self.classes]
            self._matches = np.array(image_ids, np.int64), classes
        return self._matches

    def _match(self, row: int, record: ImageRecord) -> list[ImageMatches]:
        """Return the matches of one image, of each class."""
        boxes, scores, labels = predicted_boxes(record, self.class_agnostic)
        truth, annotated = record.truth, annotated_labels(record, self.class_agnostic)
        order = np.argsort(-scores, kind="stable")
        found = []
        for label in range(len(self.classes)):
            own, there = order[labels[order] == label], annotated == label
            correct, wrong = _judge(boxes[own], truth["boxes"][there], truth["crowd"][there], self.threshold)
            positives = int(np.count_nonzero(~truth["crowd"][there]))
            found.append(ImageMatches(row, scores[own], correct[None], wrong[None], positives))
        return found


def _judge(boxes: Array, truth: Array, difficult: Array, threshold: float) -> tuple[Array, Array]:
    """Say which of (D, 4) boxes, best score first, are right and which are wrong, given (G, 4) annotated ones."""
    if not len(truth):
        return np.zeros(len(boxes), bool), np.ones(len(boxes), bool)
    overlaps = box_iou(torch.from_numpy(boxes)[:, None], torch.from_numpy(truth.astype(np.float64))).numpy()
    overlaps = np.nan_to_num(overlaps, nan=0.0)  # of two boxes without an area
    best = overlaps.argmax(axis=1)
    reaches = overlaps.max(axis=1) >= threshold
    counted = reaches & ~difficult[best]
    _, first = np.unique(best[counted], return_index=True)
    correct = np.zeros(len(boxes), bool)
    correct[np.flatnonzero(counted)[first]] = True
    return correct, ~reaches | (counted & ~correct)
