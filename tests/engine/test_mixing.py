from collections import Counter
from itertools import chain

import numpy as np
import pytest

from densezoo.engine.loading import EpochBatches
from densezoo.engine.mixing import Sources


def order(lengths, batch_size=4, seed=0, **more):
    return Sources(lengths, **more).order(batch_size, np.random.default_rng(seed))


def source_of(index, lengths):
    return int(np.searchsorted(np.cumsum(lengths), index % sum(lengths), side="right"))


def test_without_weights_every_sample_is_seen_once():
    found = order([7, 30, 3])
    assert sorted(found) == list(range(40))
    assert found.tolist() == order([7, 30, 3]).tolist()
    assert found.tolist() != order([7, 30, 3], seed=1).tolist()


@pytest.mark.parametrize("weights", [None, [1, 1], [3, 1]])
def test_every_stretch_of_an_epoch_has_its_share_of_every_source(weights):
    lengths = [20, 60]
    found = order(lengths, weights=weights)
    share = (lengths[0] if weights is None else weights[0]) / sum(lengths if weights is None else weights)
    assert len(found) == 80
    firsts = np.array([source_of(index, lengths) == 0 for index in found])
    assert firsts.sum() == share * 80
    for start in range(0, 73):
        assert abs(firsts[start : start + 8].sum() - 8 * share) <= 1


def test_a_source_is_gone_through_again_only_when_all_of_it_was_seen():
    found = order([5, 45], weights=[1, 1])
    assert len(set(found.tolist())) == 50  # a second time is another index, and so another augmentation
    small = [index for index in found.tolist() if source_of(index, [5, 45]) == 0]
    assert Counter(index % 50 for index in small) == dict.fromkeys(range(5), 5)
    large = [index for index in found.tolist() if source_of(index, [5, 45]) == 1]
    assert len(large) == len({index % 50 for index in large}) == 25


def test_alternating_batches_are_of_one_source_each():
    lengths = [9, 50]
    found = order(lengths, batch_size=6, weights=[1, 2], alternate=True)
    batches = found.reshape(-1, 6)
    assert len(batches) == 59 // 6
    kinds = [{source_of(index, lengths) for index in batch} for batch in batches]
    assert all(len(kind) == 1 for kind in kinds)
    assert [kind.pop() for kind in kinds].count(0) == 3


@pytest.mark.parametrize(
    ("lengths", "more"),
    [
        ([1000, 10], {"batch_size": 32, "alternate": True}),
        ([5, 6], {"weights": [1, 2]}),
        ([4, 3, 4], {"batch_size": 3, "alternate": True}),
    ],
)
def test_over_many_epochs_every_source_has_its_share(lengths, more):
    epochs = [order(lengths, seed=seed, **more) for seed in range(600)]
    counts = np.array([np.bincount([source_of(i, lengths) for i in each], minlength=len(lengths)) for each in epochs])
    block = more["batch_size"] if more.get("alternate") else 1
    weights = np.array(more.get("weights", lengths))
    exact = sum(lengths) // block * weights / weights.sum()
    assert (np.abs(counts / block - exact) < 1).all()
    assert counts.mean(0) / block == pytest.approx(exact, abs=0.08)
    assert (counts.sum(1) == sum(lengths) // block * block).all()


@pytest.mark.parametrize("alternate", [False, True])
def test_a_global_batch_of_several_sources_does_not_depend_on_the_number_of_processes(alternate):
    sources = Sources([9, 31], [1.0, 1.0], alternate)
    whole, *parts = (
        EpochBatches(40, 8, seed=5, training=True, rank=rank, count=count, sources=sources)
        for rank, count in ((0, 1), (0, 2), (1, 2))
    )
    for sampler in (whole, *parts):
        sampler.epoch = 3
    joined = [list(chain.from_iterable(batches)) for batches in zip(*parts, strict=True)]
    assert joined == list(whole)
    assert len(joined) == len(whole) == 5
