"""Volumes through the warp: with their image across, and by its scale in depth."""

import cv2
import numpy as np

from densezoo.functional.affine import mean_scale
from densezoo.functional.volumes import stretch_depth, warp_volume
from densezoo.transforms.elastic import Bend
from densezoo.types import Array


def move_volume(volume: Array, affine: Array, size: tuple[int, int], bend: Bend | None = None) -> Array:
    """Resample a volume by the nearest voxel.

    Args:
        volume: (D, H, W) uint8 0/1, see `densezoo.functional.volumes`.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.
        bend: deformation of the output, after the affine; every slice bends alike.

    Returns:
        (D, height, width) uint8; 0 outside the volume.
    """
    if bend is None:
        return warp_volume(volume, affine, size)
    sources = bend.sources(affine)
    slices = stretch_depth(volume, mean_scale(affine))
    return np.stack([cv2.remap(each, *sources, cv2.INTER_NEAREST, borderValue=(0,)) for each in slices])
