import numpy as np
import pytest
import torch
from corner_case import BOXES, GRID, LABELS, SIZE, batch_of, empty_maps, some_maps

from densezoo.contracts import DecodesViews
from densezoo.tasks.corners import Corners
from densezoo.types import Grid


@pytest.mark.parametrize("cells", ["stride", "image"])
def test_mirrored_images_are_decoded_beside_the_original(cells):
    """Objects that only the mirrored image shows are found where they are, and those in both are found once."""
    task = Corners(3, cells=cells)
    boxes = torch.tensor(BOXES)
    mirrored = torch.stack([80 - boxes[..., 2], boxes[..., 1], 80 - boxes[..., 0], boxes[..., 3]], -1)
    other = task.unflip(task.encode(batch_of(mirrored.tolist()), GRID)["maps"])
    assert set(other) == {
        name.replace("top_left", "top_right").replace("bottom_right", "bottom_left") for name in task.outputs
    }
    original = task.encode(batch_of(), GRID)["maps"]
    for maps in (other, {**empty_maps(), **other}, {**original, **other}):
        prediction = task.decode(maps, GRID)[1]
        sure = prediction["scores"] > 0.5
        assert sorted(map(tuple, prediction["boxes"][sure].round(3).tolist())) == sorted(map(tuple, BOXES[1]))


def test_mirrored_images_may_end_behind_the_cells_of_the_image():
    """The network sees 511 pixels, padded to 512 and mirrored; a cell is 511 / 128 pixels all the same."""
    boxes = torch.tensor([[[100.0, 100, 300, 210], [12, 30, 509, 500]]])
    grid = Grid(4, (128, 128), image_size=(511, 511))
    mirrored = torch.stack([512 - boxes[..., 2], boxes[..., 1], 512 - boxes[..., 0], boxes[..., 3]], -1)
    task = Corners(1, cells="image")
    maps = task.unflip(task.encode(batch_of(mirrored.tolist(), [[0, 0]], (511, 511)), grid)["maps"])
    (prediction,) = task.decode(maps, grid)
    found = prediction["boxes"][prediction["scores"] > 0.5]
    np.testing.assert_allclose(found[np.argsort(-found[:, 0])], boxes[0], atol=1e-3)


def test_a_view_at_half_the_scale_gives_boxes_of_the_whole_frame():
    task = Corners(3)
    assert isinstance(task, DecodesViews)
    boxes, labels = BOXES[1][:3], [LABELS[1][:3]]
    half = task.encode(batch_of([(np.array(boxes) / 2).tolist()], labels, (32, 40)), Grid(4, (8, 10)))["maps"]
    of_half = Grid(8, (8, 10), image_size=SIZE)  # where those cells lie in the unscaled image
    whole = task.encode(batch_of([boxes], labels), GRID)["maps"]
    for views in ([(half, of_half)], [(half, of_half), (whole, GRID)], [(whole, GRID), (half, of_half)]):
        (prediction,) = task.decode_views(views)
        sure = prediction["scores"] > 0.5  # what the other view found again is suppressed
        assert sorted(map(tuple, prediction["boxes"][sure].round(3).tolist())) == sorted(map(tuple, boxes))
        assert prediction["scores"].max() == 1


def test_views_add_what_only_one_of_them_shows():
    task = Corners(3, max_detections=2)
    first, second = (
        task.encode(batch_of([boxes] * 2, [[1]] * 2), GRID)["maps"] for boxes in ([BOXES[1][1]], [BOXES[0][0]])
    )
    prediction = task.decode_views([(first, GRID), (second, GRID)])[0]
    assert sorted(prediction["boxes"].tolist()) == sorted([BOXES[1][1], BOXES[0][0]])


def test_unflip_twice_gives_the_maps_back():
    task, maps = Corners(3), some_maps()
    twice = task.unflip(task.unflip(maps))
    assert all(torch.equal(twice[name], values) for name, values in maps.items())
