"""COCO's box AP and AR (https://cocodataset.org/#detection-eval), over all classes and for each.

pycocotools compares and matches within each image and class; the accumulation over images is done here, because it must
take multiplicities of images, which pycocotools has no notion of. Without multiplicities all twelve numbers equal those
of `COCOeval.accumulate` and `COCOeval.summarize`, and come from faster-coco-eval where that is installed (see
`faster_boxes`). Deviations:

* A score with nothing to count (no small object, say) is NaN, where pycocotools says -1.
* Annotations and predictions get ids of their own, from 1: pycocotools takes a match with id 0 for none.
* Weights equal repeated images wherever scores differ. Among equal scores pycocotools' precision depends on the order
  of the images, so that a repeated image is not well-defined there.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from densezoo.contracts import Metric
from densezoo.errors import ConfigError
from densezoo.metrics.box_matches import AREAS, COUNTS, BoxMatches, Curves, match_boxes
from densezoo.metrics.box_records import add_boxes
from densezoo.metrics.faster_boxes import faster_coco_eval, faster_curves, faster_image_ap
from densezoo.metrics.joint_errors import instance_weights
from densezoo.metrics.matches import mean_of_known
from densezoo.metrics.records import ImageRecord, Records, same_kind
from densezoo.registry import METRICS
from densezoo.types import DatasetMeta, ImageTruth, Prediction, Sample

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
        self._records = Records()
        self._matches: BoxMatches | None = None

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
        curves = self._curves(weights)
        precision = {area: curves[area, COUNTS[-1]][0] for area in AREAS}
        scores = {f"AP{name}": mean_of_known(precision["all"][:, chosen]) for name, chosen in _THRESHOLDS.items()}
        scores |= {f"AP{area[0]}": mean_of_known(precision[area]) for area in AREAS[1:]}
        scores |= {f"AR{count}": mean_of_known(curves["all", count][1]) for count in COUNTS}
        scores |= {f"AR{area[0]}": mean_of_known(curves[area, COUNTS[-1]][1]) for area in AREAS[1:]}
        if len(self.classes) > 1:
            own = zip(self.classes, precision["all"], strict=True)
            scores |= {f"AP/{name}": mean_of_known(values) for name, values in own}
        return scores

    def per_image(self) -> dict[int, dict[str, float]]:
        """Return the AP of each image alone; NaN where it has nothing to find."""
        image_ids = sorted(self._records)
        values: dict[int, list[float]] = {image_id: [] for image_id in image_ids}
        for row, value in self._image_ap(image_ids):
            values[image_ids[row]].append(value)
        return {image_id: {"AP": mean_of_known(np.array(own))} for image_id, own in values.items()}

    def merge(self, other: Metric) -> None:
        """Take over the records of another BoxAP; an image's annotations that both have are kept once.

        Raises:
            TypeError: `other` is no BoxAP.
        """
        self._matches = None
        self._records.take_over(same_kind(BoxAP, other)._records)

    def _curves(self, weights: Mapping[int, float] | None) -> Curves:
        library = faster_coco_eval() if weights is None and self._records else None
        if library is not None:
            ordered = [self._records[image_id] for image_id in sorted(self._records)]
            return faster_curves(library, ordered, len(self.classes), self.class_agnostic)
        found = self._matched()
        return found.curves(instance_weights(found.image_ids, weights))

    def _image_ap(self, image_ids: Sequence[int]) -> Iterator[tuple[int, float]]:
        """Give the row and AP of every image and class that has something to find."""
        library = faster_coco_eval()
        if library is None:
            return self._matched().image_ap()
        ordered = [self._records[image_id] for image_id in image_ids]
        return faster_image_ap(library, ordered, len(self.classes), self.class_agnostic)

    def _matched(self) -> BoxMatches:
        if self._matches is None:
            self._matches = match_boxes(self._records, len(self.classes), self.class_agnostic)
        return self._matches
