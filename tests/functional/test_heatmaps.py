import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from densezoo.functional import heatmaps


def test_quantised_gaussian_by_hand():
    points = torch.tensor([[2.9, 1.0]])
    (drawn,) = heatmaps.gaussian_maps(points, torch.tensor([True]), (3, 5), sigma=1.5, quantised=True)
    expected = [
        [math.exp(-((column - 2) ** 2 + (row - 1) ** 2) / (2 * 1.5**2)) for column in range(5)] for row in range(3)
    ]
    torch.testing.assert_close(drawn, torch.tensor(expected))
    assert drawn[1, 2] == 1.0


def test_unbiased_gaussian_by_hand():
    points = torch.tensor([[2.9, 1.0]])
    (drawn,) = heatmaps.gaussian_maps(points, torch.tensor([True]), (3, 5), sigma=1.0, quantised=False)
    expected = [
        [math.exp(-((column + 0.5 - 2.9) ** 2 + (row + 0.5 - 1.0) ** 2) / 2) for column in range(5)] for row in range(3)
    ]
    torch.testing.assert_close(drawn, torch.tensor(expected))


def test_absent_and_outside_points_leave_the_map_empty():
    points = torch.tensor([[-0.01, 1.0], [5.0, 1.0], [1.0, -3.0], [1.0, 3.0], [1.0, 1.0], [4.99, 2.99], [math.nan, 1]])
    present = torch.tensor([True, True, True, True, False, True, False])
    drawn = heatmaps.gaussian_maps(points, present, (3, 5), sigma=1.0, quantised=True)
    assert drawn.sum((1, 2)).ne(0).tolist() == [False, False, False, False, False, True, False]
    assert drawn[5, 2, 4] == 1.0
    assert heatmaps.gaussian_maps(points[:0], present[:0], (3, 5), 1.0, True).shape == (0, 3, 5)


def test_peaks_are_the_first_of_the_highest():
    maps = torch.zeros(2, 3, 4)
    maps[0, 1, 2] = maps[0, 2, 0] = 5.0
    maps[1] = -1.0
    column, row, value = heatmaps.find_peaks(maps)
    assert (column.tolist(), row.tolist(), value.tolist()) == ([2, 0], [1, 0], [5.0, -1.0])


@pytest.mark.parametrize(
    ("peak", "offset"), [((1, 1), (0.25, -0.25)), ((0, 1), (0.0, -0.25)), ((1, 2), (0.25, 0.0)), ((0, 0), (0.0, 0.0))]
)
def test_quarter_moves_towards_the_higher_neighbour_on_axes_with_two(peak, offset):
    column, row = peak
    maps = torch.zeros(1, 3, 3)
    maps[0, row, column] = 5.0
    if column == 1:
        maps[0, row, 2] = 1.0
    if row == 1:
        maps[0, 0, column] = 1.0
    moved = heatmaps.refine_quarter(maps, torch.tensor([column]), torch.tensor([row]))
    assert moved.tolist() == [list(offset)]


def test_quarter_stays_between_equal_neighbours():
    drawn = heatmaps.gaussian_maps(torch.tensor([[3.2, 4.4]]), torch.tensor([True]), (9, 9), 1.0, quantised=True)
    column, row, _ = heatmaps.find_peaks(drawn)
    assert heatmaps.refine_quarter(drawn, column, row).tolist() == [[0.0, 0.0]]


@given(st.floats(0, 8.99), st.floats(0, 6.99), st.floats(0.8, 3), st.floats(0.8, 3), st.floats(-0.8, 0.8))
def test_taylor_is_exact_for_any_gaussian_also_at_the_border(x, y, sigma_x, sigma_y, correlation):
    columns, rows = torch.arange(9, dtype=torch.float64) + 0.5 - x, torch.arange(7, dtype=torch.float64) + 0.5 - y
    u, v = columns[None, :] / sigma_x, rows[:, None] / sigma_y
    maps = torch.exp(-(u**2 - 2 * correlation * u * v + v**2) / (2 * (1 - correlation**2)))[None].float()
    column, row, _ = heatmaps.find_peaks(maps)
    inside = abs(column + 0.5 - x) <= 0.5 and abs(row + 0.5 - y) <= 0.5
    floor_reached = maps[0, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3].min() < 1e-9
    assume(inside)  # a strongly tilted ridge has its highest cell beside the one that holds the top
    assume(not floor_reached)
    found = torch.stack([column, row], -1) + 0.5 + heatmaps.refine_taylor(maps, column, row)
    torch.testing.assert_close(found, torch.tensor([[x, y]]), atol=0.02, rtol=0)


def test_taylor_stays_where_there_is_no_top():
    flat = torch.ones(1, 5, 5)
    zero = torch.tensor([0])
    assert heatmaps.refine_taylor(flat, zero, zero).tolist() == [[0.0, 0.0]]
    saddle = torch.tensor([[1.0, 2.0, 1.0], [3.0, 2.5, 3.0], [1.0, 2.0, 1.0]])[None]
    assert heatmaps.refine_taylor(saddle, zero, zero + 1).tolist() == [[0.0, 0.0]]
    assert heatmaps.refine_taylor(torch.rand(3, 2, 9), torch.tensor([1, 2, 3]), torch.tensor([0, 1, 0])).eq(0).all()
    negative = heatmaps.refine_taylor(torch.full((1, 5, 5), -1.0), zero, zero)
    assert negative.isfinite().all()


def test_blur_keeps_a_constant_and_spreads_a_spike():
    torch.testing.assert_close(heatmaps.blur_maps(torch.full((2, 6, 9), 3.0), 1.0), torch.full((2, 6, 9), 3.0))
    spike = torch.zeros(1, 21, 31)
    spike[0, 10, 15] = 1.0
    blurred = heatmaps.blur_maps(spike, 1.0)
    rows, columns = torch.arange(21.0)[:, None], torch.arange(31.0)
    expected = torch.exp(-((rows - 10) ** 2 + (columns - 15) ** 2) / 2) / (2 * math.pi)
    torch.testing.assert_close(blurred[0], expected, atol=1e-3, rtol=0)


def test_blur_keeps_the_taylor_answer_of_a_gaussian():
    points = torch.tensor([[10.3, 8.9]])
    maps = heatmaps.gaussian_maps(points, torch.tensor([True]), (20, 20), 2.0, quantised=False)
    column, row, _ = heatmaps.find_peaks(maps)
    found = torch.stack([column, row], -1) + 0.5 + heatmaps.refine_taylor(maps, column, row, blur=2.0)
    torch.testing.assert_close(found, points, atol=0.01, rtol=0)


def test_points_of_many_people_are_drawn_as_the_highest_gaussians_up_to_their_end():
    generator = torch.Generator().manual_seed(0)
    height, width, sigma = 20, 30, 1.3
    points = torch.rand(2, 5, 3, 2, generator=generator) * torch.tensor([width, height])
    present = torch.rand(2, 5, 3, generator=generator) < 0.7
    drawn = heatmaps.draw_points(points, present, (height, width), sigma)
    whole = heatmaps.gaussian_maps(points, present, (height, width), sigma, quantised=False).amax(1)
    assert drawn.shape == (2, 3, height, width)
    assert (drawn - whole).abs().max() < math.exp(-0.5 * 3**2)
    near = whole > math.exp(-0.5 * 3**2)
    torch.testing.assert_close(drawn[near], whole[near])
    assert drawn.eq(0).sum() > whole.eq(0).sum()
    assert heatmaps.draw_points(points[:, :0], present[:, :0], (4, 5), sigma).eq(0).all()


def test_a_point_is_drawn_to_three_sigma_and_a_cell_as_in_the_published_code():
    points, present = torch.tensor([[[[20.5, 20.5]]]]), torch.tensor([[[True]]])
    (drawn,) = heatmaps.draw_points(points, present, (41, 41), 2.0)[0]
    assert (drawn[20] > 0).sum() == 6 * 2 + 3
    assert drawn[20, 20] == 1
    assert drawn[13, 27].item() == pytest.approx(math.exp(-(7**2) * 2 / 8))


@pytest.mark.parametrize("refine", [heatmaps.refine_quarter, heatmaps.refine_taylor])
def test_several_peaks_of_a_map_are_refined_like_single_ones(refine):
    maps = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0)) + 0.01
    row, column = (grid.expand(2, 3, 6, 5) for grid in torch.meshgrid(torch.arange(6), torch.arange(5), indexing="ij"))
    found = heatmaps.refine_points(maps, column.flatten(2), row.flatten(2), refine)
    for place in range(30):
        alone = refine(maps, column.flatten(2)[..., place], row.flatten(2)[..., place])
        torch.testing.assert_close(found[..., place, :], alone)
    assert heatmaps.refine_points(maps[..., :2], column[..., 0, :2], row[..., 0, :2], refine).eq(0).all()
