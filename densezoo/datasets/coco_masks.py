"""Instance masks of a COCO file: polygons and both kinds of run-length encoding (RLE).

An RLE lists lengths of runs of 0 and 1 in turn, column by column. Compressed, each length is a string of characters of
six bits (https://github.com/cocodataset/cocoapi, `common/maskApi.c`): five of the number, lowest first, and one that
says whether more follow; from the fourth length on, the difference to the length before the last one is written.
Old versions of pycocotools write outside their memory when the runs do not fill the image, so nothing reaches it here
that has not been checked.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from densezoo.datasets.annotations import AnnotationStore
from densezoo.datasets.coco_parser.masks import COUNTS, MALFORMED, NO_MASK, POLYGON_DECIMALS, POLYGONS
from densezoo.errors import DataError
from densezoo.types import Array

_LONGEST_NUMBER = 7  # characters: 32 bits and a sign in groups of five
_FARTHEST_COORDINATE = 1e6  # pixels; pycocotools counts fifths of them in 32 bits
_LONGEST_OUTLINE = 1e6  # pixels; pycocotools keeps every fifth of one that an outline runs along, 24 bytes each
_MOST_PIXELS = 2**31  # of an image; pycocotools counts them in 32 bits


def decode_masks(store: AnnotationStore, rows: Array, size: tuple[int, int]) -> Array:
    """Draw the masks of annotations of one image.

    Args:
        store: the annotations.
        rows: (P,) annotation rows.
        size: (height, width) of the image.

    Returns:
        (P, H, W) uint8 0/1; zeros for an annotation without segmentation.

    Raises:
        DataError: a malformed segmentation; the message names the file and the annotation.
    """
    masks = np.zeros((len(rows), *size), np.uint8)
    for place, row in enumerate(rows.tolist()):
        kind = _kind(store, row)
        if kind == POLYGONS:
            rle = _polygon_rle(store, row, size)
            masks[place] = coco_mask.decode(rle)
        elif kind != NO_MASK:
            counts = _run_lengths(store, row, size)
            values = np.arange(len(counts), dtype=np.uint8) & 1
            masks[place] = np.repeat(values, counts).reshape(size[1], size[0]).T
    return masks


def mask_rle(store: AnnotationStore, row: int, size: tuple[int, int]) -> dict[str, Any] | None:
    """Return the mask of one annotation as a compressed COCO RLE, `{'size': [H, W], 'counts': bytes}`.

    Returns:
        None for an annotation without segmentation.

    Raises:
        DataError: a malformed segmentation; the message names the file and the annotation.
    """
    kind = _kind(store, row)
    if kind == NO_MASK:
        return None
    if kind == POLYGONS:
        return _polygon_rle(store, row, size)
    counts = _run_lengths(store, row, size)
    if kind == COUNTS:
        rle: dict[str, Any] = coco_mask.frPyObjects({"size": list(size), "counts": counts.tolist()}, *size)
        return rle
    return {"size": list(size), "counts": _stored_runs(store, row)}


def _kind(store: AnnotationStore, row: int) -> int:
    """Return `NO_MASK`, `POLYGONS` or one of the kinds of RLE."""
    kind = int(store.columns["mask_kinds"][row])
    if kind == MALFORMED:
        raise _malformed(store, row, _stored_runs(store, row).decode("utf-8"))
    height, width = store.image_size(int(store.columns["image_rows"][row]))
    if kind != NO_MASK and height * width >= _MOST_PIXELS:
        raise _malformed(store, row, f"its image is said to have {width}x{height} pixels, too many for COCO's masks")
    return kind


def _polygon_rle(store: AnnotationStore, row: int, size: tuple[int, int]) -> dict[str, Any]:
    columns = store.columns
    first, last = columns["mask_parts"][row : row + 2]
    ends = columns["part_ends"][first : last + 1]
    coordinates = columns["coordinates"][ends[0] : ends[-1]]
    if coordinates.dtype == np.float32:
        coordinates = np.round(coordinates.astype(np.float64), POLYGON_DECIMALS)
    if not (np.abs(coordinates) < _FARTHEST_COORDINATE).all():
        raise _malformed(store, row, "a polygon has a coordinate that is no number or lies far outside of any image")
    # Fewer than three points enclose nothing, and pycocotools takes four numbers for a box.
    ends = (ends - ends[0]).tolist()
    parts = [coordinates[a:b] for a, b in pairwise(ends) if b - a >= 6]
    if sum(_outline(part) for part in parts) > _LONGEST_OUTLINE:
        raise _malformed(store, row, f"the outlines of its polygons are longer than {_LONGEST_OUTLINE:.0f} pixels")
    if not parts:
        empty: dict[str, Any] = coco_mask.frPyObjects({"size": list(size), "counts": [size[0] * size[1]]}, *size)
        return empty
    merged: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects([part.tolist() for part in parts], *size))
    return merged


def _outline(part: Array) -> float:
    """Return how long the outline of a polygon is, the larger of both directions of every edge counted."""
    corners = part.reshape(-1, 2)
    return float(np.abs(corners - np.concatenate([corners[1:], corners[:1]])).max(axis=1).sum())


def _stored_runs(store: AnnotationStore, row: int) -> bytes:
    start, end = store.columns["rle_ends"][row : row + 2]
    return bytes(store.columns["rle_bytes"][start:end])


def _run_lengths(store: AnnotationStore, row: int, size: tuple[int, int]) -> Array:
    """Return the checked run lengths of an annotation's RLE: (R,) int64, none negative, their sum H·W."""
    stated = tuple(store.columns["rle_sizes"][row].tolist())
    if stated != size:
        raise _malformed(
            store, row, f"its RLE is for {stated[1]}x{stated[0]} pixels, the image has {size[1]}x{size[0]}"
        )
    stored = _stored_runs(store, row)
    if store.columns["mask_kinds"][row] == COUNTS:
        counts = np.frombuffer(stored, np.uint32).astype(np.int64)
    else:
        decoded = run_lengths(stored)
        if decoded is None:
            raise _malformed(store, row, "its RLE string is damaged")
        counts = decoded
    if (counts < 0).any() or counts.sum() != size[0] * size[1]:
        raise _malformed(store, row, f"the runs of its RLE do not fill the image's {size[1]}x{size[0]} pixels")
    return counts


def run_lengths(stored: bytes) -> Array | None:
    """Decode a compressed RLE string.

    Returns:
        (R,) int64 run lengths, which may be negative or of any sum where the string is damaged; None where it is no
        RLE string at all.
    """
    codes = np.frombuffer(stored, np.uint8).astype(np.int64) - 48
    if not len(codes):
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _LONGEST_NUMBER:
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(first, lengths))
    numbers = np.add.reduceat((codes & 31) << shifts, first)
    numbers -= np.where(codes[last] & 16 != 0, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def _malformed(store: AnnotationStore, row: int, what: str) -> DataError:
    return DataError(
        f"{store.source}: annotation {int(store.columns['ids'][row])}: 'segmentation' is malformed: {what}; "
        "mend or remove the annotation"
    )
