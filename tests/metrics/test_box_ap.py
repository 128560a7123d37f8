import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densezoo.errors import ConfigError, DataError
from densezoo.functional.affine import invert, transform_boxes
from densezoo.metrics.box_ap import BoxAP
from densezoo.types import DatasetMeta

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
META = DatasetMeta(classes=("red", "white", "platelet", "never"), category_ids=(1, 2, 3, 4))
TO_ORIGINAL = np.array([[2.0, 0.0, 12.0], [0.0, 1.5, -7.0]])


def scenes(num_images=25, seed=0):
    """Per image: annotated boxes, labels, crowds, and predicted boxes, labels, scores; all in the file's pixels."""
    rng = np.random.default_rng(seed)
    content = []
    for image in range(num_images):
        count = 0 if image == 3 else int(rng.integers(1, 9))
        low = rng.integers(0, 300, (count, 2))
        boxes = np.concatenate([low, low + rng.choice([12, 50, 130], (count, 1)) + rng.integers(0, 30, (count, 2))], 1)
        labels, crowds = rng.integers(0, 3, count), rng.random(count) < 0.15
        seen = rng.random(count) < 0.8
        found = [boxes[seen] + rng.normal(0, 6, (seen.sum(), 4)), boxes[seen] + rng.normal(0, 20, (seen.sum(), 4))]
        found.append(np.tile([[5.0, 5, 40, 60]], (150 if image == 5 else 2, 1)) + rng.uniform(0, 200, (1, 1)))
        predicted = np.concatenate(found)
        predicted[:, 2:] = np.maximum(predicted[:, 2:], predicted[:, :2] + 1)
        guesses = np.concatenate([labels[seen], labels[seen], rng.integers(0, 3, len(found[-1]))])
        content.append((boxes.astype(float), labels, crowds, predicted, guesses, rng.random(len(predicted))))
    return content


def fed(content, first_id=1, **more):
    metric = BoxAP(META, **more)
    for image_id, (boxes, labels, crowds, predicted, guesses, scores) in enumerate(content, first_id):
        truth = {
            "ids": np.arange(len(boxes)),
            "labels": labels,
            "boxes": boxes.astype(np.float32),
            "areas": (boxes[:, 2:] - boxes[:, :2]).prod(1).astype(np.float32),
            "crowd": crowds,
            "size": (480, 640),
        }
        sample = {"image_id": image_id, "path": "", "to_original": TO_ORIGINAL, "truth": truth}
        own = transform_boxes(invert(TO_ORIGINAL), predicted)
        metric.update([{"boxes": own, "labels": guesses, "scores": scores}], [sample])
    return metric


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


def test_all_twelve_numbers_and_those_of_each_class_are_pycocotools():
    content = scenes()
    scores = fed(content).compute()
    assert [scores[name] for name in NAMES] == pytest.approx(official(content), abs=1e-12)
    assert 0.05 < scores["AP"] < 0.95
    for category, name in enumerate(META.classes, 1):
        assert scores[f"AP/{name}"] == pytest.approx(official(content, category)[0], abs=1e-12, nan_ok=True)
    assert np.isnan(scores["AP/never"])
    assert list(scores) == NAMES + [f"AP/{name}" for name in META.classes]


def test_without_classes():
    content = scenes(12)
    for image in (3, 5):  # more than 100 predictions: pycocotools' order of classes would decide which count
        content[image] = content[0]
    scores = fed(content, class_agnostic=True).compute()
    assert list(scores) == NAMES
    assert [scores[name] for name in NAMES] == pytest.approx(official(content, agnostic=True), abs=1e-12)


def test_images_alone():
    content = scenes(8)
    found = fed(content).per_image()
    for image_id, scene in enumerate(content, 1):
        assert found[image_id]["AP"] == pytest.approx(official([scene])[0], abs=1e-12, nan_ok=True)
    assert np.isnan(found[4]["AP"])  # nothing to find


def test_weights_are_repeated_images():
    content = scenes(9)
    repeated = [scene for index, scene in enumerate(content) for _ in range(index % 3)]
    weights = {index + 1: float(index % 3) for index in range(9)}
    assert fed(content).compute(weights) == pytest.approx(fed(repeated).compute(), nan_ok=True)


def test_parts_of_one_image_are_scored_together():
    content = scenes(6)
    halves = []
    for part in (0, 1):
        halves.append([(*scene[:3], *(values[part::2] for values in scene[3:])) for scene in content])
    whole, first, second = fed(content), fed(halves[0]), fed(halves[1])
    first.merge(second)
    assert first.compute() == pytest.approx(whole.compute(), nan_ok=True)
    with pytest.raises(TypeError, match="dict"):
        whole.merge({})


def test_missed_files_and_unreadable_ones():
    content = scenes(6)
    metric = fed(content)
    before = metric.compute()
    metric.update([{}], [{"image_id": 77, "error": "broken"}])
    assert metric.compute() == pytest.approx(before, nan_ok=True)
    metric.add_truth(99, fed(scenes(1, seed=5))._records[1].truth)
    assert metric.compute()["AR100"] < before["AR100"]


def test_what_cannot_be_scored_says_why():
    truth = fed(scenes(1))._records[1].truth
    sample = {"image_id": 1, "path": "a.png", "to_original": np.eye(2, 3), "truth": truth}
    one = {"boxes": np.ones((1, 4)), "labels": np.zeros(1, int), "scores": np.ones(1)}
    with pytest.raises(DataError, match="no boxes"):
        BoxAP(META).update([{"scores": np.ones(0)}], [sample])
    with pytest.raises(DataError, match="diverged"):
        BoxAP(META).update([{**one, "scores": np.array([np.nan])}], [sample])
    with pytest.raises(DataError, match="annotated"):
        BoxAP(META).update([one], [{key: value for key, value in sample.items() if key != "truth"}])
    with pytest.raises(ConfigError, match="classes"):
        BoxAP(DatasetMeta())
