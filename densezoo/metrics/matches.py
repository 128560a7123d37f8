"""Which predictions matched an annotated instance at each threshold, and precision and recall over them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from densezoo.types import Array


class ImageMatches(NamedTuple):
    """Predictions of one image, best score first.

    Attributes:
        row: which image.
        scores: (D,).
        correct: (T, D) bool, matched an instance that counts.
        wrong: (T, D) bool, matched nothing; what matched an ignored instance is neither.
        positives: instances that count.
    """

    row: int
    scores: Array
    correct: Array
    wrong: Array
    positives: int

    @classmethod
    def from_pycocotools(cls, row: int, answer: Mapping[str, Any], count: int) -> "ImageMatches":
        """Read an answer of `COCOeval.evaluateImg`, of whose predictions the best `count` are kept."""
        matched, ignored = answer["dtMatches"][:, :count] > 0, answer["dtIgnore"][:, :count].astype(bool)
        return cls(
            row,
            np.array(answer["dtScores"][:count], np.float64),
            matched & ~ignored,
            ~matched & ~ignored,
            int(np.count_nonzero(answer["gtIgnore"] == 0)),
        )


@dataclass(frozen=True)
class Matches:
    """Predictions of all images, best score first.

    Attributes:
        image: (D,) which image each is in.
        correct: (T, D) bool, as in `ImageMatches`.
        wrong: (T, D) bool.
        positives: (I,) instances that count, of each image.
    """

    image: Array
    correct: Array
    wrong: Array
    positives: Array

    @classmethod
    def joined(cls, found: Iterable[ImageMatches], num_images: int, num_thresholds: int) -> "Matches":
        """Put images side by side. Among equal scores the first image comes first, as in pycocotools."""
        given = list(found)
        nothing = np.zeros((num_thresholds, 0), bool)
        order = np.argsort(-np.concatenate([np.zeros(0), *(each.scores for each in given)]), kind="stable")
        positives = np.zeros(num_images)
        positives[[each.row for each in given]] = [each.positives for each in given]
        rows = np.array([each.row for each in given], np.int64)
        return cls(
            image=np.repeat(rows, np.array([len(each.scores) for each in given], np.int64))[order],
            correct=np.concatenate([nothing, *(each.correct for each in given)], axis=1)[:, order],
            wrong=np.concatenate([nothing, *(each.wrong for each in given)], axis=1)[:, order],
            positives=positives,
        )

    def of_image(self, row: int) -> "Matches":
        """Return the matches of one image, which is then image 0."""
        own = self.image == row
        return Matches(
            image=np.zeros(np.count_nonzero(own), np.int64),
            correct=self.correct[:, own],
            wrong=self.wrong[:, own],
            positives=self.positives[row : row + 1],
        )

    def curve(self, weights: Array) -> tuple[Array, Array]:
        """Go through the predictions from the best score down.

        Args:
            weights: (I,) multiplicity of each image.

        Returns:
            (T, D) recall up to each prediction, NaN without any instance to find; and (T, D) the highest precision
            there or further down.
        """
        weight = weights[self.image]
        correct = np.cumsum(self.correct * weight, axis=1)
        wrong = np.cumsum(self.wrong * weight, axis=1)
        total = float(weights @ self.positives)
        precision = correct / (correct + wrong + np.spacing(1))
        return correct / (total if total > 0 else np.nan), np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]

    def precision_recall(self, weights: Array, num_levels: int = 101) -> tuple[Array, Array]:
        """Accumulate over images.

        Args:
            weights: (I,) multiplicity of each image.
            num_levels: R.

        Returns:
            (T, R) precision at R levels of recall from 0 to 1, and (T,) highest recall; NaN without any instance to
            find.
        """
        levels = np.linspace(0.0, 1.0, num_levels)
        num_thresholds, num_predictions = self.correct.shape
        if not weights @ self.positives > 0:
            return np.full((num_thresholds, num_levels), np.nan), np.full(num_thresholds, np.nan)
        if not num_predictions:
            return np.zeros((num_thresholds, num_levels)), np.zeros(num_thresholds)
        recall, precision = self.curve(weights)
        # A recall that is never reached reads the extra last column.
        padded = np.concatenate([precision, np.zeros((num_thresholds, 1))], axis=1)
        first = np.stack([np.searchsorted(row, levels, side="left") for row in recall])
        return np.take_along_axis(padded, first, axis=1), recall[:, -1]


def mean_of_known(values: Array) -> float:
    """Return the mean of what is not NaN; NaN where all is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
