"""Reading a study's file.

base = "../pose/newell_s2_lspet.py"
arms = dict(concat={"neck.fusion": "concat"}, gated={"neck.fusion": "gated"})
match = dict(cost="macs", width="neck.channels")
metric = "pose/PCK@0.2"
smallest_difference = 0.01
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from densezoo.comparison.study import Study, apply_options
from densezoo.comparison.study_arms import arms_of
from densezoo.comparison.study_data import check_apart, check_pairs, with_validation
from densezoo.engine.config import load_config
from densezoo.engine.config_file import read_config_file
from densezoo.errors import ConfigError, near_names
from densezoo.registry import check_kinds

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
        ConfigError: the file or its base is missing or broken, a key is unknown, two arms are the same, or an arm would
            be scored on what it learned from.
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
    arms = arms_of(values, with_validation(config, str(base_path)), str(path))
    check_pairs(arms, values["metric"], config.val_data is None, str(path))
    check_apart(arms, str(path))
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
        learning_rates=_rates(values.get("learning_rates"), config.optimizer.get("lr", 1e-3), str(path)),
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
    if not 0 < values["smallest_difference"] < math.inf:
        raise ConfigError(
            f"{where}: smallest_difference must be above 0 and finite: the least that would matter, in units of the "
            "metric"
        )
    return dict(values)


def _rates(given: Sequence[float] | None, own: float, where: str) -> list[float]:
    """Return the learning rates to try; without any given the base's own."""
    rates = [float(rate) for rate in ([own] if given is None else given)]
    if not rates or len(set(rates)) < len(rates) or not all(0 < rate < math.inf for rate in rates):
        raise ConfigError(
            f"{where}: learning_rates must be different numbers above 0, at least one, not {rates}; without that key "
            "the base's own is taken"
        )
    return rates


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
