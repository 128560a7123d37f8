"""Answers of a network that saw an image of another size, in the pixels of the file."""

import numpy as np
import pytest
import torch

from densezoo.functional.affine import compose, scaling, translation
from densezoo.functional.answered_labels import labels_in_file
from densezoo.functional.grids import bring_to_image, highest_in_image
from densezoo.functional.label_maps import warp_labels
from densezoo.types import Grid, Prediction


def answer(maps, grid, size):
    labels = highest_in_image(maps[None], grid, size)[0].to(torch.uint8).numpy()
    return Prediction(semantic=labels, scores=np.zeros(0, np.float32), label_maps=(maps, grid))


@pytest.mark.parametrize("factor", [2, 4])
def test_a_disc_of_a_small_image_is_round_in_the_file(factor):
    def distance(side, scale):
        rows, columns = (np.indices((side, side)) + 0.5) * scale
        return torch.tensor(np.hypot(rows - 96.3, columns - 95.1) - 60, dtype=torch.float32)

    small = distance(192 // factor, factor)
    prediction = answer(torch.stack([small, -small]), Grid(1, small.shape), tuple(small.shape))
    disc = (distance(192, 1) < 0).numpy()
    affine = scaling(factor, factor)
    assert (labels_in_file(prediction, affine, disc.shape) != disc).sum() < 12
    assert (warp_labels(prediction["semantic"], affine, disc.shape, 255) != disc).sum() > 12 * factor


@pytest.mark.parametrize("channels", [1, 5, 70])
@pytest.mark.parametrize("factor", [0.5, 1.5, 2.0])
def test_labels_are_those_of_maps_brought_to_the_file(channels, factor):
    maps = torch.randn(channels, 6, 9, generator=torch.manual_seed(channels))
    grid = Grid(4, (6, 9))
    prediction = answer(maps, grid, (24, 36))
    size = (round(24 * factor), round(36 * factor))
    in_file = bring_to_image(maps[None], Grid(4 * factor, (6, 9), image_size=size), size).argmax(1)[0]
    np.testing.assert_array_equal(labels_in_file(prediction, scaling(factor, factor), size), in_file)


def test_beyond_the_image_and_the_map_there_is_no_answer():
    maps = torch.randn(3, 5, 5, generator=torch.manual_seed(0))
    grid = Grid(2, (5, 5), origin=(3.0, 3.0), image_size=(16, 16))
    prediction = answer(maps, grid, (16, 16))
    prediction["semantic"][:3] = prediction["semantic"][13:] = 255
    prediction["semantic"][:, :3] = prediction["semantic"][:, 13:] = 255
    found = labels_in_file(prediction, compose(translation(4, 2), scaling(2, 2)), (40, 44))
    known = np.zeros((40, 44), bool)
    known[2 + 6 : 2 + 26, 4 + 6 : 4 + 26] = True
    np.testing.assert_array_equal(found != 255, known)


def test_in_the_files_own_pixels_an_answer_stays_as_it_is():
    prediction = answer(torch.randn(3, 4, 4, generator=torch.manual_seed(0)), Grid(2, (4, 4)), (8, 8))
    moved = labels_in_file(prediction, translation(1, 0), (8, 9))
    np.testing.assert_array_equal(moved[:, 1:], prediction["semantic"])
    assert (moved[:, 0] == 255).all()
    del prediction["label_maps"]
    np.testing.assert_array_equal(
        labels_in_file(prediction, scaling(2, 2), (16, 16)), prediction["semantic"].repeat(2, 0).repeat(2, 1)
    )
