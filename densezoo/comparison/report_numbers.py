"""The numbers of a report that are no verdicts: curves over seeds, parts of a score, what is paid for a score."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from densezoo.comparison.study_results import ArmResults, Cost, SeedResult
from densezoo.engine.intervals import LEVEL

COSTS: dict[str, tuple[str, Callable[[Cost], float]]] = {
    "MACs": ("million MACs", lambda cost: cost.macs / 1e6),
    "parameters": ("thousand parameters", lambda cost: cost.parameters / 1e3),
    "latency": ("milliseconds per image", lambda cost: cost.milliseconds),
    "memory": ("MiB held for the backward pass", lambda cost: cost.activation_bytes / 2**20),
}
"""What is paid for a score to its unit, and to how it is read off a cost."""


@dataclass(frozen=True)
class Interval:
    """A mean, and the interval that it lies in; the ends are NaN where there are too few values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class CurvePoint:
    """What the seeds had in one epoch.

    Attributes:
        epoch: from 1.
        mean: over seeds.
        sd: standard deviation over seeds; NaN for a single one.
        seeds: how many had a number.
    """

    epoch: int
    mean: float
    sd: float
    seeds: int


@dataclass(frozen=True)
class Point:
    """An arm by what it costs and what it scores; `on_front` where no other costs no more and scores no less."""

    arm: str
    cost: float
    score: float
    sd: float
    on_front: bool


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation of the finite values; NaN for none, and for the deviation of one."""
    known = np.array([value for value in values if math.isfinite(value)])
    mean = float(known.mean()) if len(known) else math.nan
    return mean, float(known.std(ddof=1)) if len(known) > 1 else math.nan


def seed_interval(differences: Sequence[float]) -> Interval:
    """Return the mean of paired differences and its 95 % interval by t, in which only seeds have chance."""
    mean, sd = mean_sd(differences)
    count = sum(math.isfinite(value) for value in differences)
    if count < 2:
        return Interval(mean, math.nan, math.nan)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * sd / math.sqrt(count)
    return Interval(mean, mean - reach, mean + reach)


def score_of(run: SeedResult, metric: str) -> float:
    """Return a run's score; NaN where it has none."""
    return run.scores.get(metric, math.nan)


def scores_of(arm: ArmResults, metric: str) -> dict[int, float]:
    """Return number of the pair to score, of the finished runs, in the order of pairs."""
    return {seed: score_of(arm.runs[seed], metric) for seed in sorted(arm.runs)}


def curve_over_seeds(arm: ArmResults, metric: str | None) -> list[CurvePoint]:
    """Return an arm's validation score by epoch, or its training loss where `metric` is None."""
    found: dict[int, list[float]] = {}
    for run in arm.runs.values():
        for record in run.log:
            if record["kind"] == ("train" if metric is None else "eval"):
                value = record.get("loss") if metric is None else record["scores"].get(metric)
                if value is not None:
                    found.setdefault(int(record["epoch"]), []).append(float(value))
    return [CurvePoint(epoch, *mean_sd(found[epoch]), len(found[epoch])) for epoch in sorted(found)]


def parts_of(arms: Sequence[ArmResults], metric: str) -> list[str]:
    """Return the names of a score's classes or joints, `PART` of `metric/PART`, as the runs have them."""
    prefix = f"{metric}/"
    names = (name for arm in arms for run in arm.runs.values() for name in run.scores)
    return list(dict.fromkeys(name.removeprefix(prefix) for name in names if name.startswith(prefix)))


def paired_interval(base: ArmResults, arm: ArmResults, score: str) -> Interval:
    """Return how far an arm is from the base in one score, over the pairs that both have finished."""
    pairs = sorted(base.runs.keys() & arm.runs.keys())
    return seed_interval([score_of(arm.runs[seed], score) - score_of(base.runs[seed], score) for seed in pairs])


def points_of(arms: Sequence[ArmResults], metric: str, cost: str, higher_is_better: bool) -> list[Point]:
    """Return what arms cost and score, of those with a score.

    Args:
        arms: to be compared.
        metric: of the score.
        cost: one of `COSTS`.
        higher_is_better: of the metric.
    """
    sign = 1 if higher_is_better else -1
    read = COSTS[cost][1]
    found = [(arm.name, read(arm.cost), *mean_sd(list(scores_of(arm, metric).values()))) for arm in arms]
    known = [row for row in found if math.isfinite(row[2])]
    return [
        Point(name, paid, score, sd, not any(_beats(sign, (paid, score), row[1:3]) for row in known))
        for name, paid, score, sd in known
    ]


def _beats(sign: int, one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether another (cost, score) is no worse in either and better in one."""
    (cost, score), (their_cost, their_score) = one, other
    gain = sign * (their_score - score)
    return their_cost <= cost and gain >= 0 and (their_cost < cost or gain > 0)
