"""Studies whose answer is known, a thousand of each kind: verdicts are wrong, and right, as often as they say.

The score of one arm and seed on one image is the arm's mean, plus what the arm's seed, the pair's seed, the image, the
image for this arm, and the image for this run add, each normal. The metric is the mean over images.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from densezoo.comparison.power import power, seeds_needed
from densezoo.comparison.statistics import Part, half_width, holm, paired_difference, verdict

SIMULATIONS = 1000
DRAWS = 200


def margin(rate):
    """What a rate that is seen may be above or below the true one, 99 times in a hundred."""
    return stats.norm.ppf(0.99) * math.sqrt(rate * (1 - rate) / SIMULATIONS)


@dataclass(frozen=True)
class Chance:
    """Standard deviations of what is added to a score, and the test set."""

    seed: float  # of an arm
    arm_image: float
    run_image: float = 1.0
    pair: float = 1.0
    image: float = 5.0
    arm_video: float = 0.0
    images: int = 40
    video: int = 1  # how many images one has

    def sd(self):
        """Of paired differences over seeds."""
        return math.sqrt(2 * (self.seed**2 + self.run_image**2 / self.images))

    def shared_error(self):
        """Of their mean, by images drawn one by one, that all seeds have in common."""
        return math.sqrt(2 / self.images) * self.arm_image

    def own_error(self):
        """Of one pair, by the same images, besides."""
        return math.sqrt(2 / self.images) * self.run_image


KINDS = {"seeds": Chance(1.0, 0.5), "images": Chance(0.05, 3.0), "mixed": Chance(0.5, 1.5)}
VIDEOS = Chance(seed=0.2, arm_image=0.5, arm_video=1.0, images=60, video=6)


@functools.cache
def weights_of(groups):
    """How often each group of images is drawn: (simulations, draws, groups)."""
    rng = np.random.default_rng(groups)
    return rng.multinomial(groups, np.full(groups, 1 / groups), (SIMULATIONS, DRAWS)).astype(np.float32)


def simulate(chance, seeds, arms=2, by_video=True):
    """Return scores (simulations, arms, seeds), and (simulations, arms, seeds, draws) of them; all arms are alike."""
    rng = np.random.default_rng([seeds, arms, chance.images])

    def normal(sd, *shape):
        return sd * rng.standard_normal((SIMULATIONS, *shape), np.float32)

    images, videos = chance.images, chance.images // chance.video
    scores = normal(chance.seed, arms, seeds, 1) + normal(chance.pair, 1, seeds, 1) + normal(chance.image, 1, 1, images)
    scores = scores + normal(chance.arm_image, arms, 1, images) + normal(chance.run_image, arms, seeds, images)
    scores += np.repeat(normal(chance.arm_video, arms, 1, videos), chance.video, axis=3)
    groups = videos if by_video else images
    weights = np.repeat(weights_of(groups), images // groups, axis=2) / images
    draws = scores.reshape(SIMULATIONS, arms * seeds, images) @ weights.transpose(0, 2, 1)
    return scores.mean(axis=3), draws.reshape(SIMULATIONS, arms, seeds, DRAWS), groups


def differences(simulated, planted=0.0, smallest=1.0):
    """Return the differences of every arm from the first, of each simulation, when they are better by what is planted.

    As the metric is a mean, a better arm has that much more in every score.
    """
    for scores, draws, clusters in zip(*simulated[:2], itertools.repeat(simulated[2]), strict=False):
        yield [
            paired_difference(own + planted, scores[0], drawn + planted, draws[0], clusters, smallest)
            for own, drawn in zip(scores[1:], draws[1:], strict=True)
        ]


def rate(flags):
    return float(np.mean(list(flags)))


def rate_of_differences(simulated):
    return rate(found.p <= 0.05 for (found,) in differences(simulated))


def rate_in_family(simulated):
    """How often any of several arms without a difference is called different."""
    return rate(min(holm([each.p for each in found])) <= 0.05 for found in differences(simulated))


def rate_of_finds(simulated, planted, comparisons=1):
    return rate(each.p <= 0.05 / comparisons and each.mean > 0 for (each,) in differences(simulated, planted))


def rate_of_ties(simulated, planted, smallest):
    found = (each for (each,) in differences(simulated, planted, smallest))
    return rate(verdict(each.p, each.p_tie, each.mean, True) == "tie" for each in found)


def rate_by_images_alone(simulated, runs):
    """How often the draws' 95 % interval, of the mean of some runs, leaves out zero."""
    draws = simulated[1][:, :, :runs].mean(axis=2)
    low, high = np.percentile(draws[:, 1] - draws[:, 0], (2.5, 97.5), axis=1)
    return rate((low > 0) | (high < 0))


def rate_by_seeds_alone(simulated):
    scores = simulated[0]
    return rate(stats.ttest_rel(scores[:, 1], scores[:, 0], axis=1).pvalue <= 0.05)


def known_of(chance):
    """What `power` and `seeds_needed` ask for first."""
    return chance.sd(), chance.shared_error(), chance.own_error(), chance.images


def findable(chance, seeds, comparisons=1):
    """The difference that is found in 80 % of studies, as `power` has it."""

    def lacking(size):
        return power(seeds, *known_of(chance), size, comparisons) - 0.8

    return brentq(lacking, 1e-3, 100)


@pytest.fixture(scope="module", params=itertools.product(KINDS, (2, 3, 5, 10)), ids=lambda pair: f"{pair[0]}-{pair[1]}")
def study(request):
    kind, seeds = request.param
    return KINDS[kind], seeds, simulate(KINDS[kind], seeds)


def test_no_difference_is_found_at_no_more_than_the_stated_rate(study):
    _, _, simulated = study
    assert rate_of_differences(simulated) <= 0.05 + margin(0.05)


def test_a_planted_difference_is_found_at_the_stated_rate(study):
    chance, seeds, simulated = study
    found = rate_of_finds(simulated, findable(chance, seeds))
    assert found >= 0.8 - margin(0.8) - 0.02
    # what an image adds to one run is in both parts of the error, so that more may be found than is stated
    assert found <= 0.8 + margin(0.8) + 0.03


@pytest.mark.parametrize(("kind", "seeds"), [("seeds", 3), ("mixed", 5)])
def test_no_arm_of_four_is_called_different_at_more_than_the_stated_rate(kind, seeds):
    assert rate_in_family(simulate(KINDS[kind], seeds, arms=5)) <= 0.05 + margin(0.05)


@pytest.mark.parametrize(
    ("chance", "planted", "seeds"),
    [(KINDS["mixed"], 1.4, 12), (Chance(seed=0.3, arm_image=0.8, run_image=4.0), 1.2, 20)],
    ids=["mixed", "runs with errors of their own"],
)
def test_as_many_seeds_as_are_said_to_be_needed_do(chance, planted, seeds):
    needed = seeds_needed(*known_of(chance), planted, comparisons=3).seeds
    assert needed == seeds
    assert rate_of_finds(simulate(chance, needed), planted, comparisons=3) >= 0.8 - margin(0.8)
    assert rate_of_finds(simulate(chance, needed // 2), planted, comparisons=3) < 0.8 - margin(0.8)


def test_noise_of_single_runs_on_images_is_not_taken_for_a_want_of_images():
    """Two arms that are alike, 200 images, three seeds: more seeds will do, though the images' error now is large."""
    rng = np.random.default_rng(5)
    images, smallest = 200, 0.16
    weights = rng.multinomial(images, np.full(images, 1 / images), 1000) / images
    largest = seeds_needed(0.1, 0.0, 0.0, images, smallest).shared_error
    errors, needed = [], []
    for _ in range(200):
        values = rng.normal(size=(2, 3, images)) + 5 * rng.normal(size=images)
        arm, base = values
        found = paired_difference(
            arm.mean(axis=1), base.mean(axis=1), arm @ weights.T, base @ weights.T, images, smallest
        )
        errors.append(found.image_error)
        needed.append(seeds_needed(found.sd, found.shared_error, found.own_error, images, smallest))
    assert rate(error > largest for error in errors) > 0.5
    assert all(each.seeds is not None for each in needed)


@pytest.mark.parametrize("kind", ["seeds", "mixed"])
def test_a_tie_is_called_a_tie_and_what_matters_is_not(kind):
    simulated, smallest = simulate(KINDS[kind], 5), 1.5 * findable(KINDS[kind], 5)
    assert rate_of_ties(simulated, 0.0, smallest) > 0.9
    assert rate_of_ties(simulated, smallest, smallest) <= 0.05 + margin(0.05)
    assert rate_of_ties(simulated, -smallest, smallest) <= 0.05 + margin(0.05)


@pytest.mark.parametrize(("kind", "runs"), [("seeds", 1), ("seeds", 5), ("mixed", 1)])
def test_images_alone_call_equal_arms_different(kind, runs):
    assert rate_by_images_alone(simulate(KINDS[kind], 5), runs) > 0.2


def test_seeds_alone_call_equal_arms_different_too():
    assert rate_by_seeds_alone(simulate(KINDS["images"], 5)) > 0.2


def test_images_of_one_video_are_drawn_together():
    assert rate_of_differences(simulate(VIDEOS, 5)) <= 0.05 + margin(0.05)
    assert rate_of_differences(simulate(VIDEOS, 5, by_video=False)) > 0.15


@pytest.mark.parametrize("level", [0.05, 0.05 / 4])
def test_one_t_by_satterthwaites_freedom_would_be_wrong_too_often(level):
    """Three seeds with nine tenths of the variance: why each part has a t of its own."""
    rng = np.random.default_rng(0)
    count = 40_000
    means = rng.normal(size=count)
    seeds, images = 0.9 * rng.chisquare(2, count) / 2, 0.1 * rng.chisquare(99, count) / 99
    freedom = (seeds + images) ** 2 / (seeds**2 / 2 + images**2 / 99)
    by_one_t = rate(abs(means) > stats.t.ppf(1 - level / 2, freedom) * np.sqrt(seeds + images))
    by_both = rate(
        abs(mean) > half_width(level, [Part(math.sqrt(seed), 2), Part(math.sqrt(image), 99)])
        for mean, seed, image in zip(means[:10_000], seeds, images, strict=False)
    )
    assert by_one_t > 1.4 * level
    assert by_both < level
