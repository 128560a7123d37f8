"""NME: normalised mean error, the usual score of facial landmarks.

The mean runs over the labelled joints of all instances with equal weight, so that an instance with more labelled
joints weighs more; where every joint is labelled this is the mean over instances.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from densezoo.contracts import Metric
from densezoo.errors import ConfigError
from densezoo.metrics.joint_errors import JointErrors, instance_weights
from densezoo.metrics.normalizers import Normalizer
from densezoo.metrics.records import same_kind
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample


@METRICS.register()
class NME:
    """Mean distance of the joints from their annotated positions, in lengths of the instance; lower is better.

    Scores of `compute`: `NME`, `NME/left_eye` and so on for every joint, `NME_skipped` (instances whose length cannot
    be measured) and `NME_missed` (instances without any prediction, which have no distance and are left out of the
    mean). With another normaliser than `box_size` its name is part of theirs: `NME_interocular`.

    Args:
        meta: names the joints.
        normalizer: `box_size` (square root of the box's area), `interocular`, `torso`, `head` or `box`.
        keypoints: the two joints that `interocular` measures between; the eyes if None.
        visible_only: leave hidden joints (visibility 1) out.

    Raises:
        ConfigError: no keypoints, or an unknown normaliser or joint.
    """

    higher_is_better = False

    def __init__(
        self,
        meta: DatasetMeta,
        normalizer: str = "box_size",
        keypoints: Sequence[str] | None = None,
        visible_only: bool = False,
    ) -> None:
        """Make an empty metric."""
        if not meta.num_keypoints:
            raise ConfigError("NME needs a data set with keypoints; this one has none")
        self.meta = meta
        self.errors = JointErrors(meta, Normalizer.named(normalizer, meta, keypoints), visible_only)
        self.primary = "NME" if normalizer == "box_size" else f"NME_{normalizer}"

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add the instances of `samples`; see `JointErrors` for which are compared.

        Raises:
            DataError: a sample or prediction lacks what it is scored by.
        """
        for prediction, sample in zip(predictions, samples, strict=True):
            self.errors.add(prediction, sample)

    def add_truth(self, image_id: int, truth: ImageTruth) -> None:
        """Count nothing: only annotations that a sample shows are scored."""

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Return the scores over all images, or over images repeated `weights` times; NaN where nothing counts."""
        errors, image_ids = self.errors.table()
        weight = instance_weights(image_ids, weights)
        missed = np.isinf(errors).any(axis=1)
        total, count = _sums(errors, weight)
        scores = {
            self.primary: _mean(total.sum(), count.sum()),
            f"{self.primary}_skipped": self.errors.num_skipped(weights),
            f"{self.primary}_missed": float(weight[missed].sum()),
        }
        for name, joint_total, joint_count in zip(self.meta.keypoint_names, total, count, strict=True):
            scores[f"{self.primary}/{name}"] = _mean(joint_total, joint_count)
        return scores

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return the mean of each image."""
        errors, image_ids = self.errors.table()
        finite = np.isfinite(errors)
        rows = np.stack([np.where(finite, errors, 0).sum(axis=1), finite.sum(axis=1)], axis=1)
        ids = self.errors.image_ids
        sums = np.zeros((len(ids), 2))
        np.add.at(sums, np.searchsorted(ids, image_ids), rows)
        return {image_id: {self.primary: _mean(*row)} for image_id, row in zip(ids, sums, strict=True)}

    def merge(self, other: Metric) -> None:
        """Take over the records of another NME.

        Raises:
            TypeError: `other` is no NME.
        """
        self.errors.merge(same_kind(NME, other).errors)


def _sums(errors: Array, weight: Array) -> tuple[Array, Array]:
    """Return the weighted sum and the weighted number of finite errors of each joint, each (K,)."""
    finite = np.isfinite(errors)
    return weight @ np.where(finite, errors, 0), weight @ finite


def _mean(total: float, count: float) -> float:
    return float(total / count) if count > 0 else float("nan")
