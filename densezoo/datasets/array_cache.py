"""Annotation files as memory-mapped arrays.

A file is parsed once, by a child process, into a folder of `.npy` files, which every process that needs them then
maps: their pages exist once on the machine, whatever the number of workers, and the parser's memory is given back.
The folder lies in `$DENSEZOO_CACHE`, or in `~/.cache/densezoo`. Its name is made of the file's path, size and time of
change and of the layout's version, so a file that changes is parsed again; it appears by a rename, so it is whole or
not there.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets import coco_parser
from densezoo.datasets.coco_parser.program import FAULT_EXIT_CODE
from densezoo.errors import DataError
from densezoo.types import Array

LAYOUT_VERSION = 3
"""Raise it with every change of what the parser writes."""

# The child finds the parser as a top-level package, because importing it as a part of densezoo would import torch. The
# folder goes to the end of the path, so that no file in it can stand in for a module of the standard library.
_CHILD = "import sys; sys.path.append(sys.argv[1]); from coco_parser.program import main; sys.exit(main(*sys.argv[2:]))"

Columns = dict[str, Array]


def cache_root() -> Path:
    """Return the folder of all caches: `$DENSEZOO_CACHE`, else `~/.cache/densezoo`; it need not exist."""
    return Path(os.environ.get("DENSEZOO_CACHE") or "~/.cache/densezoo").expanduser()


def open_columns(source: Path, kind: str) -> tuple[Columns, dict[str, Any]]:
    """Map the columns of a COCO file, parsing it first where no whole, up-to-date cache of it exists.

    Args:
        source: a JSON file.
        kind: `'annotations'` or `'detections'`, which says what columns there are: see `coco_parser`.

    Returns:
        Read-only arrays by name, and the file's facts that are no arrays.

    Raises:
        DataError: the file is missing, broken or contradicts itself, or the cache cannot be written.
    """
    source = source.absolute()
    try:
        status = source.stat()
    except OSError as error:
        raise DataError(f"{source}: {error.strerror}; check the path of the {kind} and data_root") from error
    if not source.is_file():
        raise DataError(f"{source} is a folder; the {kind} must be one JSON file")
    path_key = _digest(str(source.resolve()), kind)
    family = f"{source.stem[:60]}-{path_key}"
    root = cache_root() / kind
    folder = root / f"{family}-{_digest(status.st_size, status.st_mtime_ns, LAYOUT_VERSION)}"
    found = _load(folder)
    if found is not None:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open(root / f"{family}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the other ranks of a distributed run wait for one parser
            found = _load(folder)
            if found is None:
                _build(source, kind, folder)
                _remove_stale(root, family, folder)
                found = _load(folder)
    except OSError as error:
        raise DataError(
            f"the cache folder {root} cannot be written ({error.strerror}); it holds the parsed {source.name}: "
            "free space there, or name another folder in the environment variable DENSEZOO_CACHE"
        ) from error
    if found is None:
        raise DataError(f"the cache {folder} cannot be read back after it was written; is the disk damaged?")
    return found


def _digest(*values: object) -> str:
    return hashlib.sha256("\0".join(map(str, values)).encode()).hexdigest()[:12]


def _load(folder: Path) -> tuple[Columns, dict[str, Any]] | None:
    """Map a cache folder; None where it is missing, cut short or damaged in any way that shows in its headers."""
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        columns = {}
        for name, (dtype, shape) in facts["columns"].items():
            mapped = np.load(folder / f"{name}.npy", mmap_mode="r" if 0 not in shape else None)
            if mapped.dtype.str != dtype or list(mapped.shape) != shape:
                return None
            columns[name] = mapped.view(np.ndarray)  # a memmap's own indexing is several times slower
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None
    return columns, facts


def _build(source: Path, kind: str, folder: Path) -> None:
    """Parse `source` in a child process into a new folder, and put it where `folder` is or is not."""
    parts = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    package = Path(coco_parser.__file__).parents[1]
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-c", _CHILD, str(package), kind, str(source), str(parts)],
            capture_output=True,
            text=True,
            check=False,
        )
        if child.returncode == FAULT_EXIT_CODE:
            raise DataError(f"{source}: {json.loads(child.stdout)['fault']}")
        if child.returncode < 0:
            raise DataError(
                f"{source}: its parser was killed by signal {-child.returncode}; "
                "parsing takes about five times the file's size in memory"
            )
        if child.returncode:
            raise RuntimeError(f"the parser of {source} failed:\n{child.stderr}")
        if folder.exists():
            shutil.rmtree(folder)
        parts.rename(folder)
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _remove_stale(root: Path, family: str, current: Path) -> None:
    """Delete caches of earlier states of the same file. Processes that still map one keep their pages."""
    for folder in root.iterdir():
        if folder.is_dir() and folder != current and folder.name.lstrip(".").startswith(f"{family}-"):
            shutil.rmtree(folder, ignore_errors=True)
