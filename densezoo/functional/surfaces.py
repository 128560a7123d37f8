"""The surface of a volume: as points for distances, and as a smooth closed mesh.

The mesh is made by surface nets (Gibson 1998, "Constrained Elastic Surface Nets",
https://doi.org/10.1007/BFb0056277), without its relaxation: one vertex in every cube of eight voxel centres that the
surface passes through, at the mean of where it crosses the cube's edges. It is as smooth as marching cubes, has fewer
and better shaped triangles, needs no table of cases, and is closed also where the surface is ambiguous.
"""

import numpy as np
from scipy.spatial import KDTree

from densezoo.functional.volumes import INSIDE
from densezoo.types import Array


def surface_points(inside: Array, thickness: float) -> tuple[Array, Array]:
    """Return the middles of the voxel faces that part inside from outside.

    The rim of the volume is no surface: what lies beyond it is not known.

    Args:
        inside: (D, H, W) bool.
        thickness: of a slice, in pixels.

    Returns:
        (n, 3) float64 x, y and depth in pixels, the depth from the front of the volume; and (n,) the faces' areas in
        square pixels. n is 0 where there is no surface.
    """
    scale = np.array([1.0, 1.0, thickness])
    points, areas = [], []
    for axis in range(3):
        first = np.take(inside, range(inside.shape[axis] - 1), axis)
        second = np.take(inside, range(1, inside.shape[axis]), axis)
        found = np.argwhere(first != second) + 0.5
        found[:, axis] += 0.5
        points.append(found[:, ::-1] * scale)
        areas.append(np.full(len(found), 1.0 if axis == 0 else thickness))
    return np.concatenate(points), np.concatenate(areas)


def surface_distance(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """Return the mean distance between two surfaces: from each to the nearest point of the other, both ways averaged.

    Args:
        one: points (n, 3) and areas (n,), see `surface_points`; every point weighs as much as its area.
        other: points and areas of the other surface.

    Returns:
        The mean of both directions in the points' unit; infinity where one of them is missing.
    """
    if not len(one[0]) or not len(other[0]):
        return float("inf")
    there, _ = KDTree(other[0]).query(one[0])
    back, _ = KDTree(one[0]).query(other[0])
    return float(np.average(there, weights=one[1]) + np.average(back, weights=other[1])) / 2


def surface_mesh(volume: Array) -> tuple[Array, Array]:
    """Return the surface where a volume crosses `INSIDE`, as a closed mesh.

    Args:
        volume: (D, H, W) probabilities or 0/1; outside the volume is 0, so that what reaches its rim is closed there.

    Returns:
        (V, 3) float64 x, y and slice of the vertices, continuous and counted from the volume's corner; and (F, 3) int64
        triangles, counter-clockwise seen from outside in a frame of x to the right, y down and depth away.
    """
    values = np.pad(np.asarray(volume, np.float64), 1)
    inside = values >= INSIDE
    cells = tuple(side - 1 for side in values.shape)
    total, number = np.zeros((3, np.prod(cells))), np.zeros(np.prod(cells))
    quads = []
    for axis in range(3):
        first, second = (_ends(inside, axis, end) for end in (0, 1))
        edges = np.nonzero(first != second)
        leaves = first[edges]
        low, high = (_ends(values, axis, end)[edges] for end in (0, 1))
        places = np.array(edges, np.float64)
        places[axis] += (INSIDE - low) / (high - low)
        around = _cells_around(np.array(edges), axis, cells)
        for cell in around:
            number += np.bincount(cell, minlength=number.size)
            for coordinate in range(3):
                total[coordinate] += np.bincount(cell, places[coordinate], minlength=number.size)
        quads.append(np.where(leaves[:, None], around[::-1].T, around.T))
    used = np.flatnonzero(number)
    # padding has moved everything by one voxel, and voxel i has its centre at i + 0.5
    vertices = (total[:, used] / number[used])[::-1].T - 0.5
    corners = np.searchsorted(used, np.concatenate(quads))
    return vertices, np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])


def _ends(values: Array, axis: int, end: int) -> Array:
    """Return the values at the first (0) or second (1) end of every edge along an axis."""
    chosen: Array = np.take(values, range(end, values.shape[axis] - 1 + end), axis)
    return chosen


def _cells_around(edges: Array, axis: int, cells: tuple[int, ...]) -> Array:
    """Return the flat indices of the four cells around each edge, in a circle: (4, n) for (3, n) edges."""
    after, last = (axis + 1) % 3, (axis + 2) % 3
    around = []
    for back, aside in ((0, 0), (1, 0), (1, 1), (0, 1)):
        cell = edges.copy()
        cell[after] -= back
        cell[last] -= aside
        around.append(np.ravel_multi_index(tuple(cell), cells))
    return np.stack(around)


def obj_text(vertices: Array, triangles: Array, colours: Array) -> str:
    """Return a mesh as the text of a Wavefront .obj file.

    Args:
        vertices: (V, 3) x, y, z, written as they are.
        triangles: (F, 3) indices of vertices, from 0.
        colours: (V, 3) uint8 RGB, written after each vertex as most readers take it.
    """
    lines = [
        "v {:.4f} {:.4f} {:.4f} {:.4f} {:.4f} {:.4f}".format(*vertex, *colour)
        for vertex, colour in zip(vertices.tolist(), (colours / 255).tolist(), strict=True)
    ]
    lines += ["f {} {} {}".format(*corners) for corners in (triangles + 1).tolist()]
    return "\n".join(lines) + "\n"
