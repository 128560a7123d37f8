import numpy as np

from densezoo.datasets.synthetic_solids import (
    Ellipsoids,
    Placement,
    fill_voxels,
    ray_intervals,
    surface_normals,
    visible_parts,
)

ANGLE = 0.6
TURN = np.array([[np.cos(ANGLE), 0, np.sin(ANGLE)], [0, 1, 0], [-np.sin(ANGLE), 0, np.cos(ANGLE)]]) @ np.array(
    [[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]]
)
# two that are joined, a hollow in front of them, and something in the hollow
PARTS = Ellipsoids(
    centres=np.array([[0, 0, 0], [0.5, 0.2, 0.3], [0.1, 0, -0.6], [0.1, 0, -0.45]]),
    radii=np.array([[0.8, 0.6, 0.7], [0.4, 0.5, 0.6], [0.4, 0.3, 0.4], [0.1, 0.15, 0.1]]),
    colours=np.zeros((4, 3)),
    hollow=slice(2, 3),
)
PLACED = Placement(TURN, 18.0, np.array([20.0, 22.0, 1.0]))
X, Y = np.arange(40) + 0.5, np.arange(44) + 0.5
DEPTHS = np.linspace(-25, 25, 101)


def inside(points):
    """The same solid by its formula, at points (..., 3)."""
    own = (points - PLACED.middle) @ TURN / PLACED.scale
    balls = ((own[..., None, :] - PARTS.centres) / PARTS.radii) ** 2
    first, second, hollow, last = np.moveaxis(balls.sum(-1) <= 1, -1, 0)
    return (first | second) & ~hollow | last


def test_voxels_are_those_of_the_formula():
    near, far = ray_intervals(PARTS, PLACED, X, Y)
    volume = fill_voxels(near, far, PARTS.hollow, DEPTHS)
    z, y, x = np.meshgrid(DEPTHS, Y, X, indexing="ij")
    expected = inside(np.stack([x, y, z], -1))
    assert expected.sum() > 5000
    np.testing.assert_array_equal(volume, expected)


def test_the_first_that_is_seen_is_where_the_voxels_begin():
    near, far = ray_intervals(PARTS, PLACED, X, Y)
    depth, owner = visible_parts(near, far, PARTS.hollow)
    fine = np.linspace(-25, 25, 5001)
    volume = fill_voxels(near, far, PARTS.hollow, fine).astype(bool)
    seen = np.isfinite(depth)
    assert (volume.any(0) <= seen).all()
    assert np.count_nonzero(volume.any(0) != seen) < 5  # rays that graze the solid between two samples
    both = volume.any(0)
    assert abs(fine[volume.argmax(0)] - depth)[both].max() < 0.02
    assert set(owner[seen].tolist()) == {0, 1, 2, 3}


def test_normals_point_out_of_the_solid():
    near, far = ray_intervals(PARTS, PLACED, X, Y)
    depth, owner = visible_parts(near, far, PARTS.hollow)
    rows, columns = np.nonzero(np.isfinite(depth))
    points = np.stack([X[columns], Y[rows], depth[rows, columns]], 1)
    normals = surface_normals(PARTS, PLACED, points, owner[rows, columns])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    assert (normals[:, 2] <= 1e-9).all()  # what is seen faces the camera
    step = 1e-3 * normals
    assert np.mean(inside(points - step)) > 0.99
    assert np.mean(inside(points + step)) < 0.01
