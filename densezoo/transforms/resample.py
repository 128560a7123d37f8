"""Images, masks and label maps through an affine: the only calls of the project that resample training data.

Bilinear interpolation reads four pixels, so shrinking by more than two skips pixels and aliases. Such an image is
first halved as often as it takes, by the mean of 2 x 2 pixels and only where it is visible, and the halvings are
composed into the affine, so that geometry stays exact. Whole halvings because OpenCV has a fast path for them:
640 x 480 to 128² takes 180 µs on one core, of which the warp is 70; with blocks of 5 pixels it was 350.
"""

import math

import cv2
import numpy as np

from densezoo.functional.affine import (
    apply_affine,
    clip_boxes,
    compose,
    invert,
    mean_scale,
    opencv_matrix,
    scaling,
    transform_boxes,
    translation,
)
from densezoo.functional.label_maps import warp_labels
from densezoo.types import Array


def warp_image(image: Array, affine: Array, size: tuple[int, int], border: tuple[int, int, int]) -> Array:
    """Resample an image, bilinear, halved first where it shrinks by two or more.

    Args:
        image: (H, W, 3) uint8.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.
        border: colour outside the image.

    Returns:
        (height, width, 3) uint8.
    """
    halvings = math.floor(math.log2(1.0 / mean_scale(affine)) + 1e-6)
    if halvings > 0:
        image, corner = _halve_visible(image, affine, size, border, halvings)
        affine = compose(affine, compose(translation(*corner), scaling(2**halvings, 2**halvings)))
    return cv2.warpAffine(image, opencv_matrix(affine), size[::-1], flags=cv2.INTER_LINEAR, borderValue=border)


def _halve_visible(
    image: Array, affine: Array, size: tuple[int, int], border: tuple[int, int, int], halvings: int
) -> tuple[Array, tuple[int, int]]:
    """Halve what the output shows of the image; also give where its corner (x, y) was."""
    block = 2**halvings
    height, width = image.shape[:2]
    visible = transform_boxes(invert(affine), np.array([0.0, 0.0, size[1], size[0]]))
    # The outermost output pixels interpolate with blocks up to one block away. A view beside the image keeps one block.
    left = min(max(math.floor(visible[0]) - block, 0), width - 1)
    top = min(max(math.floor(visible[1]) - block, 0), height - 1)
    columns = max(math.ceil((min(math.ceil(visible[2]) + block, width) - left) / block), 1)
    rows = max(math.ceil((min(math.ceil(visible[3]) + block, height) - top) / block), 1)
    part = image[top : top + rows * block, left : left + columns * block]
    below, beside = rows * block - part.shape[0], columns * block - part.shape[1]
    if below or beside:
        part = cv2.copyMakeBorder(part, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=border)
    for _ in range(halvings):
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return part, (left, top)


def warp_masks(masks: Array, affine: Array, size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Resample instance masks by the nearest pixel, each only where it has pixels.

    Args:
        masks: (P, H, W) uint8 0/1; P may be 0.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.

    Returns:
        The (P, height, width) uint8 masks; their (P, 4) float64 xyxy tight extents in the output, zeros for masks with
        no pixel left; and (P,) bool, whether the *input* mask had a pixel.
    """
    moved = np.zeros((len(masks), *size), np.uint8)
    extents = np.zeros((len(masks), 4))
    present = np.zeros(len(masks), bool)
    for index, mask in enumerate(masks):
        x, y, width, height = cv2.boundingRect(mask)
        present[index] = width > 0
        source = np.array([x, y, x + width, y + height], dtype=np.float64)
        left, top, right, bottom = _outward(clip_boxes(transform_boxes(affine, source), size))
        if width == 0 or right <= left or bottom <= top:
            continue
        window = warp_labels(mask, compose(translation(-left, -top), affine), (bottom - top, right - left), 0)
        moved[index, top:bottom, left:right] = window
        x, y, width, height = cv2.boundingRect(window)
        if width:
            extents[index] = left + x, top + y, left + x + width, top + y + height
    return moved, extents, present


def _outward(box: Array) -> tuple[int, int, int, int]:
    left, top, right, bottom = box.tolist()
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)


def move_keypoints(keypoints: Array, affine: Array, size: tuple[int, int]) -> Array:
    """Move keypoints; those that land outside the output lose their visibility.

    Args:
        keypoints: (P, K, 3) float32 x, y, visibility.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.

    Returns:
        (P, K, 3) float32. A point is inside where 0 <= x < width and 0 <= y < height, that is, on a pixel; outside it
        keeps its place, with visibility 0.
    """
    moved = keypoints.astype(np.float32)
    moved[..., :2] = apply_affine(affine, keypoints[..., :2])
    inside = ((moved[..., :2] >= 0) & (moved[..., :2] < (size[1], size[0]))).all(axis=-1)
    moved[..., 2] *= inside
    return moved
