"""A head of ellipsoids in any pose, lit and painted, with its voxels.

A head's own frame: it looks against z, x to the right of who looks at it, y down, and one unit is about half the height
of its face. Heads differ in every radius, in skin, hair and eyes, and some have a bun at one side.
"""

from dataclasses import dataclass
from math import cos, radians, sin

import cv2
import numpy as np

from densezoo.datasets.synthetic_solids import (
    Ellipsoids,
    Placement,
    fill_voxels,
    ray_intervals,
    surface_normals,
    visible_parts,
)
from densezoo.datasets.synthetic_texture import HAIR, SKIN, background, cloud, near_colour, photograph
from densezoo.functional.volumes import slice_depths
from densezoo.types import Array

YAW, PITCH, ROLL = 60.0, 20.0, 20.0
"""Largest angles of heads, in degrees."""
_SPREAD = 0.1  # of radii, from head to head

_Shape = tuple[tuple[float, ...], tuple[float, ...]]
# name: centre, radii; of pairs the one at the right
_SKIN_PARTS = {
    "skull": ((0, -0.25, 0.12), (0.62, 0.62, 0.75)),
    "face": ((0, 0.2, -0.14), (0.5, 0.66, 0.55)),
    "chin": ((0, 0.7, -0.4), (0.24, 0.18, 0.22)),
    "brow": ((0, -0.14, -0.55), (0.4, 0.09, 0.14)),
    "nose": ((0, 0.14, -0.7), (0.1, 0.24, 0.15)),
    "nose tip": ((0, 0.28, -0.8), (0.13, 0.1, 0.15)),
    "neck": ((0, 0.95, 0.2), (0.34, 0.6, 0.34)),
}
_EAR = ((0.6, 0.06, 0.08), (0.09, 0.2, 0.14))
_LIPS = ((0, 0.47, -0.63), (0.18, 0.06, 0.09))
_EYE = ((0.2, 0.03, -0.55), (0.1, 0.08, 0.08))
_IRIS = ((0.2, 0.03, -0.61), (0.045, 0.05, 0.04))
_SOCKET = ((0.2, 0.03, -0.7), (0.14, 0.1, 0.15))
_HAIR = ((0, -0.34, 0.22), (0.67, 0.62, 0.74))
_BUN = ((0.32, -0.55, 0.9), (0.27, 0.27, 0.27))


@dataclass(frozen=True)
class HeadScene:
    """An image and the voxels of the head on it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        volume: (D, H, W) uint8 0/1, see `densezoo.functional.volumes`.
    """

    image: Array
    volume: Array


def draw_head(
    rng: np.random.Generator, size: tuple[int, int], num_slices: int, thickness: float, difficulty: float
) -> HeadScene:
    """Draw a head that nobody has seen before, nearly always whole.

    Args:
        rng: source of everything random.
        size: (height, width) of the image.
        num_slices: D.
        thickness: of a slice, in pixels.
        difficulty: 0 to 1, of background and photograph, see `densezoo.datasets.synthetic_texture`.
    """
    height, width = size
    parts, placed = make_head(rng), place_head(rng, size)
    x, y = (np.arange(side) + 0.5 for side in (width, height))
    near, far = ray_intervals(parts, placed, x, y)
    volume = fill_voxels(near, far, parts.hollow, slice_depths(num_slices, thickness))
    seen: Array = (near < far).max(0)
    colours, opacity = render_head(rng, parts, placed, seen)
    image = background(rng, size, difficulty) * (1 - opacity[..., None]) + colours
    return HeadScene(photograph(rng, image.astype(np.float32), difficulty), volume)


def make_head(rng: np.random.Generator) -> Ellipsoids:
    """Draw the shape and the colours of a head."""
    skin, hair = (near_colour(rng, colours[rng.integers(len(colours))], 8) for colours in (SKIN, HAIR))
    lips, iris = near_colour(rng, skin * (0.85, 0.6, 0.6), 8), near_colour(rng, np.array([70.0, 70.0, 70.0]), 30)
    body = [(*_varied(rng, shape), skin) for shape in _SKIN_PARTS.values()]
    body += _mirrored(*_varied(rng, _EAR), skin)
    body.append((*_varied(rng, _LIPS), lips))
    if rng.random() < 0.85:
        body.append((*_varied(rng, _HAIR), hair))
    if rng.random() < 0.3:
        body.append(_mirrored(*_varied(rng, _BUN), hair)[rng.integers(2)])
    sockets = _mirrored(*_varied(rng, _SOCKET), skin * 0.8)
    eyes = [*_mirrored(*_as_it_is(_EYE), np.full(3, 235.0)), *_mirrored(*_as_it_is(_IRIS), iris)]
    centres, radii, colours = (np.array(values, np.float64) for values in zip(*body, *sockets, *eyes, strict=True))
    return Ellipsoids(centres, radii, colours, slice(len(body), len(body) + len(sockets)))


def _as_it_is(shape: _Shape) -> tuple[Array, Array]:
    return np.array(shape[0]), np.array(shape[1])


def _varied(rng: np.random.Generator, shape: _Shape) -> tuple[Array, Array]:
    centre, radii = _as_it_is(shape)
    return centre, radii * rng.uniform(1 - _SPREAD, 1 + _SPREAD, 3)


def _mirrored(centre: Array, radii: Array, colour: Array) -> list[tuple[Array, Array, Array]]:
    return [(centre, radii, colour), (centre * (-1, 1, 1), radii, colour)]


def place_head(rng: np.random.Generator, size: tuple[int, int]) -> Placement:
    """Draw where a head is and where it looks, within an image of (height, width) pixels."""
    yaw, pitch, roll = (radians(rng.uniform(-most, most)) for most in (YAW, PITCH, ROLL))
    about_y = np.array([[cos(yaw), 0, sin(yaw)], [0, 1, 0], [-sin(yaw), 0, cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, cos(pitch), -sin(pitch)], [0, sin(pitch), cos(pitch)]])
    about_z = np.array([[cos(roll), -sin(roll), 0], [sin(roll), cos(roll), 0], [0, 0, 1]])
    side = min(size)
    x, y = rng.uniform(-0.07, 0.07, 2) * side
    # depth is counted from the middle of the head, which one image cannot tell the distance of
    middle = np.array([size[1] / 2 + x, size[0] / 2 + y - 0.04 * side, 0])
    return Placement(about_z @ about_x @ about_y, rng.uniform(0.24, 0.32) * side, middle)


def render_head(rng: np.random.Generator, parts: Ellipsoids, placed: Placement, seen: Array) -> tuple[Array, Array]:
    """Paint a head.

    Args:
        rng: source of light and mottling.
        parts: the head.
        placed: where it is.
        seen: (H, W) bool, pixels whose centre it covers.

    Returns:
        (H, W, 3) float32 colours, black around the head, and (H, W) float32, how much of each pixel it covers, 0 to 1.
    """
    # rays are cast only around the head, twice as dense as pixels; both ends lie on pixels
    (top, bottom), (left, right) = (_extent(seen.max(axis), margin=2) for axis in (1, 0))
    y, x = ((np.arange(2 * start, 2 * end) + 0.5) / 2 for start, end in ((top, bottom), (left, right)))
    depth, owner = visible_parts(*ray_intervals(parts, placed, x, y), parts.hollow)
    rows, columns = np.nonzero(np.isfinite(depth))
    owner = owner[rows, columns]
    normals = surface_normals(parts, placed, np.stack([x[columns], y[rows], depth[rows, columns]], 1), owner)
    direction = np.array([rng.uniform(-1, 1), rng.uniform(-1, 0.4), -rng.uniform(0.5, 1.2)])
    lit = np.clip(normals @ (direction / np.linalg.norm(direction)), 0, None)
    ambient = rng.uniform(0.3, 0.6)
    strength = ambient + (1.15 - ambient) * lit + rng.uniform(0, 0.25) * lit**20
    mottled = 1 + rng.uniform(0, 0.2) * (cloud(rng, depth.shape, int(rng.integers(5, 20))) - 0.5)
    dense: Array = np.zeros((*depth.shape, 4), np.float32)
    dense[rows, columns, :3] = parts.colours[owner] * (strength * mottled[rows, columns])[:, None]
    dense[rows, columns, 3] = 1
    layers = np.zeros((*seen.shape, 4), np.float32)
    layers[top:bottom, left:right] = cv2.resize(dense, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return layers[..., :3], layers[..., 3]


def _extent(seen: Array, margin: int) -> tuple[int, int]:
    """Return the first and the end of what is true somewhere in (n,) bool, widened within it."""
    places = np.flatnonzero(seen)
    return max(int(places[0]) - margin, 0), min(int(places[-1]) + 1 + margin, len(seen))
