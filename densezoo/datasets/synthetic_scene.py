"""Synthetic scenes: figures and shapes placed on a background, painted, photographed and annotated.

Everything is painted into one map of part numbers at twice the image's size. Colours, masks, the semantic map and
visibility flags are all read from that map, so they cannot disagree.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from densezoo.datasets.synthetic_figure import Figure, sample_figure
from densezoo.datasets.synthetic_shapes import SHAPES, Part, shape
from densezoo.datasets.synthetic_texture import background, near_colour, photograph, random_colour, texture
from densezoo.types import Array

CLASSES = ("person", *SHAPES)
"""Category i + 1 of the files and value i + 1 of the semantic map; 0 is background and every pixel has a label."""

_OVERSAMPLING = 2
# Of a figure's drawn pixels, at difficulty 1 and 0; one that shows less is taken out.
_LEAST_VISIBLE = (0.35, 0.8)
_LEAST_SHAPE = 0.15
_SUBPIXEL_BITS = 4
# Standing height over the image's shorter side, by number of figures in the scene.
_SIZES = {1: (0.5, 0.97), 2: (0.42, 0.85), 3: (0.35, 0.72)}


@dataclass(frozen=True)
class Thing:
    """One object of a scene, in image pixels: its parts in painting order and, for a person, its joints."""

    category: int
    parts: list[Part]
    keypoints: Array | None = None
    owners: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class Instance:
    """One annotated object.

    Attributes:
        category: index into `CLASSES` plus 1.
        mask: (H, W) bool, the visible pixels; at least one.
        keypoints: (17, 3) x, y, visibility for a person, else None. Unlabelled keypoints are all zero.
    """

    category: int
    mask: Array
    keypoints: Array | None


@dataclass(frozen=True)
class Scene:
    """One image with every annotation.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        semantic: (H, W) uint8.
        instances: from the farthest to the nearest.
    """

    image: Array
    semantic: Array
    instances: list[Instance]


def draw_scene(rng: np.random.Generator, size: tuple[int, int], max_people: int, difficulty: float = 1.0) -> Scene:
    """Draw one scene of 1 to `max_people` figures and some shapes.

    Args:
        rng: everything is drawn from it.
        size: (height, width) in pixels.
        max_people: at least 1.
        difficulty: 0 to 1. Less of it means fewer objects in front, people who face the camera upright and inside the
            picture, fainter patterns and less noise; limbs move as freely.
    """
    things = _place_things(rng, size, max_people, difficulty)
    least_visible = difficulty * _LEAST_VISIBLE[0] + (1 - difficulty) * _LEAST_VISIBLE[1]
    while True:
        labels, starts, drawn = _paint(things, size)
        counts = np.bincount(labels.ravel(), minlength=1 + sum(len(thing.parts) for thing in things))
        visible = np.add.reduceat(counts, starts)
        hidden = [
            shown < (least_visible if thing.category == 1 else _LEAST_SHAPE) * max(area, 1) or shown < 12
            for thing, shown, area in zip(things, visible, drawn, strict=True)
        ]
        if not any(hidden):
            break
        # The most hidden one goes first; the others may show again without the rest.
        worst = int(np.argmin(visible / np.maximum(drawn, 1) + 9 * ~np.array(hidden)))
        del things[worst]
    image = photograph(rng, _colour(rng, things, labels, size, difficulty), difficulty)
    return _annotate(things, labels, starts, image)


def _place_things(rng: np.random.Generator, size: tuple[int, int], max_people: int, difficulty: float) -> list[Thing]:
    """Figures and shapes from the farthest to the nearest."""
    side = min(size)
    num_people = int(rng.integers(1, max_people + 1))
    low, high = _SIZES[min(num_people, 3)]
    crowding = min(1.0, 3 / num_people) ** 0.5
    ordered: list[tuple[float, Thing]] = []
    boxes: list[Array] = []
    for _ in range(num_people):
        figure = sample_figure(rng, difficulty)
        height = rng.uniform(low, high) * crowding * side
        cut = rng.random() < 0.25 * difficulty
        person, box = _place_figure(rng, figure, height, size, boxes, cut)
        boxes.append(box)
        # Larger means nearer, mostly.
        ordered.append((height / side + rng.normal(0, 0.1), person))
    for _ in range(rng.integers(0, 4)):
        ordered.append((rng.uniform(-0.6, 0.3), _place_shape(rng, size, rng.uniform(0.05, 0.28) * side)))
    for _ in range(round(rng.integers(0, 3) * difficulty)):
        ordered.append((2.0, _place_shape(rng, size, rng.uniform(0.04, 0.16) * side)))
    ordered.sort(key=lambda item: item[0])
    return [thing for _, thing in ordered]


def _place_figure(
    rng: np.random.Generator, figure: Figure, height: float, size: tuple[int, int], others: list[Array], cut: bool
) -> tuple[Thing, Array]:
    """Scale `figure` to a standing `height` in pixels and put it where it covers `others` (xyxy boxes) least.

    Returns:
        The person and its xyxy box; with `cut`, it may reach beyond the image.
    """
    corners = np.concatenate([part.outline for part in figure.parts])
    low, high = corners.min(axis=0), corners.max(axis=0)
    # A folded body may come nearer, so that it is not much smaller than a standing one.
    scale = height / max(0.7, min(1.0, float((high - low).max())))
    extent = (high - low) * scale
    room = np.array([size[1], size[0]]) - extent
    beyond = 0.22 * extent if cut else np.zeros(2)
    least, offset, chosen = np.inf, np.zeros(2), np.zeros(4)
    for _ in range(8):
        # Where the body is larger than the image, the range is inverted: its middle stays in view.
        start = rng.uniform(np.minimum(0, room) - beyond, np.maximum(0, room) + beyond)
        box = np.concatenate([start, start + extent])
        overlap = max((_overlap(box, other) for other in others), default=0.0)
        if overlap < least:
            least, offset, chosen = overlap, start - low * scale, box
        if overlap < 0.25:
            break
    parts = [
        Part(part.outline * scale + offset, part.name, part.colour, part.second, part.texture) for part in figure.parts
    ]
    return Thing(1, parts, figure.keypoints * scale + offset, tuple(figure.owners)), chosen


def _overlap(first: Array, second: Array) -> float:
    """Common area of two xyxy boxes over the smaller one's area."""
    common = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None).prod()
    return float(common / min((first[2:] - first[:2]).prod(), (second[2:] - second[:2]).prod()))


def _place_shape(rng: np.random.Generator, size: tuple[int, int], radius: float) -> Thing:
    kind = int(rng.integers(len(SHAPES)))
    centre = rng.uniform(0.05, 0.95, 2) * (size[1], size[0])
    outlines = shape(SHAPES[kind], centre, radius, rng.uniform(0.25, 1.0), rng.uniform(0, 2 * np.pi))
    colour = random_colour(rng)
    second = random_colour(rng) if rng.random() < 0.4 else near_colour(rng, colour, 15)
    pattern = int(rng.integers(3))
    return Thing(kind + 2, [Part(outline, SHAPES[kind], colour, second, pattern) for outline in outlines])


def _paint(things: list[Thing], size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Paint part numbers, counted from 1 over all things.

    Returns:
        Part numbers (2 H, 2 W) uint16, each thing's first part number, and its painted subpixels when it was on top.
    """
    labels = np.zeros((size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING), np.uint16)
    number, starts, drawn = 0, [], []
    unit = _OVERSAMPLING << _SUBPIXEL_BITS
    for thing in things:
        starts.append(number + 1)
        for part in thing.parts:
            number += 1
            # OpenCV's origin is the centre of the first pixel.
            corners = np.round(part.outline * unit - (1 << _SUBPIXEL_BITS) / 2).astype(np.int32)
            cv2.fillConvexPoly(labels, corners, number, cv2.LINE_8, _SUBPIXEL_BITS)
        drawn.append(np.count_nonzero(labels >= starts[-1]))
    return labels, np.array(starts, np.int64), np.array(drawn, np.int64)


def _colour(
    rng: np.random.Generator, things: list[Thing], labels: Array, size: tuple[int, int], difficulty: float
) -> Array:
    """Colours (H, W, 3) float32 of painted parts over a background, edges anti-aliased."""
    parts = [part for thing in things for part in thing.parts]
    none = np.zeros((1, 3), np.float32)
    first = np.concatenate([none, *(part.colour[None] for part in parts)]).astype(np.float32)
    second = np.concatenate([none, *(part.second[None] for part in parts)]).astype(np.float32)
    patterns = [texture(rng, size, 0.025, 0.12) for _ in range(3)]
    double = (labels.shape[1], labels.shape[0])
    which = np.array([0, *(part.texture for part in parts)], np.uint8)[labels]
    mix = cv2.resize(patterns[0], double, interpolation=cv2.INTER_LINEAR)
    for index in (1, 2):
        np.copyto(mix, cv2.resize(patterns[index], double, interpolation=cv2.INTER_LINEAR), where=which == index)
    painted = first[labels] + mix[..., None] * (second - first)[labels]
    reduced = (size[1], size[0])
    cover = cv2.resize((labels > 0).astype(np.float32), reduced, interpolation=cv2.INTER_AREA)
    front = cv2.resize(painted, reduced, interpolation=cv2.INTER_AREA)
    result: Array = front + (1 - cover[..., None]) * background(rng, size, difficulty)
    return result


def _annotate(things: list[Thing], labels: Array, starts: Array, image: Array) -> Scene:
    """Read masks and visibility flags from the part numbers."""
    owner = np.searchsorted(starts, np.arange(1 + sum(len(thing.parts) for thing in things)), side="right")
    fine = owner.astype(np.uint8)[labels]
    # The majority of four subpixels; on a tie, the nearer object.
    quad = np.sort(np.stack([fine[0::2, 0::2], fine[0::2, 1::2], fine[1::2, 0::2], fine[1::2, 1::2]]), axis=0)
    owners = np.where(quad[2] == quad[3], quad[2], quad[1])
    instances = []
    for index, thing in enumerate(things):
        mask = owners == index + 1
        if mask.any():
            instances.append(Instance(thing.category, mask, _visibility(thing, index, labels, starts, owners)))
    semantic = np.array([0, *(thing.category for thing in things)], np.uint8)[owners]
    return Scene(image, semantic, instances)


def _visibility(thing: Thing, index: int, labels: Array, starts: Array, owners: Array) -> Array | None:
    """Keypoints (17, 3) of a person: 2 seen, 1 covered by something that the joint is not part of, 0 outside."""
    if thing.keypoints is None:
        return None
    height, width = owners.shape
    keypoints = np.zeros((len(thing.keypoints), 3))
    for row, (point, own) in enumerate(zip(thing.keypoints, thing.owners, strict=True)):
        x, y = float(point[0]), float(point[1])
        if not (0 <= x < width and 0 <= y < height):
            continue
        part = int(labels[int(y * _OVERSAMPLING), int(x * _OVERSAMPLING)]) - int(starts[index])
        by_itself = 0 <= part < len(thing.parts) and thing.parts[part].name not in own
        by_others = part >= len(thing.parts) or owners[int(y), int(x)] > index + 1
        keypoints[row] = (x, y, 1 if by_itself or by_others else 2)
    return keypoints
