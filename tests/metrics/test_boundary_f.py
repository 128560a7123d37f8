import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from densezoo.errors import ConfigError, DataError
from densezoo.metrics.boundary_f import BoundaryF
from densezoo.metrics.mean_iou import MeanIoU
from densezoo.types import DatasetMeta

META = DatasetMeta(semantic_classes=("ground", "tree", "sky"))
SIZE = (12, 16)
"""The diagonal is 20 pixels, so a tolerance of 0.1 is 2: the distance of pixels that have one between them."""


def given_map(truth, image_id=1, to_original=None):
    return {
        "image_id": image_id,
        "path": f"{image_id}.png",
        "to_original": np.eye(2, 3) if to_original is None else np.asarray(to_original, float),
        "truth": {"semantic": np.array(truth, np.uint8), "size": np.shape(truth)},
    }


def answer(labels):
    return {"semantic": np.array(labels, np.uint8), "scores": np.zeros(0, np.float32)}


def scored(*pairs, **arguments):
    metric = BoundaryF(META, **arguments)
    for image_id, (truth, found) in enumerate(pairs):
        metric.update([answer(found)], [given_map(truth, image_id)])
    return metric


def boundary(labels, label):
    """(n, 2) rows and columns, pixel by pixel."""
    height, width = labels.shape
    points = []
    for row, column in np.argwhere(labels == label).tolist():
        beside = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        around = [labels[y, x] for y, x in beside if 0 <= y < height and 0 <= x < width]
        if any(other not in (label, 255) for other in around):
            points.append((row, column))
    return np.array(points, int).reshape(-1, 2)


def brute_force(truth, found, squared, ignored=255):
    """F of each class by the distance of every pixel to every other, in whole numbers."""
    hidden = np.isin(truth, (255, ignored))
    maps = [np.where(hidden, 255, labels) for labels in (truth, found)]
    measures = []
    for label in range(3):
        annotated, answered = (boundary(labels, label) for labels in maps)
        if label == ignored or (not len(annotated) and not len(answered)):
            measures.append(np.nan)
            continue
        near = ((annotated[:, None] - answered[None]) ** 2).sum(-1) < squared
        precision = near.any(0).mean() if len(answered) else 0
        recall = near.any(1).mean() if len(annotated) else 0
        measures.append(2 * precision * recall / (precision + recall) if precision + recall else 0)
    return measures


def mean(values):
    known = [value for value in values if not np.isnan(value)]
    return sum(known) / len(known) if known else np.nan


@st.composite
def maps(draw):
    """Areas of a few pixels, so that boundaries of different maps are at all distances."""
    coarse = draw(arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 0, 1, 2, 255])))
    return np.roll(coarse.repeat(4, 0).repeat(4, 1), draw(st.tuples(st.integers(0, 3), st.integers(0, 3))), (0, 1))


@settings(deadline=None, max_examples=60)
@given(st.tuples(maps(), maps()), st.tuples(maps(), maps()), st.sampled_from([255, 0]), st.sampled_from([1, 2, 3]))
def test_scores_are_those_of_the_distance_of_every_pixel_to_every_other(first, second, ignored, tolerance):
    pairs = [first, second]
    metric = scored(*pairs, tolerance=tolerance / 20, ignore_index=ignored)
    expected = np.array([brute_force(*pair, tolerance**2, ignored) for pair in pairs])
    images = [mean(measures) for measures in expected.tolist()]
    scores = metric.compute()
    assert scores["boundary_F"] == pytest.approx(mean(images), nan_ok=True, rel=1e-12)
    for label, name in enumerate(META.semantic_classes):
        assert scores[f"boundary_F/{name}"] == pytest.approx(mean(expected[:, label].tolist()), nan_ok=True, rel=1e-12)
    found = [values["boundary_F"] for values in metric.per_image().values()]
    assert found == pytest.approx(images, nan_ok=True, rel=1e-12)


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (5, 1.0), (6, 0.0)])
def test_the_tolerance_is_a_share_of_the_diagonal_and_must_not_be_reached(shift, expected):
    truth = np.zeros((480, 640), np.uint8)  # a diagonal of 800 pixels: 0.75 % are 6
    found = truth.copy()
    truth[:, 300:], found[:, 300 + shift :] = 1, 1
    scores = scored((truth, found)).compute()
    assert scores["boundary_F"] == expected
    assert scores["boundary_F/tree"] == expected
    assert np.isnan(scores["boundary_F/sky"])


def test_images_count_alike_and_classes_within_them():
    one = np.zeros(SIZE, np.uint8)
    one[:, 8:] = 1
    other = one.copy()
    other[6:, 12:] = 2
    flat = np.zeros(SIZE, np.uint8)
    metric = scored((one, one), (one, flat), (flat, one), (flat, flat), (other, other), (one, other))
    images = [scores["boundary_F"] for scores in metric.per_image().values()]
    assert images[:3] == [1, 0, 0]
    assert np.isnan(images[3])
    assert images[4] == 1
    # the third class, which nobody annotated, and the pixels of the second beside it
    assert images[5] == pytest.approx(np.mean(brute_force(one, other, 0.15**2)))
    scores = metric.compute()
    assert scores["boundary_F"] == pytest.approx((1 + 0 + 0 + 1 + images[5]) / 5)
    assert scores["boundary_F/sky"] == (1 + 0) / 2
    assert scores["boundary_F/ground"] == pytest.approx((1 + 0 + 0 + 1 + brute_force(one, other, 0.15**2)[0]) / 5)


def test_pixels_without_a_label_are_neither_boundary_nor_error():
    truth = np.zeros(SIZE, np.uint8)
    truth[:, 8:] = 1
    found = truth.copy()
    truth[:4], found[:4, ::2] = 255, 2  # nonsense where nothing is annotated
    assert scored((truth, found)).compute()["boundary_F"] == 1
    truth[:, 7:9] = 255  # and a void between all areas, as in Pascal VOC
    assert np.isnan(scored((truth, found)).compute()["boundary_F"])


def test_an_answer_that_covers_a_part_has_no_boundary_at_its_rim():
    truth = np.zeros(SIZE, np.uint8)
    truth[:, 8:] = 1
    found = np.full(SIZE, 255, np.uint8)
    found[3:9, 3:13] = truth[3:9, 3:13]
    precision, recall = 1, 6 / 12
    expected = 2 * precision * recall / (precision + recall)
    assert scored((truth, found)).compute()["boundary_F"] == pytest.approx(expected)


def test_answers_are_compared_in_the_files_pixels():
    truth = np.arange(3).repeat(4)[None].repeat(6, 0)
    metric = BoundaryF(META)
    metric.update([answer([[0, 0, 1, 1, 2, 2]] * 3)], [given_map(truth, to_original=[[2, 0, 0], [0, 2, 0]])])
    assert metric.compute()["boundary_F"] == 1


def test_a_file_without_a_sample_is_all_missed():
    truth = np.zeros(SIZE, np.uint8)
    truth[:, 8:] = 1
    metric = scored((truth, truth))
    metric.add_truth(9, {"semantic": truth, "size": SIZE})
    metric.add_truth(10, {"size": SIZE})
    assert metric.compute()["boundary_F"] == 0.5
    assert metric.per_image() == {0: {"boundary_F": 1}, 9: {"boundary_F": 0}}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(maps(), maps()), min_size=3, max_size=3), arrays(np.int64, 3, elements=st.integers(0, 3)))
def test_weights_are_repetitions_and_halves_merge(pairs, counts):
    repeated = scored(*(pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)))
    weights = {image_id: float(count) for image_id, count in enumerate(counts)}
    assert scored(*pairs).compute(weights) == pytest.approx(repeated.compute(), nan_ok=True)
    first, second = scored(*pairs[:2]), BoundaryF(META)
    second.update([answer(pairs[2][1])], [given_map(pairs[2][0], 2)])
    second.merge(pickle.loads(pickle.dumps(first)))
    assert second.compute() == pytest.approx(scored(*pairs).compute(), nan_ok=True)
    assert str(second.per_image()) == str(scored(*pairs).per_image())


def test_empty_metrics_say_nan_under_every_name():
    scores = BoundaryF(META).compute()
    assert list(scores) == ["boundary_F", "boundary_F/ground", "boundary_F/tree", "boundary_F/sky"]
    assert all(np.isnan(value) for value in scores.values())


def test_what_cannot_be_scored_says_so():
    with pytest.raises(DataError, match=r"0\.png: annotated labels \[3\] are no classes"):
        scored(([[0, 3]], [[0, 0]]))
    with pytest.raises(DataError, match="BoundaryF needs a segmentation task"):
        BoundaryF(META).update([{"scores": np.zeros(0)}], [given_map([[0, 1]])])
    with pytest.raises(ConfigError, match="BoundaryF needs a data set with semantic maps"):
        BoundaryF(DatasetMeta(classes=("person",)))
    with pytest.raises(ConfigError, match=r"tolerance=0\.0 is a share"):
        BoundaryF(META, tolerance=0.0)
    with pytest.raises(ConfigError, match="BoundaryF: ignore_index=256"):
        BoundaryF(META, ignore_index=256)
    with pytest.raises(TypeError, match="MeanIoU"):
        BoundaryF(META).merge(MeanIoU(META))
