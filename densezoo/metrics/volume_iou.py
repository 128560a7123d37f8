"""How well volumes agree: intersection over union of their voxels, and the distance between their surfaces.

Volumetric regression (Jackson et al. 2017, https://arxiv.org/abs/1703.07834) is scored by the mean distance of vertices
over the distance between the outer corners of the eyes. A volume has neither vertices with a meaning nor eyes, so here
the distance is that between surfaces, from every point of each to the nearest point of the other, and the length is the
square root of the area of the truth's box in the image, which a turned head keeps where its eyes come together.

Predictions are compared in the file's own pixels.
"""

import math
from collections.abc import Mapping

import numpy as np

from densezoo.contracts import Metric
from densezoo.errors import ConfigError, DataError
from densezoo.functional.surfaces import surface_distance, surface_points
from densezoo.functional.volumes import INSIDE, warp_volume
from densezoo.metrics.records import same_kind
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

_NAMES = ("IoU", "surface_error", "surface_NME")


@METRICS.register()
class VolumeIoU:
    """IoU of voxels and distance of surfaces.

    Scores of `compute`, the first three as means over images:

    * `IoU`: voxels that are inside both over voxels inside either; an image with neither is left out;
    * `surface_error`: mean distance between the surfaces in pixels of the file, both ways averaged;
    * `surface_NME`: that distance over the square root of the area of the truth's box in the image;
    * `surface_missed`: images whose answer has no surface, and so no distance; both means leave them out.

    Distances are exact between the middles of the voxel faces that part inside from outside, each weighted by its area.

    Args:
        meta: says how thick the slices of volumes are.

    Raises:
        ConfigError: a data set without volumes.
    """

    higher_is_better = True
    opposite_scores = frozenset(("surface_error", "surface_NME", "surface_missed"))
    primary = "IoU"

    def __init__(self, meta: DatasetMeta) -> None:
        """Make an empty metric."""
        if not meta.volume_slices:
            raise ConfigError("VolumeIoU needs a data set with volumes; this one has none")
        self.thickness = float(meta.volume_slices[1])
        self._records: dict[int, tuple[float, float, float]] = {}

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add the scores of `samples`; an image without a volume is left out.

        Raises:
            DataError: sample or prediction lacks what it is scored by, or their volumes have not the same slices.
        """
        for prediction, sample in zip(predictions, samples, strict=True):
            if "error" in sample:
                continue
            if "truth" not in sample:
                raise DataError(f"{sample['path']}: nothing annotated to compare with; evaluate on a set that has it")
            truth = sample["truth"]
            if "volume" not in truth:
                continue
            if "volume" not in prediction:
                raise DataError("VolumeIoU needs predictions with a volume, such as those of the task Volume")
            found, annotated = prediction["volume"], truth["volume"]
            if len(found) != len(annotated):
                raise DataError(
                    f"{sample['path']}: the answer has {len(found)} slices, the annotated volume {len(annotated)}"
                )
            moved = warp_volume(found.astype(np.float32), sample["to_original"], truth["size"])
            self._records[sample["image_id"]] = self._score(annotated > 0, moved >= INSIDE)

    def add_truth(self, image_id: int, truth: ImageTruth) -> None:
        """Count a file that no sample shows as one with an empty answer."""
        if "volume" in truth:
            self._records[image_id] = self._score(truth["volume"] > 0, np.zeros(truth["volume"].shape, np.bool_))

    def _score(self, truth: Array, answer: Array) -> tuple[float, float, float]:
        """Return IoU, distance and normalised distance; NaN where there is nothing to score, infinity for a miss."""
        either = np.count_nonzero(truth | answer)
        iou = np.count_nonzero(truth & answer) / either if either else math.nan
        surface = surface_points(truth, self.thickness)
        if not len(surface[0]):
            return iou, math.nan, math.nan
        error = surface_distance(surface, surface_points(answer, self.thickness))
        return iou, error, error / _length(truth)

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Return the scores over all images, or over images repeated `weights` times; NaN where nothing counts."""
        factors = np.array([1.0 if weights is None else weights.get(image_id, 0.0) for image_id in self._records])
        values = np.array(list(self._records.values()), np.float64).reshape(-1, len(_NAMES))
        scores = {name: _mean(column, factors) for name, column in zip(_NAMES, values.T, strict=True)}
        return scores | {"surface_missed": float(factors[np.isinf(values[:, 1])].sum())}

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return IoU, distance and normalised distance of each image."""
        return {image_id: dict(zip(_NAMES, found, strict=True)) for image_id, found in sorted(self._records.items())}

    def merge(self, other: Metric) -> None:
        """Take over the records of another VolumeIoU.

        Raises:
            TypeError: `other` is no VolumeIoU.
        """
        self._records.update(same_kind(VolumeIoU, other)._records)


def _length(volume: Array) -> float:
    """Return the square root of the area of the box around a volume's silhouette, in pixels."""
    silhouette: Array = volume.max(0)
    rows, columns = np.flatnonzero(silhouette.max(1)), np.flatnonzero(silhouette.max(0))
    return math.sqrt((rows[-1] + 1 - rows[0]) * (columns[-1] + 1 - columns[0]))


def _mean(values: Array, weights: Array) -> float:
    known = np.isfinite(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else math.nan
