"""Whole images of any COCO-format file, with every annotation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.annotations import AnnotationStore
from densezoo.datasets.coco_masks import decode_masks
from densezoo.datasets.coco_meta import keypoint_meta
from densezoo.datasets.coco_parser.masks import MALFORMED
from densezoo.datasets.coco_records import (
    PERSON_OF_BOX,
    clipped,
    image_folder,
    image_rows_in,
    image_truth,
    refuse_without_masks,
    start_sample,
    unlisted_categories,
    usable,
)
from densezoo.datasets.coco_semantic import open_semantic
from densezoo.datasets.input_notes import input_note
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.registry import DATASETS
from densezoo.types import Array, DatasetMeta, ImageTruth, Sample


@DATASETS.register()
class CocoScenes:
    """One sample for each image, with all its instances of all categories, crowds too.

    Labels are contiguous, in ascending order of the category ids. Boxes are clipped to the image; an annotation whose
    box has no area is given the extent of its keypoints, and left out of the samples where it has none. Ground truth
    has all boxes as annotated, as COCO's evaluation has: what has no area is missed, and a crowd is ignored.

    Attributes:
        meta: all classes, and the keypoints if a category has any.
        left_out: `unlisted_category` counts annotations of categories that the file does not list, and `other_category`
            those of categories that were not asked for, which are nowhere; `no_box` those without a usable box, which
            are not in samples; `empty` images without annotations.
    """

    def __init__(
        self,
        annotations: str,
        images: str,
        data_root: Path,
        subset: Mapping[str, Any] | None = None,
        categories: Sequence[str] | None = None,
        masks: bool = False,
        semantic: str | None = None,
        semantic_ignore: int | None = None,
        semantic_classes: Sequence[str] | None = None,
        semantic_from_masks: bool = False,
        semantic_categories: Sequence[str] | None = None,
        keep_empty: bool = True,
        keypoint_category: str | None = None,
        num_keypoints: int | None = None,
        flip_pairs: Sequence[Sequence[int | str]] | None = None,
        sigmas: Sequence[float] | None = None,
        keypoint_shift: float = 0.0,
    ) -> None:
        """Open the annotations; images are read one by one, when a sample is.

        Args:
            annotations: the JSON, relative to `data_root`.
            images: folder of the image files, relative to `data_root`.
            data_root: folder of all data.
            subset: part of the images, see `densezoo.datasets.subset.in_subset`.
            categories: names of those to read, in any order; None for all of the file. Annotations of others are
                nowhere: on an image that has nothing else there is nothing to find.
            masks: whether samples have `masks` and ground truth has `rles`.
            semantic: folder of semantic maps, relative to `data_root`. The file's `images[].semantic` says which map
                belongs to an image, and an image without the entry has none; where no image has the entry, the map is
                the PNG with the image's name. Or a pattern with `{stem}` in it.
            semantic_ignore: value of the maps that means unlabelled and becomes 255.
            semantic_classes: names of the values of the maps, from 0; a map with any other value but 255 is an error.
            semantic_from_masks: draw semantic maps from the instances' masks instead: 0 is background, categories count
                from 1, smaller instances lie on top, crowds are 255.
            semantic_categories: names of the categories to draw, in the order of their labels; None draws those of
                `categories`, or all. Others are background.
            keep_empty: whether images without annotations are samples.
            keypoint_category: whose keypoints to read; needed where categories differ in their keypoints.
            num_keypoints: K, to have it checked against the file.
            flip_pairs: pairs of keypoint names or indices; None infers them from left and right in the names.
            sigmas: K OKS constants; None takes the published ones where the keypoints are those of a known set.
            keypoint_shift: pixels added to the file's keypoints, and taken off those written as results. 0.5 for COCO's
                own, which are indices of pixels; 0 where they count from the image's corner, as all else here does.

        Raises:
            ConfigError: an argument does not fit the file.
            DataError: the file is missing, broken, contradicts itself, or leaves no sample.
        """
        data_root = Path(data_root)
        self._store = AnnotationStore(data_root / annotations, keypoint_shift)
        self._images = image_folder(data_root, images)
        given = {"num_keypoints": num_keypoints, "flip_pairs": flip_pairs, "sigmas": sigmas}
        self._wanted = _wanted(self._store, categories)
        meta, keypoint_labels = _scene_meta(self._store, self._wanted, keypoint_category, given)
        self._semantic = open_semantic(
            self._store,
            data_root,
            semantic,
            semantic_ignore,
            semantic_classes,
            semantic_from_masks,
            categories if semantic_categories is None and semantic_from_masks else semantic_categories,
        )
        names = self._semantic.classes if self._semantic is not None else ()
        self.meta = replace(meta, keypoint_shift=keypoint_shift, semantic_classes=names)
        self._has_keypoints = np.isin(np.arange(len(self._wanted)), keypoint_labels)
        self._masks = masks
        self._reads_masks = masks or semantic_from_masks
        if masks:
            refuse_without_masks(self._store, "masks")
        self._image_rows, self.left_out, self._unlisted = self._choose_images(subset, keep_empty)

    def _choose_images(
        self, subset: Mapping[str, Any] | None, keep_empty: bool
    ) -> tuple[Array, dict[str, int], list[int]]:
        """Return the rows of the images, what is left out, and the ids of the categories that are not listed."""
        image_rows = image_rows_in(self._store, subset)
        unlisted = unlisted_categories(self._store, image_rows)
        of_images = np.isin(self._store.columns["image_rows"], image_rows)
        left_out = {
            "unlisted_category": len(unlisted),
            "other_category": int((of_images & ~self._wanted[self._store.columns["labels"]]).sum()),
            "no_box": int((~usable(self._store, self._rows_of(image_rows))).sum()),
            "empty": 0,
        }
        if not keep_empty:
            filled = np.isin(image_rows, self._store.columns["image_rows"][self._rows_of(image_rows)])
            left_out["empty"] = int((~filled).sum())
            image_rows = image_rows[filled]
        if not len(image_rows):
            raise DataError(
                f"{self._store.source}: no image of the subset has an annotation; set keep_empty=True to read them"
            )
        return image_rows.astype(np.int32), left_out, np.unique(unlisted).tolist()

    def _rows_of(self, image_rows: Array) -> Array:
        """Return the annotation rows of images that are asked for, (P,) int64."""
        columns = self._store.columns
        return np.flatnonzero(np.isin(columns["image_rows"], image_rows) & self._wanted[columns["labels"]])

    def _labels(self, rows: Array) -> Array:
        """Return the labels of annotation rows, counted over the categories that are asked for: (P,) int64."""
        labels: Array = (np.cumsum(self._wanted) - 1)[self._store.columns["labels"][rows]]
        return labels

    def __len__(self) -> int:
        """Number of images."""
        return len(self._image_rows)

    def input_notes(self) -> list[str]:
        """Say what was odd in the file, on the images of the subset: one line, or none."""
        rows = self._rows_of(self._image_rows)
        counts = self.left_out | {
            "clipped": int(clipped(self._store, rows).sum()),
            "crowd": int(self._store.columns["crowd"][rows].sum()),
            "bad_mask": int((self._store.columns["mask_kinds"][rows] == MALFORMED).sum()) if self._reads_masks else 0,
        }
        return input_note(self._store.source, counts, unlisted=self._unlisted)

    def object_counts(self) -> Array:
        """Return how many objects are on each image, crowds not counted: (n,) int64."""
        columns = self._store.columns
        counted = ~columns["crowd"] & self._wanted[columns["labels"]]
        counts = np.bincount(columns["image_rows"][counted], minlength=self._store.num_images)
        return counts[self._image_rows].astype(np.int64)

    def read(self, index: int) -> Sample:
        """Read one image with its annotations, in the file's pixels; `frame` is the whole image and `whole_image` set.

        Raises:
            DataError: the image or its semantic map is missing or does not decode, or a mask is malformed.
        """
        image_row = int(self._image_rows[index])
        columns = self._store.columns
        rows = self._rows_of_image(image_row)
        rows = rows[usable(self._store, rows)]
        sample = start_sample(self._store, self._images, image_row)
        sample["whole_image"] = True
        sample["boxes"] = self._store.usable_boxes(rows).astype(np.float32)
        sample["labels"] = self._labels(rows)
        sample["crowd"] = np.array(columns["crowd"][rows])
        sample["ids"] = np.array(columns["ids"][rows])
        if self.meta.num_keypoints:
            sample["keypoints"] = self._keypoints(rows)
        if self._masks:
            sample["masks"] = decode_masks(self._store, rows, self._store.image_size(image_row))
        semantic = self._semantic.read(image_row) if self._semantic is not None else None
        if semantic is not None:
            sample["semantic"] = semantic
        return sample

    def truth(self, index: int) -> ImageTruth:
        """Every annotation of one image, as annotated.

        Raises:
            DataError: the semantic map is missing or does not decode, or a mask is malformed.
        """
        image_row = int(self._image_rows[index])
        rows = self._rows_of_image(image_row)
        share = np.where(self._has_keypoints[self._store.columns["labels"][rows]], PERSON_OF_BOX, 1.0)
        truth = image_truth(self._store, image_row, rows, self._labels(rows), 0, self._masks, share)
        if self.meta.num_keypoints:
            truth["keypoints"] = self._keypoints(rows)
        semantic = self._semantic.read(image_row) if self._semantic is not None else None
        if semantic is not None:
            truth["semantic"] = semantic
        return truth

    def _rows_of_image(self, image_row: int) -> Array:
        rows = self._store.rows_of_image(image_row)
        wanted: Array = rows[self._wanted[self._store.columns["labels"][rows]]]
        return wanted

    def _keypoints(self, rows: Array) -> Array:
        """Return (P, K, 3) float32; zeros for categories without (these) keypoints."""
        keypoints = np.zeros((len(rows), self.meta.num_keypoints, 3), np.float32)
        posed = self._has_keypoints[self._store.columns["labels"][rows]]
        keypoints[posed] = self._store.keypoints(rows[posed], self.meta.num_keypoints)
        return keypoints


def _wanted(store: AnnotationStore, categories: Sequence[str] | None) -> Array:
    """Say which of the file's categories are to be read, (C,) bool.

    Raises:
        ConfigError: the file has no category of a name, or no name is given.
    """
    names = [category["name"] for category in store.categories]
    if categories is not None and (isinstance(categories, str) or not categories):
        raise ConfigError(f"{store.source}: categories must be a list of names such as {names[:1]}, not {categories!r}")
    for name in categories or ():
        if name not in names:
            raise ConfigError(f"{store.source} has no category {name!r}; {near_names(name, names)}")
    return np.array([categories is None or name in categories for name in names], bool)


def _class_names(categories: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the categories' names, with the id behind those that several have: a class has scores by its name."""
    names = [category["name"] for category in categories]
    return tuple(
        f"{name} ({category['id']})" if names.count(name) > 1 else name
        for name, category in zip(names, categories, strict=True)
    )


def _scene_meta(
    store: AnnotationStore, wanted: Array, keypoint_category: str | None, given: Mapping[str, Any]
) -> tuple[DatasetMeta, list[int]]:
    """Return what the categories mean, and the file's labels of those that have the keypoints to read.

    Args:
        store: the annotations.
        wanted: (C,) bool; which of the file's categories are read.
        keypoint_category: whose keypoints to read.
        given: what the config says about the keypoints, for `keypoint_meta`; None where it says nothing.
    """
    categories = [category for category, read in zip(store.categories, wanted, strict=True) if read]
    posed = [category for category in categories if category["keypoints"]]
    names = [category["name"] for category in posed]
    if keypoint_category is not None and keypoint_category not in names:
        raise ConfigError(
            f"{store.source}: keypoint_category {keypoint_category!r} has no keypoints; "
            f"{near_names(keypoint_category, names)}"
        )
    if keypoint_category is None and len({tuple(category["keypoints"]) for category in posed}) > 1:
        raise ConfigError(
            f"{store.source} has different keypoints for {', '.join(map(repr, names))}: "
            "say which to read with keypoint_category='…'"
        )
    meta = DatasetMeta(
        classes=_class_names(categories),
        category_ids=tuple(category["id"] for category in categories),
    )
    if not posed:
        idle = [name for name, value in given.items() if value is not None]
        if idle:
            raise ConfigError(f"{store.source}: no category has keypoints; take {', '.join(idle)} out of the config")
        return meta, []
    chosen = posed[names.index(keypoint_category)] if keypoint_category is not None else posed[0]
    described = keypoint_meta(chosen, store.source, **given)
    labels = [label for label, category in enumerate(store.categories) if category["keypoints"] == chosen["keypoints"]]
    return replace(described, classes=meta.classes, category_ids=meta.category_ids), labels
