"""Annotations and predictions drawn on images: people, boxes, masks and label maps.

Every function takes an (H, W, 3) uint8 RGB image and coordinates in its pixels (continuous, corner origin), leaves both
as they are, and returns a new image. `min_side` enlarges a small image first and the drawing with it, so it belongs in
the last call of a chain.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from densezoo.types import Array
from densezoo.visualization.canvas import (
    SUBPIXEL_BITS,
    WHITE,
    Colour,
    enlarge,
    line_width,
    pick_colour,
    put_label,
    to_fixed,
)

LEFT: Colour = (255, 140, 0)  # orange and blue: apart for every kind of colour blindness
RIGHT: Colour = (30, 144, 255)
MIDDLE: Colour = (60, 220, 90)


def draw_pose(
    image: Array,
    keypoints: Array,
    skeleton: Sequence[Sequence[int]],
    flip_pairs: Sequence[Sequence[int]] = (),
    threshold: float = 0.0,
    hidden: Array | None = None,
    boxes: Array | None = None,
    labels: Sequence[str] | None = None,
    min_side: int = 0,
) -> Array:
    """Draw people: limbs orange on their left, blue on their right, green between.

    Args:
        image: (H, W, 3) uint8.
        keypoints: (P, K, 3) x, y and visibility or score; P may be 0.
        skeleton: pairs of keypoint indices to join.
        flip_pairs: (left, right) pairs of keypoint indices; without them everything is green.
        threshold: joints whose third value is above it are drawn.
        hidden: (P, K) bool, joints to draw white with a coloured rim, e.g. `keypoints[..., 2] == 1` for annotations.
        boxes: (P, 4) xyxy, drawn thin.
        labels: P texts for the boxes; without boxes they stand above each person's joints.
        min_side: enlarge the picture until its shorter side has that many pixels.

    Returns:
        A new (H, W, 3) uint8 image, larger where `min_side` asks for it.
    """
    canvas, factor = enlarge(image, min_side)
    sides = {index: side for pair in flip_pairs for index, side in zip(pair, (LEFT, RIGHT), strict=True)}
    shown = (keypoints[..., 2] > threshold) & np.isfinite(keypoints[..., :2]).all(axis=-1)
    points = np.where(shown[..., None], keypoints[..., :2], 0.0) * factor
    hollow = np.zeros_like(shown) if hidden is None else np.asarray(hidden, dtype=bool)
    for person, seen, hole in zip(points, shown, hollow, strict=True):
        width = _person_line_width(canvas, person[seen])
        for a, b in skeleton:
            if seen[a] and seen[b]:
                _draw_limb(canvas, person[a], person[b], _limb_colour(sides.get(a), sides.get(b)), width)
        for k in np.flatnonzero(seen).tolist():
            _draw_joint(canvas, person[k], sides.get(k, MIDDLE), width, bool(hole[k]))
    if boxes is not None:
        return draw_boxes(canvas, boxes * factor, labels)
    for index, text in enumerate(labels or ()):
        if shown[index].any():
            left, top = points[index][shown[index]].min(axis=0)
            put_label(canvas, text, left, top - 3 * line_width(canvas), MIDDLE)
    return canvas


def _person_line_width(image: Array, points: Array) -> int:
    """The image's line width, or a thinner one where a person (P, 2) is small in it."""
    reach = float(np.ptp(points, axis=0).max()) if len(points) > 1 else 0.0
    return min(line_width(image), max(round(reach / 45), 1))


def _limb_colour(a: Colour | None, b: Colour | None) -> Colour:
    """A limb from one side to the other, shoulder to shoulder say, is in the middle."""
    if a is None or b is None:
        return a or b or MIDDLE
    return a if a == b else MIDDLE


def _draw_limb(image: Array, a: Array, b: Array, colour: Colour, width: int) -> None:
    start, end = to_fixed(*a), to_fixed(*b)
    # A dark seam on both sides keeps the limb apart from clothes of its own colour.
    cv2.line(image, start, end, (20, 20, 20), width + 2, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.line(image, start, end, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_joint(image: Array, point: Array, colour: Colour, width: int, hollow: bool) -> None:
    centre, radius = to_fixed(*point), round((1.2 * width + 1) * (1 << SUBPIXEL_BITS))
    inner, rim = (WHITE, colour) if hollow else (colour, WHITE)
    cv2.circle(image, centre, radius, inner, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.circle(image, centre, radius, rim, (width + 1) // 2 if hollow else 1, cv2.LINE_AA, SUBPIXEL_BITS)


def draw_boxes(
    image: Array,
    boxes: Array,
    labels: Sequence[str] | None = None,
    colours: Sequence[int] | None = None,
    min_side: int = 0,
) -> Array:
    """Draw boxes with a text at their top left corner.

    Args:
        image: (H, W, 3) uint8.
        boxes: (P, 4) xyxy; P may be 0.
        labels: P texts.
        colours: P numbers of colours, e.g. class labels; default one colour per box.
        min_side: enlarge the picture until its shorter side has that many pixels.

    Returns:
        A new (H, W, 3) uint8 image.
    """
    canvas, factor = enlarge(image, min_side)
    width = max(line_width(canvas) // 2, 1)
    tints = [pick_colour(index if colours is None else int(colours[index])) for index in range(len(boxes))]
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * factor
    for (left, top, right, bottom), tint in zip(corners.tolist(), tints, strict=True):
        cv2.rectangle(canvas, to_fixed(left, top), to_fixed(right, bottom), tint, width, cv2.LINE_AA, SUBPIXEL_BITS)
    for index, text in enumerate(labels or ()):
        put_label(canvas, text, corners[index, 0], corners[index, 1], tints[index])
    return canvas


def draw_masks(
    image: Array,
    masks: Array,
    colours: Sequence[int] | None = None,
    opacity: float = 0.45,
    min_side: int = 0,
) -> Array:
    """Tint instances and draw their outlines.

    Args:
        image: (H, W, 3) uint8.
        masks: (P, H, W), instance where not 0; P may be 0.
        colours: P numbers of colours, e.g. class labels; default one colour per instance.
        opacity: of the tint, 0 to 1.
        min_side: enlarge the picture until its shorter side has that many pixels.

    Returns:
        A new (H, W, 3) uint8 image.
    """
    canvas, factor = enlarge(image, min_side)
    for index, mask in enumerate(masks):
        enlarged: Array = (mask != 0).astype(np.uint8)
        if factor > 1:
            enlarged = cv2.resize(enlarged, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        inside = enlarged.astype(bool)
        tint = pick_colour(index if colours is None else int(colours[index]))
        canvas[inside] = np.rint((1 - opacity) * canvas[inside] + opacity * np.array(tint)).astype(np.uint8)
        outlines, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, tint, max(line_width(canvas) // 2, 1), cv2.LINE_AA)
    return canvas


def draw_semantic(
    image: Array,
    semantic: Array,
    classes: Sequence[str] = (),
    ignore: int = 255,
    opacity: float = 0.55,
    min_side: int = 0,
) -> Array:
    """Tint every pixel by its label and name the labels below the picture; ignored pixels turn dark.

    Args:
        image: (H, W, 3) uint8.
        semantic: (H, W) labels.
        classes: names in label order; labels beyond them are named by number.
        ignore: label of pixels without one.
        opacity: of the tint, 0 to 1.
        min_side: enlarge the picture until its shorter side has that many pixels.

    Returns:
        A new (H', W, 3) uint8 image, higher by the legend.
    """
    canvas, factor = enlarge(image, min_side)
    present = [int(label) for label in np.unique(semantic) if label != ignore]
    table = np.zeros((256, 3), np.uint8)
    for label in present:
        table[label] = pick_colour(label)
    labels: Array = semantic.astype(np.uint8)
    if factor > 1:
        labels = cv2.resize(labels, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    tinted = cv2.addWeighted(canvas, 1 - opacity, table[labels], opacity, 0)
    names = {label: classes[label] if label < len(classes) else str(label) for label in present}
    return np.concatenate([tinted, _draw_legend(names, tinted.shape[1])])


def _draw_legend(names: dict[int, str], width: int) -> Array:
    """Coloured plates with names, wrapped to `width` pixels: (h, width, 3)."""
    lines: list[list[int]] = []
    room = 0
    cell = 10 + 9 * max((len(name) for name in names.values()), default=0)
    for label in names:
        if room < cell or not lines:
            lines.append([])
            room = width
        lines[-1].append(label)
        room -= cell
    legend = np.full((22 * len(lines), width, 3), 255, np.uint8)
    for row, labels in enumerate(lines):
        for column, label in enumerate(labels):
            plate = legend[22 * row : 22 * (row + 1), column * cell : (column + 1) * cell]
            put_label(plate, names[label], 2, 20, pick_colour(label))
    return legend
