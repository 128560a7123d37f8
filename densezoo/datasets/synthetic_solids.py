"""Solids of ellipsoids under weak perspective: which voxels they fill, and what a camera sees of them.

Every ray runs along the depth, so that each ellipsoid cuts one interval out of it. Ellipsoids are joined to a body,
others carved out of it, and the last ones put in, as eyes into their sockets. The visible surface is exact, and so are
its normals.

Frame: x to the right, y down, z away from the camera, in pixels.
"""

from dataclasses import dataclass

import numpy as np

from densezoo.types import Array


@dataclass(frozen=True)
class Ellipsoids:
    """S ellipsoids with parallel axes.

    Attributes:
        centres: (S, 3), in the solid's own frame.
        radii: (S, 3) along the axes of that frame.
        colours: (S, 3) RGB, 0 to 255.
        hollow: which ones are carved out of those before them; the others are joined.
    """

    centres: Array
    radii: Array
    colours: Array
    hollow: slice


@dataclass(frozen=True)
class Placement:
    """Where a solid is: a point p of its own frame lies at scale · turn · p + middle.

    Attributes:
        turn: (3, 3) rotation.
        scale: pixels per unit.
        middle: (3,) pixels.
    """

    turn: Array
    scale: float
    middle: Array


def ray_intervals(parts: Ellipsoids, placed: Placement, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the depths at which rays enter and leave each ellipsoid.

    Args:
        parts: the ellipsoids.
        placed: where they are.
        x: (w,) pixels, of the columns of rays.
        y: (h,) pixels, of their rows.

    Returns:
        Two (S, h, w) float64; where a ray misses, it enters at infinity and leaves at minus infinity.
    """
    # Where an ellipsoid is the unit ball, a ray's point at depth z is start + x · right + y · down + z · on.
    axes = placed.turn.T[None] / (placed.scale * parts.radii[:, :, None])
    right, down, on = (axes[:, :, axis] for axis in range(3))
    start = -axes @ placed.middle - parts.centres / parts.radii

    def product(one: Array, other: Array) -> Array:
        sums: Array = (one * other).sum(1)[:, None, None]
        return sums

    columns, rows = x[None, None, :], y[None, :, None]
    half = product(start, on) + product(right, on) * columns + product(down, on) * rows
    across = (product(start, start) + 2 * product(start, right) * columns + product(right, right) * columns**2) + (
        2 * product(start, down) + 2 * product(right, down) * columns + product(down, down) * rows
    ) * rows
    length = product(on, on)
    inside = half**2 - length * (across - 1)
    hit = inside > 0
    reach = np.sqrt(np.where(hit, inside, 0))
    return np.where(hit, (-half - reach) / length, np.inf), np.where(hit, (reach - half) / length, -np.inf)


def fill_voxels(near: Array, far: Array, hollow: slice, depths: Array) -> Array:
    """Return which voxels have their middle in the solid: (D, h, w) uint8 0/1.

    Args:
        near: (S, h, w) depths where rays enter, see `ray_intervals`.
        far: (S, h, w) depths where they leave.
        hollow: see `Ellipsoids`.
        depths: (D,) of the middles of slices.
    """
    joined = np.ones(len(near), np.uint8)
    joined[hollow] = 0
    volume = np.zeros((len(depths), *near.shape[1:]), np.uint8)
    for index, (enters, leaves) in enumerate(zip(near, far, strict=True)):
        rows, columns = (np.flatnonzero((enters < leaves).any(axis)) for axis in (1, 0))
        if len(rows):
            window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            within = (depths[:, None, None] >= enters[window]) & (depths[:, None, None] < leaves[window])
            volume[:, *window][within] = joined[index]
    return volume


def visible_parts(near: Array, far: Array, hollow: slice) -> tuple[Array, Array]:
    """Return what each ray sees first: (h, w) depth, infinity where nothing, and (h, w) index of the ellipsoid.

    In a hollow that is its far wall, or what was put into it. Arguments as of `fill_voxels`.
    """
    body, put_in = slice(0, hollow.start), slice(hollow.stop, len(near))
    depth, owner = near[body].min(0), near[body].argmin(0)
    rows, columns = np.nonzero(((near[hollow] < depth) & (depth < far[hollow])).any(0))
    if len(rows):
        enters, leaves = near[:, rows, columns], far[:, rows, columns]
        places = np.concatenate([enters[body], leaves[hollow]])  # where the surface of the carved body may be
        slack = 1e-6  # pixels
        full = (enters[body][None] <= places[:, None] + slack) & (places[:, None] <= leaves[body][None] + slack)
        carved = (enters[hollow][None] < places[:, None] - slack) & (places[:, None] < leaves[hollow][None] - slack)
        seen = np.where(full.any(1) & ~carved.any(1), places, np.inf)
        depth[rows, columns], owner[rows, columns] = seen.min(0), seen.argmin(0)
    if put_in.start < put_in.stop:
        nearer = near[put_in].min(0) < depth
        depth = np.where(nearer, near[put_in].min(0), depth)
        owner = np.where(nearer, put_in.start + near[put_in].argmin(0), owner)
    return depth, owner


def surface_normals(parts: Ellipsoids, placed: Placement, points: Array, owner: Array) -> Array:
    """Return the outward unit normals (n, 3) of the solid at points (n, 3) on ellipsoids `owner` (n,)."""
    own = (points - placed.middle) @ placed.turn / placed.scale
    outward = (own - parts.centres[owner]) / parts.radii[owner] ** 2
    outward[(owner >= parts.hollow.start) & (owner < parts.hollow.stop)] *= -1
    outward = outward @ placed.turn.T
    normals: Array = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    return normals
