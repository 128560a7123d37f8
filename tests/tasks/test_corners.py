import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.errors import ConfigError
from densezoo.tasks.corners import CORNERS, Corners
from densezoo.types import Batch, DatasetMeta, Grid

META = DatasetMeta(classes=("red", "white", "platelet"), category_ids=(1, 2, 3))
SIZE = (64, 80)
GRID = Grid(4, (16, 20), image_size=SIZE)
BOXES = [
    [[3.0, 5, 41, 37], [20, 8, 79.5, 63], [21.5, 9.5, 60, 50], [0, 0, 6.2, 7.1]],
    [[10.0, 10, 11, 11], [8, 30, 71, 60], [40, 2, 66, 40], [44, 3, 80, 64]],
]
LABELS = [[0, 2, 2, 1], [0, 1, 1, 2]]


def batch_of(boxes=BOXES, labels=LABELS, size=SIZE, **more):
    boxes, labels = torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels)
    return Batch(
        images=torch.zeros(len(boxes), 3, *size, dtype=torch.uint8),
        boxes=boxes.reshape(*labels.shape, 4),
        labels=labels,
        valid=torch.ones(labels.shape, dtype=torch.bool),
        **more,
    )


def wave(*shape, step, scale=1.0):
    """Numbers that need no random generator."""
    count = torch.Size(shape).numel()
    return (torch.sin(torch.arange(count, dtype=torch.float64) * step) * scale).float().reshape(shape)


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


def test_targets_equal_mmdetections():
    targets = Corners(3).encode(batch_of(), GRID)
    maps = targets["maps"]
    sums = {"top_left_heat": 22.553871154785156, "bottom_right_heat": 21.67888069152832, "top_left_offset": 4.5,
            "bottom_right_offset": 8.699999809265137}  # fmt: skip
    for name, expected in sums.items():
        assert maps[name].sum().item() == pytest.approx(expected, rel=1e-6)
    assert maps["top_left_heat"][0, 0, 1, 2] == pytest.approx(0.05613475665450096, rel=1e-6)
    row = maps["bottom_right_heat"][1, 1, 9]
    torch.testing.assert_close(
        row[15:18], torch.tensor([0.018315639346837997, 0.1353352814912796, 0.018315639346837997])
    )
    assert row.count_nonzero() == 3
    assert (maps["top_left_heat"] == 1).nonzero().tolist() == [
        [0, 0, 1, 0], [0, 1, 0, 0], [0, 2, 2, 5], [1, 0, 2, 2], [1, 1, 0, 10], [1, 1, 7, 2], [1, 2, 0, 11],
    ]  # fmt: skip
    assert targets["cells"][0].tolist() == [[20, 45, 45, 0], [190, 319, 255, 21]]


def test_losses_equal_mmdetections():
    """Of which two of four are means over both corners. Two objects of the first image share a corner's cell."""
    task = Corners(3)
    losses = task.loss(some_maps(), task.encode(batch_of(), GRID), task.normalisers(batch_of()))
    expected = {"heat": 2 * 297.0794677734375, "pull": 0.14458400011062622, "push": 0.09266090393066406,
                "offset": 2 * 0.2328793704509735}  # fmt: skip
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, rel=1e-6)


def test_boxes_equal_mmdetections():
    task = Corners(3, top_k=20, num_pairs=300)
    predictions = task.decode(task.activate(some_maps()), GRID)
    first = [
        (0.9820131063461304, 1, [36.15376663208008, 15.702707290649414, 39.1424446105957, 63.36271667480469]),
        (0.982010006904602, 2, [43.76354217529297, 17.735416412353516, 76.61688232421875, 20.834638595581055]),
    ]
    for prediction, (score, label, box), count, total in zip(
        predictions, first, (11, 13), (9.313488751649857, 10.240341931581497), strict=True
    ):
        assert prediction["scores"][0] == pytest.approx(score, rel=1e-6)
        assert prediction["labels"][0] == label
        np.testing.assert_allclose(prediction["boxes"][0], box, rtol=1e-6)
        assert len(prediction["scores"]) == count
        assert prediction["scores"].sum() == pytest.approx(total, rel=1e-6)
        assert (np.diff(prediction["scores"]) <= 0).all()


def test_the_originals_border_in_soft_nms():
    task = Corners(3, top_k=20, num_pairs=300, nms_border=1)
    totals = [prediction["scores"].sum() for prediction in task.decode(task.activate(some_maps()), GRID)]
    assert totals == pytest.approx([9.220153123140335, 10.166784025728703], rel=1e-5)


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


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_images", "objects"), [(1, 0), (2, 0), (1, 1), (2, 1), (1, 4)])
def test_losses_of_few_images_and_objects(num_images, objects, kind):
    task = Corners(3)
    batch = batch_of(
        [image[:objects] for image in BOXES[:num_images]], [image[:objects] for image in LABELS[:num_images]]
    )
    maps = {name: values[:num_images].to(kind).requires_grad_() for name, values in some_maps().items()}
    losses = task.loss(maps, task.encode(batch, GRID), task.normalisers(batch))
    assert all(value.dtype == torch.float32 and value.isfinite() and value.ndim == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in maps.values())
    assert losses["heat"] > 0  # the background of an image without objects is learned, too
    for name in ("pull", "push", "offset"):
        learned = objects > (1 if name == "push" else 0)
        assert (losses[name] > 0) == learned, name
    for corner in CORNERS:
        assert maps[f"{corner}_offset"].grad.count_nonzero(1).any() == (objects > 0)


def test_a_batch_without_boxes_has_no_loss():
    task = Corners(3)
    batch = Batch(images=torch.zeros(2, 3, *SIZE, dtype=torch.uint8), valid=torch.zeros(2, 0, dtype=torch.bool))
    losses = task.loss(some_maps(), task.encode(batch, GRID), task.normalisers(batch))
    assert all(value == 0 for value in losses.values())


def test_split_normalisers_add_up_to_the_whole_batch():
    task = Corners(3)
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


def test_unflip_twice_gives_the_maps_back():
    task, maps = Corners(3), some_maps()
    twice = task.unflip(task.unflip(maps))
    assert all(torch.equal(twice[name], values) for name, values in maps.items())


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


def test_the_legacy_radius_is_wider():
    sums = [
        Corners(3, radius=radius).encode(batch_of(), GRID)["maps"]["top_left_heat"].sum()
        for radius in ("corrected", "legacy")
    ]
    assert sums[1] > sums[0]


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
        ({"cells": "images"}, "did you mean 'image'"),
        ({"top_k": 0}, "top_k=0"),
        ({"nms_sigma": 0}, "nms_sigma=0"),
        ({"meta": META}, "num_classes=80.*3 classes"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Corners(80, **arguments)
