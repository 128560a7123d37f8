import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from densezoo.comparison.statistics import (
    Part,
    estimate,
    half_width,
    holm,
    p_value,
    paired_difference,
    verdict,
)

SCORES = np.array([0.62, 0.66, 0.60, 0.69, 0.64])
BASE = np.array([0.60, 0.61, 0.61, 0.63, 0.60])


def repeated(scores, count=20):
    """Draws in which other images would have given the same."""
    return np.repeat(scores[:, None], count, axis=1)


def moved(scores, sd, count=200):
    """Draws that move all seeds alike."""
    shifts = np.random.default_rng(1).normal(size=count)
    return scores[:, None] + sd * (shifts - shifts.mean()) / shifts.std(ddof=1)


def test_without_chance_in_the_images_it_is_the_paired_t_test():
    found = paired_difference(SCORES, BASE, repeated(SCORES), repeated(BASE), 50, 0.05)
    reference = stats.ttest_rel(SCORES, BASE)
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx(0.032)
    assert (found.seeds, found.draws) == (5, 20)
    assert found.sd == pytest.approx((SCORES - BASE).std(ddof=1))
    assert found.error == pytest.approx(found.sd / math.sqrt(5))
    tie = stats.ttest_1samp(SCORES - BASE, 0.05, alternative="less")  # the nearer side
    assert found.p_tie == pytest.approx(tie.pvalue)


def test_without_chance_in_the_seeds_it_is_a_t_test_of_the_images():
    found = paired_difference(BASE + 0.03, BASE, moved(BASE + 0.03, 0.01, 10**5), repeated(BASE, 10**5), 26, 0.01)
    error = 0.01 * math.sqrt(26 / 25)
    assert found.image_error == pytest.approx(error)
    assert found.seed_error == pytest.approx(0, abs=1e-12)
    assert found.p == pytest.approx(2 * stats.t.sf(0.03 / error, 25), rel=1e-2)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 25) * error, rel=1e-3)
    assert found.p_tie == pytest.approx(1 - stats.t.sf(0.02 / error, 25), rel=1e-2)  # it is beyond 0.01


def test_the_interval_adds_both_parts_each_with_its_own_t():
    found = paired_difference(SCORES, BASE, moved(SCORES, 0.01), repeated(BASE, 200), 41, 0.05)
    image_error = 0.01 * math.sqrt(41 / 40)
    freedom = 1 / (1 / 40 + 1 / 199)
    half = math.sqrt(
        (stats.t.ppf(0.975, 4) * found.sd / math.sqrt(5)) ** 2 + (stats.t.ppf(0.975, freedom) * image_error) ** 2
    )
    assert found.image_error == pytest.approx(image_error)
    assert found.error == pytest.approx(math.hypot(found.sd / math.sqrt(5), image_error))
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))


def test_the_p_value_is_the_level_whose_interval_just_reaches_the_hypothesis():
    parts = [Part(0.4, 2), Part(0.3, 50)]
    for distance in (0.01, 0.5, 1.0, 3.0, 20.0):
        assert half_width(p_value(distance, parts), parts) == pytest.approx(distance, rel=1e-6)
        assert p_value(-distance, parts) == p_value(distance, parts)
    assert 0 < p_value(1e9, parts) < 1e-11
    assert p_value(1e-9, parts) == pytest.approx(1)
    one_sided = paired_difference(SCORES, BASE, moved(SCORES, 0.01), repeated(BASE, 200), 41, 0.05).p_tie
    parts = [
        Part((SCORES - BASE).std(ddof=1) / math.sqrt(5), 4),
        Part(0.01 * math.sqrt(41 / 40), 1 / (1 / 40 + 1 / 199)),
    ]
    assert half_width(2 * one_sided, parts) == pytest.approx(0.05 - 0.032)


def test_the_images_part_is_the_error_of_a_mean_over_images():
    values = np.array([0.1, 0.5, 0.4, 0.9])
    draws = np.array([values[list(drawn)].mean() for drawn in itertools.product(range(4), repeat=4)])  # every one
    found = estimate(np.full(3, values.mean()), np.stack([draws] * 3), 4)
    assert found.image_error == pytest.approx(values.std(ddof=1) / 2 * math.sqrt(256 / 255))


def test_the_shared_part_is_what_seeds_have_in_common():
    rng = np.random.default_rng(2)
    common, own = rng.normal(size=10**5), rng.normal(size=(5, 10**5))
    found = estimate(SCORES, SCORES[:, None] + 0.01 * common + 0.03 * own, 41)
    scale = math.sqrt(41 / 40)
    assert found.shared_error == pytest.approx(0.01 * scale, rel=0.02)
    assert found.own_error == pytest.approx(0.03 * scale, rel=0.02)
    assert found.image_error == pytest.approx(math.hypot(found.shared_error, found.own_error / math.sqrt(5)))
    alike = estimate(SCORES, moved(SCORES, 0.01), 41)
    assert alike.shared_error == pytest.approx(alike.image_error)
    assert alike.own_error == pytest.approx(0, abs=1e-8)
    apart = estimate(SCORES[:2], SCORES[:2, None] + 0.01 * np.array([common, -common]), 41)
    assert apart.shared_error == 0  # a variance is not below zero


def test_what_all_pairs_have_in_common_cancels():
    common = moved(np.zeros(5), 1.0) * np.linspace(1, 2, 5)[:, None]
    found = paired_difference(SCORES, BASE, SCORES[:, None] + common, BASE[:, None] + common, 41, 0.05)
    assert found.image_error == pytest.approx(0, abs=1e-12)


def test_equal_arms_are_a_tie_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired_difference(BASE, BASE, moved(BASE, 0.1), moved(BASE, 0.1), 30, 0.01)
        shifted = paired_difference(
            np.full(3, 0.5), np.full(3, 0.25), np.full((3, 9), 0.5), np.full((3, 9), 0.25), 30, 0.1
        )
    assert (found.mean, found.error, found.low, found.high) == (0, 0, 0, 0)
    assert (found.p, found.p_tie) == (1, 0)
    assert (shifted.p, shifted.p_tie) == (0, 1)


def test_with_one_seed_or_one_cluster_the_error_is_not_known():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = paired_difference(SCORES[:1], BASE[:1], moved(SCORES[:1], 0.1), repeated(BASE[:1], 200), 30, 0.01)
        cluster = paired_difference(SCORES, BASE, moved(SCORES, 0.1), repeated(BASE, 200), 1, 0.01)
        undrawn = paired_difference(SCORES, BASE, np.zeros((5, 0)), np.zeros((5, 0)), 30, 0.01)
        none = paired_difference(SCORES[:0], BASE[:0], np.zeros((0, 0)), np.zeros((0, 0)), 0, 0.01)
    assert one.mean == pytest.approx(0.02)
    assert one.image_error > 0
    assert np.isnan([one.shared_error, one.own_error, cluster.shared_error]).all()
    assert cluster.seed_error > 0
    assert np.isnan([one.sd, cluster.image_error, undrawn.image_error, none.mean]).all()
    for found in (one, cluster, undrawn, none):
        assert np.isnan([found.error, found.low, found.high, found.p, found.p_tie]).all()
        assert verdict(found.p, found.p_tie, found.mean, True) == "undecided"


def test_draws_without_a_score_are_left_out_and_counted():
    draws, other = moved(SCORES, 0.01), repeated(BASE, 200)
    draws[2, :50], other[4, 150:] = math.nan, math.nan
    found = paired_difference(SCORES, BASE, draws, other, 41, 0.05)
    whole = paired_difference(SCORES, BASE, draws[:, 50:150], other[:, 50:150], 41, 0.05)
    assert found.draws == 100
    assert found == whole


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_leaves_nothing_known(bad):
    scores, base = SCORES.copy(), BASE.copy()
    scores[3] = base[3] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired_difference(scores, base, repeated(scores), repeated(base), 30, 0.01)
    assert np.isnan([found.mean, found.sd, found.p, found.p_tie]).all()


def test_pairs_need_equal_shapes():
    with pytest.raises(ValueError, match=r"one shape each, got \(5,\), \(4,\)"):
        paired_difference(SCORES, BASE[:4], repeated(SCORES), repeated(BASE[:4]), 30, 0.01)
    with pytest.raises(ValueError, match=r"got \(5,\) and \(4, 20\)"):
        estimate(SCORES, repeated(BASE[:4]), 30)


def test_holms_correction():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.6]) == [1, 1]
    assert holm([]) == []
    first, second, third = holm([0.02, math.nan, 0.03])
    assert (first, third) == pytest.approx((0.06, 0.06))
    assert math.isnan(second)


@pytest.mark.parametrize(
    ("p", "p_tie", "difference", "higher_is_better", "said"),
    [
        (0.01, 0.9, 0.1, True, "better"),
        (0.01, 0.9, -0.1, True, "worse"),
        (0.01, 0.9, 0.1, False, "worse"),
        (0.01, 0.9, -0.1, False, "better"),
        (0.60, 0.01, 0.1, True, "tie"),
        (0.01, 0.01, 0.1, True, "tie"),
        (0.06, 0.06, 0.1, True, "undecided"),
        (math.nan, math.nan, 0.1, True, "undecided"),
    ],
)
def test_verdicts(p, p_tie, difference, higher_is_better, said):
    assert verdict(p, p_tie, difference, higher_is_better) == said
