"""What top-down and whole-image samples of a COCO file have in common: files, subsets and ground truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.annotations import AnnotationStore, has_area
from densezoo.datasets.coco_masks import mask_rle
from densezoo.datasets.coco_parser.masks import NO_MASK
from densezoo.datasets.images import read_image
from densezoo.datasets.subset import in_subset
from densezoo.errors import ConfigError, DataError
from densezoo.types import Array, ImageTruth, Sample, identity_affine

PERSON_OF_BOX = 0.53
"""Of a person's box, the area that the evaluations of CrowdPose and AI Challenger take, whose files name none."""


def image_folder(data_root: Path, images: str) -> Path:
    """Return the folder of a set's images.

    Raises:
        DataError: there is no such folder.
    """
    folder = Path(data_root) / images
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; check 'images' and data_root")
    return folder


def image_path(store: AnnotationStore, folder: Path, image_row: int) -> Path:
    """Return the image file of one row."""
    return folder / store.file_name(image_row)


def start_sample(store: AnnotationStore, folder: Path, image_row: int) -> Sample:
    """Read one image as a sample without annotations; its frame is the whole image.

    Raises:
        DataError: the image is missing, does not decode, or has not the size that the annotations state.
    """
    path = image_path(store, folder, image_row)
    size = store.image_size(image_row)
    return {
        "image": read_image(path, size, str(store.source)),
        "image_id": int(store.columns["image_ids"][image_row]),
        "path": str(path),
        "to_original": identity_affine(),
        "frame": np.array([0, 0, size[1], size[0]], np.float32),
    }


def image_truth(
    store: AnnotationStore,
    image_row: int,
    rows: Array,
    labels: Array,
    num_keypoints: int,
    masks: bool,
    share: float | Array = PERSON_OF_BOX,
) -> ImageTruth:
    """Assemble the ground truth of one image, as annotated: nothing is clipped.

    An annotation without a box has its usable box (see `AnnotationStore.usable_boxes`), one without an area a share
    of its box.

    Args:
        store: the annotations.
        image_row: which image.
        rows: (P,) its annotation rows.
        labels: (P,) labels to give them.
        num_keypoints: K; 0 leaves keypoints out.
        masks: whether to add `rles`.
        share: of its box, the area of an instance whose annotation names none; one number or (P,).

    Raises:
        DataError: a malformed segmentation, where masks are asked for.
    """
    boxes = store.boxes(rows)
    missing = np.isnan(boxes).any(axis=1)
    boxes[missing] = store.usable_boxes(rows[missing])
    areas = np.array(store.columns["areas"][rows])
    unknown = np.isnan(areas)
    areas[unknown] = np.broadcast_to(share, areas.shape)[unknown] * np.prod(
        np.maximum(boxes[unknown, 2:] - boxes[unknown, :2], 0), axis=1
    )
    size = store.image_size(image_row)
    truth: ImageTruth = {
        "ids": np.array(store.columns["ids"][rows]),
        "labels": labels.astype(np.int64),
        "boxes": boxes.astype(np.float32),
        "areas": areas.astype(np.float32),
        "crowd": np.array(store.columns["crowd"][rows]),
        "size": size,
    }
    if num_keypoints:
        truth["keypoints"] = store.keypoints(rows, num_keypoints)
    if masks:
        truth["rles"] = [mask_rle(store, int(row), size) for row in rows]
    return truth


def image_rows_in(store: AnnotationStore, subset: Mapping[str, Any] | None) -> Array:
    """Return the rows of the subset's images: (n,) int64, ascending.

    Raises:
        ConfigError: the subset is malformed.
        DataError: the file, or the subset of it, has no image.
    """
    if not store.num_images:
        raise DataError(f"{store.source}: 'images' is empty; there is nothing to read")
    rows = np.flatnonzero(in_subset(store.columns["image_ids"], subset))
    if not len(rows):
        raise DataError(
            f"{store.source}: none of its {store.num_images} images is in subset={dict(subset or {})}; take fewer folds"
        )
    return rows


def usable(store: AnnotationStore, rows: Array) -> Array:
    """Say which annotation rows (P,) have a box, or keypoints to make one of: (P,) bool."""
    return has_area(store.usable_boxes(rows))


def clipped(store: AnnotationStore, rows: Array) -> Array:
    """Say which annotation rows (P,) have a box that reaches out of its image and is cut for learning: (P,) bool.

    Less than a pixel is rounding, which COCO's own boxes are full of.
    """
    boxes, kept = store.boxes(rows), store.usable_boxes(rows)
    with np.errstate(invalid="ignore"):  # NaN where there is no box
        beyond: Array = (np.abs(boxes - kept) >= 1).any(axis=1)
    return beyond & has_area(boxes) & has_area(kept)


def unlisted_categories(store: AnnotationStore, image_rows: Array) -> Array:
    """Return the category id of every annotation on these images that is of no category of the file, (U,) int64."""
    inside = np.isin(store.columns["unlisted_rows"], image_rows)
    return np.array(store.columns["unlisted_categories"][inside])


def refuse_without_masks(store: AnnotationStore, option: str) -> None:
    """Raise a ConfigError where masks are asked of a file that has none; `option` is the argument that asks."""
    if (store.columns["mask_kinds"] == NO_MASK).all():
        raise ConfigError(
            f"{option}=True, but no annotation of {store.source} has a 'segmentation'; set {option}=False"
        )
