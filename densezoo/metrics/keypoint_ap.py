"""COCO's keypoint AP and AR by object keypoint similarity (https://cocodataset.org/#keypoints-eval).

pycocotools compares and matches within each image; the accumulation over images is done here, because it must take
multiplicities of images, which pycocotools has no notion of. Without multiplicities all ten numbers equal those of
`COCOeval.accumulate` and `COCOeval.summarize`. Deviations:

* A score with nothing to count (no large person, say) is NaN, where pycocotools says -1.
* Annotations and predictions get ids from 1 within their image: pycocotools takes a match with id 0 for none.
* Weights equal repeated images wherever scores differ. Among equal scores pycocotools' precision depends on the order
  of the images, so that a repeated image is not well-defined there.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from densezoo.contracts import Metric
from densezoo.errors import ConfigError
from densezoo.functional.oks import oks, sigmas_of
from densezoo.metrics.joint_errors import instance_weights, keypoints_in_file, truth_of
from densezoo.metrics.matches import Matches
from densezoo.metrics.oks_matches import keypoint_labels, match_images, ranked_poses, restricted
from densezoo.metrics.records import ImageRecord, Records, same_kind
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

# COCO's thresholds are 0.50, 0.55, …, 0.95.
_THRESHOLDS = {"": slice(None), "50": slice(0, 1), "75": slice(5, 6)}
_AREAS = {"m": "medium", "l": "large"}


@METRICS.register()
class KeypointAP:
    """Average precision and recall over OKS thresholds 0.50:0.05:0.95, over all images.

    Scores of `compute`: `AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl`. `per_image` gives `OKS`: the mean over
    the image's people (neither crowd nor without a labelled joint) of the OKS with their prediction, pairs being made
    from the highest OKS down. A person left over counts 0; a prediction left over does not count, whatever its score.

    Annotations come from `sample['truth']`, once per image however many samples show it; crowds and people without
    labelled joints are regions where a detection is neither right nor wrong. Where the truth holds several classes,
    those of which no instance has a labelled joint are left out, with the predictions that claim to be one of them.
    Where a file names no areas, a person's is 0.53 of the box. A prediction's score is its own times the sample's.
    Images that could not be read are left out.

    Args:
        meta: names the joints, and may give their sigmas.
        sigmas: K OKS constants; if None those of `meta`, else the published ones of COCO's or CrowdPose's joints.
        max_detections: best predictions per image that count.

    Raises:
        ConfigError: no sigmas are known for these joints, or their number or a value cannot be.
    """

    primary = "AP"
    higher_is_better = True

    def __init__(self, meta: DatasetMeta, sigmas: Sequence[float] | None = None, max_detections: int = 20) -> None:
        """Make an empty metric."""
        known = sigmas_of(meta) if sigmas is None else tuple(sigmas)
        if not known:
            raise ConfigError(
                f"KeypointAP: no published OKS sigmas are known for these {meta.num_keypoints} keypoints "
                f"({', '.join(meta.keypoint_names)}); give sigmas=[…] with {meta.num_keypoints} numbers "
                "in the metric's config, or use PCK"
            )
        if len(known) != meta.num_keypoints or not all(0 < sigma < math.inf for sigma in known):
            raise ConfigError(f"KeypointAP: sigmas must be {meta.num_keypoints} positive numbers, not {list(known)}")
        if max_detections < 1:
            raise ConfigError(f"KeypointAP: max_detections must be at least 1, not {max_detections}")
        self.meta = meta
        self.sigmas = known
        self.max_detections = max_detections
        self._records = Records()
        self._matches: tuple[Array, dict[str, Matches]] | None = None

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add predictions and, for images not seen before, the annotations.

        Raises:
            DataError: a sample or prediction lacks what it is scored by.
        """
        self._matches = None
        for prediction, sample in zip(predictions, samples, strict=True):
            if "error" in sample:
                continue
            truth_of(sample)
            keypoints = keypoints_in_file(prediction, sample, self.meta.num_keypoints)
            kept = Prediction(keypoints=keypoints[..., :2], scores=prediction["scores"])
            if "labels" in prediction:
                kept["labels"] = prediction["labels"]
            self._records.add(kept, sample)

    def add_truth(self, image_id: int, truth: ImageTruth) -> None:
        """Count the people of a file that no sample comes from as missed."""
        self._matches = None
        self._records.setdefault(image_id, ImageRecord(truth))

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Return the ten scores over all images, or over images repeated `weights` times; NaN where nothing counts."""
        if self._matches is None:
            self._matches = match_images(self._posed(), self.sigmas, self.max_detections)
        image_ids, matches = self._matches
        multiplicity = instance_weights(image_ids, weights)
        curves = {area: found.precision_recall(multiplicity) for area, found in matches.items()}
        scores = {}
        for position, name in enumerate(("AP", "AR")):
            for suffix, thresholds in _THRESHOLDS.items():
                scores[name + suffix] = float(curves["all"][position][thresholds].mean())
            for suffix, area in _AREAS.items():
                scores[name + suffix] = float(curves[area][position].mean())
        return scores

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return the mean OKS of each image; NaN where nobody has a labelled joint."""
        return {image_id: {"OKS": self._mean_oks(record)} for image_id, record in sorted(self._posed().items())}

    def merge(self, other: Metric) -> None:
        """Take over the records of another KeypointAP; an image's annotations that both have are kept once.

        Raises:
            TypeError: `other` is no KeypointAP.
        """
        self._matches = None
        self._records.take_over(same_kind(KeypointAP, other)._records)

    def _posed(self) -> dict[int, ImageRecord]:
        labels = keypoint_labels(self._records.values())
        return {image_id: restricted(record, labels) for image_id, record in self._records.items()}

    def _mean_oks(self, record: ImageRecord) -> float:
        truth = record.truth
        people = (truth["keypoints"][..., 2] > 0).any(axis=1) & ~truth["crowd"]
        if not people.any():
            return float("nan")
        keypoints, _ = ranked_poses(record, self.max_detections)
        similarity = oks(
            keypoints,
            truth["keypoints"][people],
            truth["areas"][people],
            np.array(self.sigmas),
            truth["boxes"][people],
        )
        total = 0.0
        for _ in range(min(similarity.shape)):
            row, column = np.unravel_index(np.argmax(similarity), similarity.shape)
            total += similarity[row, column]
            similarity[row] = similarity[:, column] = 0.0
        return float(total / similarity.shape[1])
