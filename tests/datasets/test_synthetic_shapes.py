import cv2
import numpy as np
import pytest

from densezoo.datasets.synthetic_shapes import SHAPES, capsules, discs, ellipse, shape


def _area(outline):
    return cv2.contourArea(outline.astype(np.float32))


def test_a_capsule_is_a_box_and_two_half_discs():
    outline = capsules(np.array([[10.0, 20.0]]), np.array([[50.0, 20.0]]), np.array([5.0]), np.array([5.0]), 60)[0]
    assert _area(outline) == pytest.approx(40 * 10 + np.pi * 25, rel=0.002)
    np.testing.assert_allclose([*outline.min(0), *outline.max(0)], [5, 15, 55, 25], atol=0.01)


def test_capsules_of_many_limbs_are_those_of_each():
    rng = np.random.default_rng(0)
    starts, ends, radii = rng.uniform(0, 9, (4, 2)), rng.uniform(0, 9, (4, 2)), rng.uniform(1, 2, (2, 4))
    together = capsules(starts, ends, *radii)
    for i in range(4):
        alone = capsules(starts[i : i + 1], ends[i : i + 1], radii[0, i : i + 1], radii[1, i : i + 1])
        np.testing.assert_allclose(together[i], alone[0])


def test_discs_lie_on_their_circles():
    points = discs(np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([1.0, 3.0]), 8)
    np.testing.assert_allclose(np.linalg.norm(points[:8], axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(points[8:] - (10, 0), axis=1), 3)


def test_an_ellipse_stands_along_up():
    upright = ellipse(np.zeros(2), (1.0, 3.0), np.array([0.0, -1.0]))
    np.testing.assert_allclose(np.abs(upright).max(0), [1, 3], atol=0.01)
    lying = ellipse(np.zeros(2), (1.0, 3.0), np.array([1.0, 0.0]))
    np.testing.assert_allclose(np.abs(lying).max(0), [3, 1], atol=0.01)


@pytest.mark.parametrize(
    ("kind", "area"),
    [
        ("ellipse", np.pi * 100 * 0.8),
        ("rectangle", 4 * 100 * 0.8),
        ("triangle", 3 * np.sqrt(3) / 4 * 100 * 0.8),
        ("star", 5 * 0.5 * np.sin(np.pi / 5) * 100 * 0.8),
    ],
)
@pytest.mark.parametrize("angle", [0.0, 1.1])
def test_a_shape_has_its_area_and_centre_at_any_angle(kind, area, angle):
    outlines = shape(kind, np.array([30.0, 40.0]), 10.0, 0.8, angle)
    assert sum(_area(outline) for outline in outlines) == pytest.approx(area, rel=0.02)
    points = np.concatenate(outlines)
    assert np.linalg.norm(points - (30, 40), axis=1).max() <= 10 * np.sqrt(2) + 1e-6


def test_every_outline_of_every_shape_is_convex():
    for kind in SHAPES:
        for outline in shape(kind, np.zeros(2), 50.0, 0.75, 0.4):
            hull = cv2.convexHull(outline.astype(np.float32))
            assert _area(outline) == pytest.approx(cv2.contourArea(hull), rel=1e-4)
