import numpy as np
import pytest
import torch
from center_case import GRID, PEOPLE, POSE_GRID, POSE_META, POSES, SIZE, batch_of, people, pose_maps, some_maps

from densezoo.contracts import DecodesViews
from densezoo.errors import ConfigError
from densezoo.tasks.centers import Centers
from densezoo.types import Grid


def mirror(boxes, poses, width):
    boxes, poses = torch.tensor(boxes), torch.tensor(poses)
    boxes = torch.stack([width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]], -1)
    x = torch.where(poses[..., 2] > 0, width - poses[..., 0], 0.0)
    poses = torch.stack([x, poses[..., 1], poses[..., 2]], -1)[:, :, POSE_META.flip_order]
    return boxes.tolist(), poses.tolist()


def test_maps_of_mirrored_images_come_back_to_the_originals_frame():
    """Wherever something is learned; cells that hold a point on their edge aside, there are none."""
    task = Centers(1, POSE_META, num_keypoints=3)
    shifted = [[[[x + 0.3, y, seen] for x, y, seen in pose] for pose in image] for image in POSES]
    boxes = [[[left + 0.3, top, right, bottom] for left, top, right, bottom in image] for image in PEOPLE]
    original = task.encode(people(boxes, shifted), POSE_GRID)
    mirrored = task.encode(people(*mirror(boxes, shifted, 64)), POSE_GRID)
    maps, weights = task.unflip(mirrored["maps"]), original["weights"]
    for name, values in original["maps"].items():
        learned = torch.ones(()) if name.endswith("heat") else weights[name]
        torch.testing.assert_close(maps[name] * learned, values * learned, atol=1e-5, rtol=0)
    averaged = {name: (values + maps[name]) / 2 for name, values in original["maps"].items()}
    (found, _) = task.decode(averaged, POSE_GRID)
    np.testing.assert_allclose(
        found["boxes"][np.argsort(found["boxes"][:, 0])][:, :2], np.array(boxes[0])[:, :2], atol=1e-4
    )


def test_unflip_twice_gives_the_maps_back():
    task, maps = Centers(1, POSE_META, num_keypoints=3), pose_maps()
    twice = task.unflip(task.unflip(maps))
    for name, values in maps.items():
        torch.testing.assert_close(twice[name], values)
    with pytest.raises(ConfigError, match="flip test"):
        Centers(1, num_keypoints=3).unflip(maps)
    Centers(1).unflip(some_maps())  # boxes alone need no meta


def test_views_of_several_scales_are_suppressed_together():
    """What a second view finds again loses score by soft-NMS; what only one view shows does not."""
    task, twice = Centers(3), Grid(2, (32, 40), image_size=SIZE)
    assert isinstance(task, DecodesViews)
    first, second, third = [4.0, 4, 24, 24], [44.0, 20, 76, 60], [10.0, 40, 31, 60]
    one = task.encode(batch_of([[first, second]], [[0, 2]]), GRID)["maps"]
    two = task.encode(batch_of([[first, third, first]], [[0, 1, 1]]), twice)["maps"]
    (found,) = task.decode_views([(one, GRID), (two, twice)])
    answers = sorted(zip(found["scores"].tolist(), found["labels"].tolist(), found["boxes"].tolist(), strict=True))
    assert answers[0] == (pytest.approx(np.exp(-2)), 0, first)
    assert answers[1:] == sorted([(1.0, 0, first), (1.0, 2, second), (1.0, 1, third), (1.0, 1, first)])


def test_objects_of_one_view_are_never_suppressed():
    task = Centers(3)
    batch = batch_of([[[8.0, 8, 40, 40], [12.0, 12, 44, 44]]], [[1, 1]])
    (found,) = task.decode(task.encode(batch, GRID)["maps"], GRID)
    assert found["scores"].tolist() == [1.0, 1.0]


def test_keypoints_follow_their_boxes_through_suppression():
    task = Centers(1, num_keypoints=3)
    maps = task.encode(people(), POSE_GRID)["maps"]
    single, double = task.decode(maps, POSE_GRID), task.decode_views([(maps, POSE_GRID)] * 2)
    for one, two in zip(single, double, strict=True):
        for box, pose in zip(two["boxes"], two["keypoints"], strict=True):
            (index,) = np.flatnonzero((one["boxes"] == box).all(1))
            np.testing.assert_array_equal(one["keypoints"][index], pose)
