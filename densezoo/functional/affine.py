"""Affine maps of the plane and how they move points and boxes.

Every affine is a (2, 3) float64 array that maps (x, y, 1). Coordinates are continuous with the origin at the image's
top left corner (pixel i covers [i, i + 1), its centre is i + 0.5), so a resize by s is exactly x → s·x and a mirror of
an image of width W is exactly x → W - x. OpenCV counts from the centre of pixel 0 instead; `opencv_matrix` is the only
place where the two meet. mmpose's and HRNet's top-down matrices have the same entries as `fit_frame`, but they are
handed to OpenCV as they are, which shifts their image by half a pixel of each frame against their keypoints.
"""

import math

import numpy as np

from densezoo.types import Array


def compose(outer: Array, inner: Array) -> Array:
    """Return the affine that applies `inner` first and `outer` to its result.

    Args:
        outer: (2, 3).
        inner: (2, 3).

    Returns:
        (2, 3) float64.
    """
    result = np.empty((2, 3))
    result[:, :2] = outer[:, :2] @ inner[:, :2]
    result[:, 2] = outer[:, :2] @ inner[:, 2] + outer[:, 2]
    return result


def invert(affine: Array) -> Array:
    """Return the inverse of a (2, 3) affine.

    Raises:
        ValueError: the affine maps the plane onto a line.
    """
    (a, b, x), (c, d, y) = affine.tolist()
    determinant = a * d - b * c
    if determinant == 0:
        raise ValueError(f"this affine has no inverse: {affine.tolist()}")
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


def translation(x: float, y: float) -> Array:
    """Return the affine that moves by (x, y) pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def scaling(x: float, y: float) -> Array:
    """Return the affine that multiplies the axes by x and y about the origin."""
    return np.array([[x, 0.0, 0.0], [0.0, y, 0.0]])


def apply_affine(affine: Array, points: Array) -> Array:
    """Move points.

    Args:
        affine: (2, 3).
        points: (..., 2) x, y; may be empty.

    Returns:
        (..., 2) float64.
    """
    moved: Array = points @ affine[:, :2].T + affine[:, 2]
    return moved


def mean_scale(affine: Array) -> float:
    """Return the factor by which the affine multiplies lengths on average (the square root of its area factor)."""
    return math.sqrt(abs(float(affine[0, 0] * affine[1, 1] - affine[0, 1] * affine[1, 0])))


def keeps_axes(affine: Array) -> bool:
    """Whether upright boxes stay upright: no rotation but by multiples of a right angle, no shear."""
    (a, b, _), (c, d, _) = affine.tolist()
    small = 1e-9 * (abs(a) + abs(b) + abs(c) + abs(d))
    return bool(max(abs(b), abs(c)) <= small or max(abs(a), abs(d)) <= small)


def opencv_matrix(affine: Array) -> Array:
    """Return the same map between pixel *indices*, which is what `cv2.warpAffine` takes.

    Index i is the point i + 0.5, so the map is T(-½) · affine · T(½).
    """
    matrix = affine.copy()
    matrix[:, 2] += 0.5 * (affine[:, 0] + affine[:, 1] - 1.0)
    return matrix


def fit_frame(
    frame: Array,
    size: tuple[int, int],
    scale: float = 1.0,
    rotation: float = 0.0,
    flip: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """Return the affine that fits a frame into a view, aspect kept and centred.

    In this order: the frame's centre goes to the origin, the content is rotated, enlarged, moved to the view's centre,
    shifted, and mirrored about the view's vertical axis. With the defaults the whole frame is visible and touches two
    opposite sides of the view.

    Args:
        frame: (4,) xyxy in image coordinates; sides shorter than one pixel count as one pixel.
        size: (height, width) of the view in pixels.
        scale: multiplies the content's size in the view; above 1 it grows and the frame's rim leaves the view.
        rotation: degrees, clockwise on the screen.
        flip: mirror the view, x → width - x.
        shift: (x, y) in fractions of the view's width and height by which the content moves right and down
            (before the mirror).

    Returns:
        (2, 3) float64, image coordinates to view coordinates.
    """
    left, top, right, bottom = (float(value) for value in frame)
    height, width = size
    zoom = scale * min(width / max(right - left, 1.0), height / max(bottom - top, 1.0))
    angle = math.radians(rotation)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    x = width * (0.5 + shift[0]) - cos * centre_x + sin * centre_y
    y = height * (0.5 + shift[1]) - sin * centre_x - cos * centre_y
    if flip:
        return np.array([[-cos, sin, width - x], [sin, cos, y]])
    return np.array([[cos, -sin, x], [sin, cos, y]])


def enlarge_box(box: Array, factor: float) -> Array:
    """Return a (4,) xyxy box with its sides multiplied by `factor` about its centre, float64."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * (factor / 2)
    return np.concatenate([centre - half, centre + half])


def transform_boxes(affine: Array, boxes: Array) -> Array:
    """Move boxes; a rotated box becomes the upright extent of its corners.

    Args:
        affine: (2, 3).
        boxes: (..., 4) xyxy; may be empty.

    Returns:
        (..., 4) float64 xyxy.
    """
    corners = apply_affine(affine, boxes[..., [0, 1, 2, 1, 2, 3, 0, 3]].reshape(*boxes.shape[:-1], 4, 2))
    return np.concatenate([corners.min(axis=-2), corners.max(axis=-2)], axis=-1)


def clip_boxes(boxes: Array, size: tuple[int, int]) -> Array:
    """Cut boxes to an image; a box outside it gets an area of zero on its rim.

    Args:
        boxes: (..., 4) xyxy.
        size: (height, width) of the image.

    Returns:
        (..., 4) xyxy of the same dtype.
    """
    height, width = size
    limits = np.array([width, height, width, height], dtype=boxes.dtype)
    return np.clip(boxes, 0, limits)


def box_areas(boxes: Array) -> Array:
    """Return the areas (...,) of xyxy boxes (..., 4) in square pixels; inverted boxes have 0."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    areas: Array = sides[..., 0] * sides[..., 1]
    return areas
