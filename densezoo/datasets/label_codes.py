"""What the values or colours of label files stand for, and what is said of those that stand for nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from densezoo.datasets.images import PIL_ERRORS, require_values_as_stored
from densezoo.errors import ConfigError, DataError
from densezoo.functional.label_maps import IGNORE
from densezoo.types import Array

_LISTED = 5  # values in one message


class LabelCode:
    """Turns the numbers of label files into labels.

    A number is the value of a pixel: the grey value, the index of a palette image, 0 or 1 of an image of one bit. With
    a `palette` it is the place of the pixel's colour there. A GIF has no other way to store grey than a palette, so its
    greys are taken for its values.

    Attributes:
        classes: names of the labels, from 0.
    """

    def __init__(
        self,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]] | None = None,
        values: Mapping[int, int] | None = None,
        ignore: int | Sequence[int] = (),
    ) -> None:
        """Set what numbers mean.

        Args:
            classes: names of the labels, from 0.
            palette: RGB colours, 0 to 255. None takes the values of the pixels.
            values: number to label, 255 for none; None takes numbers for labels.
            ignore: numbers that mean unlabelled.

        Raises:
            ConfigError: a value that cannot be, or that contradicts another.
        """
        self.classes = tuple(classes)
        twice = [name for name, count in Counter(classes).items() if count > 1]
        if twice or not 1 <= len(classes) <= IGNORE:
            raise ConfigError(
                f"classes must be 1 to {IGNORE} names, none of them twice; there are {len(classes)}"
                + (f", {twice[0]!r} again" if twice else "")
            )
        ignored = [ignore] if isinstance(ignore, int) else list(ignore)
        self._as_they_are = values is None
        labels = {number: number for number in range(len(classes))} if values is None else dict(values)
        self._palette = None if palette is None else _checked_palette(palette)
        most = 256 if palette is None else len(palette)
        _check_labels(labels, ignored, self.classes, most)
        self._known = np.zeros(256, np.bool_)
        self._known[[*labels, *ignored]] = True
        self._table = np.full(256, IGNORE, np.uint8)
        for number, label in labels.items():
            self._table[number] = label
        if palette is not None and not self._known[:most].all():
            idle = np.flatnonzero(~self._known[:most]).tolist()
            raise ConfigError(
                f"palette: its colours {idle} (from 0) are of no class; put them in ignore, or name them in classes"
            )

    def read(self, path: Path) -> Array:
        """Read a label file.

        Returns:
            (H, W) uint8 labels, 255 where there is none.

        Raises:
            DataError: the file is missing, does not decode, is no label map, or has a number that means nothing.
        """
        stored = _read_stored(path, self._palette is not None)
        numbers = stored if self._palette is None else self._places(stored, path)
        counts = np.bincount(numbers.ravel(), minlength=256)
        wrong = np.flatnonzero((counts > 0) & ~self._known)
        if len(wrong):
            raise DataError(f"{path}: the label map {self._complaint(wrong, counts[wrong])}")
        labels: Array = self._table[numbers]
        return labels

    def _places(self, colours: Array, path: Path) -> Array:
        """Return the place of every pixel's colour in the palette, (H, W) uint8."""
        assert self._palette is not None
        codes, known = _packed(colours), _packed(self._palette)
        order = np.argsort(known)
        places: Array = order[np.searchsorted(known, codes, sorter=order).clip(max=len(known) - 1)]
        wrong = known[places] != codes
        if wrong.any():
            values, counts = np.unique(codes[wrong], return_counts=True)
            found = np.stack([values >> 16, values >> 8 & 255, values & 255], 1)
            raise DataError(f"{path}: the label map {self._colour_complaint(found, counts)}")
        return places.astype(np.uint8)

    def _complaint(self, wrong: Array, counts: Array) -> str:
        shown = _commonest([str(value) for value in wrong.tolist()], counts)
        if self._as_they_are:
            meant = f"classes name 0 to {len(self.classes) - 1}"
        else:
            meant = f"values are {', '.join(map(str, np.flatnonzero(self._known).tolist()))}"
        if self._as_they_are and len(self.classes) == 2 and wrong.tolist() == [255]:
            way_out = "a mask of 0 and 255 is read with values={0: 0, 255: 1}, 255 for unlabelled with ignore=255"
        else:
            way_out = f"LabelFolders leaves out what ignore={wrong.tolist()[:_LISTED]} lists; name others as classes"
        return f"has values that mean nothing: {shown}; its {meant}; {way_out}"

    def _colour_complaint(self, wrong: Array, counts: Array) -> str:
        assert self._palette is not None
        texts = []
        for colour in wrong:
            place = int(np.square(self._palette.astype(np.int64) - colour).sum(1).argmin())
            label = int(self._table[place])
            name = "unlabelled" if label == IGNORE else self.classes[label]
            texts.append(f"{tuple(colour.tolist())}, nearest to {tuple(self._palette[place].tolist())} '{name}',")
        return (
            f"has colours that the palette lacks: {_commonest(texts, counts)}; add them to palette, and to ignore "
            "where they mean unlabelled; many near ones come of smooth resizing or of lossy files"
        )


def read_field_of_view(path: Path, size: tuple[int, int]) -> Array:
    """Read a mask of what an image shows: (H, W) bool, False where it is black.

    Raises:
        DataError: the file is missing, does not decode or is a JPEG, has another size, or is black all over.
    """
    try:
        with Image.open(path) as stored:
            if stored.format in ("JPEG", "MPO"):
                raise DataError(f"{path}: a JPEG changes the black around a field of view; get the masks as PNG")
            inside: Array = np.array(stored.convert("RGB")).max(axis=2) > 0
    except PIL_ERRORS as error:
        raise DataError(f"{path}: the field of view cannot be read: {error}") from error
    if inside.shape != size:
        raise DataError(
            f"{path}: the field of view has {inside.shape[1]}x{inside.shape[0]} pixels, the label map "
            f"{size[1]}x{size[0]}"
        )
    if not inside.any():
        raise DataError(f"{path}: the field of view is black all over; nothing of the image would count")
    return inside


def _read_stored(path: Path, coloured: bool) -> Array:
    """Return the values of a label file, (H, W) uint8, or its colours, (H, W, 3)."""
    try:
        require_values_as_stored(path)
        with Image.open(path) as stored:
            if stored.format in ("JPEG", "MPO"):
                raise DataError(f"{path}: a JPEG changes the labels that it stores; get the maps as PNG")
            if coloured or stored.format == "GIF":
                if stored.mode not in ("1", "L", "P", "RGB", "RGBA"):
                    raise DataError(f"{path}: a label map with a palette has 8-bit colours; this is {stored.mode}")
                colours = np.array(stored.convert("RGB"))
                if coloured:
                    return colours
                if (colours == colours[..., :1]).all():
                    return colours[..., 0]
                raise _needs_palette(path, "a GIF in colour")
            if stored.mode in ("RGB", "RGBA"):
                raise _needs_palette(path, stored.mode)
            if stored.mode not in ("1", "L", "P"):
                raise DataError(f"{path}: a label map has one channel of 8 bits, or a palette; this is {stored.mode}")
            return np.array(stored).astype(np.uint8)
    except PIL_ERRORS as error:
        raise DataError(f"{path}: the label map cannot be read: {error}") from error


def _needs_palette(path: Path, kind: str) -> DataError:
    return DataError(f"{path}: the label map is {kind}; give palette=[(r, g, b), …], the colour of each class in order")


def _checked_palette(palette: Sequence[Sequence[int]]) -> Array:
    """Return (P, 3) uint8."""
    for colour in palette:
        if len(colour) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in colour):
            raise ConfigError(f"palette must list (r, g, b) of 0 to 255, not {colour!r}")
    if not 1 <= len(palette) <= 256 or len({tuple(colour) for colour in palette}) < len(palette):
        raise ConfigError("palette must be 1 to 256 colours, none of them twice")
    return np.array(palette, np.uint8)


def _check_labels(labels: Mapping[int, int], ignored: Sequence[int], classes: Sequence[str], most: int) -> None:
    """Check numbers, of which there are `most`, and the labels that they mean."""
    for number in [*labels, *ignored]:
        if type(number) is not int or not 0 <= number < most:
            raise ConfigError(f"values, ignore and classes speak of {number!r}; the numbers are 0 to {most - 1}")
    for number, label in labels.items():
        if not 0 <= label < len(classes) and label != IGNORE:
            raise ConfigError(f"values: {number} means label {label}, but classes name 0 to {len(classes) - 1}")
        if number in ignored:
            raise ConfigError(
                f"ignore lists {number}, which means {classes[label] if label < len(classes) else label!r}; take it "
                "out, or say in values what the numbers mean, e.g. ignore=0, values={1: 0, 2: 1}"
            )


def _packed(colours: Array) -> Array:
    """Return 8-bit colours (…, 3) as (…) int32."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    packed: Array = red << 16 | green << 8 | blue
    return packed


def _commonest(texts: Sequence[str], counts: Array) -> str:
    order = np.argsort(-counts, kind="stable")
    shown = [f"{texts[place]} on {counts[place]} pixels" for place in order[:_LISTED].tolist()]
    return "; ".join(shown) + (f"; and {len(texts) - _LISTED} more" if len(texts) > _LISTED else "")
