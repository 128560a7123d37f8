"""Folders of images and of label maps, whatever their files are called."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.images import read_image, read_size
from densezoo.datasets.label_codes import LabelCode, read_field_of_view
from densezoo.datasets.path_patterns import PathPattern, missing_files, path_pattern
from densezoo.datasets.subset import in_subset
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.functional.label_maps import IGNORE
from densezoo.registry import DATASETS
from densezoo.types import Array, DatasetMeta, ImageTruth, Sample, identity_affine


@DATASETS.register()
class LabelFolders:
    """One sample for each image, with its semantic map and no instances.

    Images are in the order of their paths. An image's id is its place among all that the pattern fits, so a part of a
    set has the ids of the whole.

    Attributes:
        meta: the semantic classes.
    """

    def __init__(
        self,
        images: str,
        labels: str,
        classes: Sequence[str],
        data_root: str | Path,
        names: str | Sequence[str] | None = None,
        subset: Mapping[str, Any] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        values: Mapping[int, int] | None = None,
        ignore: int | Sequence[int] = (),
        field_of_view: str | None = None,
        second_labels: str | None = None,
    ) -> None:
        """List the files, and read the first label map to see whether it fits.

        Args:
            images: folder of the images, or a pattern with named fields, such as
                `'leftImg8bit/train/{city}/{name}_leftImg8bit.png'`; relative to `data_root`, as all that follow. A
                folder stands for `'folder/{name}.png'`, with the ending of its files.
            labels: where the label map of an image is, with the fields of `images`: a folder, or
                `'gtFine/train/{city}/{name}_gtFine_labelTrainIds.png'`. Files without loss: PNG, TIFF, GIF.
            classes: names of the labels, from 0.
            data_root: folder that paths start from.
            names: which images to read, by what `{name}` stands for: a list, or a text file with one on each line.
            subset: part of those, see `densezoo.datasets.subset.in_subset`.
            palette: RGB of every class, for label maps in colour; more colours can follow for what `ignore` or `values`
                speak of by their places. None takes grey values, and the indices of palette images.
            values: number in the file to label, 255 for none; None takes numbers for labels. A number that means
                nothing is an error, so an unlabelled 255 is named in `ignore`, too.
            ignore: numbers in the file that mean unlabelled.
            field_of_view: where the mask of an image is; what is black there is unlabelled.
            second_labels: where a second observer's label map of an image is, to be scored beside the model.

        Raises:
            ConfigError: a malformed argument.
            DataError: no image, an image without a file that belongs to it, or a first label map that does not fit.
        """
        self._root = Path(data_root)
        self._code = LabelCode(classes, palette, values, ignore)
        self.meta = DatasetMeta(semantic_classes=tuple(classes))
        self._images = path_pattern(images, self._root, "images")
        belonging = {"labels": labels, "field_of_view": field_of_view, "second_labels": second_labels}
        self._patterns = {what: self._belonging(what, text) for what, text in belonging.items() if text is not None}
        found = self._images.find(self._root)
        chosen = np.ones(len(found), np.bool_) if names is None else self._named(found, names)
        image_ids = np.flatnonzero(chosen)
        image_ids = image_ids[in_subset(image_ids, subset)]
        if not len(image_ids):
            raise DataError(f"none of the {len(found)} images {self._root / images} is chosen; check names and subset")
        self._image_ids = image_ids.astype(np.int64)
        self._paths = np.array(found)[image_ids]  # one block of memory, which workers share
        self._require_files()
        self._labels(0, "labels", read_size(self._root / self._path(0)))

    def _belonging(self, what: str, text: str) -> PathPattern:
        """Return the pattern of files that belong to images."""
        pattern = path_pattern(text, self._root, what)
        for field in pattern.fields:
            if field not in self._images.fields:
                raise ConfigError(
                    f"{what}={text!r} has the field {field!r}, which images={self._images.text!r} lacks; "
                    f"{near_names(field, self._images.fields)}"
                )
        return pattern

    def _named(self, found: Sequence[str], names: str | Sequence[str]) -> Array:
        """Say which files are named, (n,) bool."""
        if "name" not in self._images.fields:
            raise ConfigError(f"names are what {{name}} stands for, but images={self._images.text!r} has no such field")
        source = str(self._root / names) if isinstance(names, str) else "names"
        wanted = _lines(Path(source)) if isinstance(names, str) else set(names)
        known = [self._images.values(path)["name"] for path in found]
        unknown = sorted(wanted - set(known))
        if unknown:
            raise DataError(
                f"{source}: {len(unknown)} of {len(wanted)} names have no image {self._root / self._images.text}, such "
                f"as {unknown[0]!r}; {near_names(unknown[0], known)}"
            )
        return np.array([name in wanted for name in known])

    def _require_files(self) -> None:
        """Check that all that belongs to the images is there."""
        for what, pattern in self._patterns.items():
            files = [pattern.fill(self._images.values(path)) for path in self._paths.tolist()]
            missing = missing_files(self._root, files)
            if missing:
                image = self._path(files.index(missing[0]))
                raise DataError(
                    f"there is no {self._root / missing[0]} for {image}; of {len(files)} images {len(missing)} have no "
                    f"such file: check '{what}', or say in 'names' which images to read"
                )

    def __len__(self) -> int:
        """Number of images."""
        return len(self._paths)

    def _path(self, index: int) -> str:
        return str(self._paths[index])

    def read(self, index: int) -> Sample:
        """Read one image with its semantic map, in the file's pixels; `frame` is the whole image.

        Raises:
            DataError: a file is missing or does not decode, sizes differ, or a label means nothing.
        """
        path = self._root / self._path(index)
        image = read_image(path)
        height, width = image.shape[:2]
        return Sample(
            image=image,
            image_id=int(self._image_ids[index]),
            path=str(path),
            to_original=identity_affine(),
            frame=np.array([0, 0, width, height], np.float32),
            semantic=self._labels(index, "labels", (height, width)),
            whole_image=True,
        )

    def truth(self, index: int) -> ImageTruth:
        """Return the semantic map, the second observer's where there are such, and no instances.

        Raises:
            DataError: a file is missing or does not decode, sizes differ, or a label means nothing.
        """
        semantic = self._labels(index, "labels")
        height, width = semantic.shape
        nothing = np.zeros(0, np.int64)
        truth = ImageTruth(
            ids=nothing,
            labels=nothing.copy(),
            boxes=np.zeros((0, 4), np.float32),
            areas=np.zeros(0, np.float32),
            crowd=np.zeros(0, np.bool_),
            semantic=semantic,
            size=(height, width),
        )
        if "second_labels" in self._patterns:
            truth["second_semantic"] = self._labels(index, "second_labels", (height, width))
        return truth

    def _labels(self, index: int, what: str, size: tuple[int, int] | None = None) -> Array:
        """Return the labels of an image, (H, W) uint8, 255 outside its field of view.

        Args:
            index: of the sample.
            what: `'labels'` or `'second_labels'`.
            size: (height, width) that they must have; None for any.
        """
        fields = self._images.values(self._path(index))
        path = self._root / self._patterns[what].fill(fields)
        labels = self._code.read(path)
        height, width = labels.shape
        if size is not None and (height, width) != size:
            raise DataError(
                f"{path}: the label map has {width}x{height} pixels, its image {self._path(index)} {size[1]}x{size[0]}"
            )
        if "field_of_view" in self._patterns:
            view = self._root / self._patterns["field_of_view"].fill(fields)
            labels[~read_field_of_view(view, (height, width))] = IGNORE
        return labels


def _lines(path: Path) -> set[str]:
    """Return the lines of a text file without space around them; empty ones are left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the names cannot be read: {error}; check 'names' and data_root") from error
    names = {line.strip() for line in text.splitlines()} - {""}
    if not names:
        raise DataError(f"{path} names no image")
    return names
