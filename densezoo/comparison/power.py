"""How many seeds a question needs.

Power is the chance to call a difference of a given size better or worse. With one part of the error alone it is that
of a t test, by the noncentral t. With both, the squared half width of the interval is a sum of two scaled χ², which is
taken as one χ² of the same mean and variance (Satterthwaite, Biometrics Bulletin 2, 1946), and again the noncentral t
follows.

The images' part of the error is not the same for every number of seeds. With n of them it is

    sqrt(shared_error² + own_error² / n)

where the first is what all seeds share, and the second what images give a single one besides.

What it rests on is itself estimated: with five seeds the true standard deviation may be 0.6 to 2.9 times the one that
is seen, and seeds go with its square. To call a difference of nothing a tie takes about as many seeds as to find one of
the smallest that matters.
"""

import bisect
import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import stdtrit
from scipy.stats import nct

from densezoo.comparison.statistics import ERROR_RATE, Part, parts_of

POWER = 0.8
"""The usual chance that a question should have of its answer."""
MOST_SEEDS = 1000
"""Beyond which nobody is told a number."""


@dataclass(frozen=True)
class SeedsNeeded:
    """What would find a difference.

    Attributes:
        seeds: fewest that do; None where `MOST_SEEDS` do not, or where it is not known.
        shared_error: the largest with which there is a number of seeds that does. Where what was measured is larger,
            more test images are needed, and no number of seeds will do; the error goes with the root of their number.
    """

    seeds: int | None
    shared_error: float


def power(
    seeds: int,
    sd: float,
    shared_error: float,
    own_error: float,
    clusters: int,
    difference: float,
    comparisons: int = 1,
) -> float:
    """Return the chance that a true difference is found.

    Args:
        seeds: pairs of runs, at least 2.
        sd: standard deviation of paired differences over seeds.
        shared_error: standard deviation by test images that all seeds have in common.
        own_error: standard deviation that test images give a single pair besides.
        clusters: independent groups of test images, at least 2.
        difference: that is true.
        comparisons: in the family; the first step of Holm's correction is taken, so that it is rather more.
    """
    image_error = math.hypot(shared_error, own_error / math.sqrt(seeds))
    parts = parts_of(sd / math.sqrt(seeds), seeds, image_error, clusters)
    return _power(parts, difference, ERROR_RATE / comparisons)


def seeds_needed(
    sd: float,
    shared_error: float,
    own_error: float,
    clusters: int,
    difference: float,
    comparisons: int = 1,
    wanted: float = POWER,
    most: int = MOST_SEEDS,
) -> SeedsNeeded:
    """Return how many seeds find a true difference with the chance that is wanted; arguments as those of `power`."""
    if clusters < 2 or not difference > 0:
        return SeedsNeeded(None, float("nan"))

    def lacking(error: float) -> float:  # the images' shared part alone, as with endless seeds
        return wanted - _power(parts_of(0.0, 2, error, clusters), difference, ERROR_RATE / comparisons)

    # the half width is t · error · |normal|, so that ten times it is found for certain
    surely = difference / (10 - 10 * float(stdtrit(clusters - 1, ERROR_RATE / comparisons / 2)))
    largest = float(brentq(lacking, surely, 10 * difference))
    if math.isnan(sd) or not shared_error <= largest:
        return SeedsNeeded(None, largest)

    def enough(seeds: int) -> bool:
        return power(seeds, sd, shared_error, own_error, clusters, difference, comparisons) >= wanted

    numbers = range(2, most + 1)
    found = bisect.bisect_left(numbers, True, key=enough)
    return SeedsNeeded(numbers[found] if found < len(numbers) else None, largest)


def _power(parts: list[Part], difference: float, level: float) -> float:
    error = math.hypot(*(part.error for part in parts))
    if error == 0:
        return 1.0
    given = [part for part in parts if part.error > 0]
    # the mean of the squared half width is the sum of these, each known with the freedom of its part
    squares = [(float(stdtrit(part.freedom, level / 2)) * part.error) ** 2 for part in given]
    freedom = sum(squares) ** 2 / sum(square**2 / part.freedom for square, part in zip(squares, given, strict=True))
    return float(nct.sf(math.sqrt(sum(squares)) / error, freedom, difference / error))
