"""Two images with objects, and maps, for the tests of `Corners`."""

import torch
from object_batches import batch_of_objects, wave

from densezoo.tasks.corners import Corners
from densezoo.types import DatasetMeta, Grid

META = DatasetMeta(classes=("red", "white", "platelet"), category_ids=(1, 2, 3))
SIZE = (64, 80)
GRID = Grid(4, (16, 20), image_size=SIZE)
BOXES = [
    [[3.0, 5, 41, 37], [20, 8, 79.5, 63], [21.5, 9.5, 60, 50], [0, 0, 6.2, 7.1]],
    [[10.0, 10, 11, 11], [8, 30, 71, 60], [40, 2, 66, 40], [44, 3, 80, 64]],
]
LABELS = [[0, 2, 2, 1], [0, 1, 1, 2]]
SQUARE = Grid(4, (20, 20), image_size=(80, 80))


def batch_of(boxes=BOXES, labels=LABELS, size=SIZE, **more):
    return batch_of_objects(boxes, labels, size, **more)


def some_maps():
    heat, embedding, offset = (2, 3, 16, 20), (2, 1, 16, 20), (2, 2, 16, 20)
    return {
        "top_left_heat": wave(*heat, step=1.7, scale=4.0),
        "bottom_right_heat": wave(*heat, step=2.3, scale=4.0),
        "top_left_embedding": wave(*embedding, step=0.9),
        "bottom_right_embedding": wave(*embedding, step=1.3),
        "top_left_offset": wave(*offset, step=0.7) * 0.5 + 0.5,
        "bottom_right_offset": wave(*offset, step=1.1) * 0.5 + 0.5,
    }


def empty_maps(channels=3, value=0.0):
    return {name: torch.full((2, width, 16, 20), value) for name, width in Corners(channels).outputs.items()}


def four_images():
    none = [0.0] * 4
    boxes = [*BOXES, [[10.0, 20, 50, 80], none, none, none], [none] * 4]
    batch = batch_of(boxes, [*LABELS, [1, -1, -1, -1], [-1] * 4], (80, 80))
    return {**batch, "valid": batch["labels"] >= 0}


def maps_of_four(sureness=4.0):
    heat, embedding, offset = (4, 3, 20, 20), (4, 1, 20, 20), (4, 2, 20, 20)
    return {
        "top_left_heat": wave(*heat, step=1.7, scale=sureness),
        "bottom_right_heat": wave(*heat, step=2.3, scale=4.0),
        "top_left_embedding": wave(*embedding, step=0.9),
        "bottom_right_embedding": wave(*embedding, step=1.3),
        "top_left_offset": wave(*offset, step=0.7) * 0.5 + 0.5,
        "bottom_right_offset": wave(*offset, step=1.1) * 0.5 + 0.5,
    }
