import pytest
import torch

from densezoo.functional.corner_targets import RADII, draw_gaussians, gaussian_radius, put_in_cells, take_from_cells


def overlap(first, second):
    """Intersection over union of two xyxy boxes."""
    width, height = (min(first[i + 2], second[i + 2]) - max(first[i], second[i]) for i in (0, 1))
    shared = max(width, 0) * max(height, 0)
    return shared / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - shared)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (40, 7), (100, 128), (3, 90)])
def test_corners_within_the_radius_keep_the_overlap(height, width):
    radius = gaussian_radius(torch.tensor(height), torch.tensor(width)).item()
    box = (0, 0, width, height)

    def worst(r):
        moved = [(r, r, width + r, height + r), (r, r, width - r, height - r), (-r, -r, width + r, height + r)]
        return min(overlap(box, other) for other in moved)

    assert worst(radius) >= RADII["corrected"]
    assert worst(radius + 1) < RADII["corrected"]


# radii of CornerNet's own code, of its latest and of its first release
@pytest.mark.parametrize(("kind", "expected"), [("corrected", [0, 2, 3, 11, 25, 1]), ("legacy", [0, 2, 5, 15, 30, 1])])
def test_radii_of_published_code(kind, expected):
    heights, widths = torch.tensor([[1, 10, 40, 100, 128, 3], [1, 10, 12, 37, 101, 60]])
    assert gaussian_radius(heights, widths, kind).tolist() == expected


def test_gaussians_peak_at_one_end_at_their_radius_and_share_a_map():
    columns, rows = torch.tensor([[2, 5, 0]]), torch.tensor([[3, 3, 0]])
    radii, channels = torch.tensor([[2, 1, 4]]), torch.tensor([[1, 1, 7]])
    present = torch.tensor([[True, True, False]])
    heat = draw_gaussians(columns, rows, radii, channels, present, 2, (8, 9))
    assert heat.shape == (1, 2, 8, 9)
    assert heat[0, 0].eq(0).all()
    assert (heat == 1).nonzero().tolist() == [[0, 1, 3, 2], [0, 1, 3, 5]]
    row = torch.exp(-torch.tensor([4.0, 1.0]) / (2 * (5 / 6) ** 2))
    torch.testing.assert_close(heat[0, 1, 3, :3], torch.tensor([row[0], row[1], 1.0]))
    assert heat[0, 1, 3, 3] == row[1]  # the higher of both, whose other is exp(-4 · 2)
    assert heat[0, 1, :, 4].nonzero().flatten().tolist() == [1, 2, 3, 4, 5]
    assert heat[0, 1, 0].eq(0).all()
    assert heat[0, 1, :, 7:].eq(0).all()
    assert heat[0, 1, 4, 6] == pytest.approx(torch.exp(torch.tensor(-4.0)).item(), rel=1e-6)


def test_nothing_to_draw():
    none = torch.zeros(2, 0, dtype=torch.int64)
    assert draw_gaussians(none, none, none, none, none.bool(), 3, (4, 5)).eq(0).all()
    assert put_in_cells(torch.zeros(2, 1, 0), none, (4, 5)).shape == (2, 1, 4, 5)


def test_values_are_taken_from_their_cells():
    maps = torch.arange(24.0).view(2, 2, 2, 3)
    taken = take_from_cells(maps, torch.tensor([[4, -1, 5], [0, 4, 4]]))
    assert taken[0, :, ::2].tolist() == [[4, 5], [10, 11]]
    assert taken[1].tolist() == [[12, 16, 16], [18, 22, 22]]
    assert take_from_cells(maps, torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 2, 0)


def test_values_go_into_their_cells_and_absent_ones_nowhere():
    maps = put_in_cells(torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), torch.tensor([[4, -1, 5]]), (2, 3))
    assert maps[0].flatten(1).tolist() == [[0, 0, 0, 0, 1, 3], [0, 0, 0, 0, 4, 6]]
