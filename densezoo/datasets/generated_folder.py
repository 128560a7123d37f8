"""Folders of generated files, which appear whole or not at all.

`synthetic.json` in each says what was asked for, so that a folder is never taken for another set.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from densezoo.errors import DataError
from densezoo.types import Array

RECORD = "synthetic.json"


def generate_folder(folder: Path, record: Mapping[str, Any], write: Callable[[Path], None]) -> bool:
    """Write a folder of files, unless it is there already.

    It appears in one step when it is complete; when two processes generate the same one, the first to finish wins and
    both may read it.

    Args:
        folder: where.
        record: what it is to hold, in values that JSON has.
        write: writes the files into an empty folder.

    Returns:
        Whether this call wrote it.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    if holds_record(folder, record):
        return False
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        (temporary / RECORD).write_text(json.dumps(record, indent=2) + "\n")
        try:
            temporary.rename(folder)
        except OSError:
            if not holds_record(folder, record):
                raise
            return False
    except OSError as error:
        raise DataError(f"cannot write the synthetic set {folder}: {error}; choose another data root") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def holds_record(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether `folder` holds the whole set that `record` describes; False where it is missing or empty.

    Raises:
        DataError: it holds something else.
    """
    path = folder / RECORD
    if not folder.exists():
        return False
    if not path.is_file():
        if folder.is_dir() and not any(folder.iterdir()):
            return False
        raise DataError(f"{folder} exists but is not a synthetic set (no {RECORD}); move it away")
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); delete {folder} and it is generated again") from error
    if found != record:
        differing = [key for key in record if not isinstance(found, dict) or found.get(key) != record[key]]
        raise DataError(
            f"{folder} holds another synthetic set ({', '.join(differing) or 'unknown fields'} differ); move it away"
        )
    return True


def write_encoded(path: Path, image: Array, options: Sequence[int]) -> None:
    """Write an image file of the format that the suffix names.

    Args:
        path: the file.
        image: (H, W) or (H, W, 3) uint8, blue first.
        options: pairs of a `cv2.IMWRITE_` constant and its value.

    Raises:
        OSError: it cannot be encoded or written.
    """
    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(image), list(options))
    if not done:
        raise OSError(f"{path.name} could not be encoded")
    path.write_bytes(data.tobytes())
