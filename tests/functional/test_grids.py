import pytest
import torch
import torch.nn.functional as F

from densezoo.functional.grids import (
    at_cells,
    average_views,
    bring_to_grid,
    bring_to_image,
    covered,
    highest_in_image,
    image_size,
)
from densezoo.types import Grid

CPU = torch.device("cpu")


def ramp(grid):
    """A map (1, 2, h, w) that holds the x and the y of each cell's centre."""
    height, width = grid.size
    x = (torch.arange(width) + 0.5) * grid.stride + grid.origin[0]
    y = (torch.arange(height) + 0.5) * grid.stride + grid.origin[1]
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        (Grid(4, (5, 7)), (20, 28)),
        (Grid(4, (5, 7)), (17, 26)),  # an odd image: the last cells reach beyond it
        (Grid(2, (6, 5), (3.0, 5.0)), (22, 16)),  # valid convolutions: the map begins later and ends earlier
        (Grid(1, (6, 5), (2.0, 3.0)), (12, 9)),
        (Grid(8, (3, 4), (-4.0, -2.0)), (21, 24)),
        (Grid(2, (6, 5), (2.5, 1.5)), (16, 17)),
        (Grid(2.5, (6, 5)), (15, 12)),
    ],
)
def test_what_a_map_says_of_a_place_is_brought_to_that_place(grid, size):
    found = bring_to_image(ramp(grid), grid, size)[0]
    assert found.shape == (2, *size)
    x, y = (torch.arange(side) + 0.5 for side in reversed(size))
    # between the outermost centres the interpolation of a plane is exact, and beyond them it stays level
    left, top = grid.origin
    right, bottom = left + grid.size[1] * grid.stride, top + grid.size[0] * grid.stride
    half = grid.stride / 2
    level = x.clamp(left + half, right - half), y.clamp(top + half, bottom - half)
    expected = torch.stack(torch.meshgrid(*level, indexing="xy"))
    inside = covered(grid, size, CPU)
    torch.testing.assert_close(found[:, inside], expected[:, inside])
    across, down = (x >= left) & (x < right), (y >= top) & (y < bottom)
    assert torch.equal(inside, down[:, None] & across)


@pytest.mark.parametrize("other", [Grid(4, (5, 7)), Grid(3, (5, 8)), Grid(2.5, (4, 5), (3.0, 1.0)), Grid(8, (3, 4))])
@pytest.mark.parametrize("grid", [Grid(2, (10, 14)), Grid(4, (5, 7)), Grid(8 / 3, (6, 9)), Grid(4, (3, 4), (5.0, 3.0))])
def test_what_a_map_says_of_a_place_is_brought_to_the_cells_there(grid, other):
    found = bring_to_grid(ramp(grid), grid, other)[0]
    x, y = ramp(other)[0]
    left, top = grid.origin
    right, bottom = left + grid.size[1] * grid.stride, top + grid.size[0] * grid.stride
    inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    half = grid.stride / 2
    level = torch.stack([x.clamp(left + half, right - half), y.clamp(top + half, bottom - half)])
    torch.testing.assert_close(found[:, inside], level[:, inside])
    assert found[:, ~inside].isnan().all()  # of what lies beyond, the map says nothing


def test_views_are_averaged_where_they_reach():
    whole, middle = Grid(4, (6, 6)), Grid(4, (2, 3), (8.0, 4.0))
    maps, grid = average_views([({"m": torch.ones(1, 1, 6, 6)}, whole), ({"m": torch.full((1, 1, 2, 3), 3.0)}, middle)])
    assert grid == whole
    expected = torch.ones(6, 6)
    expected[1:3, 2:5] = 2
    assert torch.equal(maps["m"][0, 0], expected)


def test_a_whole_stride_is_plain_interpolation_with_gradients():
    maps = torch.randn(2, 3, 4, 5, requires_grad=True)
    found = bring_to_image(maps, Grid(4, (4, 5)), (16, 20))
    torch.testing.assert_close(found, F.interpolate(maps, scale_factor=4, mode="bilinear", align_corners=False))
    found.sum().backward()
    torch.testing.assert_close(maps.grad, torch.full_like(maps, 16.0))
    same = torch.randn(1, 2, 3, 3)
    assert bring_to_image(same, Grid(1, (3, 3)), (3, 3)) is same


def test_labels_at_cells_are_those_of_the_pixel_at_the_centre():
    labels = torch.arange(2 * 6 * 8).reshape(2, 6, 8)
    assert torch.equal(at_cells(labels, Grid(1, (6, 8))), labels)
    assert torch.equal(at_cells(labels, Grid(2, (3, 4))), labels[:, 1::2, 1::2])
    assert torch.equal(at_cells(labels, Grid(3, (2, 2), (1.0, 0.0))), labels[:, 1:5:3, 2:6:3])
    # the last cell of an odd image may have its centre beyond it
    assert at_cells(labels[:, :5], Grid(4, (2, 2)))[0].tolist() == [[2 * 8 + 2, 2 * 8 + 6], [4 * 8 + 2, 4 * 8 + 6]]


def test_the_image_is_what_was_said_or_what_the_cells_cover():
    assert image_size(Grid(4, (5, 7), image_size=(18, 27))) == (18, 27)
    assert image_size(Grid(4, (5, 7))) == (20, 28)
    assert image_size(Grid(1, (388, 380), (92.0, 92.0))) == (572, 564)


@pytest.mark.parametrize("channels", [1, 2, 32, 33, 70])
@pytest.mark.parametrize("grid", [Grid(4, (5, 6)), Grid(2, (6, 5), (2.5, 1.5))])
def test_the_highest_channel_is_that_of_all_at_once(channels, grid):
    maps = torch.randn(2, channels, *grid.size, generator=torch.Generator().manual_seed(channels))
    found = highest_in_image(maps, grid, (21, 25))
    assert found.equal(bring_to_image(maps, grid, (21, 25)).argmax(1))
    assert len(found.unique()) > channels // 2


def test_of_equal_channels_the_first_is_the_highest():
    maps = torch.full((1, 70, 2, 2), -50.0)
    assert highest_in_image(maps, Grid(2, (2, 2)), (4, 4)).eq(0).all()
    maps[:, [20, 38, 68]] = -5.0
    assert highest_in_image(maps, Grid(2, (2, 2)), (4, 4)).eq(20).all()
