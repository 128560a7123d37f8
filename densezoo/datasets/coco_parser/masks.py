"""Segmentations as columns."""

from array import array
from typing import Any

import numpy as np

from .reading import Array, Fault, short

NO_MASK, POLYGONS, COUNTS, COMPRESSED_COUNTS = range(4)
POLYGON_DECIMALS = 2
"""COCO writes polygons with two decimals. Where a file does, rounding brings back what float32 loses."""


class MaskColumns:
    """Segmentations of annotations, in the order in which they are added."""

    def __init__(self) -> None:
        """Begin without any."""
        self.kinds, self.sizes = array("b"), array("i")
        self.coordinates, self.part_ends, self.parts = array("d"), array("q", [0]), array("q", [0])
        self.counts, self.count_ends = bytearray(), array("q", [0])

    def add(self, value: Any, where: str) -> None:
        """Add one `segmentation`: None, polygons, or RLE; what its numbers mean is checked when it is decoded."""
        kind = NO_MASK
        size: Any = [0, 0]
        if isinstance(value, list) and value:
            for part in value:
                if not isinstance(part, array) or len(part) % 2:
                    raise Fault(f"{where}: a polygon of 'segmentation' must be numbers x, y, …, not {short(part)}")
                self.coordinates.extend(part)
                self.part_ends.append(len(self.coordinates))
            kind = POLYGONS
        elif isinstance(value, dict):
            size, counts = value.get("size"), value.get("counts")
            if (
                type(size) is not list
                or len(size) != 2
                or not all(type(side) is int and 0 < side < 2**31 for side in size)
            ):
                raise Fault(f"{where}: 'size' of the RLE 'segmentation' must be [height, width], not {short(size)}")
            if isinstance(counts, array) and all(0 <= count < 2**32 for count in counts):
                kind, data = COUNTS, np.array(counts, np.uint32).tobytes()
            elif isinstance(counts, str) and counts.isascii():
                kind, data = COMPRESSED_COUNTS, counts.encode("ascii")
            else:
                raise Fault(
                    f"{where}: 'counts' of the RLE 'segmentation' must be run lengths or COCO's compressed string, "
                    f"not {short(counts)}"
                )
            self.counts += data
        elif value is not None and not (isinstance(value, (list, array)) and len(value) == 0):
            raise Fault(f"{where}: 'segmentation' must be a list of polygons or an RLE, not {short(value)}")
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


def narrowed(values: Array) -> Array:
    """Return `values` as float32 where rounding to `POLYGON_DECIMALS` restores every one of them, else as they are."""
    for start in range(0, len(values), 1 << 20):
        part = values[start : start + (1 << 20)]
        if not np.array_equal(np.round(part.astype(np.float32).astype(np.float64), POLYGON_DECIMALS), part):
            return values
    return values.astype(np.float32)
