"""By how much one arm differs from another, how sure that is, and what may be said of it.

A run's score moves with its seed, and with the images that happen to be in the test set. A difference of two arms is
the mean over pairs of runs of the same number. Its error has two parts:

- *seeds*: standard deviation of the paired differences over the square root of their number, with seeds - 1 degrees of
  freedom.
- *images*: standard deviation of that mean when the test images are drawn anew, the same ones for every run. Most of
  it is shared by all seeds, and more seeds do not make that smaller. Efron, Tibshirani, "An Introduction to the
  Bootstrap", 1993; the bootstrap's variance falls short by the factor (clusters - 1) / clusters, which is put right.

An interval from images alone takes the runs as given. It would hold for these weights, but what is compared are ways
to train, and two trainings of the same config differ by more than it says: where seeds have three times the variance
of images, it calls a third of such pairs different. Seeds alone, the other way round, would hold for these images.

The variances are added. With arms, seeds and images crossed, what an image adds to one run and no other is in both
parts, divided by seeds and images alike, so that the sum is right where there is none of it, and else too large rather
than too small. That share of the images' part falls as seeds are added; what is left of it with endless seeds is what
the draws of different seeds have in common, their covariance.

Each part has degrees of freedom of its own. The 95 % interval reaches

    sqrt((t_seeds · error_seeds)² + (t_images · error_images)²)

to each side, where t is the quantile by the part's own freedom: Banerjee, "Approximate confidence interval for linear
functions of means of k populations when the population variances are not equal", Sankhyā 22, 1960. It is exact when
one part is zero and never covers less than 95 % in between: the chance that a squared normal number stays below x is
concave in x, so that at the mean of both squared quantiles, weighted by the parts, it is at least the mean of both
chances. The p value is the level whose interval just reaches the hypothesis. A single t by Satterthwaite's freedom
(Biometrics Bulletin 2, 1946) is the usual way, but is not safe for a handful of seeds: with three, and nine tenths of
the variance theirs, it errs in nearly 8 % for 5 %, and, where a correction for several arms asks for 1.25 %, in nearly
4 %.

Where this ends: numbers are taken as roughly normal. With few clusters, below ten say, the bootstrap sees too few of
them to tell what others are like. The choice of the learning rate is made once for an arm, so that its chance is not
in the error. All of it is for pretrained weights and data as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from densezoo.types import Array

ERROR_RATE = 0.05
"""How often a verdict may be wrong, over all comparisons of a study: better or worse without a difference, or tie."""
_SMALLEST_P = 1e-12  # below it a p value is a bound, not a root

Verdict = Literal["better", "worse", "tie", "undecided"]


@dataclass(frozen=True)
class Part:
    """One source of error.

    Attributes:
        error: standard deviation that it gives a mean.
        freedom: degrees of freedom that the error was estimated with.
    """

    error: float
    freedom: float


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        seeds: how many, n.
        draws: of test images that had a score for every seed.
        clusters: independent groups of images that were drawn from.
        mean: over seeds, on the test images as they are.
        sd: standard deviation over seeds (n - 1 in the denominator).
        seed_error: standard deviation of the mean by seeds, sd / sqrt(n).
        image_error: standard deviation of the mean by test images.
        shared_error: the part of it that more seeds do not make smaller.
        error: by seeds and images.
        low: end of the 95 % interval.
        high: other end.
        What cannot be known is NaN: `sd` and `shared_error` with one seed, `image_error` with one cluster, and what
            rests on them.
    """

    seeds: int
    draws: int
    clusters: int
    mean: float
    sd: float
    seed_error: float
    image_error: float
    shared_error: float
    error: float
    low: float
    high: float

    @property
    def own_error(self) -> float:
        """Standard deviation that test images give a single seed, beside what they give all alike."""
        own = max(self.image_error**2 - self.shared_error**2, 0.0)  # below zero by rounding alone; NaN stays NaN
        return math.sqrt(self.seeds * own)


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean over pairs of runs, of an arm's score minus another's.

    Attributes:
        p: two-sided, of no difference.
        p_tie: of a difference that matters: the larger of the one-sided p values of one of at least plus, and at least
            minus, the smallest that does. Schuirmann, "A comparison of the two one-sided tests procedure and the power
            approach", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
    """

    p: float
    p_tie: float


def estimate(scores: Array, draws: Array, clusters: int) -> Estimate:
    """Estimate a mean over seeds.

    Args:
        scores: (n,) one per seed. Without any, or with one that is not finite, nothing is known.
        draws: (n, D) scores with the test images drawn anew. A draw in which one is not finite, such as the precision
            of a class that it has no image of, is left out.
        clusters: how many groups of images were drawn from.

    Raises:
        ValueError: the shapes do not fit.
    """
    if scores.ndim != 1 or draws.ndim != 2 or len(scores) != len(draws):
        raise ValueError(f"scores must be (n,) and draws (n, D), got {scores.shape} and {draws.shape}")
    nan, seeds = float("nan"), len(scores)
    known = draws[:, np.isfinite(draws).all(axis=0)]
    if not seeds or not np.isfinite(scores).all():
        return Estimate(seeds, known.shape[1], clusters, nan, nan, nan, nan, nan, nan, nan, nan)
    mean = float(scores.mean())
    sd = float(scores.std(ddof=1)) if seeds > 1 else nan
    image_error, shared_error = _image_errors(known, clusters)
    seed_error = sd / math.sqrt(seeds)
    half = half_width(ERROR_RATE, parts_of(seed_error, seeds, image_error, clusters, known.shape[1]))
    return Estimate(
        seeds=seeds,
        draws=known.shape[1],
        clusters=clusters,
        mean=mean,
        sd=sd,
        seed_error=seed_error,
        image_error=image_error,
        shared_error=shared_error,
        error=math.hypot(seed_error, image_error),
        low=mean - half,
        high=mean + half,
    )


def paired_difference(
    scores: Array, other_scores: Array, draws: Array, other_draws: Array, clusters: int, smallest_difference: float
) -> Difference:
    """Compare runs with those of the same number.

    Args:
        scores: (n,) of an arm.
        other_scores: (n,) of the arm that it is compared with.
        draws: (n, D) of the arm, with the test images drawn anew.
        other_draws: (n, D) of the other, with the same images.
        clusters: how many groups of images were drawn from.
        smallest_difference: that would matter.

    Raises:
        ValueError: the shapes do not fit.
    """
    if scores.shape != other_scores.shape or draws.shape != other_draws.shape:
        shapes = ", ".join(str(each.shape) for each in (scores, other_scores, draws, other_draws))
        raise ValueError(f"pairs need scores and draws of one shape each, got {shapes}")
    # NaN minus a number is NaN; infinity minus infinity would warn
    with np.errstate(invalid="ignore"):
        found = estimate(scores - other_scores, draws - other_draws, clusters)
    parts = parts_of(found.seed_error, found.seeds, found.image_error, clusters, found.draws)
    p_tie = max(
        _one_sided(smallest_difference - found.mean, parts),  # of a difference of that much or more
        _one_sided(smallest_difference + found.mean, parts),  # of minus that much or less
    )
    return Difference(**vars(found), p=p_value(found.mean, parts), p_tie=p_tie)


def parts_of(seed_error: float, seeds: int, image_error: float, clusters: int, draws: float = math.inf) -> list[Part]:
    """Return both parts of an error; the images' is known as well as clusters and draws allow."""
    known = not math.isnan(image_error)
    images = 1 / (1 / (clusters - 1) + 1 / (draws - 1)) if known else float("nan")
    return [Part(seed_error, seeds - 1), Part(image_error, images)]


def half_width(level: float, parts: Sequence[Part]) -> float:
    """Return how far an interval reaches that misses the truth in at most `level` of all cases."""
    reach = (float(stdtrit(part.freedom, level / 2)) * part.error for part in parts if part.error != 0)
    return math.hypot(*reach)


def p_value(distance: float, parts: Sequence[Part]) -> float:
    """Return the level whose interval just reaches a hypothesis at a distance from the estimate (two-sided).

    Without any error it is 1 at the estimate and 0 elsewhere.
    """
    if math.isnan(distance) or any(math.isnan(part.error) for part in parts):
        return float("nan")
    error = math.hypot(*(part.error for part in parts))
    if distance == 0 or error == 0:
        return 1.0 if distance == 0 else 0.0
    # the root lies between the p values that either freedom alone would give
    alone = [2 * float(stdtr(part.freedom, -abs(distance) / error)) for part in parts if part.error > 0]
    low, high = max(min(alone), _SMALLEST_P), max(alone)
    if low >= high:
        return high
    if half_width(low, parts) <= abs(distance):
        return low
    if half_width(high, parts) >= abs(distance):  # by rounding alone
        return high
    return float(brentq(lambda level: half_width(level, parts) - abs(distance), low, high, xtol=_SMALLEST_P))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of a family, so that with each judged at 5 % the chance of any error is 5 % at most.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979. NaN, of
    an arm that has not run yet, stays NaN, and is counted: no verdict on the others is then taken back for its answer.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [float("nan")] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def verdict(adjusted_p: float, adjusted_p_tie: float, difference: float, higher_is_better: bool) -> Verdict:
    """Say what can be said of a difference: a tie first, as what is surely too small to matter is neither good nor bad.

    Args:
        adjusted_p: of no difference; NaN where it is not known.
        adjusted_p_tie: of a difference that matters.
        difference: of the arm from the other.
        higher_is_better: of the metric.
    """
    if adjusted_p_tie <= ERROR_RATE:
        return "tie"
    if adjusted_p <= ERROR_RATE:
        return "better" if (difference > 0) == higher_is_better else "worse"
    return "undecided"


def _image_errors(draws: Array, clusters: int) -> tuple[float, float]:
    """Return the error of the mean over seeds by test images, and the part of it that all seeds share.

    Args:
        draws: (n, D) finite scores.
        clusters: how many groups of images were drawn from.
    """
    seeds, count = draws.shape
    if count < 2 or clusters < 2:
        return float("nan"), float("nan")
    scale = math.sqrt(clusters / (clusters - 1))
    error = scale * float(draws.mean(axis=0).std(ddof=1))
    if seeds < 2:
        return error, float("nan")
    covariance = np.cov(draws)
    between = float(covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1))
    return error, scale * math.sqrt(max(0.0, between))


def _one_sided(distance: float, parts: Sequence[Part]) -> float:
    """Return the p value of a hypothesis that lies on one side, at a distance; negative where it holds as it seems."""
    half = p_value(distance, parts) / 2
    return half if distance >= 0 else 1 - half
