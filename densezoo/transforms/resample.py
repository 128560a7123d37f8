"""Images, masks and label maps through an affine: the only calls of the project that resample training data.

Bilinear interpolation reads four pixels, so shrinking by more than two skips pixels and aliases. Such an image is
first halved as often as it takes, by the mean of 2 x 2 pixels and only where it is visible, and the halvings are
composed into the affine, so that geometry stays exact. Whole halvings because OpenCV has a fast path for them:
640 x 480 to 128² takes 180 µs on one core, of which the warp is 70; with blocks of 5 pixels it was 350.

An elastic deformation (`densezoo.transforms.elastic`) is composed with the affine: what lies where is worked out for
every pixel, and image, masks and labels are still read once.
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
from densezoo.functional.label_maps import IGNORE, warp_labels
from densezoo.functional.mirroring import mirrored_indices
from densezoo.transforms.checks import Border
from densezoo.transforms.elastic import Bend
from densezoo.types import Array

OUTLINE = 16, 8  # a bent box has the extent of as many points on each side, or of one in so many output pixels
SLACK = 2  # pixels around that extent, for what bulges out between those points


def warp_image(image: Array, affine: Array, size: tuple[int, int], border: Border, bend: Bend | None = None) -> Array:
    """Resample an image, bilinear, halved first where it shrinks by two or more.

    Args:
        image: (H, W, 3) uint8.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.
        border: what lies outside the image.
        bend: deformation of the output, after the affine.

    Returns:
        (height, width, 3) uint8.
    """
    halvings = math.floor(math.log2(1.0 / mean_scale(affine)) + 1e-6)
    if halvings > 0:
        shown = np.array([0.0, 0.0, size[1], size[0]]) if bend is None else bend.extent()
        image, corner = _halve_visible(image, transform_boxes(invert(affine), shown), border, halvings)
        affine = compose(affine, compose(translation(*corner), scaling(2**halvings, 2**halvings)))
    mode, colour = (cv2.BORDER_REFLECT, (0, 0, 0)) if border == "reflect" else (cv2.BORDER_CONSTANT, border)
    if bend is not None:
        return cv2.remap(image, *bend.sources(affine), cv2.INTER_LINEAR, borderMode=mode, borderValue=colour)
    matrix = opencv_matrix(affine)
    return cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=mode, borderValue=colour)


def _halve_visible(image: Array, visible: Array, border: Border, halvings: int) -> tuple[Array, tuple[int, int]]:
    """Halve what is visible of an image, a (4,) xyxy box; also give where the corner (x, y) of the result was."""
    block = 2**halvings
    height, width = image.shape[:2]
    # The outermost output pixels interpolate with blocks up to one block away. A view beside the image keeps one block.
    if border == "reflect":
        left, top = (math.floor(value) - block for value in visible[:2])
        columns, rows = (
            math.ceil((math.ceil(end) + block - start) / block)
            for start, end in zip((left, top), visible[2:], strict=True)
        )
        part = image[mirrored_indices(top, top + rows * block, height)]
        part = part[:, mirrored_indices(left, left + columns * block, width)]
    else:
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


def warp_semantic(labels: Array, affine: Array, size: tuple[int, int], bend: Bend | None = None) -> Array:
    """Resample a semantic map (H, W) uint8 by the nearest pixel; outside it is 255. Arguments as of `warp_image`."""
    if bend is None:
        return warp_labels(labels, affine, size, IGNORE)
    return _remap_labels(labels, bend.sources(affine), IGNORE)


def _remap_labels(labels: Array, sources: tuple[Array, Array], outside: int) -> Array:
    return cv2.remap(labels, *sources, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(outside,))


def warp_masks(
    masks: Array, affine: Array, size: tuple[int, int], bend: Bend | None = None
) -> tuple[Array, Array, Array]:
    """Resample instance masks by the nearest pixel, each only where it has pixels.

    Args:
        masks: (P, H, W) uint8 0/1; P may be 0.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.
        bend: deformation of the output, after the affine.

    Returns:
        The (P, height, width) uint8 masks; their (P, 4) float64 xyxy tight extents in the output, zeros for masks with
        no pixel left; and (P,) bool, whether the *input* mask had a pixel.
    """
    moved = np.zeros((len(masks), *size), np.uint8)
    extents = np.zeros((len(masks), 4))
    present = np.zeros(len(masks), bool)
    sources = None if bend is None or not len(masks) else bend.sources(affine)
    for index, mask in enumerate(masks):
        x, y, width, height = cv2.boundingRect(mask)
        present[index] = width > 0
        reach = move_boxes(np.array([[x, y, x + width, y + height]], dtype=np.float64), affine, bend)[0]
        if sources is not None:
            reach += (-SLACK, -SLACK, SLACK, SLACK)
        left, top, right, bottom = _outward(clip_boxes(reach, size))
        if width == 0 or right <= left or bottom <= top:
            continue
        if sources is None:
            window = warp_labels(mask, compose(translation(-left, -top), affine), (bottom - top, right - left), 0)
        else:
            x_there, y_there = (places[top:bottom, left:right] for places in sources)
            window = _remap_labels(mask, (x_there, y_there), 0)
        moved[index, top:bottom, left:right] = window
        x, y, width, height = cv2.boundingRect(window)
        if width:
            extents[index] = left + x, top + y, left + x + width, top + y + height
    return moved, extents, present


def _outward(box: Array) -> tuple[int, int, int, int]:
    left, top, right, bottom = box.tolist()
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)


def move_boxes(boxes: Array, affine: Array, bend: Bend | None = None) -> Array:
    """Move boxes (P, 4) xyxy; a rotated or bent one becomes the upright extent of its outline, (P, 4) float64."""
    if bend is None:
        return transform_boxes(affine, boxes)
    longest = max((boxes[:, 2:] - boxes[:, :2]).max(initial=0), 0) * mean_scale(affine)
    t = np.linspace(0, 1, max(OUTLINE[0], math.ceil(longest / OUTLINE[1])), endpoint=False)[None]
    left, top, right, bottom = (side[:, None] for side in boxes.T)
    x = np.concatenate([left + t * (right - left), right + 0 * t, right - t * (right - left), left + 0 * t], 1)
    y = np.concatenate([top + 0 * t, top + t * (bottom - top), bottom + 0 * t, bottom - t * (bottom - top)], 1)
    outline = bend.move(apply_affine(affine, np.stack([x, y], -1)))
    return np.concatenate([outline.min(1), outline.max(1)], -1)


def move_keypoints(keypoints: Array, affine: Array, size: tuple[int, int], bend: Bend | None = None) -> Array:
    """Move keypoints; those that land outside the output lose their visibility.

    Args:
        keypoints: (P, K, 3) float32 x, y, visibility.
        affine: (2, 3), image coordinates to output coordinates.
        size: (height, width) of the output.
        bend: deformation of the output, after the affine.

    Returns:
        (P, K, 3) float32. A point is inside where 0 <= x < width and 0 <= y < height, that is, on a pixel; outside it
        keeps its place, with visibility 0.
    """
    moved = keypoints.astype(np.float32)
    places = apply_affine(affine, keypoints[..., :2])
    moved[..., :2] = places if bend is None else bend.move(places)
    inside = ((moved[..., :2] >= 0) & (moved[..., :2] < (size[1], size[0]))).all(axis=-1)
    moved[..., 2] *= inside
    return moved
