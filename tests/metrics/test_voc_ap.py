"""Cases by hand, and numbers from running py-faster-rcnn's `voc_eval` on the same boxes as pixel numbers."""

import pickle

import numpy as np
import pytest

from densezoo.errors import ConfigError, DataError
from densezoo.metrics.voc_ap import VocAP
from densezoo.types import DatasetMeta


@pytest.fixture
def fed(feed, cells):
    return lambda content, **more: feed(VocAP(cells, **more), content)


def scene(annotated, predicted, crowds=None, labels=None):
    """One image of class red: (G, 4) annotated and (D, 5) predicted boxes with their scores."""
    annotated, predicted = np.array(annotated, float).reshape(-1, 4), np.array(predicted, float).reshape(-1, 5)
    crowds = np.zeros(len(annotated), bool) if crowds is None else np.array(crowds, bool)
    labels = np.zeros(len(annotated), int) if labels is None else np.array(labels)
    return annotated, labels, crowds, predicted[:, :4], np.zeros(len(predicted), int), predicted[:, 4]


def ap(metric, name="/red"):
    return metric.compute()[metric.primary + name]


LEFT, RIGHT, AWAY = [0, 0, 20, 20], [100, 0, 120, 20], [200, 200, 240, 240]


def test_area_and_eleven_points_by_hand(fed):
    """Of two objects one is found first, then comes a wrong box, then the other: precision 1, 1/2, 2/3."""
    content = [scene([LEFT, RIGHT], [[*LEFT, 0.9], [*AWAY, 0.8], [*RIGHT, 0.7]])]
    metric = fed(content)
    assert metric.primary == "VOC_AP50"
    assert ap(metric) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    old = fed(content, interpolation="11-point")
    assert old.primary == "VOC07_AP50"
    assert ap(old) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


def test_an_object_is_found_once_and_the_second_box_is_wrong(fed):
    """Also where another object is free: the box belongs to the one that it overlaps most, unlike in COCO's rules."""
    near = [2, 0, 22, 20]
    content = [scene([LEFT, near], [[*LEFT, 0.9], [0, 0, 20.5, 20, 0.8]])]
    assert ap(fed(content)) == pytest.approx(0.5)
    content = [scene([LEFT, RIGHT], [[*LEFT, 0.9], [*LEFT, 0.8], [*RIGHT, 0.7]])]
    assert ap(fed(content)) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_the_better_score_takes_the_object_whatever_overlaps_more(fed):
    loose = [0, 0, 20, 30]
    assert ap(fed([scene([LEFT], [[*LEFT, 0.6], [*loose, 0.9]])])) == pytest.approx(1.0)
    assert ap(fed([scene([LEFT], [[*LEFT, 0.6], [*loose, 0.9]])], threshold=0.7)) == pytest.approx(0.5)


def test_an_overlap_of_just_the_threshold_is_enough(fed):
    half = [0, 0, 20, 40]
    assert ap(fed([scene([half], [[*LEFT, 0.9]])])) == pytest.approx(1.0)
    assert ap(fed([scene([half], [[*LEFT, 0.9]])], threshold=0.51)) == 0.0


def test_boxes_on_crowds_are_neither_right_nor_wrong(fed):
    predicted = [[*RIGHT, 0.9], [*RIGHT, 0.8], [*LEFT, 0.7]]
    assert ap(fed([scene([LEFT, RIGHT], predicted, crowds=[False, True])])) == pytest.approx(1.0)
    assert ap(fed([scene([LEFT], predicted)])) == pytest.approx(1 / 3)
    assert np.isnan(ap(fed([scene([RIGHT], predicted, crowds=[True])])))


def test_boxes_without_an_area_match_nothing(fed):
    line = [10, 10, 10, 40]
    assert ap(fed([scene([LEFT, line], [[*line, 0.9], [*LEFT, 0.8]])])) == pytest.approx(0.25)


# fmt: off
PEER = [  # seed, threshold, interpolation, AP of three classes
    (0, 0.5, "area", [0.251919483857, 0.216436036002, 0.205856776399]),
    (0, 0.5, "11-point", [0.257591226149, 0.21780244834, 0.243562286876]),
    (1, 0.7, "area", [0.050956303225, 0.065197748303, 0.226050120452]),
    (1, 0.7, "11-point", [0.056345952898, 0.061934412619, 0.265263294617]),
]
# fmt: on


@pytest.mark.parametrize(("seed", "threshold", "interpolation", "expected"), PEER)
def test_classes_score_as_in_py_faster_rcnn(scenes, fed, seed, threshold, interpolation, expected):
    metric = fed(scenes(seed=seed), threshold=threshold, interpolation=interpolation)
    scores = metric.compute()
    found = [scores[f"{metric.primary}/{name}"] for name in ("red", "white", "platelet")]
    assert found == pytest.approx(expected, abs=1e-9)
    assert scores[metric.primary] == pytest.approx(np.mean(expected), abs=1e-9)
    assert np.isnan(scores[f"{metric.primary}/never"])


def test_without_classes(scenes, fed):
    content = scenes(8)
    metric = fed(content, class_agnostic=True)
    assert list(metric.compute()) == ["VOC_AP50"]
    one = [
        (boxes, labels * 0, crowds, found, guesses * 0, scores)
        for boxes, labels, crowds, found, guesses, scores in content
    ]
    assert metric.compute()["VOC_AP50"] == pytest.approx(ap(fed(one)))


def test_images_alone_and_weights(scenes, fed):
    content = scenes(9)
    metric = fed(content)
    alone = metric.per_image()
    for image_id, each in enumerate(content, 1):
        assert alone[image_id] == pytest.approx({"VOC_AP50": ap(fed([each]), "")}, nan_ok=True)
        assert metric.compute({image_id: 2.5}) == pytest.approx(fed([each]).compute(), nan_ok=True)
    assert np.isnan(alone[4]["VOC_AP50"])  # nothing to find
    repeated = [each for index, each in enumerate(content) for _ in range(index % 3)]
    weights = {index + 1: float(index % 3) for index in range(9)}
    assert metric.compute(weights) == pytest.approx(fed(repeated).compute(), nan_ok=True)
    assert np.isnan(list(metric.compute({}).values())).all()
    assert np.isnan(list(fed([]).compute().values())).all()


def test_parts_of_one_image_are_scored_together(scenes, fed):
    content = scenes(6)
    halves = [[(*each[:3], *(values[part::2] for values in each[3:])) for each in content] for part in (0, 1)]
    first = fed(halves[0])
    first.compute()
    first.merge(pickle.loads(pickle.dumps(fed(halves[1]))))
    assert first.compute() == pytest.approx(fed(content).compute(), nan_ok=True)
    with pytest.raises(TypeError, match="VocAP cannot take over the records of a dict"):
        first.merge({})


def test_missed_files_count(fed):
    metric = fed([scene([LEFT], [[*LEFT, 0.9]])])
    metric.add_truth(9, fed([scene([RIGHT], [])])._records[1].truth)
    assert ap(metric) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0.0}, "threshold=0.0"),
        ({"threshold": 50}, "threshold=50"),
        ({"interpolation": "11point"}, "did you mean '11-point'"),
    ],
)
def test_impossible_arguments_are_refused(cells, arguments, message):
    with pytest.raises(ConfigError, match=message):
        VocAP(cells, **arguments)


def test_it_needs_classes_and_boxes(cells):
    with pytest.raises(ConfigError, match="no classes"):
        VocAP(DatasetMeta())
    with pytest.raises(DataError, match="annotated boxes"):
        VocAP(cells).update([{"scores": np.ones(0)}], [{"image_id": 1, "path": "a.png"}])
