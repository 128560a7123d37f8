"""Enlargement, colours, labels and montages."""

import numpy as np
import pytest

from densezoo.visualization.canvas import enlarge, line_width, montage, pick_colour, put_label, to_fixed


def grey(height, width, value=90):
    return np.full((height, width, 3), value, np.uint8)


def test_small_images_grow_to_the_side_asked_for():
    image = grey(20, 30)
    larger, factor = enlarge(image, 100)
    assert larger.shape == (100, 150, 3)
    assert factor == 5
    assert (larger == 90).all()


def test_large_images_are_copied():
    image = grey(200, 300)
    same, factor = enlarge(image, 100)
    assert factor == 1
    np.testing.assert_array_equal(same, image)
    assert not np.shares_memory(same, image)


def test_lines_grow_with_the_image():
    assert line_width(grey(64, 64)) == 1
    assert line_width(grey(1700, 1700)) == 10


def test_neighbouring_colours_are_apart():
    colours = np.array([pick_colour(index) for index in range(20)], dtype=float)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e3 * np.eye(20)
    assert distances.min() > 40


def test_fixed_point_counts_from_the_centre_of_pixel_0():
    assert to_fixed(0.5, 3.0) == (0, 40)


@pytest.mark.parametrize(("x", "y"), [(-50, -50), (500, 500), (10, 60)])
def test_a_label_stays_inside(x, y):
    image = grey(100, 160)
    put_label(image, "label", x, y, (255, 0, 0))
    plate = (image == (255, 0, 0)).all(axis=2)
    rows, columns = np.flatnonzero(plate.any(axis=1)), np.flatnonzero(plate.any(axis=0))
    assert plate.sum() > 100
    assert np.ptp(rows) > 8
    assert np.ptp(columns) > 20
    assert (image[plate.any(axis=1)].max(axis=2) > 0).all()


def test_montage_puts_every_image_in_its_cell_without_change():
    images = [grey(10, 20, 10 * (index + 1)) for index in range(5)]
    sheet = montage(images, columns=3, gap=2)
    assert sheet.shape == (2 * 12 + 2, 3 * 22 + 2, 3)
    for index, image in enumerate(images):
        top, left = 2 + index // 3 * 12, 2 + index % 3 * 22
        np.testing.assert_array_equal(sheet[top : top + 10, left : left + 20], image)
    assert (sheet[14:24, 46:66] == 255).all()  # the sixth cell is empty


def test_montage_centres_smaller_images():
    sheet = montage([grey(10, 10, 0), grey(4, 6, 50)], columns=2, gap=0)
    np.testing.assert_array_equal(sheet[3:7, 12:18], grey(4, 6, 50))
    assert (sheet[:3, 10:] == 255).all()


def test_captions_stand_above_and_never_on_the_image():
    images = [grey(40, 60, 200)] * 2
    sheet = montage(images, columns=2, captions=["a very long caption that cannot fit", "b"], gap=4)
    strip = sheet.shape[0] - 48
    assert strip > 10
    assert sheet[:strip].min() < 150  # there is ink
    assert (sheet[strip + 4 : strip + 44, 4:64] == 200).all()
    assert (sheet[:strip, 64:68] == 255).all()  # and it is cut at the cell's end


def test_montage_refuses_what_it_cannot_lay_out():
    with pytest.raises(ValueError, match="at least one image"):
        montage([], columns=2)
    with pytest.raises(ValueError, match="one column"):
        montage([grey(4, 4)], columns=0)
    with pytest.raises(ValueError, match="1 captions for 2 images"):
        montage([grey(4, 4)] * 2, columns=2, captions=["a"])
