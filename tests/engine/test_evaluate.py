from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from densezoo.engine.baseline import ConstantPredictor
from densezoo.engine.build import (
    build_dataset,
    build_dense_model,
    build_loader,
    build_samples,
    require_same_annotations,
)
from densezoo.engine.config import load_config
from densezoo.engine.distributed import Processes
from densezoo.engine.evaluate import (
    AnnotatedFile,
    Evaluation,
    add_scores,
    choose_best,
    coco_results,
    evaluate,
    mean_score,
    note_bad_images,
)
from densezoo.errors import ConfigError, DataError
from densezoo.metrics.box_ap import BoxAP
from densezoo.metrics.pck import PCK
from densezoo.metrics.volume_iou import VolumeIoU
from densezoo.types import DatasetMeta, Prediction, Sample

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Recorded(Processes):
    """Stands for one of several processes; what it gathers is kept instead of sent."""

    others: list = field(default_factory=list)

    def gather(self, value):
        return [value, *self.others] if self.first else self.others.append(value) or []


def parts(config_path):
    config = load_config(config_path)
    dataset = build_dataset(config.val_data, config.data_root)
    model = build_dense_model(config, dataset.meta, CPU).eval()
    return config, dataset, model


def run(config, dataset, model, processes, predictor=None):
    batches, _ = build_loader(config, build_samples(config, dataset, training=False), processes)
    return evaluate(predictor or model, model.tasks, batches, processes, dataset.meta)


def test_evaluation_over_processes_equals_that_of_one(tiny_config):
    config, dataset, model = parts(tiny_config)
    alone = run(config, dataset, model, Processes(0, 1, CPU))
    others = []
    run(config, dataset, model, Recorded(1, 2, CPU, others))
    both = run(config, dataset, model, Recorded(0, 2, CPU, others))
    assert both.scores == pytest.approx(alone.scores, nan_ok=True)
    key = lambda entry: entry["annotation_id"]  # noqa: E731
    ids = [entry["annotation_id"] for entry in alone.results["pose"]]
    assert len(set(ids)) == len(ids) == len(dataset)
    for one, other in zip(sorted(alone.results["pose"], key=key), sorted(both.results["pose"], key=key), strict=True):
        assert one["keypoints"] == pytest.approx(other["keypoints"], abs=1e-2)


def test_a_perfect_predictor_scores_one_and_the_mean_pose_little(tiny_config):
    config, dataset, model = parts(tiny_config)

    class Perfect:
        def predict(self, batch, views=None):
            people = [sample["keypoints"] for sample in batch["samples"]]
            return {"pose": [Prediction(keypoints=points, scores=np.ones(1, np.float32)) for points in people]}

    processes = Processes(0, 1, CPU)
    perfect = run(config, dataset, model, processes, Perfect()).scores
    assert perfect["pose/PCK@0.2"] == 1.0
    assert perfect["pose/AP"] == pytest.approx(1.0)
    training_set = build_samples(config, build_dataset(config.train_data, config.data_root), training=False)
    baseline = run(config, dataset, model, processes, ConstantPredictor(model.tasks, training_set)).scores
    assert 0 <= baseline["pose/PCK@0.2"] < 0.7


@pytest.mark.parametrize(
    ("higher", "expected"), [(True, [(2, 0.9), (1, 0.5), (4, 0.1)]), (False, [(4, 0.1), (1, 0.5), (2, 0.9)])]
)
def test_images_are_ranked_by_the_first_metric_with_the_best_first(higher, expected):
    class Scores:
        higher_is_better = higher

        def per_image(self):
            found = {1: {"s": 0.5, "t": 9.0}, 2: {"s": 0.9, "t": 0.0}, 3: {"s": float("nan")}, 4: {"s": 0.1, "t": 1.0}}
            return found | {5: {"s": 0.0}}  # of a file in which no detector found a box, so that nothing was looked at

    assert Evaluation({"unscored": [], "pose": [Scores()]}, files=dict.fromkeys(range(1, 5))).ranked() == expected


def test_results_are_in_the_files_pixels_and_name_the_files_category():
    sample = Sample(
        image=np.zeros((2, 2, 3), np.uint8),
        image_id=7,
        path="",
        to_original=np.array([[2.0, 0, 10], [0, 2.0, 20]]),
        frame=np.zeros(4),
        labels=np.array([1]),
        ids=np.array([70]),
        score=0.5,
    )
    prediction = Prediction(
        keypoints=np.array([[[1, 2, 0.25]]], np.float32),
        boxes=np.array([[0, 0, 4, 3]], np.float32),
        scores=np.array([0.5], np.float32),
    )
    (entry,) = coco_results(prediction, sample, DatasetMeta(classes=("a", "b"), category_ids=(3, 90)))
    assert entry == {
        "image_id": 7,
        "category_id": 90,
        "score": 0.25,
        "keypoints": [12, 24, 0.25],
        "bbox": [10, 20, 8, 6],
        "annotation_id": 70,
    }
    shifted = DatasetMeta(classes=("a", "b"), category_ids=(3, 90), keypoint_shift=0.5)
    assert coco_results(prediction, sample, shifted) == [entry | {"keypoints": [11.5, 23.5, 0.25]}]
    # what is found on a whole image need not be its only annotation
    (found,) = coco_results(prediction, {**sample, "whole_image": True}, DatasetMeta(category_ids=(3, 90)))
    assert "annotation_id" not in found


def test_bad_images_are_counted_once_and_stop_the_run_past_the_limit():
    bad = set()
    samples = [{"error": "a.jpg broken"}, {}, {"error": "b.jpg broken"}]
    assert note_bad_images(samples, bad, 2) == {"a.jpg broken", "b.jpg broken"}
    assert note_bad_images(samples, bad, 2) == set()
    with pytest.raises(DataError, match=r"3 images could not be read .*max_bad_images=2.*a\.jpg"):
        note_bad_images([{"error": "c.jpg broken"}], bad, 2)


def test_scores_of_one_name_are_told_apart_by_their_metric():
    known = {}
    first = BoxAP(DatasetMeta(classes=("person",)))
    second = PCK(DatasetMeta(keypoint_names=("nose",)), normalizer="box")
    add_scores(known, "objects", first, {"AP": 1, "APs": 2})
    add_scores(known, "objects", second, {"AP": 3, "APl": 4})
    add_scores(known, "objects", second, {"AP": 5})
    add_scores(known, "others", second, {"AP": 6})
    assert known == {
        "objects/AP": 1,
        "objects/APs": 2,
        "objects/PCK.AP": 3,
        "objects/APl": 4,
        "objects/PCK2.AP": 5,
        "others/AP": 6,
    }


def test_the_best_score_is_chosen_by_name(tiny_config):
    _, _, model = parts(tiny_config)
    assert choose_best(model.tasks, None) == (["pose/PCK@0.2"], True)
    assert choose_best(model.tasks, "pose/AP50") == (["pose/AP50"], True)
    with pytest.raises(ConfigError, match="no score is called 'pose/AP5'; did you mean 'pose/AP"):
        choose_best(model.tasks, "pose/AP5")


def test_several_scores_rank_by_their_mean_where_all_go_one_way(tiny_config):
    _, _, model = parts(tiny_config)
    names, higher = choose_best(model.tasks, ["pose/AP", "pose/PCK@0.2"])
    assert higher
    assert mean_score({"pose/AP": 0.2, "pose/PCK@0.2": 0.6, "pose/AR": 9.0}, names) == pytest.approx(0.4)
    assert np.isnan(mean_score({"pose/AP": float("nan"), "pose/PCK@0.2": 0.6}, names))
    assert mean_score({"pose/AP": 0.2}, names) is None
    with pytest.raises(ConfigError, match="no score is called 'boxes/AP'"):
        choose_best(model.tasks, ["pose/AP", "boxes/AP"])
    model.tasks["pose"].metric_configs.append({"type": "NME", "normalizer": "box"})
    with pytest.raises(ConfigError, match="all better when higher, or all when lower"):
        choose_best(model.tasks, ["pose/AP", "pose/NME_box"])
    with pytest.raises(ConfigError, match="must be scores"):
        choose_best(model.tasks, [])


def test_a_metric_may_have_scores_of_both_directions():
    metrics = [VolumeIoU(DatasetMeta(volume_slices=(12, 2.0)))]
    tasks = {"head": SimpleNamespace(metrics=lambda: metrics)}
    assert choose_best(tasks, None) == (["head/IoU"], True)
    assert choose_best(tasks, "head/surface_error") == (["head/surface_error"], False)
    assert choose_best(tasks, ["head/surface_NME", "head/surface_missed"])[1] is False
    with pytest.raises(ConfigError, match="all better when higher, or all when lower"):
        choose_best(tasks, ["head/IoU", "head/surface_error"])


def test_semantic_maps_are_masks_of_labels_in_the_files_pixels():
    truth = {"size": (4, 8), "semantic": np.zeros((4, 8), np.uint8)}
    sample = Sample(
        image=np.zeros((2, 2, 3), np.uint8),
        image_id=7,
        path="7.png",
        to_original=np.array([[2.0, 0, 4], [0, 2.0, 0]]),  # the right half of the file, at half its size
        frame=np.zeros(4),
        truth=truth,
    )
    prediction = Prediction(semantic=np.array([[3, 5], [5, 5]], np.uint8), scores=np.zeros(0, np.float32))
    results = coco_results(prediction, sample, DatasetMeta())
    assert [sorted(entry) for entry in results] == [["category_id", "image_id", "segmentation"]] * 2
    masks = {entry["category_id"]: coco_mask.decode(entry["segmentation"]) for entry in results}
    expected = np.full((4, 8), 5)
    expected[:, :4], expected[:2, 4:6] = 255, 3
    for label, mask in masks.items():
        np.testing.assert_array_equal(mask > 0, expected == label)
    file = AnnotatedFile.of(sample)
    assert file.truth == {"size": (4, 8)}
    assert list(file.semantic) == [0]
    assert "semantic" in truth


def test_answers_are_kept_only_where_they_are_asked_for(tiny_config):
    config, dataset, model = parts(tiny_config)
    batches, _ = build_loader(config, build_samples(config, dataset, training=False), Processes(0, 1, CPU))
    found = evaluate(model, model.tasks, batches, Processes(0, 1, CPU), dataset.meta, keep_answers=False)
    assert (found.results, found.files) == ({"pose": []}, {})
    assert found.scores == pytest.approx(run(config, dataset, model, Processes(0, 1, CPU)).scores, nan_ok=True)


@pytest.mark.parametrize(
    ("task", "change"),
    [("Pose", {"keypoint_names": ("nose",)}), ("Segmentation", {"semantic_classes": ("road", "sky")})],
)
def test_data_of_another_meaning_than_that_of_the_training_is_refused_where_a_task_reads_it(task, change):
    trained = DatasetMeta(classes=("person",), keypoint_names=("tail",), semantic_classes=("sea",))
    alike = replace(trained, classes=("car",))
    other = replace(alike, **change)
    tasks = {"one": {"type": "Pose"}, "two": {"type": "Segmentation"}}
    require_same_annotations(trained, alike, tasks, "test_data")
    with pytest.raises(ConfigError, match=r"test_data has the .*\['.*fine-tune with init_from"):
        require_same_annotations(trained, other, tasks, "test_data")
    require_same_annotations(trained, other, {name: cfg for name, cfg in tasks.items() if cfg["type"] != task}, "")
    require_same_annotations(DatasetMeta(), other, tasks, "test_data")  # the model did without
