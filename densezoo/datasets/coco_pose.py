"""Top-down pose samples of any COCO-format file: one instance each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.annotations import AnnotationStore, has_area
from densezoo.datasets.array_cache import Columns, open_columns
from densezoo.datasets.coco_masks import decode_masks
from densezoo.datasets.coco_meta import keypoint_meta
from densezoo.datasets.coco_records import (
    clipped,
    image_folder,
    image_rows_in,
    image_truth,
    refuse_without_masks,
    start_sample,
    unlisted_categories,
    usable,
)
from densezoo.datasets.input_notes import input_note
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.registry import DATASETS
from densezoo.types import Array, ImageTruth, Sample


class DetectedBoxes:
    """Columns of a detection file. Pickles as its path, so worker processes map the same pages again."""

    def __init__(self, source: Path) -> None:
        """Open a JSON in COCO's results format.

        Raises:
            DataError: the file is missing, broken or no detection file.
        """
        self.source = source
        self.columns: Columns = open_columns(source, "detections")[0]

    def __reduce__(self) -> tuple[type["DetectedBoxes"], tuple[Path]]:
        """Pickle the path."""
        return DetectedBoxes, (self.source,)


@DATASETS.register()
class CocoPose:
    """One sample for each annotated (or detected) instance of one category that has keypoints.

    Samples are the annotations that are no crowd, have at least `min_keypoints` labelled keypoints and a usable box:
    the annotated one clipped to the image or, where that has no area, the extent of the labelled keypoints. With
    `boxes=` the samples are detections instead, and annotations only serve as ground truth.

    Attributes:
        meta: one class and its keypoints.
        left_out: why annotations or detections of the subset's images are no samples, and how many of them. Ground
            truth has crowds and people without keypoints or box, as COCO's evaluation has.
    """

    def __init__(
        self,
        annotations: str,
        images: str,
        data_root: Path,
        subset: Mapping[str, Any] | None = None,
        category: str | None = None,
        num_keypoints: int | None = None,
        flip_pairs: Sequence[Sequence[int | str]] | None = None,
        sigmas: Sequence[float] | None = None,
        keypoint_shift: float = 0.0,
        min_keypoints: int = 1,
        masks: bool = False,
        boxes: str | None = None,
    ) -> None:
        """Open the annotations; images are read one by one, when a sample is.

        Args:
            annotations: the JSON, relative to `data_root`.
            images: folder of the image files, relative to `data_root`.
            data_root: folder of all data.
            subset: part of the images, see `densezoo.datasets.subset.in_subset`.
            category: name of the category; may be left out where only one has keypoints.
            num_keypoints: K, to have it checked against the file.
            flip_pairs: pairs of keypoint names or indices; None infers them from left and right in the names.
            sigmas: K OKS constants; None takes the published ones where the keypoints are those of a known set.
            keypoint_shift: pixels added to the file's keypoints, and taken off those written as results. 0.5 for COCO's
                own, which are indices of pixels; 0 where they count from the image's corner, as all else here does.
            min_keypoints: how many keypoints an annotation must have to be a sample.
            masks: whether samples and ground truth have masks.
            boxes: a JSON of detections (image_id, category_id, bbox, score), relative to `data_root`; not to train on.

        Raises:
            ConfigError: an argument does not fit the file.
            DataError: the file is missing, broken, contradicts itself, or leaves no sample.
        """
        data_root = Path(data_root)
        self._store = AnnotationStore(data_root / annotations, keypoint_shift)
        self._images = image_folder(data_root, images)
        self._label = _choose_category(self._store, category)
        category_record = self._store.categories[self._label]
        meta = keypoint_meta(category_record, self._store.source, flip_pairs, sigmas, num_keypoints)
        self.meta = replace(meta, keypoint_shift=keypoint_shift)
        self._masks = masks
        if masks:
            refuse_without_masks(self._store, "masks")
        self._image_rows = image_rows_in(self._store, subset).astype(np.int32)
        self._detected = DetectedBoxes(data_root / boxes) if boxes is not None else None
        self.left_out: dict[str, int] = {}
        self._rows = self._annotated(min_keypoints) if self._detected is None else self._chosen(self._detected)
        if not len(self._rows):
            raise DataError(
                f"{self._store.source if self._detected is None else self._detected.source}: no sample is left on "
                f"{len(self._image_rows)} images; left out were {self.left_out}; check subset, category and "
                f"min_keypoints={min_keypoints}"
            )

    def _annotated(self, min_keypoints: int) -> Array:
        """Return the annotation rows that are samples, and count the others."""
        columns = self._store.columns
        self.left_out["unlisted_category"] = len(unlisted_categories(self._store, self._image_rows))
        inside = np.zeros(self._store.num_images, np.bool_)
        inside[self._image_rows] = True
        rows = np.flatnonzero((columns["labels"] == self._label) & inside[columns["image_rows"]])
        crowd = columns["crowd"][rows]
        self.left_out["crowd"] = int(crowd.sum())
        rows = rows[~crowd]
        few = columns["labelled"][rows] < min_keypoints
        self.left_out["few_keypoints"] = int(few.sum())
        rows = rows[~few]
        boxed = usable(self._store, rows)
        self.left_out["no_box"] = int((~boxed).sum())
        return rows[boxed].astype(np.int32)

    def _chosen(self, detected: DetectedBoxes) -> Array:
        """Return the detection rows that are samples, and count the others (not those outside of the subset)."""
        columns = detected.columns
        image_rows = self._store.image_rows_of(columns["image_ids"])
        self.left_out["unknown_image"] = int((image_rows < 0).sum())
        rows: Array = np.flatnonzero(np.isin(image_rows, self._image_rows))
        other = columns["category_ids"][rows] != self.meta.category_ids[0]
        self.left_out["other_category"] = int(other.sum())
        rows = rows[~other]
        boxes = self._detected_boxes(rows)
        boxed = has_area(boxes)
        self.left_out["no_box"] = int((~boxed).sum())
        return rows[boxed].astype(np.int32)

    def _detected_boxes(self, rows: Array) -> Array:
        """Return (P, 4) float64 xyxy of detections, clipped to their images."""
        assert self._detected is not None
        columns = self._detected.columns
        boxes = np.array(columns["boxes"][rows])
        boxes[:, 2:] += boxes[:, :2]
        sizes = self._store.columns["image_sizes"][self._store.image_rows_of(columns["image_ids"][rows])]
        inside: Array = np.clip(boxes, 0, np.tile(sizes[:, ::-1], 2))
        return inside

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._rows)

    def input_notes(self) -> list[str]:
        """Say what was odd in the file that samples come from, on the images of the subset: one line, or none."""
        if self._detected is not None:
            return input_note(self._detected.source, self.left_out, noun="detection")
        counts = self.left_out | {"clipped": int(clipped(self._store, self._rows).sum())}
        unlisted = np.unique(unlisted_categories(self._store, self._image_rows)).tolist()
        return input_note(self._store.source, counts, unlisted=unlisted)

    def read(self, index: int) -> Sample:
        """Read one instance with its whole image, in the file's pixels; `frame` is its box.

        A sample of a detection has `score`, and its box is the detected one; it has neither ids nor keypoints nor
        masks, because nobody says which annotation it belongs to.

        Raises:
            DataError: the image is missing or does not decode, or the mask is malformed.
        """
        rows = self._rows[[index]].astype(np.int64)
        image_row = self._image_row(index)
        sample = start_sample(self._store, self._images, image_row)
        sample["labels"] = np.zeros(1, np.int64)
        sample["crowd"] = np.zeros(1, np.bool_)
        if self._detected is not None:
            sample["boxes"] = self._detected_boxes(rows).astype(np.float32)
            sample["score"] = float(self._detected.columns["scores"][rows[0]])
        else:
            sample["boxes"] = self._store.usable_boxes(rows).astype(np.float32)
            sample["keypoints"] = self._store.keypoints(rows, self.meta.num_keypoints)
            sample["ids"] = np.array(self._store.columns["ids"][rows])
            if self._masks:
                sample["masks"] = decode_masks(self._store, rows, self._store.image_size(image_row))
        sample["frame"] = sample["boxes"][0].copy()
        return sample

    def truth(self, index: int) -> ImageTruth:
        """Every annotation of the category on the image of one sample, crowds and those without keypoints too."""
        return self._truth(self._image_row(index))

    def truths_without_samples(self) -> Iterator[tuple[int, ImageTruth]]:
        """Give (image id, ground truth) of the subset's images that have annotations of the category but no sample.

        An evaluation with detected boxes has missed everything on them.
        """
        sampled = {self._image_row(index) for index in range(len(self))}
        for image_row in self._image_rows.tolist():
            if image_row not in sampled:
                truth = self._truth(image_row)
                if len(truth["ids"]):
                    yield int(self._store.columns["image_ids"][image_row]), truth

    def _image_row(self, index: int) -> int:
        row = self._rows[index]
        if self._detected is None:
            return int(self._store.columns["image_rows"][row])
        return int(self._store.image_rows_of(self._detected.columns["image_ids"][row : row + 1])[0])

    def _truth(self, image_row: int) -> ImageTruth:
        rows = self._store.rows_of_image(image_row)
        rows = rows[self._store.columns["labels"][rows] == self._label]
        labels = np.zeros(len(rows), np.int64)
        return image_truth(self._store, image_row, rows, labels, self.meta.num_keypoints, self._masks)


def _choose_category(store: AnnotationStore, category: str | None) -> int:
    """Return the label of the category to read."""
    with_keypoints = [found["name"] for found in store.categories if found["keypoints"]]
    names = [found["name"] for found in store.categories]
    if category is None:
        if len(with_keypoints) == 1:
            return names.index(with_keypoints[0])
        if not with_keypoints:
            raise DataError(
                f"{store.source}: no category has 'keypoints', so there is no pose to learn; "
                f"add their names to the category ({', '.join(map(repr, names)) or 'there is none'})"
            )
        raise ConfigError(
            f"{store.source} has keypoints for {', '.join(map(repr, with_keypoints))}: say which with category='…'"
        )
    if category not in with_keypoints:
        raise ConfigError(
            f"{store.source}: category {category!r} "
            f"{'has no keypoints' if category in names else 'does not exist'}; {near_names(category, with_keypoints)}"
        )
    return names.index(category)
