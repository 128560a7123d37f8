import math

import pytest
from scipy import stats

from densezoo.comparison.power import power, seeds_needed


@pytest.mark.parametrize(("size", "seeds"), [(1.0, 10), (0.8, 15), (0.5, 34), (0.2, 199)])
def test_without_chance_in_the_images_it_is_the_paired_t_test(size, seeds):
    # the numbers of pairs that textbooks give for 80 % at 5 %, two-sided
    assert seeds_needed(0.01, 0.0, 0.0, 100, size * 0.01).seeds == seeds


def test_power_of_either_part_alone_is_that_of_a_t_test():
    seeds = stats.nct.sf(stats.t.ppf(1 - 0.025 / 3, 4), 4, 0.02 / (0.01 / math.sqrt(5)))
    images = stats.nct.sf(stats.t.ppf(0.975, 39), 39, 2.5)
    assert power(5, 0.01, 0.0, 0.0, 40, 0.02, comparisons=3) == pytest.approx(seeds)
    assert power(5, 0.0, 0.01, 0.0, 40, 0.025) == pytest.approx(images)
    assert power(5, 0.0, 0.0, 0.0, 40, 0.025) == 1


def test_what_images_give_a_single_seed_falls_with_the_number_of_seeds():
    for seeds in (2, 5, 50):
        both = math.hypot(0.01, 0.02 / math.sqrt(seeds))
        assert power(seeds, 0.01, 0.01, 0.02, 40, 0.03) == pytest.approx(power(seeds, 0.01, both, 0.0, 40, 0.03))


def test_the_fewest_seeds_that_do():
    given = (0.02, 0.003, 0.01, 60, 0.012)
    needed = seeds_needed(*given, comparisons=4)
    assert power(needed.seeds, *given, comparisons=4) >= 0.8
    assert power(needed.seeds - 1, *given, comparisons=4) < 0.8
    assert seeds_needed(*given, comparisons=4, most=needed.seeds).seeds == needed.seeds
    assert seeds_needed(*given, comparisons=4, most=needed.seeds - 1).seeds is None
    assert seeds_needed(0.0, 0.0, 0.0, 60, 0.012).seeds == 2
    assert seeds_needed(1.0, 0.0, 0.0, 60, 0.012).seeds is None  # more than a thousand


def test_no_number_of_seeds_makes_up_for_too_few_images():
    needed = seeds_needed(0.01, 0.02, 0.0, 60, 0.01)
    assert needed.seeds is None
    assert power(10**6, 0.01, needed.shared_error, 0.0, 60, 0.01) == pytest.approx(0.8, abs=1e-3)
    assert power(10**6, 0.01, 0.02, 0.0, 60, 0.01) < 0.1
    assert seeds_needed(0.01, 0.8 * needed.shared_error, 0.0, 60, 0.01).seeds > 2
    assert seeds_needed(0.01, 0.0, 0.0, 2, 0.01, comparisons=10).shared_error < 0.01 / 100  # two clusters say little


def test_what_seeds_do_not_share_is_never_too_much_for_them():
    few = seeds_needed(0.01, 0.0, 0.0, 60, 0.01)
    many = seeds_needed(0.01, 0.0, 0.05, 60, 0.01)
    assert few.seeds < 100 < many.seeds
    assert many.shared_error < 0.05 / 10


def test_what_is_not_known_gives_no_number():
    nan = float("nan")
    assert seeds_needed(nan, 0.001, 0.0, 60, 0.01).seeds is None
    assert seeds_needed(nan, 0.001, 0.0, 60, 0.01).shared_error > 0.003
    assert seeds_needed(0.01, nan, nan, 60, 0.01).seeds is None
    assert math.isnan(seeds_needed(0.01, nan, nan, 1, 0.01).shared_error)
