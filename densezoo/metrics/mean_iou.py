"""Mean intersection over union of semantic maps, from the confusion matrix of every image.

As Pascal VOC and Cityscapes count it (Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4): pixels of all
images are counted together, so the mean of the images' own scores is another number. Predictions are compared in the
file's own pixels. Of each matrix its diagonal and sums are kept, which is all that the scores need.
"""

from collections.abc import Mapping

import numpy as np

from densezoo.functional.label_maps import IGNORE
from densezoo.metrics.semantic_maps import CountsLabels, count_pairs
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta


@METRICS.register()
class MeanIoU(CountsLabels):
    """IoU, Dice and accuracy over all labelled pixels.

    Scores of `compute`:

    * `mIoU`: mean over the classes that are annotated or predicted anywhere;
    * `mIoU/person`: IoU of every class; NaN where it is neither annotated nor predicted;
    * `mDice`: mean over the same classes of 2·overlap / (annotated + predicted), and `mDice/person`;
    * `pixel_accuracy`: share of labelled pixels that are right.

    `per_image` gives the means and accuracy over the image's own pixels. A labelled pixel without an answer, as beyond
    the map of a network with valid convolutions, is wrong.

    Args:
        meta: names the classes.
        ignore_index: annotated label that is not scored, besides 255.

    Raises:
        ConfigError: a data set without semantic classes, or an `ignore_index` that is no label.
    """

    higher_is_better = True
    primary = "mIoU"

    def __init__(self, meta: DatasetMeta, ignore_index: int = IGNORE) -> None:
        """Make an empty metric."""
        super().__init__(meta, ignore_index)

    def _count(self, truth: Array, answer: Array, where: str) -> Array:
        """Return (3, C) int64 pixels: annotated and answered alike, annotated, answered."""
        count = len(self.names)
        pairs = count_pairs(truth, answer, self.names, where, self.ignore_index)
        counts = np.stack([pairs.diagonal(), pairs.sum(1), pairs.sum(0)])[:, :count]
        if self.ignore_index < count:  # answered where another label is annotated, it is wrong there and no more
            counts[:, self.ignore_index] = 0
        return counts

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Return the scores over all images, or over images repeated `weights` times; NaN where nothing counts."""
        factors = [1.0 if weights is None else weights.get(image_id, 0.0) for image_id in self._records]
        counts = np.array(list(self._records.values()), np.float64).reshape(-1, 3, len(self.names))
        total = np.tensordot(np.array(factors), counts, 1)
        means, (iou, dice) = _means(total), _shares(total)
        # those of classes follow their mean, as tables show them
        return {
            "mIoU": means["mIoU"],
            **{f"mIoU/{name}": float(value) for name, value in zip(self.names, iou, strict=True)},
            "mDice": means["mDice"],
            **{f"mDice/{name}": float(value) for name, value in zip(self.names, dice, strict=True)},
            "pixel_accuracy": means["pixel_accuracy"],
        }

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return mIoU, mean Dice and pixel accuracy of each image."""
        return {image_id: _means(counts) for image_id, counts in sorted(self._records.items())}


def _shares(counts: Array) -> tuple[Array, Array]:
    """Return (C,) float64 IoU and Dice of each class; NaN where it is neither annotated nor predicted."""
    overlap, annotated, answered = counts
    sizes = np.where(annotated + answered > 0, annotated + answered, np.nan)
    return overlap / (sizes - overlap), 2 * overlap / sizes


def _means(counts: Array) -> dict[str, float]:
    """Return the scores over all classes, of (3, C) counts."""
    iou, dice = _shares(counts)
    known = ~np.isnan(iou)
    overlap, annotated, _ = counts.sum(1)
    return {
        "mIoU": float(iou[known].mean()) if known.any() else float("nan"),
        "mDice": float(dice[known].mean()) if known.any() else float("nan"),
        "pixel_accuracy": float(overlap / annotated) if annotated else float("nan"),
    }
