from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.contracts import DecodesViews
from densezoo.engine.config import load_config
from densezoo.engine.optim import Schedule, build_optimizer
from densezoo.errors import ConfigError
from densezoo.functional.corner_rules import RULES
from densezoo.heads.corner import Corner
from densezoo.models import build_model
from densezoo.tasks.corners import CORNERS, Corners
from densezoo.types import Batch, DatasetMeta, Grid, InferenceViews

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


SQUARE = Grid(4, (20, 20), image_size=(80, 80))
# what both implementations make of the same images: two with a shared cell, one with a single object, one without any
LOSSES = {
    "mmdet": {"heat": 2874.5556640625, "pull": 0.2630893290042877, "push": 0.09602929651737213,
              "offset": 0.5611366033554077},
    "published": {"heat": 2632.02977432434, "pull": 0.2630723077782038, "push": 0.1960467555011236,
                  "offset": 0.5149241267504263},
}  # fmt: skip
OFFSETS = {"mmdet": 9.199999809265137, "published": 8.574999809265137}
NUM_BOXES = [6, 9, 11, 16]
SCORES = {
    "mmdet": [5.877192497253418, 8.108080267906189, 9.600619703531265, 14.503589272499084],
    "published": [5.872632801532745, 8.06597563624382, 9.467256635427475, 14.416017591953278],
}
FIRST_BOXES = [
    (0.9819972515106201, 2, [4.61931848526001, 47.833778381347656, 72.23306274414062, 60.09566879272461]),
    (0.982010006904602, 1, [43.64370346069336, 16.043062210083008, 76.7225570678711, 21.013526916503906]),
    (0.9819992780685425, 2, [27.384357452392578, 9.283766746520996, 71.08978271484375, 11.368083953857422]),
    (0.9820118546485901, 0, [13.295390129089355, 5.923576831817627, 59.38227081298828, 7.615219593048096]),
]


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


@pytest.mark.parametrize("rules", RULES)
def test_targets_and_losses_by_both_rules(rules):
    task, batch = Corners(3, rules=rules), four_images()
    targets = task.encode(batch, SQUARE)
    sums = [targets["maps"][f"{corner}_heat"].sum().item() for corner in CORNERS]
    assert sums == pytest.approx([26.904325485229492, 28.74648666381836], rel=1e-6)
    assert targets["maps"]["top_left_offset"].sum().item() == pytest.approx(5)
    assert targets["maps"]["bottom_right_offset"].sum().item() == pytest.approx(OFFSETS[rules], rel=1e-6)
    assert targets["cells"][1, 1].tolist() == [42, 317, 216, 339]
    assert targets["cells"][2:].flatten(1).ge(0).sum(1).tolist() == [2, 0]
    # surer than CornerNet learns; mmdetection rounds such probabilities
    losses = task.loss(maps_of_four(12.0), targets, task.normalisers(batch))
    found = {name: value.item() for name, value in losses.items()}
    assert found == pytest.approx(LOSSES[rules], rel=3e-5, abs=0 if rules == "mmdet" else 3e-5)


@pytest.mark.parametrize("rules", RULES)
def test_boxes_by_both_rules(rules):
    task = Corners(3, rules=rules, top_k=20, num_pairs=300)
    predictions = task.decode(task.activate(maps_of_four()), SQUARE)
    assert [len(prediction["scores"]) for prediction in predictions] == NUM_BOXES
    assert [prediction["scores"].sum() for prediction in predictions] == pytest.approx(SCORES[rules], rel=1e-5)
    for prediction, (score, label, box) in zip(predictions, FIRST_BOXES, strict=True):
        assert (prediction["scores"][0], prediction["labels"][0]) == (pytest.approx(score), label)
        np.testing.assert_allclose(prediction["boxes"][0], box, rtol=1e-6)


def test_the_published_rules_learn_every_offset_of_a_cell():
    batch = batch_of([[[8.0, 8, 40, 40], [10, 9, 60, 50]]], [[0, 1]], (80, 80))  # top-left: 0, 0 and 0.5, 0.25
    maps = {name: values[:1] * 0 for name, values in maps_of_four().items()}
    found = {}
    for rules in RULES:
        task = Corners(3, rules=rules)
        found[rules] = task.loss(maps, task.encode(batch, SQUARE), task.normalisers(batch))["offset"].item()
    # smooth L1 of both corners: (0.5² + 0.25²) / 2 and, of 15 and 12.5, (0.5²) / 2; the last counts for both, or once
    top_left, bottom_right = 0.15625, 0.125
    assert found["mmdet"] == pytest.approx(top_left + bottom_right / 2)
    assert found["published"] == pytest.approx((top_left + bottom_right) / 2, rel=1e-4)


def test_a_single_object_is_pushed_by_a_constant_in_the_published_rules():
    task, batch = Corners(3, rules="published"), batch_of([BOXES[1][1:2]], [[1]])
    maps = {name: values[:1].requires_grad_() for name, values in some_maps().items()}
    push = task.loss(maps, task.encode(batch, GRID), task.normalisers(batch))["push"]
    assert push.item() == pytest.approx(0.1 / 1.0001)
    push.backward()
    assert all(maps[f"{corner}_embedding"].grad.eq(0).all() for corner in CORNERS)


def test_the_published_rules_end_at_the_last_pixel():
    batch = batch_of([[[10.0, 10, 80, 64], [79.5, 3, 80, 9], [20, 20, 70, 60]]], [[0, 0, 0]])
    task = Corners(1, rules="published")
    assert task.normalisers(batch)["heat"] == 2  # of the second nothing is left
    (prediction,) = task.decode(task.encode(batch, GRID)["maps"], GRID)
    boxes = prediction["boxes"][prediction["scores"] > 0.5]
    assert sorted(boxes.tolist()) == [[10, 10, 79, 63], [20, 20, 70, 60]]


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
