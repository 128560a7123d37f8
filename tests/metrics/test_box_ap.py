import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densezoo.errors import ConfigError, DataError
from densezoo.metrics import box_ap
from densezoo.metrics.box_ap import BoxAP
from densezoo.types import DatasetMeta

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


@pytest.fixture(autouse=True)
def with_pycocotools(monkeypatch):
    """Whatever is installed; test_faster_boxes.py is about the other one."""
    monkeypatch.setattr(box_ap, "faster_coco_eval", lambda: None)


@pytest.fixture
def fed(feed, cells):
    return lambda content, **more: feed(BoxAP(cells, **more), content)


def official(content, category=None, agnostic=False):
    """Score with pycocotools alone."""
    annotations, results = [], []
    for image_id, (boxes, labels, crowds, predicted, guesses, scores) in enumerate(content, 1):
        for box, label, crowd in zip(boxes, labels, crowds, strict=True):
            where = {"id": len(annotations) + 1, "image_id": image_id, "category_id": int(label) + 1}
            size = box[2:] - box[:2]
            annotations.append({**where, "bbox": [*box[:2], *size], "area": size.prod(), "iscrowd": int(crowd)})
        for box, label, score in zip(predicted, guesses, scores, strict=True):
            where = {"image_id": image_id, "category_id": int(label) + 1}
            results.append({**where, "score": float(score), "bbox": [*box[:2], *(box[2:] - box[:2])]})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        images, categories = ([{"id": number + 1} for number in range(count)] for count in (len(content), 4))
        truth.dataset = {"images": images, "annotations": annotations, "categories": categories}
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        if category is not None:
            evaluator.params.catIds = [category]
        evaluator.params.useCats = not agnostic
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float("nan") if value == -1 else float(value) for value in evaluator.stats]


@pytest.mark.parametrize("decimals", [12, 1])
def test_all_twelve_numbers_and_those_of_each_class_are_pycocotools(scenes, fed, cells, decimals):
    content = scenes(decimals=decimals)
    scores = fed(content).compute()
    assert [scores[name] for name in NAMES] == pytest.approx(official(content), abs=1e-12)
    assert 0.05 < scores["AP"] < 0.95
    for category, name in enumerate(cells.classes, 1):
        assert scores[f"AP/{name}"] == pytest.approx(official(content, category)[0], abs=1e-12, nan_ok=True)
    assert np.isnan(scores["AP/never"])
    assert list(scores) == NAMES + [f"AP/{name}" for name in cells.classes]


def test_without_classes(scenes, fed):
    content = scenes(12)
    for image in (3, 5):  # more than 100 predictions: pycocotools' order of classes would decide which count
        content[image] = content[0]
    scores = fed(content, class_agnostic=True).compute()
    assert list(scores) == NAMES
    assert [scores[name] for name in NAMES] == pytest.approx(official(content, agnostic=True), abs=1e-12)


def test_images_alone(scenes, fed):
    content = scenes(8)
    found = fed(content).per_image()
    for image_id, scene in enumerate(content, 1):
        assert found[image_id]["AP"] == pytest.approx(official([scene])[0], abs=1e-12, nan_ok=True)
    assert np.isnan(found[4]["AP"])  # nothing to find


def test_weights_are_repeated_images(scenes, fed):
    content = scenes(9)
    repeated = [scene for index, scene in enumerate(content) for _ in range(index % 3)]
    weights = {index + 1: float(index % 3) for index in range(9)}
    assert fed(content).compute(weights) == pytest.approx(fed(repeated).compute(), nan_ok=True)


def test_parts_of_one_image_are_scored_together(scenes, fed):
    content = scenes(6)
    halves = []
    for part in (0, 1):
        halves.append([(*scene[:3], *(values[part::2] for values in scene[3:])) for scene in content])
    whole, first, second = fed(content), fed(halves[0]), fed(halves[1])
    first.compute()
    first.merge(second)
    assert first.compute() == pytest.approx(whole.compute(), nan_ok=True)
    with pytest.raises(TypeError, match="dict"):
        whole.merge({})


def test_missed_files_and_unreadable_ones(scenes, fed):
    metric = fed(scenes(6))
    before = metric.compute()
    metric.update([{}], [{"image_id": 77, "error": "broken"}])
    assert metric.compute() == pytest.approx(before, nan_ok=True)
    metric.add_truth(99, fed(scenes(1, seed=5))._records[1].truth)
    assert metric.compute()["AR100"] < before["AR100"]


def test_boxes_without_an_area_are_missed_and_find_nothing(feed, cells):
    """As in pycocotools, which lists them: an annotation without an area counts, and nothing can find it."""
    line, square = [10.0, 10, 10, 40], [20.0, 20, 60, 60]
    boxes, labels = np.array([line, square, [50, 50, 40, 30]]), np.zeros(3, int)
    predicted = np.array([square, line, line])
    scene = (boxes, labels, np.zeros(3, bool), predicted, labels, np.array([0.9, 0.8, 0.95]))
    scores = feed(BoxAP(cells), [scene]).compute()
    assert [scores[name] for name in NAMES] == pytest.approx(official([scene]), abs=1e-12, nan_ok=True)
    assert scores["AR100"] == pytest.approx(1 / 3)


def test_what_cannot_be_scored_says_why(scenes, fed, cells):
    truth = fed(scenes(1))._records[1].truth
    sample = {"image_id": 1, "path": "a.png", "to_original": np.eye(2, 3), "truth": truth}
    one = {"boxes": np.ones((1, 4)), "labels": np.zeros(1, int), "scores": np.ones(1)}
    with pytest.raises(DataError, match="no boxes"):
        BoxAP(cells).update([{"scores": np.ones(0)}], [sample])
    with pytest.raises(DataError, match="diverged"):
        BoxAP(cells).update([{**one, "scores": np.array([np.nan])}], [sample])
    with pytest.raises(DataError, match="annotated"):
        BoxAP(cells).update([one], [{key: value for key, value in sample.items() if key != "truth"}])
    with pytest.raises(ConfigError, match="classes"):
        BoxAP(DatasetMeta())
