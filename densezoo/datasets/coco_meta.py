"""What the categories of a COCO file say about keypoints: names, limbs, and which change places in a mirror."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from densezoo.errors import ConfigError, DataError, near_names
from densezoo.functional.oks import published_sigmas
from densezoo.types import DatasetMeta

Pairs = tuple[tuple[int, int], ...]

# Capitals that begin a word, runs of small letters, runs of capitals (not the one that begins the next word), digits.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_MIRRORED = {"left": "right", "right": "left"}


def infer_flip_pairs(keypoint_names: Sequence[str]) -> Pairs:
    """Pair the keypoints whose names differ in left and right only.

    A side is a word of its own, whatever separates words: `left_eye`, `l_eye`, `leftEye`, `eye_left`, `Left Eye`,
    `L-Eye`; or `left`/`right` written together with the rest, `lefteye`. A name with several sides has all of them
    exchanged, as a mirror does.

    Returns:
        Pairs of indices from 0, (left, right) in the order of the names; a name without its counterpart is in none.
    """
    words = [_words(name) for name in keypoint_names]
    index_of = {word: index for index, word in enumerate(words)}
    pairs = []
    for index, word in enumerate(words):
        other = index_of.get(tuple(_MIRRORED.get(part, part) for part in word), index)
        if other != index and next(part for part in word if part in _MIRRORED) == "left":
            pairs.append((index, other))
    return tuple(pairs)


def _words(name: str) -> tuple[str, ...]:
    words = []
    for word in _WORD.findall(name):
        joined = re.fullmatch(r"(left|right)(\w+)|(\w+?)(left|right)", word.lower())
        words += [part for part in joined.groups() if part] if joined else [word.lower()]
    return tuple(_SIDES.get(word, word) for word in words)


def keypoint_meta(
    category: Mapping[str, Any],
    source: Path,
    flip_pairs: Sequence[Sequence[int | str]] | None = None,
    sigmas: Sequence[float] | None = None,
    num_keypoints: int | None = None,
) -> DatasetMeta:
    """Describe one category and its keypoints.

    Args:
        category: `{'id', 'name', 'keypoints', 'skeleton'}` of the file.
        source: the file, for error messages.
        flip_pairs: pairs of keypoint names or of indices from 0; None to infer them from the names.
        sigmas: K OKS constants; None for the published ones where the keypoints are those of a published set.
        num_keypoints: K, to have it checked; None for any.

    Returns:
        Meta with one class.

    Raises:
        ConfigError: `flip_pairs`, `sigmas` or `num_keypoints` do not fit the keypoints.
        DataError: the category contradicts itself.
    """
    names: list[str] = category["keypoints"]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise DataError(f"{source}: category '{category['name']}' has two keypoints called {twins[0]!r}; rename one")
    if num_keypoints is not None and num_keypoints != len(names):
        raise ConfigError(
            f"num_keypoints is {num_keypoints}, but category {category['name']!r} of {source} "
            f"has {len(names)} keypoints"
        )
    if sigmas is not None and (len(sigmas) != len(names) or not all(sigma > 0 for sigma in sigmas)):
        raise ConfigError(
            f"sigmas must be {len(names)} positive numbers, one for each keypoint of {source}, not {list(sigmas)}"
        )
    return DatasetMeta(
        classes=(category["name"],),
        category_ids=(category["id"],),
        keypoint_names=tuple(names),
        skeleton=_skeleton(category, source),
        flip_pairs=infer_flip_pairs(names) if flip_pairs is None else _given_pairs(flip_pairs, names),
        sigmas=tuple(map(float, sigmas)) if sigmas is not None else published_sigmas(names) or (),
    )


def _skeleton(category: Mapping[str, Any], source: Path) -> Pairs:
    """Return limbs with indices from 0. COCO counts from 1; a skeleton that has a 0 in it counts from 0."""
    ends = [end for limb in category["skeleton"] for end in limb]
    start = 0 if 0 in ends else 1
    count = len(category["keypoints"])
    for end in ends:
        if not 0 <= end - start < count:
            raise DataError(
                f"{source}: 'skeleton' of category '{category['name']}' mentions keypoint {end}, "
                f"but there are {count} keypoints"
            )
    return tuple((first - start, second - start) for first, second in category["skeleton"])


def _given_pairs(flip_pairs: Sequence[Sequence[int | str]], names: Sequence[str]) -> Pairs:
    pairs: list[tuple[int, int]] = []
    for pair in flip_pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise ConfigError(f"flip_pairs must be pairs of keypoint names or indices, not {pair!r}")
        pairs.append((_keypoint_index(pair[0], names), _keypoint_index(pair[1], names)))
    used = [index for pair in pairs for index in pair]
    for index in used:
        if used.count(index) > 1:
            raise ConfigError(f"flip_pairs names keypoint {names[index]!r} more than once")
    return tuple(pairs)


def _keypoint_index(value: int | str, names: Sequence[str]) -> int:
    if isinstance(value, str):
        if value not in names:
            raise ConfigError(f"flip_pairs names {value!r}, which is no keypoint; {near_names(value, names)}")
        return list(names).index(value)
    if not 0 <= value < len(names):
        raise ConfigError(f"flip_pairs has index {value}, but there are {len(names)} keypoints, counted from 0")
    return value
