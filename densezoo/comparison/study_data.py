"""The data of a study: sets to choose on and to score on, apart from what is trained on, and the same for all arms."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from densezoo.comparison.study import Arm
from densezoo.datasets.mixed import source_configs
from densezoo.datasets.subset import share_images
from densezoo.engine.config import RunConfig, flatten
from densezoo.errors import ConfigError
from densezoo.registry import DATASETS

_VALIDATION_FOLDS = 10  # of a training set that has no validation set beside it, the first is one
_SETS = ("train_data", "val_data", "test_data")
_OF_TESTS = ("flip_test", "scales")
"""Keys of `engine` that change how a network is scored; windows may have to differ, for they must suit its strides."""
_OF_ANNOTATIONS = {
    "only", "boxes", "min_keypoints", "keypoint_shift", "num_keypoints", "masks", "categories", "semantic",
    "semantic_classes", "semantic_from_masks", "semantic_categories", "view",
}  # fmt: skip
"""Arguments of data sets that change what is known of images, and not which images there are."""


def with_validation(config: RunConfig, where: str) -> RunConfig:
    """Return the config with a part of its training set to validate on, where it has no set for that.

    Args:
        config: of the base.
        where: for error messages.

    Raises:
        ConfigError: there is no test set, or the training set cannot be parted here.
    """
    if config.test_data is None:
        raise ConfigError(f"{where}: a study needs test_data, which no choice is made on; val_data is for choices")
    if config.val_data is not None:
        return config
    train = config.train_data
    if not isinstance(train, dict) or train.get("subset") is not None:
        raise ConfigError(f"{where}: no val_data, and train_data cannot be parted for it; give val_data")
    return replace(
        config,
        train_data=train | {"subset": {"folds": _VALIDATION_FOLDS, "drop": [0]}},
        val_data=train | {"subset": {"folds": _VALIDATION_FOLDS, "keep": [0]}},
    )


def check_pairs(arms: Sequence[Arm], metric: str, cut: bool, where: str) -> None:
    """Check that arms are judged as the base is, or their runs would be no pairs.

    Args:
        arms: the base first.
        metric: of the study.
        cut: the validation set was cut out of the base's training set here.
        where: for error messages.

    Raises:
        ConfigError: an arm has data, a seed, metrics or a way of testing of its own.
    """
    task, base = metric.partition("/")[0], arms[0].config

    def metrics_of(config: RunConfig) -> Any:
        return config.tasks[task].get("metrics", "default") if task in config.tasks else None

    for arm in arms[1:]:
        config = arm.config
        own = {
            "seed": config.seed != base.seed,
            "val_data": not _share_sets(config.val_data, base.val_data),
            "test_data": not _share_sets(config.test_data, base.test_data),
            f"tasks.{task}.metrics": metrics_of(config) != metrics_of(base),
            **{f"engine.{key}": getattr(config.engine, key) != getattr(base.engine, key) for key in _OF_TESTS},
            "train_data (which val_data is cut out of; give the base val_data)": cut
            and config.train_data != base.train_data,
        }
        for key, differs in own.items():
            if differs:
                raise ConfigError(f"{where}: arm {arm.name!r} cannot have its own {key}; all arms are judged alike")


def check_apart(arms: Sequence[Arm], where: str) -> None:
    """Check that no arm is scored on images that it, or its learning rate, has learned from.

    Args:
        arms: of the study.
        where: for error messages.

    Raises:
        ConfigError: two of an arm's sets have a source in common and are not subsets of it without a common image, or
            a source has no type, or an unknown one.
    """
    for arm in arms:
        for one, other in itertools.combinations(_SETS, 2):
            pairs = itertools.product(
                source_configs(getattr(arm.config, one)), source_configs(getattr(arm.config, other))
            )
            shared = [source["type"] for source, there in pairs if _overlap(source, there, f"{where}: {arm.name}")]
            if shared:
                raise ConfigError(
                    f"{where}: arm {arm.name!r}: {one} and {other} have the same {shared[0]}, and scores must be on "
                    "images that nothing was learned from; give one of them another source, or both subsets without a "
                    "common image, such as subset=dict(folds=10, drop=[0]) and subset=dict(folds=10, keep=[0])"
                )


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any], where: str) -> bool:
    """Whether two sources may have images in common, as far as their configs tell."""
    if _images_of(one, where) != _images_of(other, where):
        return False
    try:
        return share_images(one.get("subset"), other.get("subset"))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _images_of(source: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return what says where images come from."""
    try:
        whole = DATASETS.with_defaults({key: value for key, value in source.items() if key not in _OF_ANNOTATIONS})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return flatten({key: value for key, value in whole.items() if key != "subset"})


def _sets(data: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    return [] if data is None else [data] if isinstance(data, Mapping) else list(data)


def _share_sets(one: Any, other: Any) -> bool:
    """Whether all of one's sets are the other's; either may have more, for tasks that the other has not got."""
    here, there = _sets(one), _sets(other)
    fewer, more = (here, there) if len(here) < len(there) else (there, here)
    return bool(fewer) and all(each in more for each in fewer)
