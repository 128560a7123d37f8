"""Checks of the numbers that a config gives to the transforms."""

import math
from typing import Any, Literal

from densezoo.errors import ConfigError, near_names

Border = tuple[int, int, int] | Literal["reflect"]
"""What lies outside an image: a colour, or its mirror image."""


def check_number(field: str, value: Any, low: float, high: float = math.inf) -> float:
    """Return `value` as a float if it is a finite number from `low` to `high`, both included.

    Args:
        field: dotted name for the message, e.g. `'warp.flip'`.
        value: what the config says.
        low: smallest allowed value.
        high: largest allowed value.

    Raises:
        ConfigError: not a number, or out of range.
    """
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high and value < math.inf
    if not ok:
        allowed = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}, and finite"
        raise ConfigError(f"{field} must be a number {allowed}, not {value!r}")
    return float(value)


def check_size(field: str, size: Any) -> tuple[int, int]:
    """Return (height, width) of what is that, or one number for both.

    Raises:
        ConfigError: something else.
    """
    sides = [size, size] if isinstance(size, int) else list(size) if isinstance(size, (list, tuple)) else []
    if len(sides) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise ConfigError(f"{field} must be (height, width) in whole pixels, or one number, not {size!r}")
    return sides[0], sides[1]


def check_scale(field: str, scale: Any) -> tuple[float, float]:
    """Return (low, high) factors; (1, 1) for None.

    Raises:
        ConfigError: no such pair.
    """
    if scale is None:
        return 1.0, 1.0
    if not isinstance(scale, (list, tuple)) or len(scale) != 2:
        raise ConfigError(f"{field} must be (low, high) or None, not {scale!r}")
    low, high = (check_number(field, value, 1e-3) for value in scale)
    if low > high:
        raise ConfigError(f"{field} must be (low, high) with low <= high, not {tuple(scale)}")
    return low, high


def check_border(field: str, border: Any) -> Border:
    """Return three numbers (RGB), or the word `'reflect'`.

    Raises:
        ConfigError: something else.
    """
    if border == "reflect":
        return "reflect"
    if isinstance(border, str):
        raise ConfigError(f"{field}: no {border!r}; {near_names(border, ('reflect',))}, or give three numbers (RGB)")
    if not isinstance(border, (list, tuple)) or len(border) != 3:
        raise ConfigError(f"{field} must be three numbers (RGB) or 'reflect', not {border!r}")
    red, green, blue = (int(check_number(field, value, 0, 255)) for value in border)
    return red, green, blue
