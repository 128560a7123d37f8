import pytest
import torch
import torch.nn.functional as F

from densezoo.functional.grouping import Corners, find_corners, highest_cells, local_maxima, pair_corners


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(7, 9), (1, 5), (2, 2), (1, 1)])
def test_local_maxima_are_those_of_max_pooling(size, layout):
    torch.manual_seed(0)
    maps = torch.randint(1, 9, (2, 3, *size)).float().contiguous(memory_format=layout)
    expected = maps * (F.max_pool2d(maps, 3, stride=1, padding=1) == maps)
    assert torch.equal(local_maxima(maps), expected)


@pytest.mark.parametrize("count", [1, 5, 30, 1000])
def test_highest_cells_are_those_of_a_full_sort(count):
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 4, 5)
    value, channel, row, column = highest_cells(maps, count)
    expected, place = maps.flatten(1).sort(descending=True)
    assert torch.equal(value, expected[:, :count])
    assert torch.equal((channel * 4 + row) * 5 + column, place[:, :count])


def test_corners_lie_at_their_offset_from_either_edge():
    heat = torch.zeros(1, 2, 4, 6)
    heat[0, 1, 2, 3] = 0.9
    embedding, offset = torch.full((1, 1, 4, 6), 7.0), torch.zeros(1, 2, 4, 6)
    offset[0, :, 2, 3] = torch.tensor([0.2, 0.4])
    for mirrored, x in ((False, 3.2), (True, 3.8)):
        found = find_corners(heat, embedding, offset, 1, mirrored)
        assert (found.score.item(), found.label.item(), found.embedding.item()) == (pytest.approx(0.9), 1, 7)
        assert (found.x.item(), found.y.item()) == (pytest.approx(x), pytest.approx(2.4))


def corners(*points):
    """Corners of one image from (score, label, x, y, embedding)."""
    score, label, x, y, embedding = torch.tensor(points).T[:, None].unbind()
    return Corners(score, label.long(), x, y, embedding)


def test_pairs_need_a_class_near_embeddings_an_area_and_two_corners():
    left = corners((0.8, 1, 2.0, 3.0, 0.0), (0.7, 0, 2.0, 3.0, 0.0))
    right = corners(
        (0.6, 1, 9.0, 8.0, 0.5), (0.9, 1, 9.0, 8.0, 0.6), (0.9, 1, 2.0, 8.0, 0.0), (0.9, 1, 9.0, 1.0, 0.0),
        (0.0, 1, 9.0, 9.0, 0.0), (0.5, 0, 30.0, 30.0, 0.0),
    )  # fmt: skip
    boxes, scores, labels = pair_corners(left, right, 0.5, (20.0, 10.0), 3)
    torch.testing.assert_close(scores, torch.tensor([[0.7, 0.6, 0.0]]))
    assert labels[0, :2].tolist() == [1, 0]
    assert boxes[0].tolist() == [[2, 3, 9, 8], [2, 3, 20, 10], [0, 0, 0, 0]]  # the second is clipped


def test_rising_pairs_take_the_lower_edge_from_the_left_corner():
    left, right = corners((0.8, 1, 2.0, 8.0, 0.0)), corners((0.6, 1, 9.0, 3.0, 0.0))
    boxes, _, _ = pair_corners(left, right, 0.5, (20.0, 10.0), 5, rising=True)
    assert boxes[0].tolist() == [[2, 3, 9, 8]]
    assert pair_corners(left, right, 0.5, (20.0, 10.0), 5)[1].eq(0).all()
