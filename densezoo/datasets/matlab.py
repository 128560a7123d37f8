"""Reading MATLAB files whose structs were filled by hand, so that any field may be missing, empty or of another type.

Values are as `scipy.io.loadmat(struct_as_record=False, squeeze_me=True)` returns them: a struct is an object with one
attribute per field, an array of structs is an array of objects, a single struct is the object itself, and anything
empty is an array without elements.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError

from densezoo.errors import DataError

PIXEL_ONE = 0.5
"""Where MATLAB's pixel 1 has its centre in the zoo's frame, whose origin is the image's corner."""


def read_variable(path: Path, name: str) -> Any:
    """Read one variable of a MATLAB file (version 4 to 7.2).

    Raises:
        DataError: there is no such file, it is no MATLAB file, it is of version 7.3, or it lacks the variable; the
            message lists the variables that were found.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}; check `annotations` and the data root")
    try:
        found = [variable for variable, _, _ in whosmat(path)]
        if name not in found:
            raise DataError(f"{path} has no variable {name!r}; it holds {', '.join(map(repr, found)) or 'nothing'}")
        return loadmat(path, struct_as_record=False, squeeze_me=True, variable_names=[name])[name]
    except NotImplementedError as error:
        raise DataError(f"{path} is a MATLAB 7.3 (HDF5) file; save it again in MATLAB with -v7") from error
    except (MatReadError, ValueError, TypeError, OSError, zlib.error) as error:
        raise DataError(f"{path} is not a readable MATLAB file: {error}") from error


def items(value: Any) -> list[Any]:
    """Return the elements of a struct array, whether it came as nothing, one struct, or an array of them."""
    if isinstance(value, np.ndarray):
        return list(value.ravel())
    return [] if value is None else [value]


def field(struct: Any, name: str) -> Any:
    """Return a field of a struct, or None where the field is missing or empty."""
    value = getattr(struct, name, None)
    if isinstance(value, np.ndarray) and value.size == 0:
        return None
    return value


def number(struct: Any, name: str) -> float | None:
    """Return a field as a number, or None where it is missing, empty or not a number.

    Flags are written as integers, as logicals or as characters ('0', '1'); all three give a number.
    """
    value = field(struct, name)
    if isinstance(value, np.ndarray):
        value = value.ravel()[0]
    if isinstance(value, str):
        return float(value) if value.strip().isdecimal() else None
    if isinstance(value, (int, float, np.number, np.bool_)):
        return None if np.isnan(value) else float(value)
    return None
