import difflib
from pathlib import Path

import numpy as np
import pytest
import torch

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.contracts import DecodesViews
from densezoo.engine.config import load_config
from densezoo.errors import ConfigError
from densezoo.models import build_model
from densezoo.tasks.centers import Centers
from densezoo.types import Batch, DatasetMeta, Grid, InferenceViews

CONFIGS = Path(__file__).parents[2] / "configs"
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
    boxes, labels = torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)
    return Batch(
        images=torch.zeros(len(boxes), 3, *size, dtype=torch.uint8),
        boxes=boxes.reshape(*labels.shape, 4),
        labels=labels,
        valid=torch.ones(labels.shape, dtype=torch.bool),
        **more,
    )


def people(boxes=PEOPLE, poses=POSES):
    labels = [[0] * len(image) for image in boxes]
    kinds = len(poses[0][0]) if labels[0] else 3
    keypoints = torch.tensor(poses, dtype=torch.float32).reshape(len(boxes), len(labels[0]), kinds, 3)
    return batch_of(boxes, labels, POSE_SIZE, keypoints=keypoints)


def wave(*shape, step, scale=1.0):
    """Numbers that need no random generator."""
    count = torch.Size(shape).numel()
    return (torch.sin(torch.arange(count, dtype=torch.float64) * step) * scale).float().reshape(shape)


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


def at(maps, cells):
    """(N, C, h, w) maps at cells (image, row, column): a list of lists of C values."""
    return [maps[image, :, row, column].tolist() for image, row, column in cells]


# of the published code and of mmdetection: sum of the heat targets, and losses of `some_maps`
HEAT_PEAKS = [[0, 0, 5, 5], [0, 1, 0, 0], [0, 2, 7, 10], [0, 2, 8, 11], [1, 0, 2, 2], [1, 1, 5, 13], [1, 1, 11, 9],
              [1, 2, 7, 15]]  # fmt: skip
PEERS = {
    "legacy": (
        29.393944079056382,
        {"heat": 275.044677734375, "size": 0.49697232246398926, "offset": 0.385287344455719},
    ),
    "corrected": (
        23.922244774526916,
        {"heat": 276.8772888183594, "size": 0.4969754219055176, "offset": 0.38528972864151},
    ),
}


@pytest.mark.parametrize("radius", PEERS)
def test_targets_and_losses_equal_those_of_published_code_and_mmdetection(radius):
    """The published code adds 0.0001 to what it divides the losses of size and offset by, here 16."""
    task = Centers(3, radius=radius)
    targets = task.encode(batch_of(), GRID)
    maps, (total, losses) = targets["maps"], PEERS[radius]
    assert maps["heat"].double().sum().item() == pytest.approx(total, rel=1e-7)
    assert (maps["heat"] == 1).nonzero().tolist() == HEAT_PEAKS
    cells = [(image, row, column) for image, _, row, column in HEAT_PEAKS]
    assert at(maps["size"], cells)[:3] == [[9.5, 8], pytest.approx([1.55, 1.775]), [9.625, 10.125]]
    assert at(maps["offset"], cells)[0] == [0.5, 0.25]
    assert maps["size"].double().sum().item() == pytest.approx(128.7, rel=1e-7)
    assert maps["offset"].double().sum().item() == pytest.approx(7.85, rel=1e-6)
    ours = task.loss(some_maps(), targets, task.normalisers(batch_of()))
    factor = 1 + 1e-4 / 16 if radius == "legacy" else 1
    assert {name: value.item() for name, value in ours.items()} == pytest.approx(
        {name: value * (1 if name == "heat" else factor) for name, value in losses.items()}, rel=1e-6
    )


def test_boxes_equal_those_of_published_code():
    """Clipped to the image, which both peers leave to others."""
    task = Centers(3, max_detections=20)
    firsts = [
        (2, 0.9820134043693542, [28.02018165588379, 30.722436904907227, 63.79930114746094, 56.626197814941406]),
        (2, 0.9820137619972229, [58.074562072753906, 28.34588050842285, 62.105194091796875, 40.92354965209961]),
    ]
    totals = [(2902.676347732544, 19.63932639360428), (2830.0682425498962, 19.639231026172638)]
    for found, (label, score, box), (boxes, scores) in zip(
        task.decode(task.activate(some_maps()), GRID), firsts, totals, strict=True
    ):
        assert (len(found["boxes"]), found["labels"][0]) == (20, label)
        assert found["scores"][0] == pytest.approx(score, rel=1e-6)
        np.testing.assert_allclose(found["boxes"][0], box, rtol=1e-6)
        assert found["boxes"].astype(np.float64).sum() == pytest.approx(boxes, rel=1e-6)
        assert found["scores"].astype(np.float64).sum() == pytest.approx(scores, rel=1e-6)


def test_keypoint_targets_and_losses_equal_those_of_published_code():
    task = Centers(1, num_keypoints=3, radius="legacy")
    targets = task.encode(people(), POSE_GRID)
    maps, weights = targets["maps"], targets["weights"]
    assert maps["heat"].double().sum().item() == pytest.approx(17.401813212782145, rel=1e-7)
    assert maps["keypoint_heat"].double().sum().item() == pytest.approx(38.91991086304188, rel=1e-7)
    first = maps["keypoint_offset"][0, :, 7, 4]
    assert first.tolist() == [-1.5, -4.75, 0, -1.75, 2.375, 4]
    assert weights["keypoint_offset"][0, :, 8, 10].tolist() == [1, 1, 0, 0, 0, 0]
    assert maps["keypoint_offset"].sum().item() == pytest.approx(2.75)
    assert maps["keypoint_heat_offset"].sum().item() == pytest.approx(4.75)
    assert weights["keypoint_heat_offset"].flatten(1).nonzero()[:, 1].tolist() == [
        34, 56, 84, 182, 21, 107, 140, 169, 190,
    ]  # fmt: skip
    losses = task.loss(pose_maps(), targets, task.normalisers(people()))
    objects, joints = 1 + 1e-4 / 8, 1 + 1e-4 / 18  # what the published code adds to the numbers it divides by
    expected = {
        "heat": 140.93597412109375,
        "size": 0.3366840183734894 * objects,
        "offset": 0.30734458565711975 * objects,
        "keypoint_offset": 2.2850587368011475 * joints,
        "keypoint_heat": 190.20596313476562,
        "keypoint_heat_offset": 0.34318166971206665 * joints,
    }
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, rel=1e-6)


def test_keypoints_equal_those_of_published_code():
    """Of 36 keypoints in each image 10 snap to a peak."""
    task = Centers(1, num_keypoints=3, max_detections=12)
    firsts = [
        [48.84457015991211, 4.0354156494140625, 54.02084732055664, 8.04194450378418, 57.71363830566406,
         10.963289260864258],
        [28.56661033630371, 40.13650131225586, 31.983314514160156, 35.05681228637695, 31.029170989990234,
         41.809349060058594],
    ]  # fmt: skip
    totals = [1964.0483465194702, 1950.5320641994476]
    found = task.decode(task.activate(pose_maps()), POSE_GRID)
    for prediction, first, total in zip(found, firsts, totals, strict=True):
        points = prediction["keypoints"][..., :2]
        assert points.shape == (12, 3, 2)
        np.testing.assert_allclose(points[0].ravel(), first, rtol=1e-6)
        assert points.astype(np.float64).sum() == pytest.approx(total, rel=1e-6)


def random_boxes(rng, count, size, least=0.0):
    height, width = size
    low = rng.uniform(0, [width - least, height - least], (count, 2))
    high = low + least + rng.uniform(0, 1, (count, 2)) * ([width - least, height - least] - low)
    return np.concatenate([low, np.minimum(high, [width, height])], 1).astype(np.float32)


def cell_of(box, stride):
    return tuple(np.floor((box[:2] + box[2:]).astype(np.float64) / 2 / stride).astype(int))


@pytest.mark.parametrize("stride", [1, 2, 4, 7])
def test_decoding_inverts_encoding(stride):
    """An object is found whose cell no later object has, nor, at the same time, one of its class."""
    rng = np.random.default_rng(stride)
    checked = 0
    for size in ((5, 9), (40, 33), (64, 80)):
        for count in (1, 3, 12):
            boxes, labels = random_boxes(rng, count, size), rng.integers(0, 3, count)
            grid = Grid(stride, (-(-size[0] // stride), -(-size[1] // stride)), image_size=size)
            task = Centers(3)
            targets = task.encode(batch_of([boxes.tolist()], [labels.tolist()], size), grid)
            (found,) = task.decode(targets["maps"], grid)
            cells = [cell_of(box, stride) for box in boxes]
            for index in range(count):
                if cells[index] not in cells[index + 1 :]:
                    same = np.abs(found["boxes"] - boxes[index]).max(1) < 1e-3
                    same &= found["labels"] == labels[index]
                    assert found["scores"][same].max() == 1
                    checked += 1
            assert (found["scores"] == 1).sum() == len(set(zip(cells, labels.tolist(), strict=True)))
    assert checked > 25


def test_decoding_inverts_encoding_of_keypoints():
    rng = np.random.default_rng(0)
    for _ in range(20):
        boxes = random_boxes(rng, 3, POSE_SIZE, least=12.0)[None]
        points = rng.uniform(boxes[:, :, None, :2] - 4, boxes[:, :, None, 2:] + 4, (1, 3, 3, 2))
        poses = np.concatenate([points, rng.integers(0, 3, (1, 3, 3, 1))], -1).astype(np.float32)
        task = Centers(1, num_keypoints=3)
        (found,) = task.decode(task.encode(people(boxes.tolist(), poses.tolist()), POSE_GRID)["maps"], POSE_GRID)
        cells = [cell_of(box, 4) for box in boxes[0]]
        inside = ((poses[0, ..., :2] >= 0) & (poses[0, ..., :2] < 64)).all(-1) & (poses[0, ..., 2] > 0)
        places = [tuple(cell) for cell in (poses[0, ..., :2] // 4)[inside].tolist()]
        for index in range(3):
            if cells[index] in cells[index + 1 :]:
                continue
            (match,) = np.flatnonzero(np.abs(found["boxes"] - boxes[0, index]).max(1) < 1e-3)
            for joint in np.flatnonzero(inside[index]):
                expected, answer = poses[0, index, joint, :2], found["keypoints"][match, joint]
                alone = places.count(tuple((expected // 4).tolist())) == 1
                assert np.abs(answer[:2] - expected).max() < (1e-3 if alone else 4)
                assert answer[2] == 1


def test_objects_that_share_a_cell():
    """The last one's box is learned, and the cell counts for both; keypoints that share one learn the mean."""
    boxes, poses = [[[8.0, 8, 24, 24], [4.0, 10, 29, 23]]], [[[[9.0, 9, 2]], [[10.0, 11, 2]]]]
    task = Centers(1, num_keypoints=1)
    targets = task.encode(people(boxes, poses), POSE_GRID)
    maps, weights = targets["maps"], targets["weights"]
    assert maps["size"][0, :, 4, 4].tolist() == [6.25, 3.25]
    assert maps["keypoint_offset"][0, :, 4, 4].tolist() == [-1.5, -1.25]
    assert weights["size"].nonzero().tolist() == [[0, 0, 4, 4]]
    assert weights["size"].sum() == task.normalisers(people(boxes, poses))["size"] == 2
    assert maps["keypoint_heat_offset"][0, :, 2, 2].tolist() == [0.375, 0.5]
    assert weights["keypoint_heat_offset"][0, 0, 2, 2] == 2
    (found,) = task.decode(maps, POSE_GRID)
    assert (found["boxes"].tolist(), found["keypoints"].tolist()) == ([[4, 10, 29, 23]], [[[9.5, 10, 1]]])


def test_two_classes_in_one_cell_are_both_found():
    batch = batch_of([[[8.0, 8, 24, 24], [4.0, 10, 29, 23]]], [[2, 0]])
    (found,) = Centers(3).decode(Centers(3).encode(batch, GRID)["maps"], GRID)
    assert sorted(found["labels"].tolist()) == [0, 2]
    assert found["boxes"].tolist() == [[4, 10, 29, 23]] * 2


def test_what_is_not_learned():
    inside, nan = [4.0, 4, 20, 20], float("nan")
    boxes = [inside, inside, [9, 9, 9, 30], [-9, -9, 0, 0], [nan] * 4, inside, [-30.0, 40, 20, 99]]
    batch = batch_of([boxes], [[0, 1, 0, 0, 0, 3, 2]], crowd=torch.tensor([[False, True, *[False] * 5]]))
    task = Centers(3)
    targets = task.encode(batch, GRID)
    assert (targets["maps"]["heat"] == 1).nonzero().tolist() == [[0, 0, 3, 3], [0, 2, 13, 2]]
    assert targets["maps"]["size"][0, :, 13, 2].tolist() == [5, 6]  # of its visible part
    assert task.normalisers(batch)["size"] == 2
    assert all(value.isfinite().all() for value in targets["maps"].values())


def test_maps_that_begin_inside_the_image():
    """An object may reach beyond the map, where its centre may not lie."""
    grid = Grid(4, (8, 10), origin=(12.0, 8.0), image_size=(48, 64))
    batch = batch_of([[[20.0, 13, 37, 30], [0, 0, 64, 48], [0, 0, 11, 7]]], [[0, 1, 2]], (48, 64))
    task = Centers(3)
    (found,) = task.decode(task.encode(batch, grid)["maps"], grid)
    boxes = dict(zip(found["labels"].tolist(), found["boxes"].tolist(), strict=True))
    assert boxes == {0: [20, 13, 37, 30], 1: [0, 0, 64, 48]}


def test_class_agnostic_centers():
    task = Centers(3, class_agnostic=True)
    assert task.outputs == {"heat": 1, "size": 2, "offset": 2}
    targets = task.encode(batch_of(), GRID)
    assert targets["maps"]["heat"].eq(1).sum((1, 2, 3)).tolist() == [4, 4]
    assert [found["labels"].tolist() for found in task.decode(targets["maps"], GRID)] == [[0] * 4] * 2


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_images", "objects"), [(1, 0), (2, 0), (1, 1), (2, 2)])
def test_losses_of_few_images_and_objects(num_images, objects, kind):
    task = Centers(1, num_keypoints=3)
    given = [[image[:objects] for image in values[:num_images]] for values in (PEOPLE, POSES)]
    batch = people(*given)
    maps = {name: values[:num_images].to(kind).requires_grad_() for name, values in pose_maps().items()}
    losses = task.loss(maps, task.encode(batch, POSE_GRID), task.normalisers(batch))
    assert set(losses) == set(task.outputs)
    assert all(value.dtype == torch.float32 and value.isfinite() and value.ndim == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in maps.values())
    for name, value in losses.items():
        # the background of an image without objects is learned, too
        assert (value > 0) == (objects > 0 or name.endswith("heat")), name


def test_what_nobody_annotated_has_no_loss():
    task = Centers(1, num_keypoints=3)
    batch = Batch(images=torch.zeros(2, 3, *POSE_SIZE, dtype=torch.uint8), valid=torch.zeros(2, 0, dtype=torch.bool))
    losses = task.loss(pose_maps(), task.encode(batch, POSE_GRID), task.normalisers(batch))
    assert all(value == 0 for value in losses.values())
    batch = batch_of(PEOPLE, [[0, 0]] * 2, POSE_SIZE)
    losses = task.loss(pose_maps(), task.encode(batch, POSE_GRID), task.normalisers(batch))
    assert {name for name, value in losses.items() if value > 0} == {"heat", "size", "offset"}


def test_an_image_that_could_not_be_read_teaches_nothing():
    task = Centers(1, num_keypoints=3)
    batch = people()
    batch["valid"][1] = False
    assert (task.encode(batch, POSE_GRID)["weights"]["heat"][1] > 0).all()  # an empty image is background
    weights = task.encode({**batch, "annotated": {"boxes": torch.tensor([True, False])}}, POSE_GRID)["weights"]
    assert all((weight[1] == 0).all() for weight in weights.values())
    assert (weights["heat"][0] > 0).any()


def test_perfect_maps_have_hardly_a_loss():
    task = Centers(1, num_keypoints=3)
    targets = task.encode(people(), POSE_GRID)
    maps = {name: values.logit(1e-6) if name.endswith("heat") else values for name, values in targets["maps"].items()}
    losses = task.loss(maps, targets, task.normalisers(people()))
    assert all(losses[name] == 0 for name in ("size", "offset", "keypoint_offset", "keypoint_heat_offset"))
    # cells around a peak, where the target is above 0 and below 1, keep a small one
    assert 0 < losses["heat"] < 0.1 * task.loss(pose_maps(), targets, task.normalisers(people()))["heat"]


def test_split_normalisers_add_up_to_the_whole_batch():
    task = Centers(1, num_keypoints=3)
    batch = people([PEOPLE[0], [PEOPLE[1][0], PEOPLE[1][0]]])  # two people in one cell
    maps, shared = pose_maps(), task.normalisers(batch)
    together = task.loss(maps, task.encode(batch, POSE_GRID), shared)
    for name, value in together.items():
        alone = torch.zeros(())
        for image in (slice(0, 1), slice(1, 2)):
            part = {key: values[image] for key, values in batch.items()}
            own = {key: values[image] for key, values in maps.items()}
            alone = alone + task.loss(own, task.encode(part, POSE_GRID), shared)[name]
        torch.testing.assert_close(alone, value)


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


def test_more_objects_than_are_looked_for():
    boxes = random_boxes(np.random.default_rng(0), 150, SIZE, least=4.0)
    batch = batch_of([boxes.tolist()], [[index % 3 for index in range(150)]])
    task = Centers(3, max_detections=10)
    (found,) = task.decode(task.encode(batch, GRID)["maps"], GRID)
    assert found["scores"].tolist() == [1.0] * 10


@pytest.mark.parametrize("value", [0.0, float("nan"), float("-inf")])
def test_maps_without_anything_to_find(value):
    task = Centers(1, num_keypoints=3)
    maps = {name: torch.full((2, width, 16, 16), value) for name, width in task.outputs.items()}
    for found in task.decode(maps, POSE_GRID):
        assert found["boxes"].shape == (0, 4)
        assert found["keypoints"].shape == (0, 3, 3)
        assert found["scores"].shape == found["labels"].shape == (0,)


def test_the_metrics_and_the_constant_answer():
    (metric,) = Centers(3, META).metrics()
    assert (type(metric).__name__, metric.primary, metric.classes) == ("BoxAP", "AP", META.classes)
    (agnostic,) = Centers(3, META, class_agnostic=True).metrics()
    assert agnostic.class_agnostic
    names = [type(metric).__name__ for metric in Centers(1, POSE_META, num_keypoints=3).metrics()]
    assert names == ["BoxAP", "KeypointAP"]
    unknown = DatasetMeta(classes=("person",), keypoint_names=("a", "b", "c"))
    assert len(Centers(1, unknown, num_keypoints=3).metrics()) == 1
    with pytest.raises(ConfigError, match="metric"):
        Centers(3).metrics()
    samples = [{"boxes": np.float32(boxes), "labels": np.array([0, 0]), "keypoints": np.float32(pose)}
               for boxes, pose in zip(PEOPLE, POSES, strict=True)]  # fmt: skip
    prediction = Centers(1, num_keypoints=3).constant_prediction(samples)
    np.testing.assert_allclose(prediction["boxes"], [np.mean(PEOPLE, (0, 1))])
    assert prediction["keypoints"].shape == (1, 3, 3)
    assert "keypoints" not in Centers(1).constant_prediction(samples)


def test_several_people_of_one_image_are_scored():
    """Targets decoded score 1 by both metrics, in the file's pixels; without the second person recall is a half."""
    task = Centers(1, POSE_META, num_keypoints=3)
    found = task.decode(task.encode(people(), POSE_GRID)["maps"], POSE_GRID)
    samples = []
    for index, (boxes, pose) in enumerate(zip(PEOPLE, POSES, strict=True)):
        keypoints = np.float32(pose) * [2, 2, 1]
        keypoints[(keypoints[..., :2] < 0).any(-1) | (keypoints[..., :2] > 128).any(-1)] = 0
        boxes = np.float32(boxes) * 2
        truth = {"ids": np.arange(2), "labels": np.zeros(2, np.int64), "boxes": boxes, "crowd": np.zeros(2, bool),
                 "areas": np.full(2, 2000.0, np.float32), "keypoints": keypoints, "size": (128, 128)}  # fmt: skip
        to_original = np.array([[2.0, 0, 0], [0, 2, 0]])
        samples.append({"image_id": index, "path": "x", "to_original": to_original, "truth": truth})
    for metric in task.metrics():
        metric.update(found, samples)
        assert metric.compute()["AP"] == pytest.approx(1)
    for metric in task.metrics():
        metric.update([{key: values[:1] for key, values in prediction.items()} for prediction in found], samples)
        assert metric.compute()["AP50"] == pytest.approx(51 / 101)


@pytest.mark.parametrize("neck", [{"type": "FPN", "channels": 8}, {"type": "StackedHourglass", "num_stages": 2}])
def test_any_level_of_any_neck_on_several_stages(neck):
    torch.manual_seed(0)
    task = {
        "type": "Centers",
        "num_classes": 1,
        "num_keypoints": 3,
        "head": {"type": "Center", "channels": 8, "level": 1},
    }
    model = build_model({"type": "NewellStem", "channels": 8}, {**neck, "num_levels": 3}, {"it": task}, POSE_META)
    losses = model.losses(people())
    assert set(losses) == {f"it/{name}" for name in model.tasks["it"].outputs}
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    predictions = model.eval().predict(people(), InferenceViews(flip=True, scales=(1.0, 1.5)))["it"]
    assert len(predictions) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": "correct"}, "did you mean 'corrected'"),
        ({"max_detections": 0}, "max_detections=0"),
        ({"size_weight": float("nan")}, "size_weight=nan must be at least 0"),
        ({"num_keypoints": -1}, "num_keypoints=-1"),
        ({"num_keypoints": 3, "class_agnostic": True}, "tell apart"),
        ({"meta": META}, "num_classes=80.*3 classes"),
        ({"num_classes": 1, "meta": POSE_META, "num_keypoints": 17}, "num_keypoints=17.*3 keypoints"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Centers(**{"num_classes": 80, **arguments})
    with pytest.raises(ConfigError, match="data has 3"):
        Centers(1, num_keypoints=5).encode(people(), POSE_GRID)


def test_the_configs_of_blood_cells_differ_in_the_neck_alone():
    texts = [(CONFIGS / "detection" / f"centers_{neck}_bccd.py").read_text() for neck in ("hourglass", "fpn")]
    lines = [line for line in difflib.ndiff(*(text.splitlines() for text in texts)) if line[:2] in ("- ", "+ ")]
    assert [line[:10] for line in lines] == ["- neck = d", "+ neck = d"]


@pytest.mark.parametrize(
    "name",
    [
        "detection/centers_hourglass_bccd",
        "detection/centers_fpn_bccd",
        "detection/centers_hourglass_coco_person",
        "pose/centers_hourglass_synthetic",
    ],
)
def test_configs_build(name):
    config = load_config(CONFIGS / f"{name}.py")
    model = build_model(config.encoder, config.neck, config.tasks)
    (task,) = model.tasks.values()
    maps = model.eval()(torch.zeros(1, 3, *config.warp["size"], dtype=torch.uint8), "last")
    height, width = config.warp["size"]
    assert next(iter(maps.values()))[0]["heat"].shape == (1, task.num_classes, height // 4, width // 4)


@pytest.mark.parametrize(("num_keypoints", "fields"), [(0, ("classes",)), (2, ("classes", "keypoint_names"))])
def test_names_of_keypoints_are_read_only_for_keypoints(num_keypoints, fields):
    assert Centers(num_classes=1, num_keypoints=num_keypoints).meta_fields == fields
