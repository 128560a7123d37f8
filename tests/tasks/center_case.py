"""Two images with objects, and maps, for the tests of `Centers`."""

import torch
from object_batches import batch_of_objects, wave

from densezoo.types import DatasetMeta, Grid

META = DatasetMeta(classes=("red", "white", "platelet"), category_ids=(1, 2, 3))
POSE_META = DatasetMeta(
    classes=("person",), keypoint_names=("nose", "left_hip", "right_hip"), flip_pairs=((1, 2),), sigmas=(0.1,) * 3
)
SIZE = (64, 80)
GRID = Grid(4, (16, 20), image_size=SIZE)
BOXES = [
    [[3.0, 5, 41, 37], [20, 8, 75.5, 59], [21.5, 9.5, 60, 50], [0, 0, 6.2, 7.1]],
    [[10.0, 10, 11, 11], [8, 30, 71, 60], [40, 2, 66, 40], [44, 3, 76, 58]],
]
LABELS = [[0, 2, 2, 1], [0, 1, 1, 2]]
POSE_SIZE = (64, 64)
POSE_GRID = Grid(4, (16, 16), image_size=POSE_SIZE)
PEOPLE = [[[4.0, 6, 30, 50], [26, 10, 58, 60]], [[8.0, 2, 40, 44], [30, 20, 59, 47]]]
POSES = [
    [[[10.0, 9, 2], [16, 21, 2], [25.5, 44, 1]], [[33.0, 14, 2], [70, 30, 2], [0, 0, 0]]],
    [[[20.0, 5, 2], [-3, 30, 2], [38, 41.5, 2]], [[45.0, 24, 1], [50, 33, 2], [57, 45, 2]]],
]


def batch_of(boxes=BOXES, labels=LABELS, size=SIZE, **more):
    return batch_of_objects(boxes, labels, size, **more)


def people(boxes=PEOPLE, poses=POSES):
    labels = [[0] * len(image) for image in boxes]
    kinds = len(poses[0][0]) if labels[0] else 3
    keypoints = torch.tensor(poses, dtype=torch.float32).reshape(len(boxes), len(labels[0]), kinds, 3)
    return batch_of(boxes, labels, POSE_SIZE, keypoints=keypoints)


def some_maps(channels=3, size=(16, 20), side=5.0):
    return {
        "heat": wave(2, channels, *size, step=1.7, scale=4.0),
        "size": wave(2, 2, *size, step=0.9) * 4 + side,
        "offset": wave(2, 2, *size, step=0.7) * 0.5 + 0.5,
    }


def pose_maps():
    size = (16, 16)
    return some_maps(1, size, 6.0) | {
        "keypoint_offset": wave(2, 6, *size, step=1.3, scale=3.0),
        "keypoint_heat": wave(2, 3, *size, step=2.3, scale=4.0),
        "keypoint_heat_offset": wave(2, 2, *size, step=1.1) * 0.5 + 0.5,
    }
