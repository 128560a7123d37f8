import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from densezoo.errors import ConfigError, DataError
from densezoo.metrics.binary_scores import BinaryScores
from densezoo.metrics.mean_iou import MeanIoU
from densezoo.types import DatasetMeta

META = DatasetMeta(semantic_classes=("background", "vessel"))
NAMES = ["Dice", "IoU", "sensitivity", "specificity", "accuracy", "AUC", "AP"]


def given_map(truth, image_id=1, to_original=None):
    return {
        "image_id": image_id,
        "path": f"{image_id}.png",
        "to_original": np.eye(2, 3) if to_original is None else np.asarray(to_original, float),
        "truth": {"semantic": np.array(truth, np.uint8), "size": np.shape(truth)},
    }


def answer(labels, chances=None):
    found = {"semantic": np.array(labels, np.uint8), "scores": np.zeros(0, np.float32)}
    if chances is not None:
        found["probabilities"] = np.stack([1 - np.asarray(chances), chances]).astype(np.float32)
    return found


def of_logits(logits):
    """The answer of a network, as float32 has it."""
    both = torch.tensor(np.stack([np.zeros_like(logits), logits])).float().softmax(0).numpy()
    return {**answer(logits > 0), "probabilities": both}


def scored(*pairs):
    metric = BinaryScores(META)
    for image_id, (truth, found) in enumerate(pairs):
        metric.update([found], [given_map(truth, image_id)])
    return metric


def area_by_ranks(values, positive):
    """Of the ROC curve, as scikit-learn has it: equal values count half (Mann and Whitney)."""
    ranks = rankdata(values)[positive]
    count = positive.sum()
    return (ranks.sum() - count * (count + 1) / 2) / (count * (~positive).sum())


def precision_of_steps(values, positive):
    """Average precision as scikit-learn has it, of values that differ."""
    sorted_truth = positive[np.argsort(-values)]
    right = np.cumsum(sorted_truth)
    return (right / np.arange(1, len(right) + 1))[sorted_truth].mean()


def test_by_hand():
    truth = [[1, 1, 1, 0, 0, 0, 0, 255]]
    found = [[1, 1, 0, 1, 0, 0, 255, 1]]
    scores = scored((truth, answer(found))).compute()
    assert list(scores) == NAMES
    assert scores["Dice"] == pytest.approx(2 * 2 / (3 + 3))
    assert scores["IoU"] == pytest.approx(2 / 4)
    assert scores["sensitivity"] == pytest.approx(2 / 3)
    assert scores["specificity"] == pytest.approx(2 / 4)  # what has no answer is wrong
    assert scores["accuracy"] == pytest.approx(4 / 7)
    assert np.isnan(scores["AUC"])
    assert np.isnan(scores["AP"])


def test_values_of_other_peoples_code():
    """The example of scikit-learn's documentation, of roc_auc_score and of average_precision_score."""
    scores = scored(([[0, 0, 1, 1]], answer([[0, 0, 0, 1]], [[0.1, 0.4, 0.35, 0.8]]))).compute()
    assert scores["AUC"] == pytest.approx(0.75)
    assert scores["AP"] == pytest.approx(0.8333333)


@settings(deadline=None)
@given(
    arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 255])),
    arrays(np.int64, (3, 4), elements=st.integers(0, 9)),
)
def test_scores_are_those_of_every_pixel(truth, tenths):
    scores = scored((truth, answer(tenths >= 5, tenths / 10))).compute()
    known = truth != 255
    positive, said, values = truth[known] == 1, tenths[known] >= 5, tenths[known]
    both = MeanIoU(META)
    both.update([answer(tenths >= 5)], [given_map(truth)])
    expected = both.compute()
    assert scores["Dice"] == pytest.approx(expected["mDice/vessel"], nan_ok=True)
    assert scores["IoU"] == pytest.approx(expected["mIoU/vessel"], nan_ok=True)
    assert scores["accuracy"] == pytest.approx(expected["pixel_accuracy"], nan_ok=True)
    assert scores["sensitivity"] == pytest.approx(said[positive].mean() if positive.any() else np.nan, nan_ok=True)
    assert scores["specificity"] == pytest.approx(
        (~said)[~positive].mean() if (~positive).any() else np.nan, nan_ok=True
    )
    if positive.any() and (~positive).any():
        assert scores["AUC"] == pytest.approx(area_by_ranks(values, positive), abs=1e-12)
    else:
        assert np.isnan(scores["AUC"])
    if len(set(values.tolist())) == len(values) and positive.any():
        assert scores["AP"] == pytest.approx(precision_of_steps(values, positive), abs=1e-12)


@pytest.mark.parametrize(
    ("apart", "spread", "middle"),
    [
        (2.0, 1.5, -2.0),
        (12.0, 8.0, -9.0),  # most probabilities are 0 or 1 to float32
        (0.05, 0.05, -3.0),  # a network at its beginning
        (4.0, 0.5, -40.0),  # all are tiny
    ],
)
def test_areas_are_those_of_the_order_of_all_pixels(apart, spread, middle):
    rng = np.random.default_rng(0)
    truth = (rng.random((200, 300)) < 0.12).astype(np.uint8)
    logits = middle + apart * truth + spread * rng.normal(size=truth.shape)
    truth[:, :20] = 255
    known = truth != 255
    scores = scored((truth, of_logits(logits))).compute()
    assert scores["AUC"] == pytest.approx(area_by_ranks(logits[known], truth[known] == 1), abs=1e-5)
    assert scores["AP"] == pytest.approx(precision_of_steps(logits[known], truth[known] == 1), abs=5e-5)


def test_probabilities_that_round_to_one_are_kept_apart():
    logits = np.array([[30.0, 31.0, 32.0, 33.0]])
    found = of_logits(logits)
    assert (found["probabilities"][1] == 1).all()
    assert scored(([[0, 0, 1, 1]], found)).compute()["AUC"] == 1
    assert scored(([[1, 1, 0, 0]], found)).compute()["AUC"] == 0


def test_equal_probabilities_say_nothing():
    truth = np.tile(np.uint8([0, 1, 0, 1, 0, 0]), (1000, 1))
    scores = scored((truth, answer(np.zeros_like(truth), np.full(truth.shape, 0.2)))).compute()
    assert scores["AUC"] == 0.5
    assert scores["AP"] == pytest.approx(2 / 6, abs=1e-3)


def test_probabilities_are_interpolated_in_the_files_pixels():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 8)) * 3
    found = of_logits(logits)
    truth = rng.integers(0, 2, (12, 16))
    metric = BinaryScores(META)
    metric.update([found], [given_map(truth, to_original=[[2, 0, 0], [0, 2, 0]])])
    large = torch.nn.functional.interpolate(torch.tensor(found["probabilities"])[None], scale_factor=2, mode="bilinear")
    chances = large[0].double().numpy()
    values = np.log(chances[1]) - np.log(chances[0])
    assert metric.compute()["AUC"] == pytest.approx(area_by_ranks(values.ravel(), truth.ravel() == 1), abs=2e-3)


def test_pixels_without_an_answer_rank_behind_all_others():
    truth = [[1, 0, 1, 0, 1, 0]]
    found = answer([[1, 0, 1, 0, 255, 255]], [[0.9, 0.1, 0.8, 0.2, 0, 0]])
    found["probabilities"][:, 0, 4:] = 0
    scores = scored((truth, found)).compute()
    assert scores["AUC"] == pytest.approx(2 * 2 / 9)
    assert scores["AP"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 6) / 3)
    # a view of the left part only
    sample = given_map(truth)
    metric = BinaryScores(META)
    part = answer([[1, 0, 1, 0]], [[0.9, 0.1, 0.8, 0.2]])
    metric.update([part], [sample])
    assert metric.compute() == pytest.approx(scores)


def test_a_file_without_a_sample_is_all_missed():
    metric = scored(([[0, 1]], answer([[0, 1]], [[0.1, 0.9]])))
    metric.add_truth(9, {"semantic": np.uint8([[1, 0, 255]]), "size": (1, 3)})
    metric.add_truth(10, {"size": (1, 3)})
    scores = metric.compute()
    assert scores["sensitivity"] == scores["specificity"] == scores["accuracy"] == 0.5
    assert scores["AUC"] == pytest.approx(1 / 4)
    assert metric.per_image()[9]["AUC"] == 0
    assert 10 not in metric.per_image()


def test_without_probabilities_only_the_areas_are_missing():
    sure, bare = answer([[0, 1]], [[0.2, 0.7]]), answer([[1, 1]])
    metric = scored(([[0, 1]], sure), ([[0, 1]], bare))
    scores = metric.compute()
    assert scores["Dice"] == pytest.approx(4 / 5)
    assert np.isnan(scores["AUC"])
    assert metric.compute({0: 2.0})["AUC"] == 1  # of an image that does not count, nothing is asked
    assert [np.isnan(each["AP"]) for each in metric.per_image().values()] == [False, True]


@settings(deadline=None, max_examples=20)
@given(
    arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 1, 255])),
    arrays(np.int64, (3, 4, 5), elements=st.integers(0, 9)),
    arrays(np.int64, 3, elements=st.integers(0, 3)),
)
def test_weights_are_repetitions_and_halves_merge(truths, tenths, counts):
    pairs = [(truth, answer(each >= 5, each / 10)) for truth, each in zip(truths, tenths, strict=True)]
    repeated = scored(*(pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)))
    weights = {image_id: float(count) for image_id, count in enumerate(counts)}
    assert scored(*pairs).compute(weights) == pytest.approx(repeated.compute(), nan_ok=True)
    first, second = scored(*pairs[:2]), BinaryScores(META)
    second.update([pairs[2][1]], [given_map(truths[2], 2)])
    second.merge(pickle.loads(pickle.dumps(first)))
    assert second.compute() == pytest.approx(scored(*pairs).compute(), nan_ok=True)
    assert str(second.per_image()) == str(scored(*pairs).per_image())


def test_records_stay_small():
    """However large an image is, there are so many bins, of 6 bytes until one holds more than 65535 pixels."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (600, 800))
    metric = scored((truth, of_logits(rng.normal(size=truth.shape) * 6)))
    assert len(pickle.dumps(metric)) < 65081 * 6 + 2000


@pytest.mark.parametrize("ignored", [0, 1, 254])
def test_a_label_of_ones_own_is_not_scored(ignored):
    rng = np.random.default_rng(0)
    truth, chances = rng.choice([0, 1, 254] if ignored == 254 else [0, 1], (6, 7)), rng.random((6, 7))
    found = answer(chances > 0.5, chances)
    metric, expected = BinaryScores(META, ignore_index=ignored), BinaryScores(META)
    metric.update([found], [given_map(truth)])
    expected.update([found], [given_map(np.where(truth == ignored, 255, truth))])
    assert metric.compute() == pytest.approx(expected.compute(), nan_ok=True)
    for each, labels in ((metric, truth), (expected, np.where(truth == ignored, 255, truth))):
        each.add_truth(2, given_map(labels)["truth"])
    assert metric.compute() == pytest.approx(expected.compute(), nan_ok=True)


def test_empty_metrics_say_nan_under_every_name():
    scores = BinaryScores(META).compute()
    assert list(scores) == NAMES
    assert all(np.isnan(value) for value in scores.values())


def test_what_cannot_be_scored_says_so():
    with pytest.raises(ConfigError, match="two classes, and this data set has 3: a, b, c"):
        BinaryScores(DatasetMeta(semantic_classes=("a", "b", "c")))
    with pytest.raises(ConfigError, match="BinaryScores needs a data set with semantic maps"):
        BinaryScores(DatasetMeta(classes=("person",)))
    with pytest.raises(DataError, match=r"0\.png: annotated labels \[2\] are no classes"):
        scored(([[0, 2]], answer([[0, 0]])))
    with pytest.raises(TypeError, match="MeanIoU"):
        BinaryScores(META).merge(MeanIoU(META))
