"""Which samples of several sources an epoch sees, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from densezoo.types import Array


@dataclass(frozen=True)
class Sources:
    """Data sets that lie one after the other, as `densezoo.datasets.mixed` has them.

    Attributes:
        lengths: number of samples of each.
        weights: how much of an epoch each is, in any unit; None for its share of the samples.
        alternate: whether every batch is of one source.
    """

    lengths: Sequence[int]
    weights: Sequence[float] | None = None
    alternate: bool = False

    def order(self, batch_size: int, rng: np.random.Generator) -> Array:
        """Draw the indices of an epoch's samples, in the order of the batches that they are cut into.

        Of every source so many as its weight says, in whole samples or with `alternate` in whole batches, rounded up or
        down at random such that the mean over the epochs is exact; none of them a second time before all have been
        there a first time. Without weights and `alternate`, that is each of them once.
        Any stretch of the epoch has each source's share to within one sample, or with `alternate` one batch.

        Args:
            batch_size: samples of a batch over all processes.
            rng: source of the draws.

        Returns:
            (n,) int64; n is the number of all samples, with `alternate` cut to whole batches. The number of all samples
            is added to the index of one that comes a second time, and so on.
        """
        block, total = batch_size if self.alternate else 1, sum(self.lengths)
        counts = self._counts(total // block, rng)
        starts = np.cumsum([0, *self.lengths[:-1]])
        drawn = [
            start + _draw(length, count * block, total, rng).reshape(-1, block)
            for start, length, count in zip(starts, self.lengths, counts, strict=True)
        ]
        # the blocks of a source lie at equal distances, from a random first place
        places = np.concatenate([(np.arange(count) + rng.random()) / max(count, 1) for count in counts])
        mixed: Array = np.concatenate(drawn)[np.argsort(places, kind="stable")].reshape(-1)
        return mixed

    def _counts(self, total: int, rng: np.random.Generator) -> list[int]:
        """Share `total` out by the weights: of a line as long as that, each source has the whole numbers on its part.

        The line begins at a random place between two whole numbers, so that a part of 0.3 has one in 0.3 of the epochs.
        """
        weights = np.array(self.lengths if self.weights is None else self.weights, np.float64)
        ends = total * np.cumsum(weights) / weights.sum()
        ends = np.round(ends, 9)  # a whole number may come out of the division a little below itself
        passed = np.floor(ends + rng.random()).astype(int)
        return [int(count) for count in np.diff(passed, prepend=0)]


def _draw(length: int, count: int, total: int, rng: np.random.Generator) -> Array:
    """Return `count` numbers: those below `length` in random order, then again with `total` added, and so on."""
    rounds = [number * total + rng.permutation(length) for number in range(-(-count // length))]
    drawn: Array = np.concatenate([np.zeros(0, np.int64), *rounds])[:count]
    return drawn
