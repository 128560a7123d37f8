"""What is drawn for one view of a sample, and how the view lies on the image."""

import math
from dataclasses import dataclass

import numpy as np

from densezoo.functional.affine import apply_affine, compose, fit_frame, mean_scale, translation
from densezoo.types import Array

ROUNDING = 1e-4  # pixels by which a frame in float32 may miss the pixel that it means


@dataclass(frozen=True, eq=False)
class View:
    """What the random numbers of one sample say. The defaults are the view of evaluation.

    Attributes:
        scale: factor on the content's size.
        rotation: degrees, clockwise on the screen.
        flip: mirror.
        shift: (x, y) in fractions of the view.
        half_body: look at one half of the body if the person qualifies.
        prefer_upper: the upper half where both qualify.
        place: where a crop lies among its places, x and y from 0 to below 1; None for a view that is not cropped.
        bend: (g, g, 2) elastic displacements in standard deviations; None for a view without.
    """

    scale: float = 1.0
    rotation: float = 0.0
    flip: bool = False
    shift: tuple[float, float] = (0.0, 0.0)
    half_body: bool = False
    prefer_upper: bool = True
    place: tuple[float, float] | None = None
    bend: Array | None = None


def lay_view(frame: Array, view: View, size: tuple[int, int] | None) -> tuple[Array, tuple[int, int]]:
    """Fit a frame into a view.

    Args:
        frame: (4,) xyxy in image coordinates.
        view: what was drawn.
        size: (height, width) of the view; None for that of the frame itself, to whole pixels.

    Returns:
        The (2, 3) affine from the image to the view, and the view's size. Where `size` is None and nothing was drawn,
        the affine is a translation by whole pixels.
    """
    if size is None:
        frame = np.concatenate([np.floor(frame[:2] + ROUNDING), np.ceil(frame[2:] - ROUNDING)])
        width, height = (max(int(side), 1) for side in frame[2:] - frame[:2])
        size = height, width
    return fit_frame(frame, size, view.scale, view.rotation, view.flip, view.shift), size


def crop_view(
    affine: Array, frame: Array, place: tuple[float, float], crop: tuple[int, int], margin: float = 0.0
) -> Array:
    """Cut a crop out of a view.

    Args:
        affine: (2, 3), image coordinates to the view's.
        frame: (4,) xyxy in image coordinates: the content, which is taken as upright in a rotated view, too.
        place: x and y from 0 to below 1, which of its places the crop takes: along each side those, a whole number of
            pixels apart, in which it lies in the content; where the content is smaller, those in which that lies in it.
        crop: (height, width).
        margin: pixels on each side of the crop that do not count: it is its middle that lies in the content.

    Returns:
        (2, 3), image coordinates to the crop's.
    """
    centre = apply_affine(affine, (frame[:2] + frame[2:]) / 2)
    sides = mean_scale(affine) * np.maximum(frame[2:] - frame[:2], 1) + 2 * margin
    corner = []
    for middle, side, length, where in zip(centre.tolist(), sides.tolist(), reversed(crop), place, strict=True):
        free = side - length
        steps = math.floor(where * (math.floor(abs(free) + ROUNDING) + 1))
        corner.append(middle - side / 2 + math.copysign(steps, free))
    return compose(translation(-corner[0], -corner[1]), affine)
