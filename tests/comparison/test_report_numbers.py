import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from densezoo.comparison.report_numbers import (
    CurvePoint,
    curve_over_seeds,
    mean_sd,
    paired_interval,
    parts_of,
    points_of,
    seed_interval,
)
from densezoo.comparison.study_results import ArmResults, Cost, SeedResult
from densezoo.engine.files import finite

NAN = float("nan")


def run(seed, scores, log=()):
    return SeedResult(seed, Path(), scores, np.zeros(0), 1, {}, list(log), 1.0, "")


def arm(name, *runs, macs=10**6):
    return ArmResults(name, {}, Cost(1000, macs, 1.0, 2**20), 0.1, {}, {each.seed: each for each in runs})


def test_the_interval_of_paired_differences_is_that_of_a_t_test():
    differences = [0.03, 0.01, 0.05, -0.02, 0.02]
    found = seed_interval(differences)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((0.018, expected.low, expected.high))
    assert seed_interval([*differences, NAN]) == found
    single = seed_interval([0.25])
    assert single.mean == 0.25
    assert math.isnan(single.low)
    assert math.isnan(seed_interval([]).mean)
    assert mean_sd([1.0, 3.0, math.inf]) == (2.0, pytest.approx(math.sqrt(2)))


def test_pairs_are_those_that_both_have():
    base = arm("base", run(0, {"a/b/c": 0.5}), run(2, {"a/b/c": 0.1}), run(3, {"a/b/c": 0.4}))
    other = arm("other", run(3, {"a/b/c": 0.6}), run(1, {"a/b/c": 0.9}), run(0, {"a/b/c": 0.6}))
    found = paired_interval(base, other, "a/b/c")
    assert found.mean == pytest.approx(0.15)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 1) * np.std([0.1, 0.2], ddof=1) / math.sqrt(2))


def test_parts_are_those_of_the_metric_alone():
    scores = {"pose/PCK@0.2": 1.0, "pose/PCK@0.2/a/b": 1.0, "pose/PCK@0.25/c": 1.0, "seg/PCK@0.2/d": 1.0}
    assert parts_of([arm("one"), arm("other", run(0, scores))], "pose/PCK@0.2") == ["a/b"]


@pytest.mark.parametrize(("higher", "front"), [(True, {"cheap", "good"}), (False, {"cheap", "bad"})])
def test_the_front_has_what_no_other_beats(higher, front):
    arms = [
        arm("good", run(0, {"m": 0.8}), run(1, {"m": 0.9}), macs=4 * 10**6),
        arm("cheap", run(0, {"m": 0.6}), macs=10**6),
        arm("bad", run(0, {"m": 0.4}), macs=4 * 10**6),
        arm("dear", run(0, {"m": 0.85 if higher else 0.4}), macs=5 * 10**6),
        arm("unknown", run(0, {"m": NAN}), macs=10),
        arm("empty", macs=10),
    ]
    points = {point.arm: point for point in points_of(arms, "m", "MACs", higher)}
    assert points.keys() == {"good", "cheap", "bad", "dear"}
    assert {name for name, point in points.items() if point.on_front} == front
    assert (points["good"].cost, points["good"].score) == (4.0, pytest.approx(0.85))
    same = points_of([replace(arms[0], name="twin"), arms[0]], "m", "MACs", higher)
    assert all(point.on_front for point in same)


def test_curves_are_means_of_the_epochs_that_seeds_have():
    def log(*values):
        records = [{"kind": "train", "epoch": epoch, "step": epoch, "loss": 9.0} for epoch in (1, 2)]
        return records + [{"kind": "eval", "epoch": 2, "step": 2, "scores": {"m": value}} for value in values]

    found = curve_over_seeds(arm("a", run(0, {}, log(0.5)), run(1, {}, log(0.7)), run(2, {}, log(None))), "m")
    assert found == [CurvePoint(2, pytest.approx(0.6), pytest.approx(math.sqrt(0.02)), 2)]
    losses = curve_over_seeds(arm("a", run(0, {}, log(0.5))), None)
    assert [(point.epoch, point.mean, math.isnan(point.sd)) for point in losses] == [(1, 9.0, True), (2, 9.0, True)]


def test_values_without_a_word_in_json_are_none():
    value = {0.1: [NAN, np.float32(0.5), (math.inf, "x")], "n": np.int64(3)}
    assert finite(value) == {"0.1": [None, 0.5, [None, "x"]], "n": 3}
