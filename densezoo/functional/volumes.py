"""Volumes: (D, H, W) arrays, D slices in depth over the pixels of an image.

A volume is aligned with its image as in volumetric regression (Jackson, Bulat, Argyriou, Tzimiropoulos 2017,
https://arxiv.org/abs/1703.07834): the voxels of column (y, x) lie on the ray through that pixel, in weak perspective.
Slice 0 is nearest to the camera. Depth is counted in pixels away from the camera, from the middle of the volume, since
one image does not tell how far away a thing is: of D slices that are t pixels thick, slice k covers (k - D/2) · t to
(k + 1 - D/2) · t. These are pixels of the image that the volume belongs to. Where that image is enlarged by s, the
number and thickness of slices stay, and what they show is stretched by s about the middle.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from densezoo.functional.affine import invert, mean_scale, opencv_matrix
from densezoo.types import Array, Grid

INSIDE = 0.5
"""Voxels of this probability and above are inside."""


def slice_depths(count: int, thickness: float = 1.0) -> Array:
    """Return the depths (count,) of the middles of slices: float64, in the unit of `thickness`."""
    depths: Array = (np.arange(count) + 0.5 - count / 2) * thickness
    return depths


def warp_volume(volume: Array, affine: Array, size: tuple[int, int]) -> Array:
    """Move a volume along with its image: every slice by the affine, and the depth by the affine's scale.

    Args:
        volume: (D, H, W) uint8, resampled by the nearest voxel, or float32, interpolated between voxels.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.

    Returns:
        (D, height, width) of the same type; 0 outside the volume.
    """
    matrix, shape = opencv_matrix(affine), (size[1], size[0])
    flags = cv2.INTER_LINEAR if volume.dtype.kind == "f" else cv2.INTER_NEAREST
    moved = np.zeros((len(volume), *size), volume.dtype)
    seen = _pixels_inside(affine, size, (volume.shape[1], volume.shape[2]))
    for index, each in enumerate(stretch_depth(volume, mean_scale(affine))):
        if each.any():
            # beyond the outermost centres values go on to the rim, instead of fading to 0
            warped = cv2.warpAffine(each, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            moved[index] = warped * seen
    return moved


def stretch_depth(volume: Array, factor: float) -> Array:
    """Enlarge the depth of what a volume shows about the middle of the volume.

    Args:
        volume: (D, H, W) uint8, of which the nearest slices are taken, or float32, interpolated between slices.
        factor: above 0; below 1 it shrinks.

    Returns:
        (D, H, W) of the same type; 0 beyond the first and last slice.
    """
    count = len(volume)
    places = slice_depths(count) / factor + count / 2  # from the front of the volume
    if volume.dtype.kind == "f":
        # beyond the middles of the first and last slice values go on to the rim
        centres = np.clip(places - 0.5, 0, count - 1)
        below = centres.astype(np.int64)
        share = (centres - below).astype(volume.dtype)[:, None, None]
        stretched: Array = volume[below] * (1 - share) + volume[np.minimum(below + 1, count - 1)] * share
    else:
        stretched = volume[np.clip(places, 0, count - 1).astype(np.int64)]
    stretched[(places < 0) | (places >= count)] = 0
    return stretched


def stretch_slices(maps: Tensor, factor: float) -> Tensor:
    """Enlarge the depth of what maps show as `stretch_depth` does, interpolated between slices.

    Args:
        maps: (N, D, h, w) float, slices in their order.
        factor: above 0; below 1 it shrinks.

    Returns:
        (N, D, h, w); NaN beyond the first and last slice, of which the maps say nothing.
    """
    count = maps.shape[1]
    places = torch.arange(count, device=maps.device, dtype=torch.float64) + 0.5 - count / 2
    places = places / factor + count / 2  # from the front of the volume
    centres = (places - 0.5).clamp(0, count - 1)
    below = centres.long()
    share = (centres - below).to(maps.dtype)[:, None, None]
    stretched = torch.lerp(maps[:, below], maps[:, (below + 1).clamp(max=count - 1)], share)
    return stretched.masked_fill_(((places < 0) | (places >= count))[:, None, None], torch.nan)


def _pixels_inside(affine: Array, size: tuple[int, int], source: tuple[int, int]) -> Array:
    """Say which output pixels have their centre on the source image (height, width): (height, width) bool."""
    back = invert(affine)
    x, y = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
    inside: Array = np.ones(size, np.bool_)
    for (a, b, c), side in zip(back.tolist(), reversed(source), strict=True):
        place = a * x + b * y + c
        inside &= (place >= 0) & (place < side)
    return inside


def encode_volume(volume: Array) -> dict[str, Any]:
    """Return a volume of zeros and others as plain text: `{'size': [D, H, W], 'counts': str}`.

    The counts are those of the compressed COCO RLE of the slices, one below the other as one mask of (D · H, W).
    """
    count, height, width = volume.shape
    mask = (volume != 0).astype(np.uint8).reshape(count * height, width)
    counts = coco_mask.encode(np.asfortranarray(mask))["counts"].decode("ascii")
    return {"size": [count, height, width], "counts": counts}


def decode_volume(encoded: Mapping[str, Any]) -> Array:
    """Invert `encode_volume`: (D, H, W) uint8 0/1."""
    count, height, width = encoded["size"]
    mask = coco_mask.decode({"size": [count * height, width], "counts": encoded["counts"]})
    volume: Array = np.ascontiguousarray(mask).reshape(count, height, width)
    return volume


def cell_means(maps: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Average the pixels of maps over the area of each cell of a grid.

    Args:
        maps: (N, C, H, W) float, one value for each pixel of the image.
        grid: where the cells lie; any stride and origin.

    Returns:
        (N, C, h, w) means over the part of each cell that lies on the image, 0 where none does; and (h, w), the share
        of each cell that does.
    """
    rows, columns = (
        _overlaps(cells, pixels, grid.stride, origin, maps)
        for cells, pixels, origin in zip(grid.size, maps.shape[-2:], reversed(grid.origin), strict=True)
    )
    covered = rows.sum(1)[:, None] * columns.sum(1)
    means = rows @ maps @ columns.T / covered.clamp(min=torch.finfo(covered.dtype).tiny)
    return means, covered


def _overlaps(cells: int, pixels: int, stride: float, origin: float, like: Tensor) -> Tensor:
    """Return what share of each cell lies on each pixel along one axis: (cells, pixels)."""
    starts = (torch.arange(cells, device=like.device, dtype=like.dtype) * stride + origin)[:, None]
    places = torch.arange(pixels, device=like.device, dtype=like.dtype)
    shared = torch.minimum(starts + stride, places + 1) - torch.maximum(starts, places)
    return shared.clamp(min=0) / stride
