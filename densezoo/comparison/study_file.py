"""Reading a study's file.

base = "../pose/newell_s2_lspet.py"
arms = dict(concat={"neck.fusion": "concat"}, gated={"neck.fusion": "gated"})
match = dict(cost="macs", width="neck.channels")
metric = "pose/PCK@0.2"
smallest_difference = 0.01
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

from densezoo.comparison.study import AGAIN, COSTS, Arm, Match, Study, apply_options
from densezoo.engine.config import RunConfig, differing_keys, load_config
from densezoo.engine.config_file import read_config_file
from densezoo.errors import ConfigError, near_names
from densezoo.registry import ENCODERS, NECKS, TASKS, check_kinds

_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_VALIDATION_FOLDS = 10  # of a training set that has no validation set beside it, the first is one
_KEYS: dict[str, Any] = {
    "base": str,
    "base_name": str,
    "options": dict | None,
    "arms": dict | None,
    "grid": dict | None,
    "match": dict | None,
    "seeds": int,
    "metric": str,
    "smallest_difference": float,
    "learning_rates": Sequence[float] | None,
    "tuning_share": float,
    "cluster": str | None,
    "draws": int,
}


def load_study(path: str | Path, options: Mapping[str, Any] | None = None, seeds: int | None = None) -> Study:
    """Read and check a study's config; nothing is built yet.

    Args:
        path: a Python file.
        options: dotted keys of the base's config to new values, for every arm.
        seeds: how many pairs, in place of what the file says.

    Raises:
        ConfigError: the file or its base is missing or broken, a key is unknown, or two arms are the same.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no study {path}; check the path")
    if path.suffix != ".py":
        raise ConfigError(f"{path}: a study must be a Python file (.py)")
    file = {key: value for key, value in read_config_file(path).to_dict().items() if not key.startswith("_")}
    values = _checked(file, str(path))
    base_path = path.parent / values["base"]
    config = load_config(base_path)
    config = apply_options(config, values.get("options") or {}, f"{path}: options")
    config = apply_options(config, options or {}, "--cfg-options")
    arms = _arms(values, _with_validation(config, str(base_path)), str(path))
    _check_pairs(arms, values["metric"], config.val_data is None, str(path))
    rates = [float(rate) for rate in values.get("learning_rates") or [config.optimizer.get("lr", 1e-3)]]
    if len(set(rates)) < len(rates) or min(rates) <= 0:
        raise ConfigError(f"{path}: learning_rates must be different numbers above 0, not {rates}")
    count = values.get("seeds", 5) if seeds is None else seeds
    if count < 1:
        raise ConfigError(f"{path}: seeds must be at least 1, and 2 to conclude anything, not {count}")
    cluster = values.get("cluster")
    _check_cluster(cluster, str(path))
    return Study(
        name=path.stem,
        path=str(path),
        arms=arms,
        seeds=[config.seed + number for number in range(count)],
        metric=values["metric"],
        smallest_difference=float(values["smallest_difference"]),
        learning_rates=rates,
        tuning_share=_in_range(values, "tuning_share", 0.25, 0, 1, str(path)),
        cluster=cluster,
        draws=int(_in_range(values, "draws", 500, 1, 10**6, str(path))),
    )


def _checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    for key in values:
        if key not in _KEYS:
            raise ConfigError(f"{where}: unknown key {key!r}; {near_names(key, _KEYS)}")
    missing = [key for key in ("base", "metric", "smallest_difference") if values.get(key) is None]
    if missing:
        raise ConfigError(f"{where}: {', '.join(map(repr, missing))} must be given")
    if not values.get("arms") and not values.get("grid"):
        raise ConfigError(
            f"{where}: give arms=dict(concat={{'neck.fusion': 'concat'}}), or grid={{'neck.fusion': […]}}"
        )
    check_kinds(_KEYS, values, f"{where}: ")
    if values["smallest_difference"] <= 0:
        raise ConfigError(
            f"{where}: smallest_difference must be above 0: the least that would matter, in units of the metric"
        )
    return dict(values)


def _in_range(values: Mapping[str, Any], key: str, default: float, low: float, high: float, where: str) -> float:
    value: float = values.get(key, default)
    if not low < value <= high:
        raise ConfigError(f"{where}: {key} must be above {low} and at most {high}, not {value}")
    return value


def _check_cluster(cluster: str | None, where: str) -> None:
    if cluster is None:
        return
    try:
        groups = re.compile(cluster).groups
    except re.error as error:
        raise ConfigError(f"{where}: cluster {cluster!r} is no regular expression: {error}") from error
    if groups < 1:
        raise ConfigError(f"{where}: cluster {cluster!r} needs a group in brackets, such as r'/(\\w+)_\\d+\\.png'")


def _with_validation(config: RunConfig, where: str) -> RunConfig:
    """Return the config with a part of its training set to validate on, where it has no set for that.

    Raises:
        ConfigError: there is no test set apart from it, or the training set cannot be parted here.
    """
    if config.test_data is None:
        raise ConfigError(f"{where}: a study needs test_data, which no choice is made on; val_data is for choices")
    if any(each in _sets(config.test_data) for each in _sets(config.val_data)):
        raise ConfigError(
            f"{where}: val_data and test_data are the same; learning rates must be chosen on other images"
        )
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


def _arms(values: Mapping[str, Any], base: RunConfig, where: str) -> list[Arm]:
    """Return the base, the arms in the file's order, those of the grid, and the base's repetition."""
    match = None if values.get("match") is None else _match(values["match"], where)
    arms = [Arm(values.get("base_name", "base"), {}, base, None)]
    for name, given in (values.get("arms") or {}).items():
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"{where}: arm {name!r} must be a dict such as {{'neck.fusion': 'concat'}}, not {given!r}"
            )
        options = dict(given)
        own = match
        if options.pop("match", match) is None:
            own = None
        elif "match" in given:
            raise ConfigError(f"{where}: arm {name!r}: match can only be None there, for an arm that is not matched")
        arms.append(Arm(name, options, apply_options(base, options, f"{where}: arm {name!r}"), own))
    for name, options in _grid(values.get("grid") or {}).items():
        config = apply_options(base, options, f"{where}: grid {name!r}")
        if differing_keys(_spelled_out(config, f"{where}: grid {name!r}"), _spelled_out(base, where)):
            arms.append(Arm(name, options, config, match))
        else:  # the grid has the base in it, and says better what it is
            arms[0] = Arm(values.get("base_name", name), {}, base, None)
    _check_arms(arms, where)
    return [*arms, Arm(AGAIN, {}, base, None)]


def _check_arms(arms: Sequence[Arm], where: str) -> None:
    if len(arms) < 2:
        raise ConfigError(f"{where}: there is no arm besides the base")
    names = [arm.name for arm in arms]
    for name in names:
        if name == AGAIN or not _ARM_NAME.fullmatch(name) or names.count(name) > 1:
            raise ConfigError(
                f"{where}: an arm cannot be called {name!r}; take letters, digits and _.+-, a name only once, and not "
                f"{AGAIN!r}, which is the base's repetition"
            )
    for arm in arms:
        if arm.config.optimizer.get("lr") != arms[0].config.optimizer.get("lr"):
            raise ConfigError(
                f"{where}: arm {arm.name!r}: learning rates are chosen, not set; name them in learning_rates"
            )
    spelled = {arm.name: _spelled_out(arm.config, f"{where}: arm {arm.name!r}") for arm in arms}
    for one, other in itertools.combinations(arms, 2):
        # the base is never matched: an arm like it would be the same network under another name
        same = not differing_keys(spelled[one.name], spelled[other.name])
        if same and (one is arms[0] or one.match == other.match):
            raise ConfigError(
                f"{where}: the arms {one.name!r} and {other.name!r} resolve to the same config; take one of them out "
                f"(the base's own name is base_name, and it is repeated as {AGAIN!r} by itself)"
            )


def _spelled_out(config: RunConfig, where: str) -> RunConfig:
    """Return the config with the defaults of its parts, since an arm may name one that the base leaves out.

    Raises:
        ConfigError: no type, or an unknown one.
    """
    try:
        return replace(
            config,
            encoder=ENCODERS.with_defaults(config.encoder),
            neck=None if config.neck is None else NECKS.with_defaults(config.neck),
            tasks={name: TASKS.with_defaults(task) for name, task in config.tasks.items()},
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_pairs(arms: Sequence[Arm], metric: str, cut: bool, where: str) -> None:
    """Check that arms are judged as the base is, or their runs would be no pairs.

    Args:
        arms: the base first.
        metric: of the study.
        cut: the validation set was cut out of the base's training set here.
        where: for error messages.

    Raises:
        ConfigError: an arm has data, a seed or metrics of its own.
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
            "train_data (which val_data is cut out of; give the base val_data)": cut
            and config.train_data != base.train_data,
        }
        for key, differs in own.items():
            if differs:
                raise ConfigError(f"{where}: arm {arm.name!r} cannot have its own {key}; all arms are judged alike")


def _sets(data: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    return [] if data is None else [data] if isinstance(data, Mapping) else list(data)


def _share_sets(one: Any, other: Any) -> bool:
    """Whether all of one's sets are the other's; either may have more, for tasks that the other has not got."""
    here, there = _sets(one), _sets(other)
    fewer, more = (here, there) if len(here) < len(there) else (there, here)
    return bool(fewer) and all(each in more for each in fewer)


def _grid(grid: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every combination of a grid's values under a name of theirs, such as `fusion-concat+num_stages-2`."""
    arms = {}
    for chosen in itertools.product(*grid.values()) if grid else ():
        options = dict(zip(grid, chosen, strict=True))
        words = [f"{key.rpartition('.')[2]}-{value}" for key, value in options.items()]
        arms[re.sub(r"[^A-Za-z0-9_.+-]", "_", "+".join(words))] = options
    return arms


def _match(values: Mapping[str, Any], where: str) -> Match:
    hints = get_type_hints(Match)
    for key in values:
        if key not in hints:
            raise ConfigError(f"{where}: match has no key {key!r}; {near_names(key, hints)}")
    check_kinds(hints, values, f"{where}: match.")
    if values.get("cost") not in COSTS:
        raise ConfigError(f"{where}: match.cost must be one of {', '.join(COSTS)}, not {values.get('cost')!r}")
    match = Match(**values)
    if not 0 < match.tolerance < 1:
        raise ConfigError(f"{where}: match.tolerance must lie between 0 and 1, not {match.tolerance}")
    return match
