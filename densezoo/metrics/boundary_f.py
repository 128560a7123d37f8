"""How well the boundaries of semantic maps agree: the boundary F measure.

Csurka, Larlus, Perronnin, "What is a good evaluation measure for semantic segmentation?", 2013,
http://www.bmva.org/bmvc/2013/Papers/paper0032/. A boundary pixel is right where one of the other map's, of the same
class, lies nearer than a tolerance; precision is the share of right ones among those answered, recall among those
annotated, and F their harmonic mean. It is taken class by class and image by image, and averaged, over classes first:
that is what the authors argue for, since counting the pixels of all images together hides the images that went wrong.

What the paper leaves open, here: the boundary of a class are its pixels that touch, at a side, a pixel of another
class. The rim of the image is none, and neither is that of pixels without a label. Maps whose classes are parted by
such pixels everywhere, as Pascal VOC's are, therefore have next to no boundary, and this score says little of them.
"""

import math
from collections.abc import Mapping
from fractions import Fraction

import cv2
import numpy as np

from densezoo.errors import ConfigError
from densezoo.functional.label_maps import IGNORE
from densezoo.metrics.semantic_maps import CountsLabels, count_pairs
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta


@METRICS.register()
class BoundaryF(CountsLabels):
    """Boundary F of every image, averaged.

    Scores of `compute`:

    * `boundary_F`: mean over images of the mean over the classes that have a boundary there, annotated or answered;
    * `boundary_F/person`: mean over the images where the class has one, and NaN where there is none.

    `per_image` gives `boundary_F`; NaN for an image without any boundary. Maps are compared in the file's own pixels.
    An answer counts where a label is annotated; a boundary that nobody answered was missed.

    Args:
        meta: names the classes.
        tolerance: share of the image's diagonal; boundaries must lie nearer than that.
        ignore_index: annotated label that is not scored, besides 255.

    Raises:
        ConfigError: a data set without semantic classes, a tolerance outside 0–1, or an `ignore_index` that is no
            label.
    """

    higher_is_better = True
    primary = "boundary_F"

    def __init__(self, meta: DatasetMeta, tolerance: float = 0.0075, ignore_index: int = IGNORE) -> None:
        """Make an empty metric."""
        if not 0 < tolerance < 1:
            raise ConfigError(f"BoundaryF: tolerance={tolerance} is a share of the image's diagonal, between 0 and 1")
        self.tolerance = tolerance
        super().__init__(meta, ignore_index)

    def _count(self, truth: Array, answer: Array, where: str) -> Array:
        """Return (4, C) int64 boundary pixels: answered and right, answered, annotated and found, annotated."""
        count_pairs(truth, answer, self.names, where, self.ignore_index)  # for its check of the labels
        ignored = (truth == IGNORE) | (truth == self.ignore_index)
        annotated = _boundaries(np.where(ignored, np.uint8(IGNORE), truth))
        answered = _boundaries(np.where(ignored, np.uint8(IGNORE), answer))
        disc = _disc(self.tolerance, truth.shape)
        counts = np.zeros((4, len(self.names)), np.int64)
        for label in range(len(self.names)):
            given, found = (boundaries == label for boundaries in (annotated, answered))
            left, top, width, height = cv2.boundingRect((given | found).astype(np.uint8))
            box = slice(top, top + height), slice(left, left + width)
            if width:
                counts[:, label] = [*_near(found[box], given[box], disc), *_near(given[box], found[box], disc)]
        if self.ignore_index < len(self.names):
            counts[:, self.ignore_index] = 0  # answers of a label that is not scored are near to no boundary of it
        return counts

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Return the scores over all images, or over images repeated `weights` times; NaN where nothing counts."""
        factors = np.array([1.0 if weights is None else weights.get(image_id, 0.0) for image_id in self._records])
        counts = np.array(list(self._records.values()), np.int64).reshape(-1, 4, len(self.names))
        by_class = _f_measures(counts)
        by_image = np.array([_mean(values, np.ones_like(values)) for values in by_class])
        return {
            "boundary_F": _mean(by_image, factors),
            **{f"boundary_F/{name}": _mean(by_class[:, label], factors) for label, name in enumerate(self.names)},
        }

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return the mean over the classes of each image."""
        scores = {image_id: _f_measures(counts) for image_id, counts in sorted(self._records.items())}
        return {image_id: {"boundary_F": _mean(each, np.ones_like(each))} for image_id, each in scores.items()}


def _boundaries(labels: Array) -> Array:
    """Return (H, W) uint8: the label of pixels that touch another one, 255 elsewhere."""
    touching = np.zeros(labels.shape, bool)
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        parted = (labels[one] != labels[other]) & (labels[one] != IGNORE) & (labels[other] != IGNORE)
        touching[one] |= parted
        touching[other] |= parted
    return np.where(touching, labels, np.uint8(IGNORE))


def _disc(tolerance: float, size: tuple[int, ...]) -> Array:
    """Return the (2r + 1, 2r + 1) uint8 0/1 disc of offsets that are shorter than a share of the diagonal of `size`."""
    # squares of whole numbers, so that no rounding decides about a distance that equals the tolerance
    square = math.ceil(Fraction(str(tolerance)) ** 2 * (size[0] ** 2 + size[1] ** 2)) - 1
    steps = np.arange(-math.isqrt(square), math.isqrt(square) + 1)
    return (steps[:, None] ** 2 + steps**2 <= square).astype(np.uint8)


def _near(points: Array, others: Array, disc: Array) -> tuple[int, int]:
    """Return how many of the points, (h, w) bool, have one of the others under a disc about them, and how many are."""
    reached = cv2.dilate(others.astype(np.uint8), disc)
    return int(reached[points].sum()), int(points.sum())


def _f_measures(counts: Array) -> Array:
    """Return (..., C) float64 of (..., 4, C) counts; NaN where there is no boundary."""
    right, answered, found, annotated = np.moveaxis(counts, -2, 0)
    precision, recall = right / np.maximum(answered, 1), found / np.maximum(annotated, 1)
    both = precision + recall
    measures = 2 * precision * recall / np.where(both > 0, both, 1)
    return np.where(answered + annotated > 0, measures, np.nan)


def _mean(values: Array, weights: Array) -> float:
    """Return the weighted mean of (n,) values without those that are NaN; NaN where nothing is left."""
    weights = np.where(np.isnan(values), 0, weights)
    total = weights.sum()
    return float((weights * np.nan_to_num(values)).sum() / total) if total > 0 else float("nan")
