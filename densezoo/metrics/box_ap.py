"""COCO's box AP and AR (https://cocodataset.org/#detection-eval), over all classes and for each.

pycocotools compares and matches within each image and class; the accumulation over images is done here, because it must
take multiplicities of images, which pycocotools has no notion of. Without multiplicities all twelve numbers equal those
of `COCOeval.accumulate` and `COCOeval.summarize`. Deviations:

* A score with nothing to count (no small object, say) is NaN, where pycocotools says -1.
* Annotations and predictions get ids from 1 within their image: pycocotools takes a match with id 0 for none.
* Weights equal repeated images wherever scores differ. Among equal scores pycocotools' precision depends on the order
  of the images, so that a repeated image is not well-defined there.
"""

from collections.abc import Mapping

import numpy as np

from densezoo.contracts import Metric
from densezoo.errors import ConfigError, DataError
from densezoo.functional.affine import transform_boxes
from densezoo.metrics.box_matches import AREAS, COUNTS, BoxRecord, ClassMatches, match_boxes
from densezoo.metrics.joint_errors import instance_weights
from densezoo.registry import METRICS
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

# COCO's thresholds are 0.50, 0.55, …, 0.95.
_THRESHOLDS = {"": slice(None), "50": slice(0, 1), "75": slice(5, 6)}


@METRICS.register()
class BoxAP:
    """Average precision and recall over IoU thresholds 0.50:0.05:0.95, over all images.

    Scores of `compute`: `AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl`, each the mean over classes
    with something to find, and `AP/class` of every class where there are several. `per_image` gives `AP`: that of the
    image alone, over the classes that are on it.

    Annotations come from `sample['truth']`, once per image however many samples show it; crowds are regions where a
    detection is neither right nor wrong. A prediction's score is its own times the sample's; of each class the best 100
    of an image count. Images that could not be read are left out.

    Args:
        meta: names the classes.
        class_agnostic: take all labels for one class.

    Raises:
        ConfigError: the data set has no classes.
    """

    primary = "AP"
    higher_is_better = True

    def __init__(self, meta: DatasetMeta, class_agnostic: bool = False) -> None:
        """Make an empty metric."""
        if not meta.classes:
            raise ConfigError("BoxAP: the data set names no classes; it needs one with boxes")
        self.classes = ("object",) if class_agnostic else meta.classes
        self.class_agnostic = class_agnostic
        self._records: dict[int, BoxRecord] = {}
        self._matches: tuple[Array, list[ClassMatches]] | None = None

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add predictions and, for images not seen before, the annotations.

        Raises:
            DataError: a sample or prediction lacks what it is scored by.
        """
        self._matches = None
        for prediction, sample in zip(predictions, samples, strict=True):
            if "error" in sample:
                continue
            if "truth" not in sample:
                raise DataError(
                    f"{sample['path']}: no annotated boxes to compare with; evaluate on a set that has them"
                )
            boxes, labels = _boxes_in_file(prediction, sample)
            record = self._records.setdefault(sample["image_id"], BoxRecord(sample["truth"]))
            record.boxes.append(boxes)
            record.scores.append(np.asarray(prediction["scores"], np.float64) * sample.get("score", 1.0))
            record.labels.append(labels)

    def add_truth(self, image_id: int, truth: ImageTruth) -> None:
        """Count the objects of a file that no sample comes from as missed."""
        self._matches = None
        self._records.setdefault(image_id, BoxRecord(truth))

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Return the scores over all images, or over images repeated `weights` times; NaN where nothing counts."""
        image_ids, classes = self._matched()
        multiplicity = instance_weights(image_ids, weights)
        curves = [found.curves(multiplicity) for found in classes]
        precision = {area: np.array([curve[area, COUNTS[-1]][0] for curve in curves]) for area in AREAS}
        recall = {key: np.array([curve[key][1] for curve in curves]) for key in curves[0]}
        scores = {f"AP{name}": _mean(precision["all"][:, chosen]) for name, chosen in _THRESHOLDS.items()}
        scores |= {f"AP{area[0]}": _mean(precision[area]) for area in AREAS[1:]}
        scores |= {f"AR{count}": _mean(recall["all", count]) for count in COUNTS}
        scores |= {f"AR{area[0]}": _mean(recall[area, COUNTS[-1]]) for area in AREAS[1:]}
        if len(self.classes) > 1:
            scores |= {f"AP/{name}": _mean(own) for name, own in zip(self.classes, precision["all"], strict=True)}
        return scores

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return the AP of each image alone; NaN where it has nothing to find."""
        image_ids, classes = self._matched()
        found: dict[int, list[float]] = {int(image_id): [] for image_id in image_ids}
        for matches in classes:
            for row, value in matches.image_ap():
                found[int(image_ids[row])].append(value)
        return {image_id: {"AP": _mean(np.array(values))} for image_id, values in found.items()}

    def merge(self, other: Metric) -> None:
        """Take over the records of another BoxAP; an image's annotations that both have are kept once.

        Raises:
            TypeError: `other` is no BoxAP.
        """
        if not isinstance(other, BoxAP):
            raise TypeError(f"a BoxAP cannot take over the records of a {type(other).__name__}")
        self._matches = None
        for image_id, record in other._records.items():
            mine = self._records.setdefault(image_id, BoxRecord(record.truth))
            mine.boxes.extend(record.boxes)
            mine.scores.extend(record.scores)
            mine.labels.extend(record.labels)

    def _matched(self) -> tuple[Array, list[ClassMatches]]:
        if self._matches is None:
            self._matches = match_boxes(self._records, len(self.classes), self.class_agnostic)
        return self._matches


def _boxes_in_file(prediction: Prediction, sample: Sample) -> tuple[Array, Array]:
    """Map predicted boxes to the file's pixels: (D, 4) float64 xyxy, and (D,) labels.

    Raises:
        DataError: the prediction has no boxes or labels, or numbers that are not finite.
    """
    if "boxes" not in prediction or "labels" not in prediction:
        raise DataError(f"{sample['path']}: the model predicts no boxes; a box metric needs a detection task")
    boxes = np.asarray(prediction["boxes"], np.float64)
    if not (np.isfinite(boxes).all() and np.isfinite(prediction["scores"]).all()):
        raise DataError(f"{sample['path']}: the model predicts numbers that are not finite; its training diverged")
    return transform_boxes(sample["to_original"], boxes), np.asarray(prediction["labels"], np.int64)


def _mean(values: Array) -> float:
    """Return the mean of what is not NaN; NaN where all is."""
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if counted.size else float("nan")
