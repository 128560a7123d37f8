import numpy as np
import pytest
import torch
from corner_case import BOXES, GRID, SQUARE, batch_of, four_images, maps_of_four, some_maps

from densezoo.functional.corner_rules import RULES
from densezoo.tasks.corners import CORNERS, Corners

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


def test_the_legacy_radius_is_wider():
    sums = [
        Corners(3, radius=radius).encode(batch_of(), GRID)["maps"]["top_left_heat"].sum()
        for radius in ("corrected", "legacy")
    ]
    assert sums[1] > sums[0]
