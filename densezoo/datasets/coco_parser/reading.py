"""Reading JSON thriftily, and the words for what is wrong with it."""

import json
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Fault(Exception):  # noqa: N818  (it is the file's fault, not an error of the program)
    """Something is wrong with the file; the message says what, without the file's name."""


def read_json(source: Path) -> Any:
    """Read a JSON file, packing the long number lists of annotations into arrays while it is parsed."""
    try:
        return json.loads(source.read_text(encoding="utf-8-sig"), object_hook=_pack_lists)
    except OSError as error:
        raise Fault(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Fault(f"is not text in UTF-8 (byte {error.start}); a COCO file is JSON") from error
    except json.JSONDecodeError as error:
        raise Fault(
            f"broken JSON at line {error.lineno}, column {error.colno}: {error.msg}; download or export the file again"
        ) from error
    except RecursionError as error:
        raise Fault("is JSON nested too deeply to be COCO annotations") from error


def _pack_lists(record: dict[str, Any]) -> dict[str, Any]:
    """Replace lists of numbers by arrays (a Python float takes 32 bytes in a list); leave what does not fit alone."""
    for key, code in (("segmentation", "d"), ("keypoints", "d"), ("bbox", "d"), ("counts", "q")):
        values = record.get(key)
        if type(values) is list:
            try:
                nested = bool(values) and type(values[0]) is list
                record[key] = [array(code, part) for part in values] if nested else array(code, values)
            except (TypeError, OverflowError):
                continue
    return record


def whole_number(record: Any, key: str, where: str) -> int:
    """Return a required whole number that fits 64 bits."""
    if type(record) is not dict:
        raise Fault(f"{where} must be an object, not {short(record)}")
    value = record.get(key)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        found = short(value) if key in record else "nothing"
        raise Fault(f"{where}: '{key}' must be a whole number, not {found}")
    return value


def is_real(value: Any) -> bool:
    """Say whether `value` is a number that a float can hold."""
    return type(value) in (int, float) and -1e300 < value < 1e300


def short(value: Any) -> str:
    """Return `value` as the few characters that fit an error message."""
    text = repr(value.tolist() if isinstance(value, array) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def refuse_twins(ids: Iterable[int], kind: str) -> None:
    """Raise a Fault where an id occurs twice."""
    values, counts = np.unique(np.fromiter(ids, np.int64), return_counts=True)
    if (counts > 1).any():
        twin = int(values[counts > 1][0])
        raise Fault(
            f"{kind} id {twin} occurs {int(counts.max())} times; ids must be unique (files merged without renumbering?)"
        )
