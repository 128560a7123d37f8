"""Heatmaps over their image: all of them in one picture, then each by itself with its peak."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from densezoo.types import Array
from densezoo.visualization.canvas import enlarge, montage

__all__ = ["blend_heatmap", "draw_heatmaps", "montage"]


def blend_heatmap(image: Array, heatmap: Array, highest: float = 1.0) -> Array:
    """Blend one heatmap into an image; where it is 0 the image shows, darkened.

    Args:
        image: (H, W, 3) uint8 RGB.
        heatmap: (h, w) float that covers the whole image; any resolution. Negative values count as 0.
        highest: value of the brightest colour.

    Returns:
        A new (H, W, 3) uint8 RGB image.
    """
    size = (image.shape[1], image.shape[0])
    values = np.clip(np.nan_to_num(heatmap) / highest, 0, 1).astype(np.float32)
    # Both OpenCV's resize and the maps' grid put cell i at (i + 0.5) strides, so the map lies exactly on the image.
    strength = np.clip(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), 0, 1)
    colours = cv2.applyColorMap(np.rint(255 * strength).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    opacity = np.minimum(1.6 * strength, 0.85)[..., None]
    blended: Array = np.rint(0.7 * image * (1 - opacity) + colours * opacity).astype(np.uint8)
    return blended


def draw_heatmaps(
    image: Array,
    heatmaps: Array,
    names: Sequence[str] | None = None,
    columns: int | None = None,
    highest: float | None = None,
    min_side: int = 160,
) -> Array:
    """Draw a sheet: the image with the maximum over all maps, then one picture per map.

    Args:
        image: (H, W, 3) uint8 RGB.
        heatmaps: (K, h, w) float that cover the whole image; K at least 1.
        names: K names for the captions; default the numbers. A caption ends with the map's largest value.
        columns: pictures per row; default about square.
        highest: value of the brightest colour; default the largest value of all maps, so that faint maps show.
        min_side: enlarge each picture until its shorter side has that many pixels.

    Returns:
        (H', W', 3) uint8 RGB.

    Raises:
        ValueError: the number of names is not that of the maps.
    """
    maps = np.asarray(heatmaps, dtype=np.float32)
    titles = [str(index) for index in range(len(maps))] if names is None else names
    if len(titles) != len(maps):
        raise ValueError(f"{len(titles)} names for {len(maps)} heatmaps")
    if highest is None:
        highest = max(float(np.nan_to_num(maps).max()), 1e-6)
    canvas, _ = enlarge(image, min_side)
    tiles = [blend_heatmap(canvas, heatmap, highest) for heatmap in (maps.max(axis=0), *maps)]
    captions = [f"all {maps.max():.2f}"]
    captions += [f"{title} {heatmap.max():.2f}" for title, heatmap in zip(titles, maps, strict=True)]
    return montage(tiles, columns or math.ceil(math.sqrt(len(tiles))), captions)
