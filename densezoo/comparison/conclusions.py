"""What a study's runs say: each arm's mean, comparisons with their verdicts, and how much is noise.

    conclusions = conclude(results, study, higher_is_better=True)
    for comparison in conclusions.comparisons:
        print(comparison.arm, comparison.difference.mean, comparison.verdict)

How a difference is judged is in `densezoo.comparison.statistics`. The comparisons with the base are one family, and
with Holm's correction the chance that any of them is wrongly called better or worse is 5 %, and so is that of any
wrongly called tie. The comparisons of the other arms with each other, where they are asked for, are a second family,
and the repetition of the base is a third.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from densezoo.comparison.ledger import LEDGER_FILES
from densezoo.comparison.power import SeedsNeeded, seeds_needed
from densezoo.comparison.statistics import (
    ERROR_RATE,
    Difference,
    Estimate,
    Verdict,
    estimate,
    holm,
    paired_difference,
    verdict,
)
from densezoo.comparison.study import AGAIN, Study
from densezoo.comparison.study_results import ArmResults, SeedResult
from densezoo.errors import DataError
from densezoo.types import Array


@dataclass(frozen=True)
class ArmScore:
    """An arm's score, over the runs that it has finished; its interval is for the arm alone, not for differences."""

    name: str
    score: Estimate


@dataclass(frozen=True)
class Comparison:
    """An arm and what it is compared with.

    Attributes:
        arm: its name.
        base: name of the other.
        seeds: numbers of the pairs, those that both have finished.
        difference: of the arm from the other.
        adjusted_p: of no difference, with Holm's correction.
        adjusted_p_tie: of a difference that matters, likewise.
        verdict: on the arm.
        reason: why nothing can be said, in words; None where the numbers speak.
        needed: what would find a difference of the smallest that matters.
    """

    arm: str
    base: str
    seeds: list[int]
    difference: Difference
    adjusted_p: float
    adjusted_p_tie: float
    verdict: Verdict
    reason: str | None
    needed: SeedsNeeded


@dataclass(frozen=True)
class NoiseFloor:
    """How far runs of one config are apart by chance: that of seeds and, where several were tried, of learning rates.

    Attributes:
        runs: of the base and of its repetition.
        sd: standard deviation of their scores.
        single_runs: what the scores of two such runs differ by at most, in 95 % of pairs.
        comparison: of the repetition with the base; with one learning rate it is called better or worse in 5 % of all
            studies, with a choice of them rather more often.
    """

    runs: int
    sd: float
    single_runs: float
    comparison: Comparison


@dataclass(frozen=True)
class Conclusions:
    """All that a study says.

    Attributes:
        scores: of every arm, in the study's order.
        comparisons: with the base, and then, where all pairs are asked for, of the other arms with each other; without
            the base's repetition.
        noise: None where the base was not repeated.
    """

    scores: list[ArmScore]
    comparisons: list[Comparison]
    noise: NoiseFloor | None


def conclude(results: Sequence[ArmResults], study: Study, higher_is_better: bool) -> Conclusions:
    """Say what the runs of a study say.

    Args:
        results: of the arms, the base first.
        study: that they are of.
        higher_is_better: of its metric.

    Raises:
        DataError: runs were not scored on the same images.
    """
    scores = [ArmScore(arm.name, _score(list(arm.runs.values()), study.metric)) for arm in results]
    names = [arm.name for arm in results]
    families = [pairs_of(names)]
    if study.all_pairs:  # a family of its own, so that asking for it changes no verdict on the base
        arms = [name for name in names[1:] if name != AGAIN]
        families.append([(arm, other) for other, arm in itertools.combinations(arms, 2)])
    comparisons = [
        each
        for pairs in families
        for each in compare_arms(results, pairs, study.metric, study.smallest_difference, higher_is_better)
    ]
    noise = None
    if AGAIN in names:
        again = compare_arms(results, [(AGAIN, names[0])], study.metric, study.smallest_difference, higher_is_better)
        noise = _noise_floor(again[0], [results[0], results[names.index(AGAIN)]], study.metric)
    return Conclusions(scores, comparisons, noise)


def pairs_of(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return (arm, base) for every arm but the base, which is the first, and its repetition."""
    return [(name, names[0]) for name in names[1:] if name != AGAIN]


def compare_arms(
    results: Sequence[ArmResults],
    pairs: Sequence[tuple[str, str]],
    metric: str,
    smallest_difference: float,
    higher_is_better: bool,
) -> list[Comparison]:
    """Compare arms, as one family.

    Args:
        results: of the arms.
        pairs: names of arms, and of what each is compared with.
        metric: `task/score`, which the runs' draws are of.
        smallest_difference: that would matter.
        higher_is_better: of the metric.

    Raises:
        DataError: runs were not scored on the same images.
    """
    arms = {arm.name: arm for arm in results}
    seeds = [sorted(arms[arm].runs.keys() & arms[other].runs.keys()) for arm, other in pairs]
    found: list[tuple[Difference, str | None]] = []
    for (arm, other), numbers in zip(pairs, seeds, strict=True):
        runs, other_runs = ([arms[name].runs[number] for number in numbers] for name in (arm, other))
        _check_same_images([*runs, *other_runs])
        difference = paired_difference(
            _scores(runs, metric),
            _scores(other_runs, metric),
            _draws(runs),
            _draws(other_runs),
            _clusters(runs),
            smallest_difference,
        )
        found.append((difference, _reason(difference, runs, other_runs, metric)))
    adjusted = holm([difference.p for difference, _ in found])
    adjusted_tie = holm([difference.p_tie for difference, _ in found])
    return [
        Comparison(
            arm=arm,
            base=other,
            seeds=numbers,
            difference=difference,
            adjusted_p=p,
            adjusted_p_tie=p_tie,
            verdict=verdict(p, p_tie, difference.mean, higher_is_better),
            reason=reason,
            needed=seeds_needed(
                difference.sd,
                difference.shared_error,
                difference.own_error,
                difference.clusters,
                smallest_difference,
                len(pairs),
            ),
        )
        for (arm, other), numbers, (difference, reason), p, p_tie in zip(
            pairs, seeds, found, adjusted, adjusted_tie, strict=True
        )
    ]


def _noise_floor(comparison: Comparison, arms: Iterable[ArmResults], metric: str) -> NoiseFloor:
    scores = _scores([run for arm in arms for run in arm.runs.values()], metric)
    known = scores[np.isfinite(scores)]
    sd = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
    # the difference of two has twice the variance of one
    reach = math.sqrt(2) * float(stdtrit(max(len(known) - 1, 1), 1 - ERROR_RATE / 2))
    return NoiseFloor(len(known), sd, reach * sd, comparison)


def _score(runs: Sequence[SeedResult], metric: str) -> Estimate:
    _check_same_images(runs)
    return estimate(_scores(runs, metric), _draws(runs), _clusters(runs))


def _scores(runs: Sequence[SeedResult], metric: str) -> Array:
    return np.array([run.scores.get(metric, math.nan) for run in runs], np.float64)


def _draws(runs: Sequence[SeedResult]) -> Array:
    return np.stack([run.draws for run in runs]) if runs else np.empty((0, 0))


def _clusters(runs: Sequence[SeedResult]) -> int:
    return runs[0].clusters if runs else 0


def _check_same_images(runs: Sequence[SeedResult]) -> None:
    for run in runs[1:]:
        for what, one, other in (
            ("draws of test images", len(runs[0].draws), len(run.draws)),
            ("clusters of test images", runs[0].clusters, run.clusters),
        ):
            if one != other:
                raise DataError(
                    f"{runs[0].folder} was scored with {one} {what} and {run.folder} with {other}; "
                    f"remove the folder test and result.json in one of them, and its {LEDGER_FILES}, and --resume"
                )
        other_images = sorted(runs[0].per_image.keys() ^ run.per_image.keys())
        if other_images:
            raise DataError(
                f"{runs[0].folder} and {run.folder} were scored on different images: one of them has not got "
                f"{len(other_images)}, such as {other_images[0]}; images that cannot be read are skipped, as the log "
                f"says. Mend them, remove the folders test and result.json, and their {LEDGER_FILES}, and --resume"
            )


def _reason(difference: Difference, runs: list[SeedResult], other_runs: list[SeedResult], metric: str) -> str | None:
    """Return why a difference cannot be judged; None where it can."""
    if not runs:
        return "there is no seed that both have finished"
    for run in [*runs, *other_runs]:
        if not math.isfinite(run.scores.get(metric, math.nan)):
            return f"{metric} of {run.folder} is not a number"
    if len(runs) == 1:
        return "with one seed it is not known how much seeds matter"
    if difference.clusters < 2:
        return "the test images are of one cluster, so it is not known how much other images would matter"
    if difference.draws < 2:
        return f"{metric} is defined in {difference.draws} of {len(runs[0].draws)} draws of test images"
    return None
