import pytest
import torch

from densezoo.functional.object_cells import cells_on, last_in_cells, learned_objects, locate, sum_in_cells
from densezoo.types import Grid

INSIDE, NAN = [4.0, 4, 20, 20], float("nan")


def batch_of(boxes, labels, **more):
    boxes, labels = torch.tensor([boxes]), torch.tensor([labels])
    return {"boxes": boxes, "labels": labels, "valid": torch.ones(labels.shape, dtype=torch.bool), **more}


def test_what_is_learned():
    boxes = [INSIDE, INSIDE, [9.0, 9, 9, 30], [30.0, 9, 20, 30], [-9.0, -9, 0, 0], [90.0, 9, 99, 30], [NAN] * 4, INSIDE,
             INSIDE, [-30.0, 40, 20, 99], INSIDE]  # fmt: skip
    crowd = torch.tensor([[index == 1 for index in range(11)]])
    batch = batch_of(boxes, [0, 1, 0, 0, 0, 0, 0, 3, -1, 2, 1], crowd=crowd)
    batch["valid"][0, -1] = False
    found, labels, present = learned_objects(batch, (64, 80), 3)
    assert present[0].nonzero().flatten().tolist() == [0, 9]
    assert labels[0].tolist() == [0] * 9 + [2, 0]
    assert found[0, 9].tolist() == [0, 40, 20, 64]
    assert found[~present].eq(0).all()
    assert learned_objects(batch, (64, 80), 3, class_agnostic=True)[1].eq(0).all()


def test_without_boxes_nothing_is_there():
    found, labels, present = learned_objects({"valid": torch.ones(2, 3, dtype=torch.bool)}, (64, 80), 3)
    assert found.shape == (2, 3, 4)
    assert labels.shape == present.shape == (2, 3)
    assert not present.any()


def test_points_are_located_on_the_map():
    points = torch.tensor([[[12.0, 8], [13, 15.5], [51.9, 39.9], [52, 9], [11, 9], [NAN, 9], [20, 20]]])
    present = torch.tensor([[True] * 6 + [False]])
    spots = locate(points, present, Grid(4, (8, 10), origin=(12.0, 8.0), image_size=(48, 64)))
    assert spots.cell.tolist() == [[0, 10, 79, -1, -1, -1, -1]]
    assert spots.present.tolist() == [[True] * 3 + [False] * 4]
    assert torch.stack([spots.column, spots.row], -1)[0, :3].tolist() == [[0, 0], [0, 1], [9, 7]]
    torch.testing.assert_close(spots.offset[0, :3], torch.tensor([[0, 0], [0.25, 0.875], [0.975, 0.975]]))
    assert spots.offset[0, 3:].eq(0).all()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [([], []), ([3], [3]), ([3, -1, 3, -1], [-1, -1, 3, -1]), ([5, 5, 2, 5, 2], [-1, -1, -1, 5, 2])],
)
def test_the_last_of_a_cell_stays(cells, expected):
    given = torch.tensor([cells, [7] * len(cells)], dtype=torch.int64)
    assert last_in_cells(given).tolist()[0] == expected


def test_values_are_added_in_their_cells():
    values = torch.tensor([[[1.0, 2, 4, 8], [10, 20, 30, 40]]])
    maps = sum_in_cells(values, torch.tensor([[4, 0, -1, 4]]), (2, 3))
    assert maps[0].flatten(1).tolist() == [[2, 0, 0, 0, 9, 0], [20, 0, 0, 0, 50, 0]]
    assert sum_in_cells(values[..., :0], torch.zeros(1, 0, dtype=torch.int64), (2, 3)).eq(0).all()


def test_cells_are_on_masks_and_without_a_mask_in_boxes():
    batch = batch_of([[4.0, 4, 13, 20], [0.0, 0, 32, 24], [20.0, 0, 32, 6]], [0, 0, 0])
    chosen = torch.tensor([[True, False, True]])
    on = cells_on(batch, chosen, Grid(4, (6, 8)))[0]
    expected = torch.zeros(6, 8, dtype=torch.bool)
    expected[1:5, 1:3] = True  # the centre of column 3 is at 14
    expected[:1, 5:] = True  # that of row 1 at 6, on the edge
    assert torch.equal(on, expected)
    # the first has a mask, which its box reaches beyond; the others' masks are empty
    batch["masks"] = torch.zeros(1, 3, 24, 32, dtype=torch.uint8)
    batch["masks"][0, 0, 4:12, 4:8] = 1
    expected[1:5, 1:3] = False
    expected[1:3, 1] = True
    assert torch.equal(cells_on(batch, chosen, Grid(4, (6, 8)))[0], expected)
    shifted = Grid(4, (4, 6), (4.0, 4.0))
    assert torch.equal(cells_on(batch, chosen, shifted)[0], expected[1:5, 1:7])


def test_no_cell_is_on_nobody():
    nobody = torch.zeros(2, 0, dtype=torch.bool)
    batch = {"boxes": torch.zeros(2, 0, 4), "masks": torch.zeros(2, 0, 24, 32, dtype=torch.uint8)}
    for annotations in ({}, batch):
        assert cells_on(annotations, nobody, Grid(4, (6, 8))).shape == (2, 6, 8)
        assert not cells_on(annotations, nobody, Grid(4, (6, 8))).any()
