import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from densezoo.functional.affine import fit_frame, scaling
from densezoo.functional.volumes import (
    cell_means,
    decode_volume,
    encode_volume,
    slice_depths,
    stretch_depth,
    stretch_slices,
    warp_volume,
)
from densezoo.types import Grid


def ball(count, size, radius, centre=(0.0, 0.0, 0.0), thickness=1.0):
    """A ball about a point (x, y, depth) from the middle of the volume."""
    height, width = size
    x = np.arange(width) + 0.5 - width / 2 - centre[0]
    y = np.arange(height)[:, None] + 0.5 - height / 2 - centre[1]
    z = slice_depths(count, thickness)[:, None, None] - centre[2]
    return (x**2 + y**2 + z**2 <= radius**2).astype(np.uint8)


def iou(one, other):
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_depth_counts_from_the_middle():
    assert slice_depths(4, 3.0).tolist() == [-4.5, -1.5, 1.5, 4.5]
    assert slice_depths(3).tolist() == [-1, 0, 1]


def test_an_enlarged_volume_grows_in_depth_too():
    small, large = ball(20, (24, 24), 5, (2, -1, 1.5)), ball(20, (24, 24), 7.5, (3, -1.5, 2.25))
    grown = warp_volume(small, fit_frame(np.array([0, 0, 24, 24]), (24, 24), 1.5), (24, 24))
    assert iou(grown, large) > 0.85
    assert iou(warp_volume(large, fit_frame(np.array([0, 0, 24, 24]), (24, 24), 1 / 1.5), (24, 24)), small) > 0.85
    # a view of half the size shows half the depth: slices are as many pixels thick as before
    halved = warp_volume(ball(20, (24, 24), 8), scaling(0.5, 0.5), (12, 12))
    assert iou(halved, ball(20, (12, 12), 4)) > 0.85
    assert warp_volume(small, scaling(1.0, 1.0), (24, 24)).tobytes() == small.tobytes()


def test_a_volume_turns_and_mirrors_with_its_image():
    volume = ball(8, (20, 20), 4, (5, 0, -1))
    turned = warp_volume(volume, fit_frame(np.array([0, 0, 20, 20]), (20, 20), rotation=90), (20, 20))
    assert iou(turned, ball(8, (20, 20), 4, (0, 5, -1))) == 1
    mirrored = warp_volume(volume, fit_frame(np.array([0, 0, 20, 20]), (20, 20), flip=True), (20, 20))
    np.testing.assert_array_equal(mirrored, volume[..., ::-1])


def test_probabilities_are_interpolated_up_to_the_rim():
    volume = np.full((8, 4, 4), 0.8, np.float32)
    np.testing.assert_allclose(warp_volume(volume, scaling(2, 2), (8, 8)), 0.8, rtol=1e-6)
    half = warp_volume(volume, scaling(0.5, 0.5), (4, 4))
    assert half[2:6, :2, :2].min() == np.float32(0.8)  # half as deep
    assert half[[1, 6]].max() == half[:, 2:].max() == half[:, :, 2:].max() == 0
    ramp = np.arange(8, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    np.testing.assert_allclose(stretch_depth(ramp, 2.0)[:, 0, 0], 3.5 + slice_depths(8) / 2, rtol=1e-6)


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.0, 1.25, 3.0])
@pytest.mark.parametrize("count", [1, 5, 8])
def test_slices_of_maps_are_stretched_as_those_of_volumes(count, factor):
    maps = torch.rand(2, count, 3, 4) + 0.1
    stretched = stretch_slices(maps, factor)
    expected = np.stack([stretch_depth(volume, factor) for volume in maps.numpy()])
    np.testing.assert_allclose(stretched.nan_to_num(0), expected, rtol=1e-5)
    assert torch.equal(stretched.isnan(), torch.from_numpy(expected == 0))


@settings(deadline=None)
@given(arrays(np.uint8, (3, 5, 4), elements=st.integers(0, 1)))
def test_text_gives_the_volume_back(volume):
    text = encode_volume(volume)
    assert (text["size"], type(text["counts"])) == ([3, 5, 4], str)
    np.testing.assert_array_equal(decode_volume(text), volume)


@pytest.mark.parametrize(
    "grid",
    [
        Grid(2, (4, 5)),
        Grid(4, (3, 3)),
        Grid(3, (2, 2), (1.0, 2.0)),
        Grid(2.5, (3, 4), (0.5, -1.0)),
        Grid(4, (4, 4)),
    ],
)
def test_cells_hold_the_mean_of_their_pixels(grid):
    maps = torch.rand(2, 3, 8, 10, dtype=torch.float64)
    means, covered = cell_means(maps, grid)
    assert means.shape == (2, 3, *grid.size)
    fine = 20  # sample points to a pixel, on whose edges all these cells begin and end
    dense = maps.repeat_interleave(fine, 2).repeat_interleave(fine, 3)
    for row in range(grid.size[0]):
        for column in range(grid.size[1]):
            left, top = (round((o + i * grid.stride) * fine) for o, i in zip(grid.origin, (column, row), strict=True))
            side = round(grid.stride * fine)
            cell = dense[..., max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
            share = cell.shape[-1] * cell.shape[-2] / side**2
            assert covered[row, column].item() == pytest.approx(share)
            expected = cell.mean((-2, -1)) if share else torch.zeros(2, 3, dtype=torch.float64)
            torch.testing.assert_close(means[..., row, column], expected)
