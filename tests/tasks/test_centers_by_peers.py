import numpy as np
import pytest
from center_case import GRID, POSE_GRID, batch_of, people, pose_maps, some_maps

from densezoo.tasks.centers import Centers

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


def at(maps, cells):
    """(N, C, h, w) maps at cells (image, row, column): a list of lists of C values."""
    return [maps[image, :, row, column].tolist() for image, row, column in cells]


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
