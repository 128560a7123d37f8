import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densezoo.datasets.subset import in_subset, share_images
from densezoo.errors import ConfigError

IDS = st.lists(st.integers(0, 10**12), unique=True, max_size=60)


@given(IDS, st.integers(1, 12), st.data())
def test_keep_and_drop_are_complements_and_folds_a_partition(ids, folds, data):
    fold = data.draw(st.integers(0, folds - 1))
    kept = in_subset(ids, {"folds": folds, "keep": [fold]})
    assert (kept != in_subset(ids, {"folds": folds, "drop": [fold]})).all()
    times = sum(in_subset(ids, {"folds": folds, "keep": [each]}).astype(int) for each in range(folds))
    assert (times == 1).all()


@given(IDS, st.integers(1, 70), st.randoms())
def test_limit_takes_the_same_images_in_any_order(ids, limit, random):
    chosen = {image for image, kept in zip(ids, in_subset(ids, {"limit": limit}), strict=True) if kept}
    shuffled = list(ids)
    random.shuffle(shuffled)
    again = {image for image, kept in zip(shuffled, in_subset(shuffled, {"limit": limit}), strict=True) if kept}
    assert chosen == again
    assert len(chosen) == min(limit, len(ids))


SUBSETS = st.one_of(
    st.none(),
    st.builds(lambda limit: {"limit": limit}, st.integers(1, 9)),
    st.integers(1, 8).flatmap(
        lambda folds: st.builds(
            lambda side, named: {"folds": folds, side: sorted(named)},
            st.sampled_from(["keep", "drop"]),
            st.sets(st.integers(0, folds - 1)),
        )
    ),
)


@given(SUBSETS, SUBSETS)
def test_subsets_share_images_where_any_remainder_is_in_both(one, other):
    def remainders(subset):
        if subset is None or "folds" not in subset:
            return set(range(840))  # the least common multiple of 1 to 8
        kept = {fold for fold in range(subset["folds"]) if (fold in subset.get("keep", ())) != ("drop" in subset)}
        kept -= set(subset.get("drop", ()))
        return {number for number in range(840) if number % subset["folds"] in kept}

    assert share_images(one, other) == bool(remainders(one) & remainders(other))


def test_the_hash_is_crc32_of_the_decimal_id():
    kept = in_subset([139, 785, 2299], {"folds": 7, "keep": [zlib.crc32(b"785") % 7]})
    assert kept[1]
    assert kept.tolist() == [zlib.crc32(str(i).encode()) % 7 == zlib.crc32(b"785") % 7 for i in (139, 785, 2299)]


def test_limit_counts_within_the_folds():
    ids = np.arange(1000)
    fold = in_subset(ids, {"folds": 5, "keep": [2]})
    limited = in_subset(ids, {"folds": 5, "keep": [2], "limit": 10})
    assert limited.sum() == 10
    assert (limited <= fold).all()


def test_folds_have_about_the_same_size():
    shares = [in_subset(np.arange(1, 5001), {"folds": 10, "keep": [fold]}).mean() for fold in range(10)]
    assert min(shares) > 0.08
    assert max(shares) < 0.12


def test_no_subset_is_everything():
    assert in_subset([1, 2], None).tolist() == [True, True]


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ({"fold": 10, "keep": [0]}, "did you mean 'folds'"),
        ({"folds": 10}, "'keep' or 'drop'"),
        ({"folds": 10, "keep": [0], "drop": [1]}, "'keep' or 'drop'"),
        ({"keep": [0]}, "needs 'folds'"),
        ({}, "needs 'folds'"),
        ({"folds": 0, "keep": [0]}, "folds must be"),
        ({"folds": 10, "keep": [10]}, "from 0 to 9"),
        ({"folds": 10, "keep": "0"}, "from 0 to 9"),
        ({"limit": 0}, "limit must be"),
        ([1], "must be a dict"),
    ],
)
def test_a_malformed_subset_is_refused(subset, message):
    with pytest.raises(ConfigError, match=message):
        in_subset([1, 2, 3], subset)
