import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from densezoo.comparison.disagreements import (
    Panel,
    draw_disagreements,
    encode_panels,
    image_score,
    rank_disagreements,
    sheet,
)
from densezoo.datasets.images import read_image
from densezoo.errors import DataError
from densezoo.functional.label_maps import encode_labels

METRIC = "pose/PCK@0.2"


def scored(made_up, scores):
    """The study's first arms with other scores of single images: arm to seeds to image to score."""
    arms = []
    for arm, seeds in zip(made_up.arms, scores, strict=False):
        runs = {
            seed: replace(arm.runs[seed], per_image={image: {METRIC: value} for image, value in own.items()})
            for seed, own in enumerate(seeds)
        }
        arms.append(replace(arm, runs=runs))
    return arms


def test_images_are_ranked_by_the_range_of_means_over_seeds(made_up):
    nan = float("nan")
    base = [{1: 0.1, 2: 0.5, 3: 0.5, 4: nan, 5: 0.0}, {1: 0.9, 2: 0.5, 3: 0.5, 4: nan, 5: 0.0}]
    other = [{1: 0.5, 2: 0.9, 3: 0.8, 4: 0.1}, {1: 0.5, 2: 0.7, 3: 0.8, 4: 0.1}]
    ranked = rank_disagreements(scored(made_up, [base, other]), METRIC)
    # of image 1 both means are 0.5, 4 has no score in the base, and 5 none in the other
    assert [(each.image_id, pytest.approx(each.spread)) for each in ranked] == [(2, 0.3), (3, 0.3)]
    assert ranked[0].scores == {"sum": 0.5, "concat": pytest.approx(0.8)}


def test_the_repetition_of_the_base_and_arms_without_runs_have_no_say(made_up):
    ranked = rank_disagreements(made_up.arms, METRIC)
    assert set(ranked[0].scores) == {"sum", "concat", "weighted", "gated", "none"}
    fewer = [made_up.arms[0], replace(made_up.arms[1], runs={}), *made_up.arms[2:]]
    assert set(rank_disagreements(fewer, METRIC)[0].scores) == {"sum", "weighted", "gated", "none"}


def test_where_images_lack_the_metric_another_of_its_task_is_taken(made_up):
    assert image_score(made_up.arms, METRIC) == METRIC
    assert image_score(made_up.arms, "pose/AP") == METRIC
    assert image_score(made_up.arms, "boxes/AP") is None
    assert image_score([replace(arm, runs={}) for arm in made_up.arms], METRIC) is None


def test_annotations_and_answers_of_the_right_image_are_drawn(made_up):
    chosen = [each for each in rank_disagreements(made_up.arms, METRIC) if each.image_id in (7, 31)]
    drawn = draw_disagreements(made_up.study, made_up.prepared, made_up.arms, chosen, METRIC)
    assert list(drawn) == [each.image_id for each in chosen]
    for image_id, panels in drawn.items():
        assert [panel.caption.partition(":")[0] for panel in panels] == [
            "annotated", "sum", "concat", "weighted", "gated", "none",
        ]  # fmt: skip
        root = made_up.study.base.config.data_root
        plain = cv2.resize(
            read_image(f"{root}/images/{image_id}.png"), None, fx=320 / 96, fy=320 / 96, interpolation=cv2.INTER_CUBIC
        )
        changed = [(np.abs(panel.image.astype(int) - plain).max(-1) > 60).mean() for panel in panels]
        assert min(changed) > 0
        assert max(changed) < 0.2  # it is this image, but for what is drawn on it
        run = made_up.arms[1].runs[0]
        assert f"{run.per_image[image_id][METRIC]:.2f}" in panels[2].alt
        assert "concat, seed 0" in panels[2].alt


def test_runs_of_the_first_common_pair_are_drawn(made_up):
    arms = [replace(arm, runs={seed: arm.runs[seed] for seed in seeds}) for arm, seeds in
            zip(made_up.arms, [(0, 1, 2), (1, 2), (2, 1)], strict=False)]  # fmt: skip
    chosen = rank_disagreements(arms, METRIC)[:1]
    (panels,) = draw_disagreements(made_up.study, made_up.prepared, arms, chosen, METRIC).values()
    assert all("seed 1" in panel.alt for panel in panels[1:])


def test_of_several_test_sets_that_of_the_metric_is_drawn(made_up, tmp_path):
    left = np.zeros((96, 120), np.uint8)
    left[:, :60] = 1
    for folder in ("photos", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"photos/{name}.png"), np.full((96, 120, 3), 120, np.uint8))
        cv2.imwrite(str(tmp_path / f"labels/{name}.png"), left)
    folders = {"type": "LabelFolders", "images": "photos", "labels": "labels", "classes": ["ground", "sky"]}
    base = made_up.study.base.config
    people = base.test_data | {"annotations": f"{base.data_root}/people.json", "images": f"{base.data_root}/images"}
    tasks = base.tasks | {"seg": {"type": "Segmentation", "num_classes": 2}}
    config = replace(base, tasks=tasks, test_data=[people, folders], data_root=str(tmp_path))
    study = replace(made_up.study, metric="seg/mIoU", arms=[replace(made_up.study.arms[0], config=config)])
    prepared = replace(made_up.prepared, meta=replace(made_up.prepared.meta, semantic_classes=("ground", "sky")))
    arms = []
    for arm, answer in zip(made_up.arms[:2], (left, 1 - left), strict=True):
        folder = tmp_path / arm.name
        (folder / "test").mkdir(parents=True)
        answers = [
            {"image_id": 1, "category_id": label, "segmentation": rle} for label, rle in encode_labels(answer).items()
        ]
        (folder / "test/predictions_seg.json").write_text(json.dumps(answers))
        scores = {image: {"seg/mIoU": float(answer[0, 0] * (image == 1))} for image in (0, 1, 2)}
        arms.append(replace(arm, runs={0: replace(arm.runs[0], folder=folder, per_image=scores)}))
    chosen = rank_disagreements(arms, "seg/mIoU")[:1]
    drawn = draw_disagreements(study, prepared, arms, chosen, "seg/mIoU")
    assert list(drawn) == [1]
    annotated, same, swapped = (panel.image for panel in drawn[1])
    np.testing.assert_array_equal(annotated, same)
    assert (annotated[50, 50] == swapped[50, 350]).all()
    assert (annotated[50, 50] != swapped[50, 50]).any()


def test_missing_and_broken_answers_are_said(made_up, tmp_path):
    runs = {0: replace(made_up.arms[0].runs[0], folder=tmp_path)}
    arms = [replace(made_up.arms[0], runs=runs), *made_up.arms[1:]]
    chosen = rank_disagreements(arms, METRIC)[:1]
    with pytest.raises(DataError, match=r"predictions\.json"):
        draw_disagreements(made_up.study, made_up.prepared, arms, chosen, METRIC)
    (tmp_path / "test").mkdir()
    (tmp_path / "test/predictions.json").write_text('{"no": "list"}')
    with pytest.raises(DataError, match="not what densezoo test writes"):
        draw_disagreements(made_up.study, made_up.prepared, arms, chosen, METRIC)


def test_pictures_shrink_until_they_fit():
    noise = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    few = encode_panels([[Panel("a", "b", noise)]])
    assert few[0][0].size == (267, 400)
    many = encode_panels([[Panel("a", "b", noise)] * 6] * 8)
    assert sum(len(picture.jpeg) for panels in many for picture in panels) * 4 / 3 < 2_000_000
    assert many[0][0].size[1] < 400
    decoded = cv2.imdecode(np.frombuffer(sheet([Panel("a", "b", noise)] * 5), np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape[1] == 1600


def test_nothing_to_draw_is_nothing():
    assert encode_panels([]) == []
    assert rank_disagreements([], METRIC) == []


def test_an_arm_alone_disagrees_with_nobody(made_up):
    only = [made_up.arms[0], *(replace(arm, runs={}) for arm in made_up.arms[1:])]
    assert rank_disagreements(only, METRIC) == []
