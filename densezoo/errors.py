"""Errors that a user can act on.

Every command turns a `DenseZooError` into one line on stderr and exit code 2, so its message must name the file,
the field and the way out. Anything else is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Iterable

LISTED = 10  # names in one message; timm alone has more than a thousand


class DenseZooError(Exception):
    """Something the user can mend; the message says what and how."""


class ConfigError(DenseZooError):
    """A configuration names something that does not exist, or gives it a value that cannot be."""


class DataError(DenseZooError):
    """A file of a data set is missing, broken or says something impossible."""


class CheckpointError(DenseZooError):
    """A checkpoint is missing, broken, or does not fit the model or the run."""


class DivergedError(DenseZooError):
    """A training whose loss, or a network whose answer, is no number any more."""


def near_names(name: str, known: Iterable[str]) -> str:
    """Return `known` names as a phrase for an error message, those that resemble `name` first.

    Args:
        name: what the user wrote.
        known: what exists; may be empty.

    Returns:
        `"did you mean 'a' or 'b'?"` when something is near, else `"known: 'a', 'b'"` with the ten nearest, or the first
        ten, of many, else `"none are known"`.
    """
    names = sorted(set(known))
    lowered = {candidate.lower(): candidate for candidate in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(lowered[match]) for match in near) + "?"
    if not names:
        return "none are known"
    shown = names
    if len(names) > LISTED:
        less_near = difflib.get_close_matches(name.lower(), lowered, n=LISTED, cutoff=0.3)
        shown = sorted(lowered[match] for match in less_near) or names[:LISTED]
    left_out = len(names) - len(shown)
    return "known: " + ", ".join(map(repr, shown)) + (f", … and {left_out} more" if left_out else "")
