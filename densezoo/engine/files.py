"""Files written whole or not at all, in folders that can be written."""

import itertools
import math
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.errors import ConfigError

_NUMBERS = itertools.count()  # of files that this process has begun


def write_text(path: Path, text: str) -> None:
    """Write a text file, and its folder; a kill at any moment leaves the old file or the new one.

    Raises:
        ConfigError: the file cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes, sync: bool = True) -> None:
    """Write a file, and its folder; a kill leaves the old file or the new one, and so do two processes at once.

    Args:
        path: of the file.
        content: of it.
        sync: wait until it is on the disk, so that a crash of the machine leaves one of the two as well.

    Raises:
        ConfigError: the file cannot be written.
    """
    partial = path.with_name(f".{socket.gethostname()}-{os.getpid()}-{next(_NUMBERS)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error}") from error


def remove(path: Path) -> None:
    """Take a file away, if it is there.

    Raises:
        ConfigError: it cannot be taken away.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be removed: {error}") from error


def finite(value: Any) -> Any:
    """Return plain values in which None stands for every number that is not finite: those that JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def new_folder(out: str | Path) -> Path:
    """Make a folder for results, and return it; one that is there must be empty.

    Raises:
        ConfigError: it holds something already, or cannot be made.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"--out {folder} is not empty; choose another folder, nothing is overwritten")
    except OSError as error:
        raise ConfigError(f"--out {folder} cannot be written: {error}") from error
    return folder


def free_folder(checkpoint: str | Path, name: str) -> Path:
    """Return the first free `NAME`, `NAME-2`, … in the work dir of a checkpoint, or beside one that has none."""
    beside = Path(checkpoint).resolve().parent
    root = beside.parent if beside.name == "checkpoints" else beside
    number = 1
    while (folder := root / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder
