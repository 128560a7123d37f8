"""Annotations of one COCO file, held compactly: a few flat, memory-mapped arrays, however many objects there are.

Rows number images in file order and annotations grouped by image. Coordinates are pixels, continuous, with the origin
at the image's corner, as COCO's polygons and boxes are. Its official keypoints are not: they are indices of clicked
pixels, whose centres lie half a pixel further (https://cocodataset.org/#format-data). Who reads
such a file gives `keypoint_shift=0.5`; results are written in the file's own convention.
"""

from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.array_cache import open_columns
from densezoo.types import Array


class AnnotationStore:
    """Annotations of one file. Pickles as the file's path, so worker processes map the same pages again.

    Attributes:
        source: the JSON file.
        categories: `{'id', 'name', 'keypoints', 'skeleton'}` in label order, which is that of the category ids: files
            of one data set give the same labels whatever order they list categories in.
        columns: the arrays; `densezoo/datasets/coco_parser/annotations.py` says what they are. Read-only.
    """

    def __init__(self, source: Path, keypoint_shift: float = 0.0) -> None:
        """Open `source`, parsing it in a child process if it is new or has changed.

        Args:
            source: the JSON file.
            keypoint_shift: added to x and y of its labelled keypoints: 0.5 where they are indices of pixels.

        Raises:
            DataError: the file is missing, broken or contradicts itself; the message names the field.
        """
        self.source = Path(source)
        self._keypoint_shift = keypoint_shift
        columns, facts = open_columns(self.source, "annotations")
        self.columns = columns
        self.categories: list[dict[str, Any]] = facts["categories"]
        self._row_order = np.argsort(columns["image_ids"], kind="stable")

    def __reduce__(self) -> tuple[type["AnnotationStore"], tuple[Path, float]]:
        """Pickle the path; the arrays are mapped again from the cache."""
        return AnnotationStore, (self.source, self._keypoint_shift)

    @property
    def num_images(self) -> int:
        """I."""
        return len(self.columns["image_ids"])

    def image_rows_of(self, image_ids: Array) -> Array:
        """Return the image row of each id, -1 for ids that the file does not have: (n,) int64 -> (n,) int64."""
        known = self.columns["image_ids"]
        if not len(known):
            return np.full(len(image_ids), -1, np.int64)
        at = np.searchsorted(known, image_ids, sorter=self._row_order)
        rows = self._row_order[np.minimum(at, len(known) - 1)]
        return np.where(known[rows] == image_ids, rows, -1)

    def rows_of_image(self, image_row: int) -> Array:
        """Return the annotation rows of one image, (P,) int64 in file order."""
        first = self.columns["first"]
        return np.arange(first[image_row], first[image_row + 1])

    def image_size(self, image_row: int) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        height, width = self.columns["image_sizes"][image_row].tolist()
        return height, width

    def file_name(self, image_row: int) -> str:
        """Return the image's file name, relative to the folder of images."""
        return self._text("file_name", image_row)

    def semantic_name(self, image_row: int) -> str:
        """Return the `semantic` entry of the image, empty where the file has none."""
        return self._text("semantic_name", image_row)

    def _text(self, kind: str, row: int) -> str:
        ends = self.columns[f"{kind}_ends"]
        return bytes(self.columns[f"{kind}s"][ends[row] : ends[row + 1]]).decode("utf-8", "surrogatepass")

    def keypoints(self, rows: Array, num_keypoints: int) -> Array:
        """Return keypoints, shifted to the corner's frame.

        Args:
            rows: (P,) annotation rows.
            num_keypoints: K.

        Returns:
            (P, K, 3) float32 x, y, visibility; zeros for annotations without keypoints.
        """
        ends = self.columns["keypoint_ends"]
        points = np.zeros((len(rows), num_keypoints, 3), np.float32)
        for place, row in enumerate(rows.tolist()):
            if ends[row] < ends[row + 1]:
                points[place] = self.columns["keypoints"][ends[row] : ends[row + 1]]
        points[..., :2] += self._keypoint_shift * (points[..., 2:] > 0)
        return points

    def boxes(self, rows: Array) -> Array:
        """Return (P, 4) float64 xyxy boxes as annotated; NaN where an annotation has none."""
        boxes = np.array(self.columns["boxes"][rows])
        boxes[:, 2:] += boxes[:, :2]
        return boxes

    def usable_boxes(self, rows: Array) -> Array:
        """Return the boxes that a network can learn from.

        The annotated box, clipped to the image. Where that has no area (or there is no box), the extent of the
        labelled keypoints, clipped likewise.

        Args:
            rows: (P,) annotation rows.

        Returns:
            (P, 4) float64 xyxy; all zero where neither gives a positive width and height.
        """
        high = np.tile(self.columns["image_sizes"][self.columns["image_rows"][rows]][:, ::-1].astype(np.float64), 2)
        boxes = np.clip(self.boxes(rows), 0, high)
        for place in np.flatnonzero(~has_area(boxes)):
            row = int(rows[place])
            start, end = self.columns["keypoint_ends"][row : row + 2]
            points = self.columns["keypoints"][start:end]
            points = points[points[:, 2] > 0, :2].astype(np.float64) + self._keypoint_shift
            if len(points):
                extent = np.concatenate([points.min(axis=0), points.max(axis=0)])
                boxes[place] = np.clip(extent, 0, high[place])
        boxes[~has_area(boxes)] = 0
        return boxes


def has_area(boxes: Array) -> Array:
    """Return (P,) bool: which (P, 4) xyxy boxes have a positive width and height. NaN has none."""
    positive: Array = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return positive
