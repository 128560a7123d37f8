import numpy as np
import pytest

from densezoo.functional.surfaces import obj_text, surface_distance, surface_mesh, surface_points
from densezoo.functional.volumes import slice_depths


def shaped(formula, count=24, size=(26, 28), thickness=1.0):
    height, width = size
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    return formula(x - width / 2, y - height / 2, slice_depths(count, thickness)[:, None, None])


def signed_volume(vertices, triangles):
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    return (a * np.cross(b, c)).sum() / 6


def brute_force(one, other, thickness):
    """Mean distance between faces of two volumes, by looking at every pair of voxels and of faces."""

    def faces(inside):
        found = []
        for place in np.ndindex(inside.shape):
            for axis in range(3):
                beyond = list(place)
                beyond[axis] += 1
                if beyond[axis] < inside.shape[axis] and inside[place] != inside[tuple(beyond)]:
                    middle = (np.array(place) + beyond + 1) / 2
                    found.append((middle * (thickness, 1, 1), 1.0 if axis == 0 else thickness))
        return found

    means = []
    for here, there in ((faces(one), faces(other)), (faces(other), faces(one))):
        distances = [min(np.linalg.norm(point - target) for target, _ in there) for point, _ in here]
        means.append(np.average(distances, weights=[area for _, area in here]))
    return sum(means) / 2


@pytest.mark.parametrize("thickness", [1.0, 2.5])
def test_distances_are_those_of_brute_force(thickness):
    rng = np.random.default_rng(0)
    for _ in range(5):
        one, other = rng.random((2, 4, 5, 6)) < 0.3
        found = surface_distance(surface_points(one, thickness), surface_points(other, thickness))
        assert found == pytest.approx(brute_force(one, other, thickness))


def test_a_moved_plane_is_as_far_as_it_moved():
    near, far = (shaped(lambda x, y, z, at=at: (z + 0 * x + 0 * y) > at) for at in (-3, 2))
    for thickness in (1.0, 3.0):
        assert surface_distance(surface_points(near, thickness), surface_points(far, thickness)) == 5 * thickness
    nothing = surface_points(np.zeros((3, 3, 3), bool), 1.0)
    assert surface_distance(surface_points(near, 1.0), nothing) == np.inf
    assert len(surface_points(np.ones((3, 3, 3), bool), 1.0)[0]) == 0  # what lies beyond the rim is not known


def test_the_mesh_of_a_smooth_ball_is_that_ball():
    values = shaped(lambda x, y, z: 0.5 + 0.1 * (9 - np.sqrt(x**2 + y**2 + z**2)))
    vertices, triangles = surface_mesh(values.clip(0, 1))
    radii = np.linalg.norm(vertices - (14, 13, 12), axis=1)
    assert abs(radii - 9).max() < 0.12
    # outward: a positive volume in a right-handed frame
    assert signed_volume(vertices, triangles) == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.03)


def edges_of(triangles):
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def test_every_mesh_is_closed_also_at_the_rim():
    rng = np.random.default_rng(0)
    for values in (np.ones((1, 1, 1)), np.ones((3, 4, 5)), rng.random((6, 7, 8)), np.eye(3)[None].repeat(3, 0)):
        vertices, triangles = surface_mesh(values)
        there = np.unique(edges_of(triangles), axis=0, return_counts=True)
        back = np.unique(edges_of(triangles)[:, ::-1], axis=0, return_counts=True)
        np.testing.assert_array_equal(there[0], back[0])
        np.testing.assert_array_equal(there[1], back[1])
        assert set(triangles.ravel().tolist()) == set(range(len(vertices)))
        assert signed_volume(vertices, triangles) > 0
        assert (vertices > -0.5).all()
        assert (vertices < np.array(values.shape[::-1]) + 0.5).all()


def test_a_box_keeps_its_place():
    values = np.zeros((8, 9, 10))
    values[2:5, 3:7, 1:6] = 1
    vertices, _ = surface_mesh(values)
    # a vertex lies where the surface crosses the edges of its cube; only corners and edges are rounded
    np.testing.assert_allclose(vertices.min(0), (1, 3, 2))
    np.testing.assert_allclose(vertices.max(0), (6, 7, 5))
    assert surface_mesh(np.zeros((3, 3, 3)))[0].shape == (0, 3)


def test_obj_counts_from_one():
    text = obj_text(np.eye(3), np.array([[0, 1, 2]]), np.array([[255, 0, 51]] * 3, np.uint8))
    assert text.splitlines() == [
        "v 1.0000 0.0000 0.0000 1.0000 0.0000 0.2000",
        "v 0.0000 1.0000 0.0000 1.0000 0.0000 0.2000",
        "v 0.0000 0.0000 1.0000 1.0000 0.0000 0.2000",
        "f 1 2 3",
    ]
