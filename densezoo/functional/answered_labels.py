"""What a segmentation network answers in the pixels of the file, where it saw a smaller or larger image."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from densezoo.functional.affine import apply_affine, invert
from densezoo.functional.grids import highest_of
from densezoo.functional.label_maps import IGNORE, warp_labels
from densezoo.types import Array, Grid, Prediction


def labels_in_file(prediction: Prediction, affine: Array, size: tuple[int, int]) -> Array:
    """Return the label of every pixel of the file.

    Maps are interpolated at the centres of the file's pixels, so that a border runs between them as it does in the
    network's image. An answer without maps, and one in the file's own pixels, is resampled by the nearest pixel.

    Args:
        prediction: with `semantic`, in network pixels.
        affine: (2, 3), network pixels to file pixels.
        size: (height, width) of the file.

    Returns:
        (height, width) uint8, 255 where the network has no answer.
    """
    nearest = warp_labels(prediction["semantic"], affine, size, IGNORE)
    if "label_maps" not in prediction or np.array_equal(affine[:, :2], np.eye(2)):
        return nearest
    values, grid = prediction["label_maps"]
    points = _cells_of(grid, affine, size).to(values.device)
    found = highest_of(
        values[None], lambda some: F.grid_sample(some, points, padding_mode="border", align_corners=False)
    )
    labels = found[0].to(torch.uint8).cpu().numpy()
    answer: Array = np.where(nearest == IGNORE, np.uint8(IGNORE), labels)
    return answer


def _cells_of(grid: Grid, affine: Array, size: tuple[int, int]) -> Tensor:
    """Return where the file's pixels lie on a map: (1, height, width, 2) float32 x, y, its edges at -1 and 1."""
    columns, rows = np.meshgrid(np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5)
    inside = apply_affine(invert(affine), np.stack([columns, rows], -1)) - grid.origin
    height, width = grid.size
    places = inside / (grid.stride * np.array([width, height])) * 2 - 1
    return torch.from_numpy(places.astype(np.float32))[None]
