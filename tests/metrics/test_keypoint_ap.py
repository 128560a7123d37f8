import contextlib
import copy
import io
import json
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densezoo.errors import ConfigError, DataError
from densezoo.functional.affine import apply_affine, invert
from densezoo.functional.oks import COCO_KEYPOINTS, COCO_SIGMAS
from densezoo.metrics.keypoint_ap import KeypointAP
from densezoo.types import Array, DatasetMeta, ImageTruth, Prediction, Sample

NAMES = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]
META = DatasetMeta(classes=("person",), category_ids=(1,), keypoint_names=COCO_KEYPOINTS)
ANNOTATIONS = (
    Path(os.environ.get("DENSEZOO_DATA", Path(__file__).parents[2] / "data"))
    / "coco_person/annotations/person_test.json"
)
Pair = tuple[Prediction, Sample]


def official(content: dict[str, Any], pairs: Iterable[Pair]) -> list[float]:
    """Score with pycocotools alone: its own index, its own reading of results, its own accumulation."""
    results = [
        {
            "image_id": sample["image_id"],
            "category_id": 1,
            "keypoints": np.c_[apply_affine(sample["to_original"], points[:, :2]), points[:, 2]].ravel().tolist(),
            "score": float(score) * sample.get("score", 1.0),
        }
        for prediction, sample in pairs
        for points, score in zip(prediction["keypoints"], prediction["scores"], strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def truth_from(annotations: list[dict[str, Any]]) -> ImageTruth:
    boxes = np.array([item["bbox"] for item in annotations], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return ImageTruth(
        ids=np.array([item["id"] for item in annotations], np.int64),
        labels=np.zeros(len(annotations), np.int64),
        boxes=boxes.astype(np.float32),
        areas=np.array([item["area"] for item in annotations], np.float32),
        crowd=np.array([item["iscrowd"] for item in annotations], bool),
        keypoints=np.array([item["keypoints"] for item in annotations], np.float32).reshape(-1, 17, 3),
        size=(400, 400),
    )


def disturbed(content: dict[str, Any], seed: int) -> list[Pair]:
    """Predict every person badly in some way: noise, misses, duplicates, inventions; several samples an image."""
    rng = np.random.default_rng(seed)
    pairs = []
    for image in content["images"]:
        annotations = [item for item in content["annotations"] if item["image_id"] == image["id"]]
        truth = truth_from(annotations)
        for item in annotations:
            if item["iscrowd"] or not item["num_keypoints"]:
                continue
            points = np.array(item["keypoints"], np.float64).reshape(17, 3)[None, :, :2]
            size = np.sqrt(item["area"])
            predicted = [points + rng.normal(0, rng.choice([0.02, 0.06, 0.15, 0.5]) * size, points.shape)]
            if rng.random() < 0.15:
                predicted = []
            if rng.random() < 0.2:
                predicted.append(points + rng.normal(0, 0.05 * size, points.shape))
            if rng.random() < 0.2:
                predicted.append(rng.uniform(0, 400, (1, 17, 2)))
            stacked = np.concatenate([np.zeros((0, 17, 2)), *predicted])
            to_original = np.array([[rng.uniform(0.5, 3), rng.normal(), rng.normal(0, 50)], [0.1, 2.0, rng.normal()]])
            keypoints = np.concatenate([apply_affine(invert(to_original), stacked), np.ones((len(stacked), 17, 1))], -1)
            sample = Sample(
                image=np.zeros((1, 1, 3), np.uint8),
                image_id=image["id"],
                path=image["file_name"],
                to_original=to_original,
                frame=np.zeros(4, np.float32),
                ids=np.array([item["id"]]),
                score=float(rng.uniform(0.3, 1)),
                truth=truth,
            )
            pairs.append((Prediction(keypoints=keypoints, scores=rng.random(len(stacked))), sample))
    return pairs


def filled(pairs: Iterable[Pair], **arguments: Any) -> KeypointAP:
    metric = KeypointAP(META, **arguments)
    for prediction, sample in pairs:
        metric.update([prediction], [sample])
    return metric


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    if not ANNOTATIONS.exists():
        pytest.skip(f"{ANNOTATIONS} does not exist; DENSEZOO_DATA names the folder that holds coco_person")
    loaded: dict[str, Any] = json.loads(ANNOTATIONS.read_text())
    return loaded


@pytest.fixture(scope="module")
def synthetic() -> dict[str, Any]:
    """Forty images in COCO's own format: crowds, people without joints and empty images among them."""
    rng = np.random.default_rng(7)
    annotations = []
    for image_id in range(40):
        for _ in range(int(rng.integers(0, 5))):
            x, y, width, height = rng.uniform(0, 200), rng.uniform(0, 200), *rng.uniform(20, 180, 2)
            points = np.c_[rng.uniform(x, x + width, 17), rng.uniform(y, y + height, 17), rng.integers(0, 3, 17)]
            points[:, 2] *= rng.random() > 0.2
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [x, y, width, height],
                    "area": float(np.float32(width * height * 0.6)),
                    "iscrowd": int(rng.random() < 0.1),
                    "keypoints": np.float32(points).astype(float).ravel().tolist(),
                    "num_keypoints": int((points[:, 2] > 0).sum()),
                }
            )
    images = [{"id": image_id, "file_name": f"{image_id}.jpg", "width": 400, "height": 400} for image_id in range(40)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_pycocotools_on_real_people(content: dict[str, Any], seed: int):
    pairs = disturbed(content, seed)
    expected = official(content, pairs)
    assert 0.1 < expected[0] < 0.7
    assert len(set(expected)) == len(expected)
    scores = filled(pairs).compute()
    assert list(scores) == NAMES
    np.testing.assert_allclose([scores[name] for name in NAMES], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools_with_crowds_and_people_without_joints(synthetic: dict[str, Any], seed: int):
    pairs = disturbed(synthetic, seed)
    assert any(item["iscrowd"] for item in synthetic["annotations"])
    expected = official(synthetic, pairs)
    scores = filled(pairs).compute()
    np.testing.assert_allclose([scores[name] for name in NAMES], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_repeated_images_as_pycocotools_scores_them(synthetic: dict[str, Any], seed: int):
    pairs = disturbed(synthetic, seed)
    counts = np.random.default_rng(seed).integers(0, 4, 40)
    repeated: dict[str, Any] = {"categories": synthetic["categories"], "images": [], "annotations": []}
    repeated_pairs = []
    for image_id, count in enumerate(counts):
        for copy_index in range(int(count)):
            new_id = image_id + 1000 * copy_index
            repeated["images"].append({**synthetic["images"][image_id], "id": new_id})
            for item in synthetic["annotations"]:
                if item["image_id"] == image_id:
                    repeated["annotations"].append({**item, "image_id": new_id, "id": len(repeated["annotations"]) + 1})
            repeated_pairs += [
                (prediction, Sample(**{**sample, "image_id": new_id}))  # type: ignore[typeddict-item]
                for prediction, sample in pairs
                if sample["image_id"] == image_id
            ]
    metric = filled(pairs)
    scores = metric.compute({image_id: float(count) for image_id, count in enumerate(counts) if count})
    expected = official(repeated, repeated_pairs)
    np.testing.assert_allclose([scores[name] for name in NAMES], expected, rtol=0, atol=1e-9)
    assert scores != metric.compute()


def test_equal_weights_change_nothing_and_no_weight_scores_nothing(synthetic: dict[str, Any]):
    metric = filled(disturbed(synthetic, 0))
    plain = metric.compute()
    scaled = metric.compute(dict.fromkeys(range(40), 2.5))
    assert scaled == pytest.approx(plain, abs=1e-9)
    assert all(np.isnan(value) for value in metric.compute({}).values())
    assert all(np.isnan(value) for value in KeypointAP(META).compute().values())


def test_merged_parts_score_as_the_whole(synthetic: dict[str, Any]):
    pairs = disturbed(synthetic, 5)
    # Every other sample, so that both parts hold the annotations of the same images.
    first, second = filled(pairs[::2]), filled(pairs[1::2])
    first.compute()
    first.merge(pickle.loads(pickle.dumps(second)))
    whole = filled(pairs)
    assert first.compute() == pytest.approx(whole.compute(), abs=1e-12)
    assert first.per_image() == whole.per_image()


def test_update_after_compute_is_counted(synthetic: dict[str, Any]):
    pairs = disturbed(synthetic, 3)
    metric = filled(pairs[:20])
    before = metric.compute()
    for prediction, sample in pairs[20:]:
        metric.update([prediction], [sample])
    assert metric.compute() == filled(pairs).compute() != before


def test_only_the_best_detections_count(synthetic: dict[str, Any]):
    pairs = disturbed(synthetic, 1)
    limited, everything = filled(pairs, max_detections=1).compute(), filled(pairs).compute()
    assert limited["AR"] < everything["AR"]


@pytest.fixture
def two_people() -> Array:
    """(2, 17, 3) far apart; areas are given as 100² by the tests."""
    grid = np.stack([np.arange(17) * 6.0, np.arange(17) % 4 * 30.0, np.full(17, 2.0)], axis=-1)
    return np.stack([grid, grid + np.array([1000, 0, 0])])


def test_half_of_two_people_found_by_hand(
    two_people: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    truth = make_truth(two_people, areas=np.array([1e4, 1e4], np.float32))
    metric = KeypointAP(META)
    metric.update([make_prediction(two_people[:1, :, :2])], [make_sample(truth)])
    scores = metric.compute()
    # Recall 0.5 at precision 1: 51 of the 101 recall levels are reached.
    assert scores["AP"] == pytest.approx(51 / 101, abs=1e-9)
    assert scores["AR"] == pytest.approx(0.5)
    assert np.isnan(scores["APm"])
    assert scores["APl"] == scores["AP"]
    assert metric.per_image() == {1: {"OKS": pytest.approx(0.5)}}


def test_per_image_oks_by_hand(
    two_people: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    truth = make_truth(two_people, areas=np.array([1e4, 1e4], np.float32))
    # Person 2 is moved so that each joint's OKS is exp(-1/2): by 2 · sigma · sqrt(area). An invention scores best.
    moved = two_people[1, :, :2] + np.stack([2 * np.array(COCO_SIGMAS) * 100, np.zeros(17)], axis=-1)
    predicted = np.stack([two_people[0, :, :2] + 5000, moved, two_people[0, :, :2]])
    metric = KeypointAP(META)
    metric.update([make_prediction(predicted, np.array([0.9, 0.5, 0.4]))], [make_sample(truth)])
    assert metric.per_image()[1]["OKS"] == pytest.approx((1 + np.exp(-0.5)) / 2, abs=1e-6)


def test_an_image_with_only_a_crowd_has_no_oks(two_people: Array, make_truth: Callable, make_sample: Callable):
    truth = make_truth(two_people, crowd=np.array([True, True]))
    metric = KeypointAP(META)
    metric.update([Prediction(keypoints=np.zeros((0, 17, 3)), scores=np.zeros(0))], [make_sample(truth)])
    assert np.isnan(metric.per_image()[1]["OKS"])


def test_things_without_joints_are_no_people(
    two_people: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    """A chair is not an ignored person: a false pose on it stays wrong, and a box labelled chair is not scored."""
    chair = np.array([[[500.0, 500, 0]] * 17])
    keypoints = np.concatenate([two_people[:1], chair])
    boxes = np.array([[0, 0, 96, 90], [400, 400, 600, 600]], np.float32)
    truth = make_truth(keypoints, labels=np.array([0, 1]), boxes=boxes, areas=np.array([1e4, 4e4], np.float32))
    on_chair = two_people[0, :, :2] + 450
    prediction = make_prediction(np.stack([two_people[0, :, :2], on_chair]), np.array([0.5, 0.9]))
    metric = KeypointAP(META)
    metric.update([prediction], [make_sample(truth)])
    assert metric.compute()["AP"] == pytest.approx(0.5, abs=1e-9)
    labelled = KeypointAP(META)
    labelled.update([Prediction(**{**prediction, "labels": np.array([0, 1])})], [make_sample(truth)])
    assert labelled.compute()["AP"] == pytest.approx(1.0, abs=1e-9)


def test_sample_score_ranks_predictions(
    two_people: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    truth = make_truth(two_people[:1], areas=np.array([1e4], np.float32))
    good, bad = make_prediction(two_people[:1, :, :2]), make_prediction(two_people[1:, :, :2])
    for scores, expected in (((0.9, 0.1), 1.0), ((0.1, 0.9), 0.5)):
        metric = KeypointAP(META)
        metric.update([good, bad], [Sample(**{**make_sample(truth), "score": score}) for score in scores])
        assert metric.compute()["AP"] == pytest.approx(expected, abs=1e-9)


def test_an_unreadable_image_is_left_out(
    two_people: Array, make_truth: Callable, make_sample: Callable, make_prediction: Callable
):
    truth = make_truth(two_people, areas=np.array([1e4, 1e4], np.float32))
    metric = KeypointAP(META)
    broken = Sample(**{**make_sample(truth, image_id=2), "error": "truncated"})
    metric.update([make_prediction(two_people[..., :2]), make_prediction(two_people[..., :2] + 90)], [
        make_sample(truth), broken,
    ])  # fmt: skip
    assert metric.compute()["AP"] == pytest.approx(1.0, abs=1e-9)
    assert list(metric.per_image()) == [1]


def test_sigmas_come_from_the_argument_then_the_data_set_then_the_names():
    given, own = [0.1] * 17, tuple([0.2] * 17)
    with_own = DatasetMeta(keypoint_names=COCO_KEYPOINTS, sigmas=own)
    assert KeypointAP(with_own, sigmas=given).sigmas == tuple(given)
    assert KeypointAP(with_own).sigmas == own
    assert KeypointAP(META).sigmas == COCO_SIGMAS


def test_larger_sigmas_forgive_more(synthetic: dict[str, Any]):
    pairs = disturbed(synthetic, 0)
    strict, plain = filled(pairs, sigmas=[0.5 * sigma for sigma in COCO_SIGMAS]), filled(pairs)
    assert strict.compute()["AP"] < plain.compute()["AP"]


def test_unknown_joints_need_sigmas_and_the_message_says_how(body: DatasetMeta):
    with pytest.raises(ConfigError, match=r"give sigmas=\[…\] with 6 numbers.*or use PCK"):
        KeypointAP(body)
    assert KeypointAP(body, sigmas=[0.05] * 6).sigmas == (0.05,) * 6


@pytest.mark.parametrize("arguments", [{"sigmas": [0.1] * 16}, {"sigmas": [0.0] * 17}, {"max_detections": 0}])
def test_impossible_arguments_are_refused(arguments: dict[str, Any]):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        KeypointAP(META, **arguments)


def test_predictions_that_cannot_be_scored_are_named(make_truth: Callable, make_sample: Callable, two_people: Array):
    sample = make_sample(make_truth(two_people))
    metric = KeypointAP(META)
    with pytest.raises(DataError, match=r"1\.jpg.*17 keypoints"):
        metric.update([Prediction(keypoints=np.zeros((1, 16, 3)), scores=np.ones(1))], [sample])
    with pytest.raises(DataError, match=r"1\.jpg.*not finite"):
        metric.update([Prediction(keypoints=np.full((1, 17, 3), np.nan), scores=np.ones(1))], [sample])
    with pytest.raises(DataError, match=r"1\.jpg.*no keypoints"):
        metric.update([Prediction(scores=np.ones(1))], [sample])


def test_people_of_a_file_without_samples_count_as_missed(make_truth, make_sample, make_prediction):
    points = np.random.default_rng(0).uniform(0, 200, (1, 17, 2))
    truth = make_truth(np.concatenate([points, np.full((1, 17, 1), 2)], axis=-1))
    metric = filled([(make_prediction(points), make_sample(truth, image_id=1))])
    assert metric.compute()["AR"] == 1.0
    metric.add_truth(2, truth)
    assert metric.compute()["AR"] == 0.5
    assert metric.compute()["AP"] == pytest.approx(51 / 101)  # precision 1 at the recalls up to 0.5, of 101
    metric.add_truth(1, truth)  # known already
    assert metric.compute()["AR"] == 0.5
