"""PCK: the percentage (here: share, 0 to 1) of correct keypoints (Yang and Ramanan, TPAMI 2013).

A joint is correct when it lies within `threshold` lengths of the annotated one, the boundary included as in the MPII
evaluation; the length is a choice, `densezoo.metrics.normalizers` lists them. Means run over joints of all people with
equal weight per annotated joint, as the MPII evaluation takes them (mmpose's PCK averages the per-joint values).
The area under the curve is exact, not a sum over sampled thresholds.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from densezoo.contracts import Metric
from densezoo.errors import ConfigError
from densezoo.metrics.joint_errors import JointErrors, instance_weights
from densezoo.metrics.normalizers import Normalizer, keypoint_index
from densezoo.metrics.records import same_kind
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

_PREFIXES = {"torso": "PCK", "head": "PCKh"}


@METRICS.register()
class PCK:
    """Share of joints within a threshold of the annotated position.

    Scores of `compute`, with the prefix `PCK` for the torso, `PCKh` for the head, `PCK_box` and so on for the others:

    * `PCK@0.2`: mean over the labelled joints named in `joints`;
    * `PCK@0.2/left_wrist`: every joint by itself, also those not in `joints`; NaN where nobody has it labelled;
    * `PCK_AUC`: area under the PCK curve from 0 to `threshold`, divided by `threshold`; over `joints`;
    * `PCK_skipped`: people left out because the length could not be measured.

    `per_image` gives the first and the third over the image's own people. A person whom no prediction was given for
    has every joint wrong.

    Args:
        meta: names the joints.
        normalizer: `torso`, `head`, `box`, `box_size` or `interocular`.
        threshold: distance in lengths up to which a joint is correct.
        joints: names of the joints in the means; all if None.
        visible_only: leave hidden joints (visibility 1) out.

    Raises:
        ConfigError: no keypoints, an unknown normaliser or joint, or a threshold that is not positive.
    """

    higher_is_better = True

    def __init__(
        self,
        meta: DatasetMeta,
        normalizer: str = "torso",
        threshold: float = 0.2,
        joints: Sequence[str] | None = None,
        visible_only: bool = False,
    ) -> None:
        """Make an empty metric."""
        if not meta.num_keypoints:
            raise ConfigError("PCK needs a data set with keypoints; this one has none")
        if not 0 < threshold < math.inf:
            raise ConfigError(f"PCK: threshold must be positive and finite, not {threshold!r}")
        if isinstance(joints, str) or (joints is not None and not joints):
            raise ConfigError(f"PCK: joints must be a list of keypoint names, not {joints!r}")
        self.meta = meta
        self.threshold = float(threshold)
        self.errors = JointErrors(meta, Normalizer.named(normalizer, meta), visible_only)
        named = meta.keypoint_names if joints is None else joints
        self.joints = sorted({keypoint_index(name, meta) for name in named})
        self.prefix = _PREFIXES.get(normalizer, f"PCK_{normalizer}")
        self.primary = f"{self.prefix}@{self.threshold:g}"
        self.opposite_scores = frozenset((f"{self.prefix}_skipped",))

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add the people of `samples`; see `JointErrors` for who is compared with whom.

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
        counted = weight @ ~np.isnan(errors)
        correct = weight @ (errors <= self.threshold)
        area = weight @ _areas(errors, self.threshold)
        scores = {
            self.primary: _share(correct[self.joints].sum(), counted[self.joints].sum()),
            f"{self.prefix}_AUC": _share(area[self.joints].sum(), counted[self.joints].sum()),
            f"{self.prefix}_skipped": self.errors.num_skipped(weights),
        }
        for name, value, count in zip(self.meta.keypoint_names, correct, counted, strict=True):
            scores[f"{self.primary}/{name}"] = _share(value, count)
        return scores

    def curve(self, thresholds: Sequence[float] | Array, weights: Mapping[int, float] | None = None) -> Array:
        """Return the mean PCK over `joints` at each of (T,) thresholds in lengths, as (T,) float64 (NaN if empty)."""
        errors, image_ids = self.errors.table()
        chosen = errors[:, self.joints]
        weight = np.broadcast_to(instance_weights(image_ids, weights)[:, None], chosen.shape)[~np.isnan(chosen)]
        values = chosen[~np.isnan(chosen)]
        order = np.argsort(values)
        below = np.concatenate([[0.0], np.cumsum(weight[order])])
        within = np.searchsorted(values[order], np.asarray(thresholds, np.float64), side="right")
        shares: Array = below[within] / (below[-1] or np.nan)
        return shares

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return the mean PCK and the area under its curve of each image, over `joints`."""
        errors, image_ids = self.errors.table()
        chosen = errors[:, self.joints]
        rows = np.stack(
            [
                (chosen <= self.threshold).sum(axis=1),
                _areas(chosen, self.threshold).sum(axis=1),
                (~np.isnan(chosen)).sum(axis=1),
            ],
            axis=1,
        )
        ids = self.errors.image_ids
        sums = np.zeros((len(ids), 3))
        np.add.at(sums, np.searchsorted(ids, image_ids), rows)
        names = self.primary, f"{self.prefix}_AUC"
        return {
            image_id: {names[0]: _share(correct, count), names[1]: _share(area, count)}
            for image_id, (correct, area, count) in zip(ids, sums, strict=True)
        }

    def merge(self, other: Metric) -> None:
        """Take over the records of another PCK.

        Raises:
            TypeError: `other` is no PCK.
        """
        self.errors.merge(same_kind(PCK, other).errors)


def _areas(errors: Array, threshold: float) -> Array:
    """Return each joint's area under its 0/1 curve from 0 to `threshold`, over `threshold`; 0 where it is NaN."""
    areas: Array = np.nan_to_num(np.clip(1 - errors / threshold, 0, 1), nan=0.0)
    return areas


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
