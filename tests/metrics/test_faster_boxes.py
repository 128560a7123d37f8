"""faster-coco-eval gives the numbers of pycocotools; without it these tests are skipped."""

import json
import logging

import numpy as np
import pytest

from densezoo.metrics import box_ap, faster_boxes
from densezoo.metrics.box_ap import BoxAP
from densezoo.types import DatasetMeta

library = pytest.importorskip("faster_coco_eval")


@pytest.fixture
def both(monkeypatch):
    """Scores of a metric by faster-coco-eval and by pycocotools: over all images, and of each."""

    def score(metric):
        found = []
        for given in (library, None):
            monkeypatch.setattr(box_ap, "faster_coco_eval", lambda given=given: given)
            found.append((metric.compute(), metric.per_image()))
        return found

    return score


def assert_equal(first, second):
    assert first[0] == pytest.approx(second[0], abs=1e-12, nan_ok=True)
    assert list(first[0]) == list(second[0])
    assert first[1].keys() == second[1].keys()
    for image_id, scores in first[1].items():
        assert scores == pytest.approx(second[1][image_id], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("decimals", [12, 1])
def test_every_number_is_that_of_pycocotools(scenes, feed, cells, both, decimals, agnostic):
    content = scenes(num_images=40, seed=decimals, decimals=decimals)
    content[9] = (*content[9][:3], *(values[:0] for values in content[9][3:]))  # nothing predicted
    metric = feed(BoxAP(cells, class_agnostic=agnostic), content)
    faster, plain = both(metric)
    assert 0.05 < faster[0]["AP"] < 0.95
    assert_equal(faster, plain)


def test_images_without_predictions_or_without_annotations(scenes, feed, cells, both):
    content = scenes(6)
    blind = [(*scene[:3], *(values[:0] for values in scene[3:])) for scene in content]
    empty = [(*(values[:0] for values in scene[:3]), *scene[3:]) for scene in content]
    for scene in (blind, empty):
        assert_equal(*both(feed(BoxAP(cells), scene)))
    assert_equal(*both(BoxAP(cells)))


def test_large_image_ids_and_labels_that_are_no_class(scenes, feed, cells, both):
    metric = feed(BoxAP(cells), scenes(8))
    for image_id in list(metric._records):
        metric._records[image_id + 2**60] = metric._records.pop(image_id)
    metric._records[2**60 + 1].predictions[0]["labels"][:2] = (-1, 9)
    assert_equal(*both(metric))


def test_real_cells(real_data, both):
    path = real_data / "bccd/annotations/instances_test.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    content = json.loads(path.read_text())
    rng = np.random.default_rng(0)
    metric = BoxAP(DatasetMeta(classes=("RBC", "WBC", "Platelets"), category_ids=(1, 2, 3)))
    ids = sorted(category["id"] for category in content["categories"])
    for image in content["images"]:
        own = [each for each in content["annotations"] if each["image_id"] == image["id"]]
        boxes = np.array([each["bbox"] for each in own], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([ids.index(each["category_id"]) for each in own])
        truth = {
            "ids": np.arange(len(own)),
            "labels": labels,
            "boxes": boxes.astype(np.float32),
            "areas": np.array([each["area"] for each in own], np.float32),
            "crowd": np.zeros(len(own), bool),
            "size": (480, 640),
        }
        predicted = np.concatenate([boxes + rng.normal(0, spread, boxes.shape) for spread in (3, 8, 20)])
        prediction = {"boxes": predicted, "labels": np.tile(labels, 3), "scores": rng.random(len(predicted)).round(2)}
        sample = {"image_id": image["id"], "path": "", "to_original": np.eye(2, 3), "truth": truth}
        metric.update([prediction], [sample])
    faster, plain = both(metric)
    assert 0.1 < faster[0]["AP"] < 0.9
    assert_equal(faster, plain)


def test_which_one_is_used_is_said_once(caplog, monkeypatch, scenes, feed, cells):
    faster_boxes.faster_coco_eval.cache_clear()
    with caplog.at_level(logging.DEBUG, "densezoo"):
        for seed in (0, 1):
            feed(BoxAP(cells), scenes(2, seed=seed)).compute()
    assert [record.getMessage() for record in caplog.records] == [f"box AP by faster-coco-eval {library.__version__}"]
    faster_boxes.faster_coco_eval.cache_clear()
