import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from densezoo.errors import ConfigError, DataError
from densezoo.metrics.mean_iou import MeanIoU
from densezoo.metrics.pck import PCK
from densezoo.types import DatasetMeta

META = DatasetMeta(semantic_classes=("ground", "tree", "sky"))


def given_map(truth, image_id=1, to_original=None):
    size = np.shape(truth)
    return {
        "image_id": image_id,
        "path": f"{image_id}.png",
        "to_original": np.eye(2, 3) if to_original is None else np.asarray(to_original, float),
        "truth": {"semantic": np.array(truth, np.uint8), "size": size},
    }


def answer(labels):
    return {"semantic": np.array(labels, np.uint8), "scores": np.zeros(0, np.float32)}


def scored(*pairs, **arguments):
    metric = MeanIoU(META, **arguments)
    for image_id, (truth, found) in enumerate(pairs):
        metric.update([answer(found)], [given_map(truth, image_id)])
    return metric


def brute_force(pairs, ignored=255):
    """Scores by counting pixels one after the other."""
    overlap, union, sizes = dict.fromkeys(range(3), 0), dict.fromkeys(range(3), 0), dict.fromkeys(range(3), 0)
    right = labelled = 0
    for truth, found in pairs:
        for true, said in zip(np.ravel(truth).tolist(), np.ravel(found).tolist(), strict=True):
            if true in (255, ignored):
                continue
            labelled += 1
            right += true == said
            for label in range(3):
                if label != ignored:
                    overlap[label] += label == true == said
                    union[label] += label in (true, said)
                    sizes[label] += (label == true) + (label == said)
    known = [label for label in range(3) if union[label]]
    mean = lambda values: sum(values) / len(values) if values else np.nan  # noqa: E731
    ious = {label: overlap[label] / union[label] for label in known}
    dices = {label: 2 * overlap[label] / sizes[label] for label in known}
    return {
        "mIoU": mean(list(ious.values())),
        "mDice": mean(list(dices.values())),
        "pixel_accuracy": right / labelled if labelled else np.nan,
        **{f"mIoU/{name}": ious.get(label, np.nan) for label, name in enumerate(META.semantic_classes)},
        **{f"mDice/{name}": dices.get(label, np.nan) for label, name in enumerate(META.semantic_classes)},
    }


maps = arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 1, 2, 255]))


@settings(deadline=None)
@given(maps, maps, st.sampled_from([255, 0, 2]))
def test_scores_are_those_of_counting_pixel_by_pixel(truths, answers, ignored):
    pairs = list(zip(truths, answers, strict=True))
    metric = scored(*pairs, ignore_index=ignored)
    assert metric.compute() == pytest.approx(brute_force(pairs, ignored), nan_ok=True, rel=1e-12)
    for image_id, scores in metric.per_image().items():
        expected = brute_force([pairs[image_id]], ignored)
        assert scores == pytest.approx({key: expected[key] for key in scores}, nan_ok=True, rel=1e-12)


def test_by_hand():
    metric = scored(([[0, 0, 1, 255]], [[0, 1, 1, 2]]), ([[2, 2, 2, 2]], [[2, 2, 255, 0]]))
    scores = metric.compute()
    assert scores["mIoU/ground"] == pytest.approx(1 / 3)  # 1 of: 2 annotated, 1 more answered in the second image
    assert scores["mIoU/tree"] == pytest.approx(1 / 2)
    assert scores["mIoU/sky"] == pytest.approx(2 / 4)
    assert scores["pixel_accuracy"] == pytest.approx(4 / 7)
    assert scores["mIoU"] == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)
    assert scores["mDice"] == pytest.approx((2 / 4 + 2 / 3 + 4 / 6) / 3)
    assert scores["mDice/sky"] == pytest.approx(4 / 6)
    # the mean over images is another number
    assert metric.per_image()[1]["mIoU"] == pytest.approx((0 + 2 / 4) / 2)


def test_answers_are_compared_in_the_files_pixels():
    truth = np.arange(3).repeat(2)[None].repeat(2, 0)  # 2 x 6 pixels
    sample = given_map(truth, to_original=[[2, 0, 0], [0, 2, 0]])
    metric = MeanIoU(META)
    metric.update([answer([[0, 1, 2]])], [sample])
    assert metric.compute()["mIoU"] == 1
    # a view of the right part only leaves the left without an answer
    sample["to_original"][0, 2] = 2
    metric.update([answer([[1, 2]])], [sample])
    scores = metric.compute()
    assert scores["mIoU/ground"] == 0
    assert scores["mIoU/sky"] == 1
    assert scores["pixel_accuracy"] == pytest.approx(8 / 12)


def test_images_given_twice_count_once_and_those_without_a_map_not_at_all():
    metric = MeanIoU(META)
    good, bad = answer([[0, 1]]), answer([[1, 0]])
    sample, bare = given_map([[0, 1]]), given_map([[0, 1]], 2)
    del bare["truth"]["semantic"]
    metric.update([bad, good, bad, bad], [sample, sample, bare, {**sample, "image_id": 3, "error": "truncated"}])
    assert metric.compute()["mIoU"] == 1
    assert list(metric.per_image()) == [1]


def test_empty_metrics_say_nan_under_every_name():
    scores = MeanIoU(META).compute()
    # those of classes follow their mean, under which a table indents them
    classes = META.semantic_classes
    expected = ["mIoU", *(f"mIoU/{name}" for name in classes), "mDice", *(f"mDice/{name}" for name in classes)]
    assert list(scores) == [*expected, "pixel_accuracy"]
    assert all(np.isnan(value) for value in scores.values())


def test_a_file_without_a_sample_is_all_missed():
    metric = scored(([[0, 1]], [[0, 1]]))
    metric.add_truth(9, {"semantic": np.uint8([[1, 1, 255]]), "size": (1, 3)})
    assert metric.compute()["mIoU/tree"] == pytest.approx(1 / 3)
    assert metric.per_image()[9]["pixel_accuracy"] == 0
    metric.add_truth(10, {"size": (1, 3)})
    assert 10 not in metric.per_image()


@settings(deadline=None, max_examples=20)
@given(maps, maps, arrays(np.int64, 3, elements=st.integers(0, 3)))
def test_weights_are_repetitions_and_halves_merge(truths, answers, counts):
    pairs = list(zip(truths, answers, strict=True))
    repeated = scored(*(pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)))
    weights = {image_id: float(count) for image_id, count in enumerate(counts)}
    assert scored(*pairs).compute(weights) == pytest.approx(repeated.compute(), nan_ok=True)
    first, second = scored(*pairs[:2]), MeanIoU(META)
    second.update([answer(answers[2])], [given_map(truths[2], 2)])
    second.merge(pickle.loads(pickle.dumps(first)))
    assert str(second.compute()) == str(scored(*pairs).compute())
    assert str(second.per_image()) == str(scored(*pairs).per_image())


def test_labels_that_are_no_class_are_named_with_the_file():
    with pytest.raises(DataError, match=r"0\.png: annotated labels \[3, 7\] are no classes; there are 3, ground, tree"):
        scored(([[3, 7]], [[0, 0]]))
    with pytest.raises(DataError, match=r"predicted labels \[9\]"):
        scored(([[0, 0]], [[0, 9]]))


def test_an_ignored_label_need_not_be_a_class():
    metric = scored(([[0, 1, 254, 255]], [[0, 1, 2, 2]]), ignore_index=254)
    assert metric.compute()["mIoU"] == 1
    with pytest.raises(DataError, match=r"predicted labels \[254\]"):
        scored(([[0, 1]], [[0, 254]]), ignore_index=254)


def test_what_cannot_be_scored_says_so():
    sample = given_map([[0, 1]])
    with pytest.raises(DataError, match=r"1\.png: the model predicts no semantic map"):
        MeanIoU(META).update([{"scores": np.zeros(0)}], [sample])
    del sample["truth"]
    with pytest.raises(DataError, match="nothing annotated"):
        MeanIoU(META).update([answer([[0, 1]])], [sample])
    with pytest.raises(ConfigError, match="semantic maps"):
        MeanIoU(DatasetMeta(classes=("person",)))
    with pytest.raises(ConfigError, match="ignore_index=256"):
        MeanIoU(META, ignore_index=256)
    with pytest.raises(TypeError, match="PCK"):
        MeanIoU(META).merge(PCK(DatasetMeta(keypoint_names=("a",)), normalizer="box"))
