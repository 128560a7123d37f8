"""People with keypoints on images, as arrays: what the readers of MPII, LSP and FLIC have in common.

A reader turns its file into one `PersonArrays`; `PersonArrayDataset` makes top-down samples (one person each) and
ground truth (every person of the image) of it. Coordinates are in the zoo's frame: continuous, origin at the corner.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.images import read_image, read_size
from densezoo.datasets.input_notes import input_note
from densezoo.datasets.subset import in_subset
from densezoo.errors import DataError
from densezoo.types import Array, DatasetMeta, ImageTruth, Sample, identity_affine


@dataclass(frozen=True)
class PersonArrays:
    """P people on I images, in the file's order.

    Attributes:
        names: (I,) file names below the image folder.
        image_ids: (I,) int64.
        image_of: (P,) int32 row of the person's image.
        ids: (P,) int64, unique.
        keypoints: (P, K, 3) float32 x, y, visibility (0 unlabelled, 1 hidden, 2 visible).
        frames: (P, 4) float32 xyxy, what the network should see of the image; None for the whole image.
        boxes: (P, 4) float32 xyxy.
        head_sizes: (P,) float32 pixels, or None for sets without.
    """

    names: Array
    image_ids: Array
    image_of: Array
    ids: Array
    keypoints: Array
    frames: Array | None
    boxes: Array
    head_sizes: Array | None


def mark_unlabelled(points: Array, visibility: Array) -> Array:
    """Join points (P, K, 2) and visibility (P, K) to float32 (P, K, 3), with zeros where visibility is 0."""
    joined = np.concatenate([points, visibility[..., None]], axis=-1)
    joined[visibility == 0] = 0
    return joined.astype(np.float32)


def keypoint_extent(keypoints: Array, otherwise: Array) -> Array:
    """Return the (P, 4) xyxy extent of the labelled keypoints (P, K, 3); people without any take `otherwise` (P, 4)."""
    labelled = keypoints[..., 2:] > 0
    low = np.where(labelled, keypoints[..., :2], np.inf).min(axis=1)
    high = np.where(labelled, keypoints[..., :2], -np.inf).max(axis=1)
    extent = np.concatenate([low, high], axis=1)
    return np.where(labelled.any(axis=1), extent, otherwise).astype(np.float32)


def squares(centres: Array, sides: Array) -> Array:
    """Return (P, 4) float32 xyxy squares about centres (P, 2) with sides (P,)."""
    half = np.asarray(sides)[:, None] / 2
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


class PersonArrayDataset:
    """Top-down samples of `PersonArrays`; meets the `Dataset` protocol.

    Attributes:
        meta: what the keypoints are.
        left_out: why people of the file are no samples, and how many.
    """

    def __init__(
        self,
        people: PersonArrays,
        images: Path,
        meta: DatasetMeta,
        chosen: Array,
        subset: Mapping[str, Any] | None,
        source: str,
        left_out: Mapping[str, int],
    ) -> None:
        """Keep what `read` and `truth` need.

        Args:
            people: everyone that the file labels; `truth` gives all of an image, whatever was chosen.
            images: folder of the image files.
            meta: what the keypoints are.
            chosen: (P,) bool, the people of the split.
            subset: fixed hash-fold of image ids, as in `densezoo.datasets.subset`.
            source: file and split, for messages.
            left_out: reason to count, for people that the reader dropped.

        Raises:
            DataError: there is no such folder, or nobody is left.
        """
        if not images.is_dir():
            raise DataError(f"there is no folder {images}; check `images` and the data root")
        rows = np.flatnonzero(chosen & in_subset(people.image_ids, subset)[people.image_of])
        if not len(rows):
            raise DataError(f"{source} has no people to read (subset {subset}, left out {dict(left_out)})")
        self.meta = meta
        self.left_out = dict(left_out)
        self._source = source
        self._people = people
        self._images = images
        self._rows = rows
        # People of one image lie together in this order, so that `truth` finds them by two binary searches.
        self._by_image = np.argsort(people.image_of, kind="stable")
        self._sorted_images = people.image_of[self._by_image]

    def __len__(self) -> int:
        """Number of people."""
        return len(self._rows)

    def input_notes(self) -> list[str]:
        """Say whom the reader left out: one line, or none."""
        return input_note(self._source, self.left_out)

    def read(self, index: int) -> Sample:
        """Read the image of person `index` with that person's annotations (P = 1), in the file's pixels.

        Raises:
            DataError: the image is missing or does not decode; the message names it.
        """
        people, row = self._people, self._rows[index]
        path = self._path(row)
        image = read_image(path)
        whole = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
        return Sample(
            image=image,
            image_id=int(people.image_ids[people.image_of[row]]),
            path=str(path),
            to_original=identity_affine(),
            frame=whole if people.frames is None else people.frames[row].copy(),
            keypoints=people.keypoints[row : row + 1].copy(),
            boxes=people.boxes[row : row + 1].copy(),
            labels=np.zeros(1, np.int64),
            crowd=np.zeros(1, bool),
            ids=people.ids[row : row + 1].copy(),
        )

    def truth(self, index: int) -> ImageTruth:
        """Return everyone that the file labels on the image of person `index`; areas are those of the boxes.

        Raises:
            DataError: the image, whose header says its size, is missing or no image.
        """
        people, row = self._people, self._rows[index]
        image = people.image_of[row]
        start, stop = np.searchsorted(self._sorted_images, [image, image + 1])
        rows = self._by_image[start:stop]
        boxes = people.boxes[rows]
        truth = ImageTruth(
            ids=people.ids[rows],
            labels=np.zeros(len(rows), np.int64),
            boxes=boxes,
            areas=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
            crowd=np.zeros(len(rows), bool),
            keypoints=people.keypoints[rows],
            size=read_size(self._path(row)),
        )
        if people.head_sizes is not None:
            truth["head_sizes"] = people.head_sizes[rows]
        return truth

    def _path(self, row: int) -> Path:
        return self._images / str(self._people.names[self._people.image_of[row]])
