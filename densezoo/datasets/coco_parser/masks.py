"""Segmentations as columns."""

from array import array
from typing import Any

import numpy as np

from .reading import Array, short

NO_MASK, POLYGONS, COUNTS, COMPRESSED_COUNTS, MALFORMED = range(5)
POLYGON_DECIMALS = 2
"""COCO writes polygons with two decimals. Where a file does, rounding brings back what float32 loses."""


class MaskColumns:
    """Segmentations of annotations, in the order in which they are added."""

    def __init__(self) -> None:
        """Begin without any."""
        self.kinds, self.sizes = array("b"), array("i")
        self.coordinates, self.part_ends, self.parts = array("d"), array("q", [0]), array("q", [0])
        self.counts, self.count_ends = bytearray(), array("q", [0])

    def add(self, value: Any) -> None:
        """Add one `segmentation`: None, polygons, one flat polygon, or RLE.

        What is none of them is kept as MALFORMED, with the reason in place of run lengths: a file stays readable for
        everyone who does not ask for that mask. What the numbers mean is checked when a mask is decoded.
        """
        size, data = [0, 0], b""
        if value is None or (isinstance(value, (list, array)) and not len(value)):
            kind = NO_MASK
        elif isinstance(value, (list, array)):
            parts = value if isinstance(value, list) else [value]
            wrong = [part for part in parts if not isinstance(part, array) or len(part) % 2]
            if wrong:
                kind, data = MALFORMED, _reason("a polygon must be numbers x, y, …", wrong[0])
            else:
                kind = POLYGONS
                for part in parts:
                    self.coordinates.extend(part)
                    self.part_ends.append(len(self.coordinates))
        elif isinstance(value, dict):
            kind, size, data = _read_rle(value)
        else:
            kind, data = MALFORMED, _reason("it must be a list of polygons or an RLE", value)
        self.counts += data
        self.kinds.append(kind)
        self.sizes.extend(size)
        self.parts.append(len(self.part_ends) - 1)
        self.count_ends.append(len(self.counts))

    def columns(self) -> dict[str, Array]:
        """Return what was added, as columns."""
        return {
            "mask_kinds": np.array(self.kinds, np.uint8),
            "coordinates": narrowed(np.array(self.coordinates, np.float64)),
            "part_ends": np.array(self.part_ends, np.int64),
            "mask_parts": np.array(self.parts, np.int64),
            "rle_bytes": np.frombuffer(bytes(self.counts), np.uint8),
            "rle_ends": np.array(self.count_ends, np.int64),
            "rle_sizes": np.array(self.sizes, np.int32).reshape(-1, 2),
        }


def _read_rle(rle: dict[str, Any]) -> tuple[int, list[int], bytes]:
    """Return kind, [height, width] and bytes of an RLE."""
    size, counts = rle.get("size"), rle.get("counts")
    if type(size) is not list or len(size) != 2 or not all(type(side) is int and 0 < side < 2**31 for side in size):
        return MALFORMED, [0, 0], _reason("'size' of its RLE must be [height, width]", size)
    if isinstance(counts, array) and all(0 <= count < 2**32 for count in counts):
        return COUNTS, size, np.array(counts, np.uint32).tobytes()
    if isinstance(counts, str) and counts.isascii():
        return COMPRESSED_COUNTS, size, counts.encode("ascii")
    return MALFORMED, size, _reason("'counts' of its RLE must be run lengths or COCO's compressed string", counts)


def _reason(rule: str, found: Any) -> bytes:
    return f"{rule}, not {short(found)}".encode("utf-8", "backslashreplace")


def narrowed(values: Array) -> Array:
    """Return `values` as float32 where rounding to `POLYGON_DECIMALS` restores every one of them, else as they are."""
    for start in range(0, len(values), 1 << 20):
        part = values[start : start + (1 << 20)]
        if not np.array_equal(np.round(part.astype(np.float32).astype(np.float64), POLYGON_DECIMALS), part):
            return values
    return values.astype(np.float32)
