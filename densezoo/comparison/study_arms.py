"""The arms of a study's file: those that it names, every combination of its grid, and what is matched."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from densezoo.comparison.study import AGAIN, COSTS, Arm, Match, apply_options, spelled_out
from densezoo.engine.config import RunConfig, differing_keys
from densezoo.errors import ConfigError, near_names
from densezoo.registry import check_kinds

_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_Choice = tuple[str, str, Any]
"""A word for the arm's name, the key, and its value there."""


def arms_of(values: Mapping[str, Any], base: RunConfig, where: str) -> list[Arm]:
    """Return the base, the arms in the file's order, those of the grid, and the base's repetition.

    Args:
        values: of the file.
        base: its config.
        where: for error messages.

    Raises:
        ConfigError: an arm, the grid or the match is wrong, or two arms are the same.
    """
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
    for name, options in _grid(values.get("grid") or {}, where).items():
        config = apply_options(base, options, f"{where}: grid {name!r}")
        if differing_keys(spelled_out(config, f"{where}: grid {name!r}"), spelled_out(base, where)):
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
    spelled = {arm.name: spelled_out(arm.config, f"{where}: arm {arm.name!r}") for arm in arms}
    for one, other in itertools.combinations(arms, 2):
        # the base is never matched: an arm like it would be the same network under another name
        same = not differing_keys(spelled[one.name], spelled[other.name])
        if same and (one is arms[0] or one.match == other.match):
            raise ConfigError(
                f"{where}: the arms {one.name!r} and {other.name!r} resolve to the same config; take one of them out "
                f"(the base's own name is base_name, and it is repeated as {AGAIN!r} by itself)"
            )


def _grid(grid: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Return every combination of a grid's values under a name of theirs, such as `fusion-concat+num_stages-2`."""
    arms: dict[str, dict[str, Any]] = {}
    choices = [_choices(key, values, where) for key, values in grid.items()]
    for chosen in itertools.product(*choices) if grid else ():
        name = re.sub(r"[^A-Za-z0-9_.+-]", "_", "+".join(word for word, _, _ in chosen))
        if name in arms:
            raise ConfigError(f"{where}: grid: two arms would be called {name!r}; give them names of yours by arms=")
        arms[name] = {key: value for _, key, value in chosen}
    return arms


def _choices(key: str, values: Any, where: str) -> list[_Choice]:
    if not isinstance(key, str):
        raise ConfigError(f"{where}: grid: {key!r} is no key; name it with dots, such as 'neck.fusion'")
    if not isinstance(values, (list, tuple)) or not values:
        raise ConfigError(f"{where}: grid: {key} must be a list of values, such as [{values!r}, …], not {values!r}")
    choices = []
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ConfigError(f"{where}: grid: {key} has {value!r} twice")
        named = value.get("type") if isinstance(value, Mapping) else value
        if isinstance(value, Mapping) and named is None:
            raise ConfigError(f"{where}: grid: {key}: a dict without a type gives an arm no name; use arms=")
        choices.append((f"{key.rpartition('.')[2]}-{named}", key, value))
    return choices


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
