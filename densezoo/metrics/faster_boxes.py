"""COCO's box evaluation by faster-coco-eval (https://github.com/MiXaiLL76/faster_coco_eval), where it is installed.

It matches and accumulates in C++, and its numbers are those of pycocotools. What it matched stays in there, in objects
that Python cannot read, so scores of reweighted images are worked out from the matches of pycocotools.
"""

import importlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from densezoo.metrics.box_matches import AREAS, COUNTS, Curves, Entries, box_entries
from densezoo.metrics.box_records import annotated_labels
from densezoo.metrics.records import ImageRecord

logger = logging.getLogger("densezoo")
_IMAGES_AT_ONCE = 250  # whose precisions, 8 kB for each class on an image, are held at once


@cache
def faster_coco_eval() -> ModuleType | None:
    """Return the library, None where it is not installed; say once which evaluation is used."""
    try:
        library = importlib.import_module("faster_coco_eval")
    except ImportError:
        logger.debug("box AP by pycocotools; pip install 'densezoo[fast]' makes it faster")
        return None
    logger.info("box AP by faster-coco-eval %s", library.__version__)
    return library


def faster_curves(
    library: ModuleType, records: Sequence[ImageRecord], num_classes: int, class_agnostic: bool
) -> Curves:
    """Return precision and recall over images, each counted once; NaN for a class without anything to find.

    Args:
        library: `faster_coco_eval`.
        records: of the images, in an order that decides between equal scores.
        num_classes: labels are 0 to this, less 1; others are left out.
        class_agnostic: take all labels for 0.
    """
    content = _Content(len(records), num_classes)
    for row, record in enumerate(records):
        content.add(record, class_agnostic, row, {label: label for label in range(num_classes)})
    return content.curves(library, AREAS, COUNTS)


def faster_image_ap(
    library: ModuleType, records: Sequence[ImageRecord], num_classes: int, class_agnostic: bool
) -> Iterator[tuple[int, float]]:
    """Give the row and AP of every image and class that is annotated there; NaN where that is a crowd only."""
    for start in range(0, len(records), _IMAGES_AT_ONCE):
        # Every class of every image becomes a class of its own, all of them on one image.
        content = _Content(num_images=1, num_classes=0)
        rows: list[int] = []
        for row, record in enumerate(records[start : start + _IMAGES_AT_ONCE], start):
            labels = [
                label for label in set(annotated_labels(record, class_agnostic).tolist()) if 0 <= label < num_classes
            ]
            content.add(record, class_agnostic, 0, {label: number for number, label in enumerate(labels, len(rows))})
            rows += [row] * len(labels)
        content.num_classes = len(rows)
        precision, _ = content.curves(library, AREAS[:1], COUNTS[-1:])["all", COUNTS[-1]]
        yield from zip(rows, precision.mean((1, 2)).tolist(), strict=True)


@dataclass
class _Content:
    """What is evaluated together."""

    num_images: int
    num_classes: int
    annotations: Entries = field(default_factory=list)
    detections: Entries = field(default_factory=list)

    def add(self, record: ImageRecord, class_agnostic: bool, image: int, class_of: Mapping[int, int]) -> None:
        """Add what is annotated and predicted of some labels, under the numbers of an image and of classes."""
        for entries, own in zip((self.annotations, self.detections), box_entries(record, class_agnostic), strict=True):
            for entry in own:
                label = class_of.get(entry["category_id"])
                if label is not None:
                    entries.append({**entry, "id": len(entries) + 1, "image_id": image, "category_id": label})

    def curves(self, library: ModuleType, areas: Sequence[str], counts: Sequence[int]) -> Curves:
        """Evaluate."""
        described: dict[str, Any] = {
            "images": [{"id": number} for number in range(self.num_images)],
            "categories": [{"id": label} for label in range(self.num_classes)],
        }
        truth, found = (
            library.COCO({**described, "annotations": entries}) for entries in (self.annotations, self.detections)
        )
        evaluator = library.COCOeval_faster(truth, found, iouType="bbox")
        parameters = evaluator.params
        ranges = dict(zip(parameters.areaRngLbl, parameters.areaRng, strict=True))
        parameters.areaRngLbl, parameters.areaRng = list(areas), [ranges[area] for area in areas]
        parameters.maxDets = list(counts)
        evaluator.evaluate()
        evaluator.accumulate()
        # precision is (T, 101, K, A, M), recall (T, K, A, M)
        precision, recall = (
            np.where(values < 0, np.nan, values)
            for values in (evaluator.eval[name] for name in ("precision", "recall"))
        )
        return {
            (area, count): (precision[:, :, :, row, column].transpose(2, 0, 1), recall[:, :, row, column].T)
            for row, area in enumerate(areas)
            for column, count in enumerate(counts)
        }
