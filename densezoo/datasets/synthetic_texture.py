"""Colours, textures and backgrounds of the synthetic scenes, and what a camera does to them.

Images are (H, W, 3) RGB. Everything is drawn from the generator that is passed in.
"""

from functools import lru_cache

import cv2
import numpy as np

from densezoo.types import Array

SKIN = np.array(
    [[255, 219, 190], [240, 194, 160], [224, 172, 130], [198, 134, 90], [150, 98, 64], [104, 66, 44], [74, 46, 34]],
    np.float32,
)
HAIR = np.array(
    [[30, 24, 22], [60, 40, 28], [98, 62, 34], [150, 100, 50], [214, 178, 100], [120, 116, 112], [160, 60, 30]],
    np.float32,
)


def random_colour(rng: np.random.Generator) -> Array:
    """Any colour, (3,) float32 in 0 to 255: half of them strong, half muted."""
    colour = rng.uniform(15, 240, 3)
    if rng.random() < 0.5:
        colour = colour.mean() + 0.45 * (colour - colour.mean())
    return colour.astype(np.float32)


def near_colour(rng: np.random.Generator, colour: Array, spread: float) -> Array:
    """`colour` (3,) moved by a normal step of `spread` per channel, kept within 0 to 255."""
    return np.clip(colour + rng.normal(0, spread, 3), 0, 255).astype(np.float32)


@lru_cache(maxsize=8)
def _pixel_centres(height: int, width: int) -> tuple[Array, Array]:
    """Pixel centres x (1, width) and y (height, 1), float32, in units of the shorter side."""
    side = min(height, width)
    x = (np.arange(width, dtype=np.float32) + 0.5) / side
    y = (np.arange(height, dtype=np.float32) + 0.5) / side
    return x[None], y[:, None]


def texture(rng: np.random.Generator, size: tuple[int, int], finest: float, coarsest: float) -> Array:
    """A pattern (H, W) float32 in 0 to 1: stripes, waves, checks, dots or cloud.

    Args:
        rng: the generator.
        size: (height, width).
        finest: shortest period, as a fraction of the shorter side.
        coarsest: longest period.
    """
    height, width = size
    x, y = _pixel_centres(height, width)
    period = float(np.exp(rng.uniform(np.log(finest), np.log(coarsest))))
    kind = rng.integers(5)
    if kind == 4:
        return cloud(rng, size, max(2, round(1 / period)))
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 1, 2)
    c, s = float(np.cos(angle)) / period, float(np.sin(angle)) / period
    across = c * x + s * y + np.float32(phase[0])
    if kind == 0:
        return (across % 1 < rng.uniform(0.3, 0.7)).astype(np.float32)
    if kind == 1:
        return (0.5 + 0.5 * np.sin(2 * np.pi * across)).astype(np.float32)
    along = c * y - s * x + np.float32(phase[1])
    if kind == 2:
        return ((across % 1 < 0.5) ^ (along % 1 < 0.5)).astype(np.float32)
    return ((across % 1 - 0.5) ** 2 + (along % 1 - 0.5) ** 2 < 0.08).astype(np.float32)


def cloud(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Array:
    """Smooth noise (H, W) float32 in 0 to 1 with about `cells` bumps along the longer side."""
    height, width = size
    grid = (max(2, round(cells * height / max(size))), max(2, round(cells * width / max(size))))
    smooth = cv2.resize(rng.random(grid, np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 1)


def background(rng: np.random.Generator, size: tuple[int, int], difficulty: float) -> Array:
    """A scene without objects, (H, W, 3) float32 in 0 to 255: colour fields, patterns, blobs and strokes.

    The strokes look like limbs, so that a detector of thick lines alone is not enough. With `difficulty` 0 there are
    none, and patterns are faint.
    """
    height, width = size
    corners = np.stack([random_colour(rng) for _ in range(4)]).reshape(2, 2, 3)
    image = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(rng.integers(0, 3)):
        pattern = texture(rng, size, 0.04, 0.5)[..., None] * np.float32(
            rng.uniform(0.2, 0.8) * (0.3 + 0.7 * difficulty)
        )
        image = image + pattern * (random_colour(rng) - image)
    if rng.random() < 0.5:
        height_of_bumps = np.float32(rng.uniform(20, 80) * (0.3 + 0.7 * difficulty))
        image = image + height_of_bumps * (cloud(rng, size, int(rng.integers(8, 40))) - 0.5)[..., None]
    side = min(size)
    if rng.random() < 0.4:  # always soft: a sharp disc would be an unlabelled ellipse
        soft: Array = np.zeros(size, np.float32)
        for _ in range(rng.integers(1, 6)):
            centre, radius = _fixed(rng.uniform(0, 1, 2) * (width, height)), int(rng.uniform(0.04, 0.16) * side * 16)
            cv2.circle(soft, centre, radius, rng.uniform(0.3, 1), -1, cv2.LINE_8, 4)
        soft = cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.015, 0.05) * side)
        image = image + soft[..., None] * (random_colour(rng) - image)
    for _ in range(int(rng.integers(0, 7) * difficulty)):
        start = rng.uniform(0, 1, 2) * (width, height)
        end = start + rng.normal(0, 0.2, 2) * side
        thickness = max(1, round(rng.uniform(0.01, 0.06) * side))
        colour = SKIN[rng.integers(len(SKIN))] if rng.random() < 0.3 else random_colour(rng)
        cv2.line(image, _fixed(start), _fixed(end), colour.tolist(), thickness, cv2.LINE_8, 4)
    blur = rng.uniform(-0.6, 1.6) * side / 128
    return cv2.GaussianBlur(image, (0, 0), blur) if blur > 0.3 else image


def _fixed(point: Array) -> tuple[int, int]:
    """`point` in the 1/16 pixel units of OpenCV's `shift=4`, whose origin is a pixel's centre."""
    return round((float(point[0]) - 0.5) * 16), round((float(point[1]) - 0.5) * 16)


def photograph(rng: np.random.Generator, image: Array, difficulty: float) -> Array:
    """Light, lens and sensor: what a camera makes of a drawn scene.

    Args:
        rng: the generator.
        image: (H, W, 3) float32 in 0 to 255.
        difficulty: 0 to 1; scales how often and how much the picture is spoilt.

    Returns:
        (H, W, 3) uint8: lit from one side, gain and tint changed, now and then blurred, with noise.
    """
    height, width = image.shape[:2]
    x, y = _pixel_centres(height, width)
    slope = rng.normal(0, 0.25, 2).astype(np.float32)
    light = 1 + slope[0] * (x - x.mean()) + slope[1] * (y - y.mean())
    gain = (rng.uniform(0.65, 1.15) * rng.uniform(0.92, 1.08, 3)).astype(np.float32)
    image = image * light[..., None] * gain + np.float32(rng.uniform(-10, 25))
    if rng.random() < 0.2 * difficulty:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.1) * min(height, width) / 128)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(1 + rng.uniform(0, 11) * difficulty)
    return np.clip(image + noise + np.float32(0.5), 0, 255).astype(np.uint8)
