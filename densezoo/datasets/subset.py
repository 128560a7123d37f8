"""A fixed part of a data set: a validation part of a training set, say.

Images are dealt into folds by a hash of their id, so a part stays the same when images are added, and every annotation
of an image falls on the same side.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from densezoo.errors import ConfigError, near_names
from densezoo.types import Array

_KEYS = ("folds", "keep", "drop", "limit")


def in_subset(image_ids: Sequence[int] | Array, subset: Mapping[str, Any] | None) -> Array:
    """Say which images belong to a subset.

    Args:
        image_ids: n ids.
        subset: None for all; `dict(folds=10, keep=[0])` for one fold of ten, `dict(folds=10, drop=[0])` for the other
            nine. `limit=N` (with or without folds) keeps only the N images that come first in the order of the hash.

    Returns:
        (n,) bool.

    Raises:
        ConfigError: an unknown key, or a value that cannot be.
    """
    if subset is None:
        return np.ones(len(image_ids), np.bool_)
    folds, kept, limit = _checked(subset)
    hashes = np.array([zlib.crc32(str(int(image_id)).encode()) for image_id in image_ids], np.int64)
    chosen = np.isin(hashes % folds, kept)
    if limit is not None:
        # The id breaks ties, so that the choice does not depend on the order in which a file lists its images.
        order = np.lexsort((np.asarray(image_ids, np.int64), hashes))
        chosen[order[np.cumsum(chosen[order]) > limit]] = False
    return chosen


def share_images(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two subsets of one set may have an image in common, whatever the images are; None is all of them.

    A `limit` takes the first ones of a hash that both share, so it keeps nothing apart.

    Raises:
        ConfigError: an unknown key, or a value that cannot be.
    """
    (folds, kept, _), (others, also, _) = ((1, [0], None) if each is None else _checked(each) for each in (one, other))
    common = math.gcd(folds, others)  # numbers with any two remainders exist where those agree in this one
    return not {fold % common for fold in kept}.isdisjoint(fold % common for fold in also)


def _checked(subset: Mapping[str, Any]) -> tuple[int, list[int], int | None]:
    """Return the number of folds, the folds to keep, and the limit."""
    if not isinstance(subset, Mapping):
        raise ConfigError(f"subset must be a dict such as dict(folds=10, keep=[0]), not {subset!r}")
    for key in subset:
        if key not in _KEYS:
            raise ConfigError(f"subset has no key {key!r}; {near_names(str(key), _KEYS)}")
    limit = subset.get("limit")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ConfigError(f"subset: limit must be a positive number of images, not {limit!r}")
    sides = [key for key in ("keep", "drop") if key in subset]
    if "folds" not in subset:
        if sides or limit is None:
            raise ConfigError(f"subset={dict(subset)!r} needs 'folds': dict(folds=10, keep=[0])")
        return 1, [0], limit
    folds = subset["folds"]
    if type(folds) is not int or folds < 1:
        raise ConfigError(f"subset: folds must be a positive number, not {folds!r}")
    if len(sides) != 1:
        raise ConfigError("subset: give either 'keep' or 'drop' with 'folds': dict(folds=10, keep=[0])")
    named = subset[sides[0]]
    named = [named] if type(named) is int else named
    if not isinstance(named, (list, tuple)) or not all(type(fold) is int and 0 <= fold < folds for fold in named):
        raise ConfigError(f"subset: {sides[0]} must list folds from 0 to {folds - 1}, not {named!r}")
    return folds, [fold for fold in range(folds) if (fold in named) == (sides[0] == "keep")], limit
