"""Checks of the numbers that a config gives to the transforms."""

import math
from typing import Any

from densezoo.errors import ConfigError


def check_number(field: str, value: Any, low: float, high: float = math.inf) -> float:
    """Return `value` as a float if it is a number from `low` to `high`, both included.

    Args:
        field: dotted name for the message, e.g. `'warp.flip'`.
        value: what the config says.
        low: smallest allowed value.
        high: largest allowed value.

    Raises:
        ConfigError: not a number, or out of range.
    """
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    if not ok:
        allowed = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
        raise ConfigError(f"{field} must be a number {allowed}, not {value!r}")
    return float(value)
