"""Volumes as pictures: the relief of their front on an image, and a sheet that shows them from several sides."""

import cv2
import numpy as np
from scipy.ndimage import affine_transform

from densezoo.functional.affine import compose, opencv_matrix, scaling
from densezoo.functional.volumes import INSIDE, slice_depths
from densezoo.types import Array
from densezoo.visualization.canvas import enlarge, line_width, montage

VIEWS = (-60.0, 0.0, 60.0)
"""Degrees by which a sheet turns a volume."""
_LIGHT = np.array([-0.4, -0.5, -0.77])  # from the surface towards it: from above, the left and the viewer
_BLUR = 1.2  # pixels; without it every voxel is a step
_DARK = 40


def front_depths(volume: Array, thickness: float) -> Array:
    """Return where rays through the pixels meet the front of a volume.

    Args:
        volume: (D, H, W) probabilities or 0/1.
        thickness: of a slice, in pixels.

    Returns:
        (H, W) float32 depth in pixels from the middle of the volume, interpolated between the middles of slices; NaN
        where a ray meets nothing.
    """
    inside = volume >= INSIDE
    first = inside.argmax(0)[None]
    high = np.take_along_axis(volume, first, 0)[0].astype(np.float32)
    low = np.where(first > 0, np.take_along_axis(volume, np.maximum(first - 1, 0), 0), 0)[0].astype(np.float32)
    back = (high - INSIDE) / np.maximum(high - low, 1e-6)  # finite also where nothing is inside
    middles = slice_depths(len(volume), thickness).astype(np.float32)
    depths: Array = np.where(inside.any(0), middles[first[0]] - back * np.float32(thickness), np.nan)
    return depths


def draw_relief(volume: Array, thickness: float) -> tuple[Array, Array]:
    """Shade the front of a volume as light from the upper left does, coloured by depth.

    Returns:
        (H, W, 3) uint8 RGB, red nearest, dark where there is nothing; and (H, W) uint8, 1 where there is something.
    """
    depths = front_depths(volume, thickness)
    present = np.isfinite(depths)
    share = cv2.GaussianBlur(present.astype(np.float32), (0, 0), _BLUR)
    smooth = cv2.GaussianBlur(np.where(present, depths, 0), (0, 0), _BLUR) / np.maximum(share, 1e-6)
    down, right = np.gradient(smooth)
    normals = np.stack([right, down, -np.ones_like(right)], -1)
    lit = np.clip(normals @ _LIGHT / np.linalg.norm(normals, axis=-1), 0, 1)
    half = len(volume) * thickness / 2
    nearness = np.clip(np.rint(255 * (0.5 - smooth / (2 * half))), 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(nearness, cv2.COLORMAP_TURBO)[..., ::-1]
    shaded = np.rint(colours * (0.25 + 0.75 * lit[..., None]))
    return np.where(present[..., None], shaded, _DARK).astype(np.uint8), present.astype(np.uint8)


def draw_volume(
    image: Array,
    volume: Array,
    thickness: float,
    to_image: Array | None = None,
    opacity: float = 0.6,
    min_side: int = 0,
) -> Array:
    """Draw the relief of a volume and its outline on an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        volume: (D, h, w) probabilities or 0/1.
        thickness: of a slice, in pixels.
        to_image: (2, 3) affine from the volume's pixels to the image's; None where they are the same.
        opacity: of the relief, 0 to 1.
        min_side: enlarge the picture until its shorter side has that many pixels.

    Returns:
        A new (H, W, 3) uint8 image.
    """
    canvas, factor = enlarge(image, min_side)
    relief, present = draw_relief(volume, thickness)
    affine = scaling(factor, factor) if to_image is None else compose(scaling(factor, factor), to_image)
    matrix, size = opencv_matrix(affine), (canvas.shape[1], canvas.shape[0])
    moved = cv2.warpAffine(relief, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpAffine(present, matrix, size, flags=cv2.INTER_NEAREST)
    inside = seen > 0
    canvas[inside] = np.rint((1 - opacity) * canvas[inside] + opacity * moved[inside]).astype(np.uint8)
    outlines, _ = cv2.findContours(seen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outlines, -1, (255, 255, 255), max(line_width(canvas) // 2, 1), cv2.LINE_AA)
    return canvas


def render_volume(image: Array, volume: Array, thickness: float, min_side: int = 320) -> Array:
    """Draw a sheet: the image, then the volume turned to the left, as it is, and turned to the right.

    Args:
        image: (H, W, 3) uint8 RGB.
        volume: (D, H, W) probabilities or 0/1 over its pixels.
        thickness: of a slice, in pixels.
        min_side: enlarge each picture until its shorter side has that many pixels.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    reliefs = [draw_relief(turn_volume(volume, thickness, degrees), thickness)[0] for degrees in VIEWS]
    pictures = [enlarge(picture, min_side)[0] for picture in (image, *reliefs)]
    return montage(pictures, columns=len(pictures))


def turn_volume(volume: Array, thickness: float, degrees: float) -> Array:
    """Turn a volume about the vertical axis through its middle; what leaves it is cut off.

    Args:
        volume: (D, H, W) probabilities or 0/1.
        thickness: of a slice, in pixels.
        degrees: positive brings what looks at the viewer round to the right.

    Returns:
        (D, H, W) float32, interpolated.
    """
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    # from the place in the output to that in the volume, as (slice, row, column)
    matrix = np.array([[cos, 0, -sin / thickness], [0, 1, 0], [sin * thickness, 0, cos]])
    middle = (np.array(volume.shape) - 1) / 2
    turned: Array = affine_transform(volume.astype(np.float32), matrix, middle - matrix @ middle, order=1)
    return turned
