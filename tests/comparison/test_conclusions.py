import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from densezoo.comparison.conclusions import compare_arms, conclude, pairs_of
from densezoo.comparison.power import seeds_needed
from densezoo.comparison.statistics import holm, paired_difference
from densezoo.comparison.study import AGAIN, Study
from densezoo.comparison.study_results import ArmResults, Cost, SeedResult
from densezoo.errors import DataError

METRIC = "pose/PCK@0.2"
IMAGES = np.random.default_rng(0).normal(size=100)  # what other images do to every run


def run_of(name, seed, score, image_sd=0.001, clusters=40):
    return SeedResult(
        seed=seed,
        folder=Path(f"units/{name}/seed-{seed}"),
        scores={METRIC: score, f"{METRIC}/knee": 0.5},
        draws=score + image_sd * IMAGES,
        clusters=clusters,
        per_image={},
        log=[],
        seconds=1.0,
        command="",
    )


def arm_of(name, scores, **kwargs):
    runs = {seed: run_of(name, seed, score, **kwargs) for seed, score in scores.items()}
    return ArmResults(name, {}, Cost(1, 1, 1.0, 1), 0.1, {}, runs)


def study_of(**kwargs):
    return Study("s", "s.py", [], [0, 1, 2], METRIC, 0.01, [0.1], **kwargs)


BASE = arm_of("base", {0: 0.600, 1: 0.603, 2: 0.601, 3: 0.602})
GOOD = arm_of("good", {0: 0.650, 1: 0.654, 2: 0.652, 3: 0.651}, image_sd=0.002)
SAME = arm_of("same", {0: 0.600, 1: 0.604, 2: 0.601, 3: 0.602})
OPEN = arm_of("open", {0: 0.580, 1: 0.650, 2: 0.600, 3: 0.660})
AGAIN_ARM = arm_of(AGAIN, {0: 0.604, 1: 0.600, 2: 0.602, 3: 0.599})
ARMS = [BASE, GOOD, SAME, OPEN, AGAIN_ARM]


def test_what_a_study_says():
    said = conclude(ARMS, study_of(), higher_is_better=True)
    assert [(each.arm, each.base, each.verdict) for each in said.comparisons] == [
        ("good", "base", "better"),
        ("same", "base", "tie"),
        ("open", "base", "undecided"),
    ]
    assert [each.reason for each in said.comparisons] == [None] * 3
    good = said.comparisons[0]
    alone = paired_difference(
        *(np.array([run.scores[METRIC] for run in arm.runs.values()]) for arm in (GOOD, BASE)),
        *(np.stack([run.draws for run in arm.runs.values()]) for arm in (GOOD, BASE)),
        40,
        0.01,
    )
    assert good.difference == alone
    assert good.seeds == [0, 1, 2, 3]
    assert good.difference.image_error == pytest.approx(0.001 * IMAGES.std(ddof=1) * math.sqrt(40 / 39))
    assert good.difference.shared_error == pytest.approx(good.difference.image_error)
    assert good.needed == seeds_needed(alone.sd, alone.shared_error, alone.own_error, 40, 0.01, comparisons=3)
    assert said.comparisons[2].needed.seeds > 50
    assert [score.name for score in said.scores] == ["base", "good", "same", "open", AGAIN]
    assert said.scores[0].score.mean == pytest.approx(0.6015)
    assert said.scores[0].score.sd == pytest.approx(np.std([0.600, 0.603, 0.601, 0.602], ddof=1))


def test_lower_may_be_better():
    said = conclude(ARMS, study_of(), higher_is_better=False)
    assert [each.verdict for each in said.comparisons] == ["worse", "tie", "undecided"]


def test_the_family_is_what_is_compared_with_the_base():
    said = conclude(ARMS, study_of(), higher_is_better=True)
    assert [each.adjusted_p for each in said.comparisons] == holm([each.difference.p for each in said.comparisons])
    assert [each.adjusted_p_tie for each in said.comparisons] == holm(
        [each.difference.p_tie for each in said.comparisons]
    )
    again = said.noise.comparison
    assert (again.arm, again.base) == (AGAIN, "base")
    assert again.adjusted_p == again.difference.p


def test_every_pair_on_request():
    assert pairs_of(["base", "a", "b", AGAIN]) == [("a", "base"), ("b", "base")]
    said = conclude(ARMS, study_of(all_pairs=True), higher_is_better=True)
    assert len(said.comparisons) == 6
    with_base = conclude(ARMS, study_of(), higher_is_better=True).comparisons
    assert [each.adjusted_p for each in said.comparisons[:3]] == [each.adjusted_p for each in with_base]
    assert [each.adjusted_p for each in said.comparisons[3:]] == holm(
        [each.difference.p for each in said.comparisons[3:]]
    )
    assert said.comparisons[-1].difference.mean == pytest.approx(0.6225 - 0.60175)


def test_the_noise_floor_is_of_all_runs_of_the_base():
    noise = conclude(ARMS, study_of(), higher_is_better=True).noise
    scores = [0.600, 0.603, 0.601, 0.602, 0.604, 0.600, 0.602, 0.599]
    assert noise.runs == 8
    assert noise.sd == pytest.approx(np.std(scores, ddof=1))
    assert noise.single_runs == pytest.approx(stats.t.ppf(0.975, 7) * math.sqrt(2) * noise.sd)
    assert conclude([BASE, GOOD], study_of(), higher_is_better=True).noise is None


def test_only_seeds_that_both_have_finished_are_pairs():
    late = replace(GOOD, runs={seed: GOOD.runs[seed] for seed in (3, 1)})
    comparison = conclude([BASE, late], study_of(), higher_is_better=True).comparisons[0]
    assert comparison.seeds == [1, 3]
    assert comparison.difference.mean == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        (arm_of("a", {}), "there is no seed that both have finished"),
        (arm_of("a", {2: 0.7}), "with one seed it is not known how much seeds matter"),
        (arm_of("a", {0: 0.7, 1: math.nan}), f"{METRIC} of units/a/seed-1 is not a number"),
        (arm_of("a", {0: 0.7, 1: 0.7}, image_sd=math.nan), f"{METRIC} is defined in 0 of 100 draws of test images"),
    ],
)
def test_what_cannot_be_judged_is_undecided_for_a_reason(arm, reason):
    others = compare_arms([BASE, arm, GOOD], [("a", "base"), ("good", "base")], METRIC, 0.01, True)
    assert (others[0].verdict, others[0].reason) == ("undecided", reason)
    assert others[0].needed.seeds is None
    assert others[1].adjusted_p == 2 * others[1].difference.p  # what is not known yet is of the family, too


def test_images_of_one_cluster_say_nothing_of_others():
    arms = [arm_of("base", {0: 0.1, 1: 0.2}, clusters=1), arm_of("a", {0: 0.3, 1: 0.4}, clusters=1)]
    comparison = compare_arms(arms, [("a", "base")], METRIC, 0.01, True)[0]
    assert comparison.verdict == "undecided"
    assert comparison.reason.startswith("the test images are of one cluster")


def test_runs_scored_on_other_images_are_refused():
    with pytest.raises(DataError, match=r"a.seed-0 was scored with 12 clusters .*base.seed-0 with 40"):
        compare_arms([BASE, arm_of("a", {0: 0.3}, clusters=12)], [("a", "base")], METRIC, 0.01, True)
    short = replace(run_of("a", 0, 0.3), draws=np.zeros(7))
    with pytest.raises(DataError, match=r"7 draws of test images and .*base.seed-0 with 100"):
        compare_arms([BASE, replace(GOOD, runs={0: short})], [("good", "base")], METRIC, 0.01, True)
    rows = [{image: {METRIC: 0.5} for image in images} for images in ((1, 2, 3), (1, 2, 4))]
    arms = [arm_of(name, {0: 0.3}) for name in ("base", "a")]
    for arm, own in zip(arms, rows, strict=True):  # as many images, but not the same
        arm.runs[0] = replace(arm.runs[0], per_image=own)
    with pytest.raises(DataError, match=r"different images: one of them has not got 2, such as 3"):
        compare_arms(arms, [("a", "base")], METRIC, 0.01, True)


def test_an_arm_without_runs_has_no_score():
    said = conclude([arm_of("base", {}), arm_of(AGAIN, {})], study_of(), higher_is_better=True)
    assert math.isnan(said.scores[0].score.mean)
    assert said.comparisons == []
    assert said.noise.runs == 0
    assert math.isnan(said.noise.sd)
