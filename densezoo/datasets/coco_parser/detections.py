"""Columns of a detection file: `image_ids`, `category_ids`, `scores` (D) and `boxes` (D, 4) x, y, width, height."""

from array import array
from typing import Any

import numpy as np

from .reading import Array, Fault, is_real, short, whole_number


def parse_detections(root: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """Turn the JSON of a detection file (COCO's results format: a list of scored boxes) into columns."""
    if type(root) is not list:
        raise Fault("holds no list; detections are a list of {image_id, category_id, bbox, score}")
    image_ids, category_ids, boxes, scores = array("q"), array("q"), array("d"), array("d")
    for index, record in enumerate(root):
        where = f"detection [{index}]"
        image_ids.append(whole_number(record, "image_id", where))
        category_ids.append(whole_number(record, "category_id", where))
        box, score = record.get("bbox"), record.get("score")
        if not isinstance(box, array) or len(box) != 4 or not np.isfinite(box).all():
            raise Fault(f"{where}: 'bbox' must be four numbers x, y, width, height, not {short(box)}")
        if not is_real(score):
            raise Fault(f"{where}: 'score' must be a number, not {short(score)}")
        boxes.extend(box)
        scores.append(float(score))
    return {
        "image_ids": np.array(image_ids, np.int64),
        "category_ids": np.array(category_ids, np.int64),
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "scores": np.array(scores, np.float64),
    }, {}
