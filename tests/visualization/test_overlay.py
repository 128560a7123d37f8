"""Overlays: drawn where the coordinates say, in the colours that the sides say, and nowhere else."""

import numpy as np
import pytest

from densezoo.visualization.overlay import LEFT, MIDDLE, RIGHT, draw_boxes, draw_masks, draw_pose, draw_semantic

PAIRS = [(1, 2)]


@pytest.fixture
def black():
    return np.zeros((120, 160, 3), np.uint8)


def person(*points):
    return np.array([points], dtype=np.float32)


def where(image, colour):
    return (image == colour).all(axis=2)


def middle(mask):
    rows, columns = np.nonzero(mask)
    return columns.mean() + 0.5, rows.mean() + 0.5


@pytest.mark.parametrize("point", [(40.0, 30.0), (40.5, 30.5), (100.25, 77.75)])
@pytest.mark.parametrize("min_side", [0, 480])
def test_a_joint_is_drawn_where_it_is(black, point, min_side):
    drawn = draw_pose(black, person((*point, 2)), [], min_side=min_side)
    factor = drawn.shape[0] / 120
    weights = drawn.astype(float).sum(axis=2)
    rows, columns = np.indices(weights.shape) + 0.5
    centre = (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()
    np.testing.assert_allclose(centre, np.array(point) * factor, atol=0.15)


def test_the_image_that_came_in_is_left_alone(black):
    keypoints = person((20, 20, 2), (60, 60, 2))
    boxes = np.array([[10.0, 10, 70, 70]])
    before = keypoints.copy()
    draw_pose(black, keypoints, [(0, 1)], boxes=boxes, labels=["someone"])
    draw_masks(black, np.ones((1, 120, 160), np.uint8))
    draw_semantic(black, np.ones((120, 160), np.uint8))
    assert black.max() == 0
    np.testing.assert_array_equal(keypoints, before)


def test_sides_have_their_colours(black):
    keypoints = person((80, 20, 2), (40, 50, 2), (120, 50, 2))
    drawn = draw_pose(black, keypoints, [(0, 1), (0, 2), (1, 2)], PAIRS, min_side=600)
    assert drawn[175, 300].tolist() == list(LEFT)  # half way from joint 0 to joint 1
    assert drawn[175, 500].tolist() == list(RIGHT)
    assert drawn[250, 400].tolist() == list(MIDDLE)  # from left to right
    for k, colour in enumerate((MIDDLE, LEFT, RIGHT)):
        x, y = 5 * keypoints[0, k, :2].astype(int)
        assert drawn[y, x].tolist() == list(colour)


def test_a_hidden_joint_is_white_with_a_rim_of_its_colour(black):
    keypoints = person((40, 50, 1), (110, 50, 2))
    drawn = draw_pose(black, keypoints, [], [(0, 1)], hidden=keypoints[..., 2] == 1, min_side=480)
    assert drawn[200, 160].tolist() == [255, 255, 255]
    assert drawn[200, 440].tolist() == list(RIGHT)
    assert where(drawn, LEFT).any()
    np.testing.assert_allclose(middle(where(drawn, LEFT)), (160, 200), atol=0.6)


def test_joints_up_to_the_threshold_and_their_limbs_are_left_out(black):
    keypoints = person((20.5, 20.5, 0.9), (60, 20, 0.3), (20.5, 90.5, 0.31))
    drawn = draw_pose(black, keypoints, [(0, 1), (0, 2)], threshold=0.3)
    assert drawn[:, 30:].max() == 0
    np.testing.assert_allclose(drawn[55, 20], MIDDLE, rtol=0.15)
    unlabelled = draw_pose(black, person((0, 0, 0), (50, 50, 0)), [(0, 1)])
    assert unlabelled.max() == 0


def test_people_without_numbers_or_off_the_image_do_no_harm(black):
    keypoints = person((np.nan, 5, 2), (1e4, -1e4, 2), (50.5, 50.5, 2))
    drawn = draw_pose(black, keypoints, [(0, 1), (0, 2)], labels=["x"])
    assert drawn[50, 50].tolist() == list(MIDDLE)
    none = draw_pose(black, np.zeros((0, 3, 3)), [(0, 1)], boxes=np.zeros((0, 4)), labels=[])
    np.testing.assert_array_equal(none, black)


def test_a_label_without_a_box_stands_above_the_person(black):
    drawn = draw_pose(black, person((60, 80, 2), (90, 100, 2)), [(0, 1)], labels=["someone"])
    assert where(drawn, MIDDLE)[55:75, 60:100].sum() > 200


def test_boxes_are_drawn_on_their_edges(black):
    drawn = draw_boxes(black, np.array([[20.5, 30.5, 100.5, 90.5]]))
    ink = drawn.max(axis=2) > 60
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((30, 90, 20, 100), abs=1)
    assert not ink[35:85, 25:95].any()


def test_boxes_of_one_class_share_a_colour(black):
    boxes = np.array([[10.5, 10.5, 30.5, 30.5], [50.5, 10.5, 70.5, 30.5], [90.5, 10.5, 110.5, 30.5]])
    drawn = draw_boxes(black, boxes, labels=["cat", "dog", "cat"], colours=[3, 1, 3])
    a, b, c = (drawn[25, x].tolist() for x in (10, 50, 90))
    assert a == c != b


def test_masks_tint_what_they_cover():
    image = np.full((60, 80, 3), 100, np.uint8)
    masks = np.zeros((2, 60, 80), np.uint8)
    masks[0, 10:30, 10:30], masks[1, 30:50, 50:70] = 1, 1
    drawn = draw_masks(image, masks, opacity=0.5)
    changed = (drawn != 100).any(axis=2)
    assert changed[10:30, 10:30].all()
    assert changed[30:50, 50:70].all()
    assert not changed[:, 32:48].any()
    assert drawn[20, 20].tolist() != drawn[40, 60].tolist()
    np.testing.assert_array_equal(draw_masks(image, masks[:0]), image)


def test_semantic_tints_by_label_darkens_ignored_pixels_and_has_a_legend():
    image = np.full((120, 160, 3), 100, np.uint8)
    semantic = np.zeros((120, 160), np.uint8)
    semantic[:, 80:], semantic[:20] = 2, 255
    drawn = draw_semantic(image, semantic, ["sky", "road", "tree"])
    assert drawn.shape[0] > 120
    assert drawn.shape[1] == 160
    np.testing.assert_array_equal(drawn[10, 10], [45, 45, 45])
    assert drawn[60, 20].tolist() != drawn[60, 120].tolist()
    assert drawn[120:].min() < 200
    enlarged = draw_semantic(image, semantic, ["sky", "road", "tree"], min_side=240)
    np.testing.assert_array_equal(enlarged[120, 40], drawn[60, 20])
    every_pixel_ignored = draw_semantic(image, np.full_like(semantic, 255))
    assert every_pixel_ignored.shape == (120, 160, 3)
