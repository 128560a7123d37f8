"""Patterns of file names with named fields: `leftImg8bit/{city}/{name}_leftImg8bit.png`.

A field stands for one or more characters of one part of the path, as many as fit. What the fields of an image's path
stand for says where the files are that belong to it: its label map is `gtFine/{city}/{name}_gtFine_labelIds.png`.
"""

import os
import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path

from densezoo.errors import ConfigError, DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")
"""What a folder that is named without a pattern is searched for."""
_FIELD = re.compile(r"\{([a-z_]+)\}")


class PathPattern:
    """A path below a root folder, `/` between its parts, with named fields in braces.

    Attributes:
        text: as written in the config.
        fields: names of the fields, in order.
    """

    def __init__(self, text: str, what: str) -> None:
        """Parse a pattern.

        Args:
            text: with at least one field, whose name has small letters and underscores.
            what: the argument it comes from, for messages.

        Raises:
            ConfigError: it has no field, or a brace that belongs to none.
        """
        self.text, self._what = text, what
        self.fields = tuple(dict.fromkeys(_FIELD.findall(text)))
        if not self.fields or set("{}") & set(_FIELD.sub("", text)):
            raise ConfigError(
                f"{what}={text!r} must be a folder, or a pattern with fields, such as 'train/{{name}}.png'"
            )
        self._whole = re.compile(_expression(text))

    def find(self, root: Path) -> list[str]:
        """Return every file that fits, relative to `root`, sorted; hidden files are passed over.

        Raises:
            DataError: a folder cannot be listed, or nothing fits.
        """
        found, parts = [""], self.text.split("/")
        for depth, part in enumerate(parts):
            files = depth + 1 == len(parts)
            if _FIELD.search(part):
                fits = re.compile(_expression(part))
                listed = [
                    (head, name) for head in found for name in _entries(root / head, files) if fits.fullmatch(name)
                ]
            else:
                listed = [(head, part) for head in found if not files or (root / head / part).is_file()]
            found = [f"{head}/{name}" if depth else name for head, name in listed]
        found = sorted(path for path in found if self._whole.fullmatch(path))
        if not found:
            raise DataError(f"no file fits {root / self.text}; {self._near(root)}; check '{self._what}' and data_root")
        return found

    def _near(self, root: Path) -> str:
        """Say what there is instead."""
        head = root / self.text[: self.text.index("{")].rpartition("/")[0]
        while not head.is_dir() and head != head.parent:
            head = head.parent
        names = sorted(path.name for path in head.iterdir() if not path.name.startswith("."))
        return f"{head} holds " + (", ".join(names[:3]) + (", …" if len(names) > 3 else "") if names else "nothing")

    def values(self, path: str) -> dict[str, str]:
        """Return what the fields stand for in a path that fits."""
        match = self._whole.fullmatch(path)
        assert match is not None, f"{path} does not fit {self.text}"
        return match.groupdict()

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the path in which the fields stand for `values`."""
        return _FIELD.sub(lambda field: values[field[1]], self.text)


def path_pattern(text: str, root: Path, what: str) -> PathPattern:
    """Return a pattern, or that of a folder's images: `folder/{name}.png`, whatever they end in.

    Args:
        text: a pattern with fields, or a folder, relative to `root`.
        root: what paths are relative to.
        what: the argument it comes from, for messages.

    Raises:
        ConfigError: a malformed pattern, or a folder with images of several endings.
        DataError: there is no such folder, or no image in it.
    """
    if "{" in text or "}" in text:
        return PathPattern(text, what)
    folder = root / text
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; check '{what}' and data_root")
    found = {Path(name).suffix for name in _entries(folder, files=True)}
    endings = sorted(suffix for suffix in found if suffix.lower() in SUFFIXES)
    if not endings:
        raise DataError(f"{folder} holds no image ({', '.join(SUFFIXES)}); check '{what}' and data_root")
    if len(endings) > 1:
        raise ConfigError(
            f"{folder} holds files that end in {' and in '.join(endings)}; say which are meant with a pattern, such as "
            f"{what}='{text}/{{name}}{endings[0]}', or {what}='{text}/{{name}}.{{ending}}' for images of any kind"
        )
    return PathPattern(f"{text}/{{name}}{endings[0]}", what)


def missing_files(root: Path, paths: Iterable[str]) -> list[str]:
    """Return those of `paths`, relative to `root`, that are not there; every folder is listed once."""
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in listed:
            listed[folder] = set(_entries(root / folder, files=True, hidden=True))
        if name not in listed[folder]:
            missing.append(path)
    return missing


def _expression(text: str) -> str:
    """Return the regular expression of a pattern; a field that comes again stands for the same."""
    pieces = _FIELD.split(text)  # text and names in turn
    expression, seen = "", set()
    for fixed, field in zip_longest(pieces[::2], pieces[1::2]):
        expression += re.escape(fixed)
        if field is not None:
            expression += f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+)"
            seen.add(field)
    return expression


def _entries(folder: Path, files: bool, hidden: bool = False) -> list[str]:
    """Return the names of a folder's files, or of its folders; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return [
                entry.name
                for entry in entries
                if (entry.is_file() if files else entry.is_dir()) and (hidden or not entry.name.startswith("."))
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}") from error
