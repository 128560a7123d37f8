"""Affine algebra: laws on random maps, and the frame fit against an independent construction by OpenCV."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densezoo.functional import affine as af

coordinate = st.floats(-500, 500)
sizes = st.tuples(st.integers(1, 300), st.integers(1, 300))


@st.composite
def frames(draw):
    x, y = draw(coordinate), draw(coordinate)
    return np.array([x, y, x + draw(st.floats(1, 400)), y + draw(st.floats(1, 400))])


@st.composite
def fits(draw):
    return af.fit_frame(
        draw(frames()),
        draw(sizes),
        scale=draw(st.floats(0.3, 3)),
        rotation=draw(st.floats(-180, 180)),
        flip=draw(st.booleans()),
        shift=(draw(st.floats(-1, 1)), draw(st.floats(-1, 1))),
    )


def full(affine):
    return np.vstack([affine, [0, 0, 1]])


@given(fits(), fits())
def test_compose_is_the_matrix_product(outer, inner):
    np.testing.assert_allclose(full(af.compose(outer, inner)), full(outer) @ full(inner), rtol=1e-9, atol=1e-6)


@given(fits())
def test_inverse_undoes(affine):
    np.testing.assert_allclose(af.compose(af.invert(affine), affine), np.eye(2, 3), atol=1e-6)
    np.testing.assert_allclose(full(af.invert(affine)), np.linalg.inv(full(affine)), rtol=1e-6, atol=1e-6)


def test_a_flat_map_has_no_inverse():
    with pytest.raises(ValueError, match="no inverse"):
        af.invert(np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]))


@given(fits(), coordinate, coordinate)
def test_opencv_matrix_maps_indices_as_the_affine_maps_pixel_centres(affine, x, y):
    index = af.apply_affine(af.opencv_matrix(affine), np.array([x, y]))
    np.testing.assert_allclose(index + 0.5, af.apply_affine(affine, np.array([x + 0.5, y + 0.5])), atol=1e-6)


@given(frames(), sizes, st.floats(0.3, 3), st.floats(-180, 180))
def test_fit_frame_agrees_with_three_points_given_to_opencv(frame, size, scale, rotation):
    """The construction of HRNet and mmpose (centre, a point above it, a third at a right angle), in our coordinates."""
    height, width = size
    centre, sides = (frame[:2] + frame[2:]) / 2, frame[2:] - frame[:2]
    reach = max(sides[0], sides[1] * width / height) / 2 / scale  # half of the visible width
    turn = np.deg2rad(-rotation)  # the crop turns against the content
    right = reach * np.array([np.cos(turn), np.sin(turn)])
    down = reach * np.array([-np.sin(turn), np.cos(turn)])
    source = np.array([centre, centre + right, centre + down], dtype=np.float64)
    middle = np.array([width / 2, height / 2])
    target = middle + np.array([[0, 0], [width / 2, 0], [0, width / 2]])
    expected = np.linalg.solve(np.column_stack([source, np.ones(3)]), target).T
    np.testing.assert_allclose(af.fit_frame(frame, size, scale, rotation), expected, rtol=1e-5, atol=1e-4)


@given(frames(), sizes)
def test_the_whole_frame_is_visible_centred_and_touches_two_sides(frame, size):
    height, width = size
    left, top, right, bottom = af.transform_boxes(af.fit_frame(frame, size), frame)
    assert min(left, top) >= -1e-6
    assert right <= width + 1e-6
    assert bottom <= height + 1e-6
    assert left == pytest.approx(width - right, abs=1e-6)
    assert top == pytest.approx(height - bottom, abs=1e-6)
    assert min(left, top) == pytest.approx(0, abs=1e-6)


def test_a_frame_without_area_counts_as_one_pixel():
    affine = af.fit_frame(np.array([10.0, 20.0, 10.0, 20.0]), (8, 8))
    np.testing.assert_allclose(affine, [[8, 0, -76], [0, 8, -156]])


def test_positive_rotation_is_clockwise_on_the_screen():
    turned = af.fit_frame(np.array([0.0, 0.0, 10.0, 10.0]), (10, 10), rotation=90)
    np.testing.assert_allclose(af.apply_affine(turned, np.array([10.0, 5.0])), [5, 10], atol=1e-9)


def test_flip_mirrors_the_view_after_everything_else():
    frame = np.array([3.0, 4.0, 33.0, 24.0])
    plain = af.fit_frame(frame, (40, 30), 1.2, 25.0, False, (0.1, -0.2))
    mirrored = af.fit_frame(frame, (40, 30), 1.2, 25.0, True, (0.1, -0.2))
    np.testing.assert_allclose(mirrored, af.compose(np.array([[-1.0, 0, 30], [0, 1, 0]]), plain), atol=1e-9)


def test_shift_is_a_fraction_of_the_view():
    frame = np.array([0.0, 0.0, 10.0, 10.0])
    moved = af.fit_frame(frame, (40, 20), shift=(0.25, -0.5)) - af.fit_frame(frame, (40, 20))
    np.testing.assert_allclose(moved, [[0, 0, 5], [0, 0, -20]], atol=1e-12)


@given(fits())
def test_mean_scale_is_the_root_of_the_area_factor(affine):
    assert af.mean_scale(affine) ** 2 == pytest.approx(abs(np.linalg.det(affine[:, :2])), rel=1e-6)


@pytest.mark.parametrize(("rotation", "expected"), [(0, True), (90, True), (-180, True), (1, False), (45, False)])
def test_keeps_axes(rotation, expected):
    frame = np.array([0.0, 0.0, 50.0, 20.0])
    assert af.keeps_axes(af.fit_frame(frame, (64, 64), rotation=rotation, flip=True)) is expected


def test_rotated_box_is_the_extent_of_its_corners():
    affine = af.fit_frame(np.array([0.0, 0.0, 2.0, 2.0]), (2, 2), rotation=45)
    half = np.sqrt(2)
    boxes = af.transform_boxes(affine, np.array([[0.0, 0.0, 2.0, 2.0]]))
    np.testing.assert_allclose(boxes, [[1 - half, 1 - half, 1 + half, 1 + half]])


@given(fits(), frames())
def test_moved_box_holds_what_the_box_held(affine, box):
    inside = np.array([box[:2], (box[:2] + box[2:]) / 2, box[2:], [box[0], box[3]]])
    moved, points = af.transform_boxes(affine, box), af.apply_affine(affine, inside)
    assert (points >= moved[:2] - 1e-6).all()
    assert (points <= moved[2:] + 1e-6).all()


def test_clipping_and_areas():
    boxes = np.array([[-5, -5, 5, 5], [30, 2, 40, 8], [2, 3, 4, 9], [4, 4, 2, 9]], dtype=np.float32)
    clipped = af.clip_boxes(boxes, (10, 20))
    assert clipped.dtype == np.float32
    np.testing.assert_array_equal(clipped, [[0, 0, 5, 5], [20, 2, 20, 8], [2, 3, 4, 9], [4, 4, 2, 9]])
    np.testing.assert_array_equal(af.box_areas(clipped), [25, 0, 12, 0])


def test_enlarging_a_box_keeps_its_centre():
    np.testing.assert_allclose(af.enlarge_box(np.array([10.0, 20.0, 20.0, 60.0]), 1.5), [7.5, 10, 22.5, 70])


def test_no_points_and_no_boxes():
    affine = af.fit_frame(np.array([0.0, 0.0, 5.0, 5.0]), (10, 10))
    assert af.apply_affine(affine, np.zeros((0, 17, 2))).shape == (0, 17, 2)
    assert af.transform_boxes(affine, np.zeros((0, 4))).shape == (0, 4)


def test_pure_scale_matches_opencv_resize():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (37, 53), dtype=np.uint8), (5, 5), 1.0)
    affine = af.fit_frame(np.array([0.0, 0.0, 53.0, 37.0]), (111, 159))
    warped = cv2.warpAffine(image, af.opencv_matrix(affine), (159, 111), flags=cv2.INTER_LINEAR)
    resized = cv2.resize(image, (159, 111), interpolation=cv2.INTER_LINEAR)
    inner = (slice(2, -2), slice(2, -2))  # at the rim resize repeats the last pixel, the warp blends with the border
    assert np.abs(warped[inner].astype(int) - resized[inner]).max() <= 2
