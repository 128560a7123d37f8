"""What a segmentation network answers in the pixels of the file, where it saw a smaller or larger image."""

import numpy as np
import torch

from densezoo.functional.affine import invert
from densezoo.functional.grids import highest_of, sample_maps
from densezoo.functional.label_maps import IGNORE, warp_labels
from densezoo.types import Array, Prediction


def labels_in_file(prediction: Prediction, affine: Array, size: tuple[int, int]) -> Array:
    """Return the label of every pixel of the file.

    Maps are interpolated at the centres of the file's pixels, so that a border runs between them as it does in the
    network's image. An answer without maps, one in the file's own pixels, and one of a rotated view is resampled by the
    nearest pixel.

    Args:
        prediction: with `semantic`, in network pixels; or with the `file_labels` that were asked for before.
        affine: (2, 3), network pixels to file pixels.
        size: (height, width) of the file.

    Returns:
        (height, width) uint8, 255 where the network has no answer.
    """
    if "file_labels" in prediction:
        return prediction["file_labels"]
    nearest = warp_labels(prediction["semantic"], affine, size, IGNORE)
    own_pixels, rotated = np.array_equal(affine[:, :2], np.eye(2)), affine[0, 1] != 0 or affine[1, 0] != 0
    if "label_maps" not in prediction or own_pixels or rotated:
        return nearest
    values, grid = prediction["label_maps"]
    inverse = invert(affine)
    x, y = (
        torch.from_numpy(
            (inverse[axis, axis] * (np.arange(size[1 - axis]) + 0.5) + inverse[axis, 2] - grid.origin[axis])
            / grid.stride
        ).to(values.device, torch.float32)
        for axis in (0, 1)
    )
    found = highest_of(values[None], lambda some: sample_maps(some, x, y))[0].to(torch.uint8).cpu().numpy()
    answer: Array = np.where(nearest == IGNORE, np.uint8(IGNORE), found)
    return answer
