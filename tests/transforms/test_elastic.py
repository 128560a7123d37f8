"""Elastic deformation: image, mask, label, box and keypoint stay together, and nothing folds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densezoo.transforms import Warp
from densezoo.transforms.elastic import Bend, Elastic

SIZE = (150, 190)


def disc(size, x, y, radius):
    columns, rows = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
    return ((columns - x) ** 2 + (rows[:, None] - y) ** 2 < radius**2).astype(np.uint8)


def spot(size, x, y, sigma):
    columns, rows = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
    values = np.exp(-((columns - x) ** 2 + (rows[:, None] - y) ** 2) / (2 * sigma**2))
    return np.rint(255 * values).astype(np.uint8)


def centroid(weights):
    rows, columns = np.indices(weights.shape) + 0.5
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


def drawn(seed, size=SIZE, **options):
    elastic = Elastic(**options)
    return elastic.bend(elastic.draw(np.random.default_rng(seed)), size)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1, 3]), st.booleans())
def test_a_disc_its_box_its_keypoint_and_its_image_stay_together(seed, enlarged, with_masks):
    """Also in an image that is halved first."""
    size = tuple(side * enlarged for side in SIZE)
    x, y, radius = 0.4 * size[1], 0.55 * size[0], 14.0 * enlarged
    mask = disc(size, x, y, radius)
    sample = {
        "image": np.stack([mask * 255, spot(size, x, y, 2.0 * enlarged), mask], axis=2),
        "image_id": 1,
        "path": "",
        "to_original": np.eye(2, 3),
        "frame": np.array([0, 0, size[1], size[0]], np.float32),
        "keypoints": np.array([[[x, y, 2]]], np.float32),
        "boxes": np.array([[x - radius, y - radius, x + radius, y + radius]], np.float32),
        "labels": np.array([0]),
        "semantic": mask * 7,
    }
    if with_masks:
        sample["masks"] = mask[None]
    warp = Warp(SIZE, [0], padding=1.0, border=(0, 0, 0), elastic={"sigma": 10}, rotation=20, flip=0.5)
    plain = Warp(SIZE, [0], padding=1.0, border=(0, 0, 0), rotation=20, flip=0.5)
    warped, straight = (each(sample, np.random.default_rng(seed)) for each in (warp, plain))
    np.testing.assert_array_equal(warped["to_original"], straight["to_original"])
    labelled = warped["semantic"] == 7
    assert labelled.sum() > 300
    # of the disc's pixels, those at the rim are grey
    bright = warped["image"][..., 0] > 127
    assert (bright != labelled).sum() < 0.12 * labelled.sum()
    (point,) = warped["keypoints"][0, :, :2]
    assert np.abs(point - centroid(warped["image"][..., 1].astype(float))).max() < 0.6
    rows, columns = np.nonzero(labelled)
    tight = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    if with_masks:
        np.testing.assert_array_equal(warped["masks"][0] == 1, labelled)
        np.testing.assert_array_equal(warped["boxes"][0], tight)
    else:  # of a square around the disc
        loose = warped["boxes"][0] - tight
        assert (loose * [1, 1, -1, -1] < 0.5).all()
        assert np.abs(loose).max() < 14


def test_what_reaches_far_beyond_the_view_is_cut_nowhere_else():
    mask = np.zeros((256, 2048), np.uint8)
    mask[128:] = 1
    sample = {
        "image": np.zeros((256, 2048, 3), np.uint8),
        "image_id": 1,
        "path": "",
        "to_original": np.eye(2, 3),
        "frame": np.array([0, 0, 2048, 256], np.float32),
        "boxes": np.array([[0, 128, 2048, 256]], np.float32),
        "labels": np.array([0]),
        "semantic": mask * 7,
        "masks": mask[None],
    }
    warp = Warp(None, padding=1.0, crop=256, elastic={"sigma": 10})
    for seed in range(20):
        warped = warp(dict(sample), np.random.default_rng(seed))
        np.testing.assert_array_equal(warped["masks"][0] == 1, warped["semantic"] == 7)


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 5]), st.sampled_from([(96, 96), (40, 200)]))
@settings(deadline=None, max_examples=40)
def test_moving_is_the_inverse_of_looking_and_nothing_folds(seed, grid, size):
    bend = drawn(seed, size, grid=grid, sigma=50)  # more than it takes
    points = np.random.default_rng(seed).uniform(-0.1, 1.1, (50, 2)) * size[::-1]
    moved = bend.move(points)
    np.testing.assert_allclose(moved + bend.displacement(moved), points, atol=5e-3)
    looked = bend.plain
    determinant = (
        np.diff(looked[..., 0], axis=1)[:-1] * np.diff(looked[..., 1], axis=0)[:, :-1]
        - np.diff(looked[..., 0], axis=0)[:, :-1] * np.diff(looked[..., 1], axis=1)[:-1]
    )
    assert determinant.min() > 0


def test_every_pixel_and_every_point_are_displaced_alike_through_the_grid_points():
    bend = drawn(3)
    rows, columns = np.indices(SIZE) + 0.5
    centres = np.stack([columns, rows], -1)
    np.testing.assert_allclose(bend.plain - centres, bend.displacement(centres), atol=1e-9)
    y, x = (np.linspace(0, side, 3) for side in SIZE)
    corners = np.stack(np.meshgrid(x, y), -1)
    np.testing.assert_allclose(bend.displacement(corners), bend.vectors, atol=1e-9)
    flat = Bend(np.full((3, 3, 2), [2.0, -1.0]), SIZE)
    np.testing.assert_allclose(flat.displacement(centres), np.broadcast_to([2.0, -1.0], (*SIZE, 2)))


def test_draws_are_gaussian_of_ten_pixels_and_clipped():
    vectors = np.stack([drawn(seed, (512, 512)).vectors for seed in range(600)])
    assert vectors.std() == pytest.approx(10 * 0.9595, rel=0.03)  # of a normal clipped at two
    assert np.abs(vectors).max() == pytest.approx(20)
    assert vectors.mean() == pytest.approx(0, abs=0.3)
    # a view of 80 has grid points 40 apart
    assert drawn(0, (80, 80)).vectors.std() < 6
    share = [Elastic(probability=0.3).draw(np.random.default_rng(seed)) is not None for seed in range(500)]
    assert np.mean(share) == pytest.approx(0.3, abs=0.06)


def test_no_displacement_is_no_change():
    sample = {
        "image": np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8),
        "image_id": 1,
        "path": "",
        "to_original": np.eye(2, 3),
        "frame": np.array([0, 0, 80, 60], np.float32),
    }
    options = {"padding": 1.0, "scale": (0.4, 1.6), "rotation": 30}
    for seed in range(5):
        plain, still = (
            Warp((48, 48), **options, **more)(sample, np.random.default_rng(seed))["image"]
            for more in ({}, {"elastic": {"sigma": 0}})
        )
        np.testing.assert_allclose(plain.astype(int), still.astype(int), atol=3)  # of OpenCV's fractions of a pixel
