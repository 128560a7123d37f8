"""What a study compares: a base and arms, each a few changes of it, what is matched, seeds and learning rates."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from densezoo.engine.config import RunConfig, check_config
from densezoo.errors import ConfigError, near_names
from densezoo.registry import ENCODERS, NECKS, TASKS

COSTS = ("parameters", "macs", "latency")
AGAIN = "again"
"""The arm that repeats the base with other seeds: the noise floor of a study."""
_AGAIN_SEEDS = 1000  # what its seeds are away from those of the base


@dataclass(frozen=True)
class Match:
    """What the arms have in common with the base besides their data.

    Attributes:
        cost: one of `COSTS`.
        width: dotted key of the width that is changed to get there; of several widths, all by one factor.
        tolerance: how far from the base's cost an arm may be, as a part of it, where widths allow.
    """

    cost: str
    width: str = "neck.channels"
    tolerance: float = 0.02


@dataclass(frozen=True)
class Arm:
    """One network of a study.

    Attributes:
        name: also that of its folder.
        options: dotted keys to what they are in place of the base's.
        config: of the base with these options; neither matched nor with a chosen learning rate.
        match: what is matched; None for an arm that is taken as it is.
    """

    name: str
    options: dict[str, Any]
    config: RunConfig
    match: Match | None


@dataclass(frozen=True)
class Study:
    """A checked study.

    Attributes:
        name: of its file.
        path: of its file.
        arms: the base first, and as the last its repetition with other seeds, `AGAIN`.
        seeds: numbers of the pairs; an arm of the same number has the same seed as the base, other than `AGAIN`.
        metric: `task/score` that arms are compared by.
        smallest_difference: of the metric that would matter; what is surely smaller is a tie.
        learning_rates: tried for each arm alike, on `val_data` alone; one only is not tried.
        tuning_share: part of the epochs that a try has.
        cluster: regular expression whose first group, found in an image's path, is what images have in common, such as
            their video; None = images are drawn one by one.
        draws: how often the test images are drawn anew for the intervals.
        all_pairs: compare every arm with every other, not with the base alone.
    """

    name: str
    path: str
    arms: list[Arm]
    seeds: list[int]
    metric: str
    smallest_difference: float
    learning_rates: list[float]
    tuning_share: float = 0.25
    cluster: str | None = None
    draws: int = 500
    all_pairs: bool = False

    @property
    def base(self) -> Arm:
        """What arms are compared with."""
        return self.arms[0]

    def arm(self, name: str) -> Arm:
        """Return an arm by its name.

        Raises:
            ConfigError: there is none.
        """
        names = [arm.name for arm in self.arms]
        if name not in names:
            raise ConfigError(f"{self.path} has no arm {name!r}; {near_names(name, names)}")
        return self.arms[names.index(name)]

    def seed_of(self, arm: str, seed: int) -> int:
        """Return what an arm's run of a pair's number is seeded with."""
        return seed + _AGAIN_SEEDS if arm == AGAIN else seed

    def epochs_of_try(self, epochs: int) -> int:
        """Return how many epochs a try of a learning rate has, of a run that has so many."""
        return max(1, round(epochs * self.tuning_share))


def apply_options(config: RunConfig, options: Mapping[str, Any], where: str) -> RunConfig:
    """Return a config with other values at dotted keys; a dict replaces what was there.

    Args:
        config: stays as it is.
        options: `{'neck.fusion': 'concat'}`; None takes a key away.
        where: for error messages.

    Raises:
        ConfigError: a key leads through something that has no keys, or the config is then wrong.
    """
    values: dict[str, Any] = _plain(config.to_dict())
    for key, value in options.items():
        if not isinstance(key, str):
            raise ConfigError(f"{where}: {key!r} is no key; name it with dots, such as 'neck.fusion'")
        *parents, last = key.split(".")
        place: Any = values
        for depth, name in enumerate(parents, start=1):
            if isinstance(place, dict) and place.get(name) is None:
                place[name] = {}
            place = _step(place, name, ".".join(parents[:depth]), where)
        if isinstance(place, list):
            _step(place, last, key, where)
            place[int(last)] = _plain(value)
        elif not isinstance(place, dict):
            raise ConfigError(f"{where}: {key} leads through {'.'.join(parents)}, which is {place!r} and has no keys")
        elif value is None:
            place.pop(last, None)
        else:
            place[last] = _plain(value)
    return check_config(values, where)


def spelled_out(config: RunConfig, where: str) -> RunConfig:
    """Return a config with the defaults of its parts, since an arm may name one that the base leaves out.

    Args:
        config: stays as it is.
        where: for error messages.

    Raises:
        ConfigError: no type, or an unknown one.
    """
    try:
        return replace(
            config,
            encoder=_short_forms(ENCODERS.with_defaults(config.encoder)),
            neck=None if config.neck is None else _short_forms(NECKS.with_defaults(config.neck)),
            tasks={name: _short_forms(TASKS.with_defaults(task)) for name, task in config.tasks.items()},
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _short_forms(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments in which a part without options is its name: `{'type': 'sum'}` says no more than `'sum'`."""
    named = {key: value for key, value in arguments.items() if isinstance(value, Mapping) and [*value] == ["type"]}
    return {**arguments, **{key: value["type"] for key, value in named.items()}}


def fingerprint(study: Study) -> dict[str, Any]:
    """Return what must stay the same for its runs to be of one study: all but the number of seeds and of comparisons.

    Returns:
        Plain values that survive JSON.
    """
    arms = {
        arm.name: arm.config.to_dict() | {"match": None if arm.match is None else vars(arm.match)} for arm in study.arms
    }
    for values in arms.values():
        for key in ("data_root", "seed"):
            values.pop(key)
        for key in ("workers", "device", "max_bad_images"):
            values["engine"].pop(key, None)
    own = {
        key: getattr(study, key)
        for key in ("metric", "smallest_difference", "learning_rates", "tuning_share", "cluster", "draws")
    }
    # which arm a shared part of the network starts from hangs on the order of arms
    own |= {"first_seed": study.seeds[0], "arms": arms, "order": list(arms)}
    plain: dict[str, Any] = json.loads(json.dumps(own))
    return plain


def _plain(value: Any) -> Any:
    """Return a copy of a config's values in which every sequence is a list."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _step(place: Any, name: str, key: str, where: str) -> Any:
    if isinstance(place, list):
        if not name.isdigit() or int(name) >= len(place):
            raise ConfigError(f"{where}: {key}: {name!r} is no index into a list of {len(place)}")
        return place[int(name)]
    if not isinstance(place, dict):
        raise ConfigError(f"{where}: {key} leads through {place!r}, which has no keys")
    return place[name]
