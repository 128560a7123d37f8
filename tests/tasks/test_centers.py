import difflib
from pathlib import Path

import numpy as np
import pytest
import torch
from center_case import GRID, META, PEOPLE, POSE_GRID, POSE_META, POSE_SIZE, POSES, SIZE, batch_of, people, pose_maps

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.engine.config import load_config
from densezoo.errors import ConfigError
from densezoo.models import build_model
from densezoo.tasks.centers import Centers
from densezoo.types import Batch, DatasetMeta, Grid, InferenceViews

CONFIGS = Path(__file__).parents[2] / "configs"


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
