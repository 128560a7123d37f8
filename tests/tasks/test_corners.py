from pathlib import Path

import numpy as np
import pytest
import torch
from corner_case import BOXES, GRID, LABELS, META, SIZE, batch_of, empty_maps, some_maps
from hypothesis import given, settings
from hypothesis import strategies as st

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.engine.config import load_config
from densezoo.engine.optim import Schedule, build_optimizer
from densezoo.errors import ConfigError
from densezoo.functional.corner_rules import RULES
from densezoo.heads.corner import Corner
from densezoo.models import build_model
from densezoo.tasks.corners import CORNERS, Corners
from densezoo.types import Batch, Grid, InferenceViews

sides = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))


@settings(deadline=None)
@given(
    st.lists(st.tuples(sides, st.integers(0, 2)), min_size=1, max_size=5),
    st.sampled_from([1, 2, 4, 7]),
    st.tuples(st.integers(5, 40), st.integers(5, 40)),
    st.sampled_from(["stride", "image"]),
)
def test_decoding_inverts_encoding(objects, stride, size, cells):
    height, width = size
    boxes = np.array([[min(a, c) * width, min(b, d) * height, max(a, c) * width, max(b, d) * height]
                      for (a, b, c, d), _ in objects], np.float32)  # fmt: skip
    labels = np.array([label for _, label in objects])
    grid = Grid(stride, (-(-height // stride), -(-width // stride)), image_size=size)
    task = Corners(3, cells=cells, nms_sigma=1e9)
    targets = task.encode(batch_of([boxes.tolist()], [labels.tolist()], size), grid)
    flat = targets["cells"][0].T.tolist()
    alone = [index for index, pair in enumerate(flat) if pair[0] >= 0
             and all(index == other or not set(pair) & set(others) for other, others in enumerate(flat))]  # fmt: skip
    (prediction,) = task.decode(targets["maps"], grid)
    for index in alone:
        found = np.abs(prediction["boxes"] - boxes[index]).max(1) < 1e-3
        found &= prediction["labels"] == labels[index]
        assert found.any()
        assert prediction["scores"][found].max() == 1
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(1)
    assert [pair[0] >= 0 for pair in flat] == has_area.tolist()


def test_maps_that_begin_inside_the_image():
    grid = Grid(4, (8, 10), origin=(12.0, 8.0), image_size=(48, 64))
    batch = batch_of([[[20.0, 13, 37, 30], [0, 0, 64, 48], [0, 0, 11, 7]]], [[0, 1, 2]], (48, 64))
    task = Corners(3)
    targets = task.encode(batch, grid)
    assert targets["cells"][0].tolist() == [[12, 0, -1], [56, 79, -1]]
    (prediction,) = task.decode(targets["maps"], grid)
    boxes = {label: box.tolist() for label, box in zip(prediction["labels"].tolist(), prediction["boxes"], strict=True)}
    assert boxes == {0: [20, 13, 37, 30], 1: [12, 8, 52, 40]}  # clipped to the map


def test_what_is_not_learned():
    inside, nan = [4.0, 4, 20, 20], float("nan")
    boxes = [inside, inside, [9, 9, 9, 30], [30, 9, 20, 30], [-9, -9, 0, 0], [90, 9, 99, 30], [nan, nan, nan, nan],
             inside, inside, [-30.0, 40, 20, 99]]  # fmt: skip
    labels = [0, 1, 0, 0, 0, 0, 0, 3, -1, 2]
    batch = batch_of([boxes], [labels], crowd=torch.tensor([[False, True, *[False] * 8]]))
    task = Corners(3)
    targets = task.encode(batch, GRID)
    assert targets["cells"][0, 0].tolist() == [21, *[-1] * 8, 200]  # the last one from its visible part
    assert task.normalisers(batch)["heat"].item() == 2
    assert targets["maps"]["top_left_heat"].eq(1).sum((0, 2, 3)).tolist() == [1, 0, 1]
    assert all(value.isfinite().all() for value in targets["maps"].values())


def test_class_agnostic_corners():
    task = Corners(3, class_agnostic=True)
    assert task.outputs["top_left_heat"] == 1
    targets = task.encode(batch_of(), GRID)
    assert targets["maps"]["top_left_heat"].eq(1).sum((1, 2, 3)).tolist() == [3, 4]
    assert all(prediction["labels"].tolist() == [0] * 4 for prediction in task.decode(targets["maps"], GRID)[1:])


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_images", "objects"), [(1, 0), (2, 0), (1, 1), (2, 1), (1, 4)])
def test_losses_of_few_images_and_objects(num_images, objects, kind, class_agnostic, rules):
    task = Corners(3, rules=rules, class_agnostic=class_agnostic)
    batch = batch_of(
        [image[:objects] for image in BOXES[:num_images]], [image[:objects] for image in LABELS[:num_images]]
    )
    maps = {
        name: values[:num_images, : task.outputs[name]].to(kind).requires_grad_()
        for name, values in some_maps().items()
    }
    losses = task.loss(maps, task.encode(batch, GRID), task.normalisers(batch))
    assert all(value.dtype == torch.float32 and value.isfinite() and value.ndim == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in maps.values())
    assert losses["heat"] > 0  # the background of an image without objects is learned, too
    for name in ("pull", "push", "offset"):
        learned = objects > (1 if name == "push" and rules == "mmdet" else 0)
        assert (losses[name] > 0) == learned, name
    for corner in CORNERS:
        assert maps[f"{corner}_offset"].grad.count_nonzero(1).any() == (objects > 0)


def test_a_batch_without_boxes_has_no_loss():
    task = Corners(3)
    batch = Batch(images=torch.zeros(2, 3, *SIZE, dtype=torch.uint8), valid=torch.zeros(2, 0, dtype=torch.bool))
    losses = task.loss(some_maps(), task.encode(batch, GRID), task.normalisers(batch))
    assert all(value == 0 for value in losses.values())


@pytest.mark.parametrize("rules", RULES)
def test_split_normalisers_add_up_to_the_whole_batch(rules):
    task = Corners(3, rules=rules)
    batch = batch_of([BOXES[1], BOXES[1]], [LABELS[1], [0, 1, -1, -1]])
    maps = some_maps()
    shared = task.normalisers(batch)
    assert shared["heat"].item() == 6
    together = task.loss(maps, task.encode(batch, GRID), shared)
    for name, value in together.items():
        alone = torch.zeros(())
        for image in (slice(0, 1), slice(1, 2)):
            part = {key: values[image] for key, values in batch.items()}
            own = {key: values[image] for key, values in maps.items()}
            alone = alone + task.loss(own, task.encode(part, GRID), shared)[name]
        torch.testing.assert_close(alone, value)


def test_an_image_that_could_not_be_read_teaches_nothing():
    batch = batch_of([BOXES[1], BOXES[1]], [LABELS[1], [-1] * 4])
    batch["valid"][1] = False
    assert (Corners(3).encode(batch, GRID)["weights"]["top_left_heat"][1] > 0).all()  # an empty image is background
    weights = Corners(3).encode({**batch, "annotated": {"boxes": torch.tensor([True, False])}}, GRID)["weights"]
    assert all((weight[1] == 0).all() for weight in weights.values())
    assert (weights["top_left_heat"][0] > 0).any()


def test_of_objects_in_a_cell_the_last_ones_values_stand_together():
    first, last = [10.0, 9.0, 50.0, 40.0], [11.0, 10.0, 51.0, 41.0]
    for boxes in ([first, last], [last, first]):
        targets = Corners(1).encode(batch_of([boxes], [[0, 0]]), GRID)
        row, column = (int(boxes[1][axis] // GRID.stride) for axis in (1, 0))
        offset = targets["maps"]["top_left_offset"][0, :, row, column]
        expected = torch.tensor([boxes[1][axis] / GRID.stride % 1 for axis in (0, 1)])
        torch.testing.assert_close(offset, expected)
        assert targets["maps"]["top_left_embedding"][0, 0, row, column] == 2


def test_more_objects_than_corners_looked_at():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(1, 150, 2, 2, generator=generator).sort(2).values * torch.tensor([80.0, 64.0])
    batch = batch_of(corners.flatten(2).tolist(), [[index % 3 for index in range(150)]])
    task = Corners(3, top_k=10)
    targets = task.encode(batch, GRID)
    assert (targets["cells"] >= 0).all()
    maps = {name: values[:1] for name, values in some_maps().items()}
    assert all(value.isfinite() for value in task.loss(maps, targets, task.normalisers(batch)).values())
    (prediction,) = task.decode(targets["maps"], GRID)
    assert len(prediction["boxes"]) <= 10


def test_cells_of_the_image_are_those_of_the_published_networks():
    grid = Grid(4, (128, 128), image_size=(511, 511))
    batch = batch_of([[[100.0, 100, 510, 510]]], [[0]], (511, 511))
    offsets = {}
    for cells in ("stride", "image"):
        task = Corners(1, cells=cells)
        targets = task.encode(batch, grid)
        (prediction,) = task.decode(targets["maps"], grid)
        np.testing.assert_allclose(prediction["boxes"], [[100, 100, 510, 510]], atol=1e-3)
        row, column = divmod(targets["cells"][0, 1, 0].item(), 128)
        offsets[cells] = row + targets["maps"]["bottom_right_offset"][0, 1, row, column].item()
    assert offsets == pytest.approx({"stride": 510 / 4, "image": 510 * 128 / 511})


def test_maps_without_any_maximum_or_number_give_no_box():
    for value in (0.0, float("nan")):
        for prediction in Corners(3).decode(empty_maps(value=value), GRID):
            assert prediction["boxes"].shape == (0, 4)
            assert prediction["scores"].shape == prediction["labels"].shape == (0,)


def test_default_metrics_and_constant_answer():
    (metric,) = Corners(3, meta=META).metrics()
    assert (type(metric).__name__, metric.primary, metric.classes) == ("BoxAP", "AP", META.classes)
    (agnostic,) = Corners(3, meta=META, class_agnostic=True).metrics()
    assert agnostic.class_agnostic
    samples = [{"boxes": np.float32(boxes), "labels": np.array(labels), "crowd": np.zeros(4, bool)}
               for boxes, labels in zip(BOXES, LABELS, strict=True)]  # fmt: skip
    prediction = Corners(3).constant_prediction(samples)
    assert prediction["labels"].tolist() == [1]
    np.testing.assert_allclose(prediction["boxes"][0], np.mean([BOXES[0][3], BOXES[1][1], BOXES[1][2]], 0), rtol=1e-6)
    with pytest.raises(ConfigError, match="metric"):
        Corners(3).metrics()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": "correct"}, "did you mean 'corrected'"),
        ({"rules": "mmdetection"}, "did you mean 'mmdet'"),
        ({"cells": "images"}, "did you mean 'image'"),
        ({"top_k": 0}, "top_k=0"),
        ({"nms_sigma": 0}, "nms_sigma=0"),
        ({"nms_sigma": float("nan")}, "nms_sigma=nan"),
        ({"embedding_threshold": -1}, "embedding_threshold=-1 at least 0"),
        ({"push_weight": -0.1}, "push_weight=-0.1 must be at least 0"),
        ({"meta": META}, "num_classes=80.*3 classes"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Corners(80, **arguments)


CONFIGS = Path(__file__).parents[2] / "configs" / "detection"


@pytest.mark.parametrize("neck", [{"type": "FPN", "channels": 8}, {"type": "StackedHourglass", "num_stages": 2}])
def test_corner_pooling_on_any_level_of_any_neck_and_on_several_stages(neck):
    torch.manual_seed(0)
    head = {"type": "Corner", "channels": 8, "pool_channels": 4, "level": 1}
    task = {"type": "Corners", "num_classes": 3, "head": head}
    model = build_model({"type": "NewellStem", "channels": 8}, {**neck, "num_levels": 3}, {"it": task}, META)
    batch = batch_of()
    losses = model.losses(batch)
    assert set(losses) == {f"it/{name}" for name in ("heat", "offset", "pull", "push")}
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    maps = model.eval()(batch["images"])
    assert [stage["top_left_heat"].shape[-1] for stage in maps["it"]] == [SIZE[1] // 8] * model.num_stages
    for answer in model.predict(batch, InferenceViews(flip=True, scales=(1.0, 1.5)))["it"]:
        assert len(answer["boxes"]) > 0


def test_without_a_head_in_the_config_it_is_cornernets():
    model = build_model({"type": "NewellStem", "channels": 8}, None, {"it": {"type": "Corners", "num_classes": 3}})
    assert type(model.heads[0]["it"]) is Corner
    heat = model(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))["it"][0]["top_left_heat"]
    assert heat.sigmoid().mean() < 0.2  # it begins with hardly any object


@pytest.mark.parametrize("metric", ["BoxAP", "VocAP"])
def test_metrics_of_class_agnostic_corners_take_all_classes_for_one(metric):
    given = {"num_classes": 3, "meta": META, "class_agnostic": True}
    (built,) = Corners(**given, metrics=[{"type": metric}]).metrics()
    assert built.classes == ("object",)
    with pytest.raises(ConfigError, match=f"{metric} with class_agnostic=False.*take it out of the metric"):
        Corners(**given, metrics=[{"type": metric, "class_agnostic": False}])
    (own,) = Corners(3, META, metrics=[{"type": metric, "class_agnostic": True}]).metrics()
    assert own.classes == ("object",)  # places alone are scored


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("corner*.py")), ids=lambda path: path.stem)
def test_configs_build(path):
    config = load_config(path)
    with torch.device("meta"):
        model = build_model(config.encoder, config.neck, config.tasks)
    (task,) = model.tasks.values()
    assert isinstance(task, Corners)
    assert model.heads[-1][next(iter(model.tasks))].stride == 4
    if path.stem == "cornernet_hourglass104_coco":
        assert sum(parameter.numel() for parameter in model.parameters()) == 201_035_212
        assert task.rules == RULES["published"]


def test_the_published_schedule_in_steps():
    config = load_config(CONFIGS / "cornernet_hourglass104_coco.py")
    optimizer = build_optimizer(torch.nn.Linear(1, 1), config.optimizer)
    steps = 118_287 // config.batch_size
    assert config.epochs * steps == pytest.approx(500_000, rel=1e-3)
    schedule = Schedule(optimizer, config.schedule, config.epochs, steps, higher_is_better=True)
    for step, rate in ((1, 2.5e-4), (448_000, 2.5e-4), (450_000, 2.5e-5), (499_000, 2.5e-5)):
        schedule.step(step)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)


def test_the_blood_cell_configs_differ_in_the_neck_alone():
    texts = [(CONFIGS / f"corners_{neck}_bccd.py").read_text().splitlines() for neck in ("hourglass", "fpn")]
    pairs = [pair for pair in zip(*texts, strict=True) if pair[0] != pair[1]]
    assert [[line.split(" = ")[0] for line in pair] for pair in pairs] == [["neck", "neck"]]
