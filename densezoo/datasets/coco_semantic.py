"""Semantic maps of the images of a COCO file: read from files, or drawn from the masks of instances."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from densezoo.datasets.annotations import AnnotationStore
from densezoo.datasets.coco_masks import mask_rle
from densezoo.datasets.coco_records import refuse_without_masks
from densezoo.datasets.images import read_labels
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.functional.label_maps import IGNORE
from densezoo.types import Array


class SemanticFiles:
    """Maps that lie in files.

    Attributes:
        classes: names of the labels, from 0; empty where nobody says.
    """

    def __init__(self, store: AnnotationStore, where: str, ignore: int | None, classes: Sequence[str]) -> None:
        """Set where they lie.

        Args:
            store: the annotations.
            where: folder or pattern, see `CocoScenes`; with the root of all data.
            ignore: value that becomes 255.
            classes: names of the labels; where there are any, other labels are errors.
        """
        self._store, self._where, self._ignore = store, where, ignore
        self.classes = tuple(classes)
        self._named = bool(len(store.columns["semantic_names"]))

    def read(self, image_row: int) -> Array | None:
        """Return the checked (H, W) uint8 map of an image; None for one without.

        Raises:
            DataError: the file is missing, does not decode, or has labels without a name.
        """
        path = self._path(image_row)
        if path is None:
            return None
        labels = read_labels(path, self._store.image_size(image_row), self._ignore)
        if self.classes:
            wrong = np.unique(labels[(labels >= len(self.classes)) & (labels != IGNORE)])
            if len(wrong):
                raise DataError(
                    f"{path}: the semantic map has the values {wrong.tolist()}, but semantic_classes name 0 to "
                    f"{len(self.classes) - 1}; name them too, or set semantic_ignore to the one that means unlabelled"
                )
        return labels

    def _path(self, image_row: int) -> Path | None:
        stem = Path(self._store.file_name(image_row)).stem
        if "{stem}" in self._where:
            return Path(self._where.replace("{stem}", stem))
        if self._named:
            name = self._store.semantic_name(image_row)
            return Path(self._where, name) if name else None
        return Path(self._where, f"{stem}.png")


class SemanticMasks:
    """Maps drawn from masks: 0 is background, and categories count from 1.

    Of overlapping masks the smaller lies on top. A crowd is 255, since not every pixel of it is of its category, and so
    is the box of an instance without a mask, as far as no mask lies there.

    Attributes:
        classes: names of the labels, from 0.
    """

    def __init__(self, store: AnnotationStore, categories: Sequence[str] | None) -> None:
        """Choose what is drawn.

        Args:
            store: the annotations.
            categories: names, in the order of the labels; None takes all, in the order of their ids. Others are
                background.

        Raises:
            ConfigError: a category that the file does not list, too many of them, or a file without masks.
        """
        known = [category["name"] for category in store.categories]
        chosen = known if categories is None else list(categories)
        for name in chosen:
            if name not in known:
                raise ConfigError(f"semantic_categories: {store.source} has no {name!r}; {near_names(name, known)}")
        if not 1 <= len(chosen) < IGNORE or len(set(chosen)) < len(chosen):
            raise ConfigError(
                f"semantic_categories must be 1 to {IGNORE - 1} names, none of them twice; choose among the "
                f"{len(known)} of {store.source}"
            )
        refuse_without_masks(store, "semantic_from_masks")
        self.classes = ("background", *chosen)
        self._store = store
        self._values = np.array([chosen.index(name) + 1 if name in chosen else 0 for name in known], np.uint8)

    def read(self, image_row: int) -> Array:
        """Draw the (H, W) uint8 map of an image.

        Raises:
            DataError: a mask is malformed.
        """
        store, size = self._store, self._store.image_size(image_row)
        rows = store.rows_of_image(image_row)
        rows = rows[self._values[store.columns["labels"][rows]] > 0]
        crowd = store.columns["crowd"][rows]
        labels = np.zeros(size, np.uint8)
        drawn: list[tuple[int, dict[str, Any]]] = []
        for row, is_crowd in zip(rows.tolist(), crowd.tolist(), strict=True):
            rle = mask_rle(store, row, size)
            if rle is None:
                left, top, right, bottom = store.usable_boxes(np.array([row]))[0].tolist()
                labels[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = IGNORE
            elif is_crowd:
                labels[coco_mask.decode(rle) > 0] = IGNORE
            else:
                drawn.append((int(self._values[store.columns["labels"][row]]), rle))
        for value, rle in sorted(drawn, key=lambda one: -int(coco_mask.area(one[1]))):
            labels[coco_mask.decode(rle) > 0] = value
        return labels


def open_semantic(
    store: AnnotationStore,
    data_root: Path,
    files: str | None,
    ignore: int | None,
    classes: Sequence[str] | None,
    from_masks: bool,
    categories: Sequence[str] | None,
) -> SemanticFiles | SemanticMasks | None:
    """Return where semantic maps come from, None where there are none; the arguments are those of `CocoScenes`.

    Raises:
        ConfigError: arguments that contradict each other or the file.
    """
    if from_masks and files is not None:
        raise ConfigError("CocoScenes: semantic names files of maps, semantic_from_masks draws them; choose one")
    if categories is not None and not from_masks:
        raise ConfigError("CocoScenes: semantic_categories are drawn where semantic_from_masks=True; set it")
    if classes is not None and files is None:
        raise ConfigError("CocoScenes: semantic_classes name the values of semantic maps; say where with 'semantic'")
    if from_masks:
        return SemanticMasks(store, categories)
    return None if files is None else SemanticFiles(store, str(data_root / files), ignore, classes or ())
