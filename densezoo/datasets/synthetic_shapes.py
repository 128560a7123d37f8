"""Flat outlines that synthetic scenes are drawn from, and the simple shapes among their objects.

Points are (x, y) in image pixels, continuous, origin at the image's corner.
"""

from dataclasses import dataclass
from math import pi

import numpy as np

from densezoo.types import Array

SHAPES = ("ellipse", "rectangle", "triangle", "star")


@dataclass(frozen=True)
class Part:
    """One filled convex outline of an object; parts are painted in list order.

    Attributes:
        outline: (n, 2) corners.
        name: what it is a part of, e.g. `left_thigh`.
        colour: (3,) RGB, 0 to 255.
        second: (3,) RGB where the texture is 1.
        texture: index of the scene's texture; unused where the colours are equal.
    """

    outline: Array
    name: str
    colour: Array
    second: Array
    texture: int = 0


def capsules(starts: Array, ends: Array, start_radii: Array, end_radii: Array, points: int = 9) -> Array:
    """Outlines of n limbs: a half disc at each end and straight sides.

    Args:
        starts: (n, 2).
        ends: (n, 2).
        start_radii: (n,).
        end_radii: (n,).
        points: corners of each half disc.

    Returns:
        (n, 2 · points, 2).
    """
    along = np.arctan2(ends[:, 1] - starts[:, 1], ends[:, 0] - starts[:, 0])[:, None]
    turn = np.linspace(-pi / 2, pi / 2, points)[None]
    far = ends[:, None] + end_radii[:, None, None] * _unit(along + turn)
    near = starts[:, None] + start_radii[:, None, None] * _unit(along + pi + turn)
    return np.concatenate([far, near], axis=1)


def discs(centres: Array, radii: Array, points: int = 12) -> Array:
    """Points on n circles, (n · points, 2); their convex hull wraps them like cloth."""
    around = _unit(np.arange(points) * (2 * pi / points))
    rings: Array = centres[:, None] + radii[:, None, None] * around
    return rings.reshape(-1, 2)


def ellipse(centre: Array, half_axes: tuple[float, float], up: Array, points: int = 20) -> Array:
    """Outline (points, 2) of an ellipse whose second axis points along `up`, a (2,) unit vector."""
    around = _unit(np.arange(points) * (2 * pi / points)) * np.asarray(half_axes)
    axes = np.array([[-up[1], up[0]], [up[0], up[1]]])
    outline: Array = centre + around @ axes
    return outline


def shape(kind: str, centre: Array, radius: float, aspect: float, angle: float) -> list[Array]:
    """Convex outlines that together make one of `SHAPES`.

    Args:
        kind: one of `SHAPES`.
        centre: (2,).
        radius: half the longer extent, in pixels.
        aspect: shorter over longer extent, at most 1.
        angle: rotation, in radians.

    Returns:
        (n, 2) outlines; a star has five.
    """
    if kind == "ellipse":
        corners = [_unit(np.arange(28) * (2 * pi / 28))]
    elif kind == "rectangle":
        corners = [np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])]
    elif kind == "triangle":
        corners = [_unit(np.arange(3) * (2 * pi / 3))]
    else:
        tips, dents = _unit(np.arange(5) * (2 * pi / 5)), 0.5 * _unit((np.arange(5) + 0.5) * (2 * pi / 5))
        corners = [np.stack([tips[i], dents[i], np.zeros(2), dents[i - 1]]) for i in range(5)]
        aspect = max(aspect, 0.75)
    axes = np.stack([_unit(angle), _unit(angle + pi / 2)])
    return [centre + radius * (outline * (1.0, aspect)) @ axes for outline in corners]


def _unit(angles: "Array | float") -> Array:
    """Unit vectors (..., 2) at `angles` in radians."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)
