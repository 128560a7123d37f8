"""Semantic maps: (H, W) arrays that hold a label for each pixel, 255 where there is none.

An annotated map is resampled by the nearest pixel, since labels have no mean; for answers see `answered_labels`.
Written as text it is one run-length encoding for each label, as the COCO-Stuff results format has it
(https://cocodataset.org/#format-results).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from densezoo.functional.affine import opencv_matrix
from densezoo.types import Array

IGNORE = 255
"""The label of pixels without one."""


def enlarged(counts: Array, height: int, width: int) -> Array:
    """Return counts (…, h, w) with zeros below and to the right of them, so that a map (height, width) fits."""
    missing = [max(side - own, 0) for side, own in zip((height, width), counts.shape[-2:], strict=True)]
    around = [(0, 0)] * (counts.ndim - 2) + [(0, side) for side in missing]
    return np.pad(counts, around) if any(missing) else counts


def warp_labels(labels: Array, affine: Array, size: tuple[int, int], outside: int) -> Array:
    """Resample a label map by the nearest pixel.

    Args:
        labels: (H, W) uint8.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.
        outside: label of what lies outside the image.

    Returns:
        (height, width) uint8.
    """
    return cv2.warpAffine(labels, opencv_matrix(affine), size[::-1], flags=cv2.INTER_NEAREST, borderValue=(outside,))


def encode_labels(labels: Array) -> dict[int, dict[str, Any]]:
    """Return the mask of each label as a compressed COCO RLE of plain text.

    Args:
        labels: (H, W) uint8; pixels of 255 are in no mask.

    Returns:
        Label, ascending, to `{'size': [H, W], 'counts': str}`.
    """
    height, width = labels.shape
    column_wise = labels.ravel(order="F")
    starts = np.flatnonzero(np.diff(column_wise, prepend=~column_wise[:1]))
    ends = np.append(starts[1:], column_wise.size)
    values = column_wise[starts]
    masks = {}
    for value in np.unique(values).tolist():
        if value == IGNORE:
            continue
        runs = np.stack([starts[values == value], ends[values == value]], 1).ravel()
        counts = np.diff(runs, prepend=0, append=column_wise.size)
        counts = counts[: len(counts) - (counts[-1] == 0)]  # as pycocotools writes it
        rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
        masks[value] = {"size": [height, width], "counts": rle["counts"].decode("ascii")}
    return masks


def decode_labels(masks: Iterable[tuple[int, Mapping[str, Any]]], size: tuple[int, int]) -> Array:
    """Invert `encode_labels`.

    Args:
        masks: labels and their RLEs; of overlapping masks the last one wins.
        size: (height, width) of every mask.

    Returns:
        (height, width) uint8, 255 where no mask is.
    """
    labels = np.full(size, IGNORE, np.uint8)
    for value, rle in masks:
        labels[coco_mask.decode(rle) > 0] = value
    return labels
