"""FLIC, Frames Labeled In Cinema: 5,003 film frames with upper bodies, from `examples.mat`.

Sapp and Taskar, MODEC, CVPR 2013, https://bensapp.github.io/flic-dataset.html. 3,987 examples train and 1,016 test.

`examples` is a struct array: `poselet_hit_idx`, `moviename`, `coords` (2 × 29), `filepath`, `imgdims` (height, width,
3), `currframe`, `torsobox` (x1, y1, x2, y2), `istrain`, `istest`. The larger FLIC-full (20,928 examples) has the same
and `isbad` and `isunchecked`. Of the 29 points only 11 were labelled; the others, and any that is missing, are NaN.
There is no visibility: every labelled point counts as visible. Coordinates are taken as MATLAB's, pixel 1 the first.

The torso box comes from a detector and is given at test time, so the frame is made from it alone: a square of 3.5 torso
heights about the point 30 % below the box's top. (The published training code of Convolutional Pose Machines has that
centre, and a scale that shows 0.011 · 368 · 35 / 41 = 3.46 torso heights.) The arms have room in it already: use
`padding=1.0` in the warp.

Left and right are kept as the file has them. That code swaps the sides of everyone whose right shoulder is at the
larger x (observer-centric, as papers on FLIC call their scores); this reader does not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.matlab import PIXEL_ONE, field, items, number, read_variable
from densezoo.datasets.person_arrays import (
    PersonArrayDataset,
    PersonArrays,
    keypoint_extent,
    mark_unlabelled,
    squares,
)
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.registry import DATASETS
from densezoo.types import Array, DatasetMeta

META = DatasetMeta(
    classes=("person",),
    category_ids=(1,),
    keypoint_names=(
        "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
        "left_hip", "right_hip", "left_eye", "right_eye", "nose",
    ),
    skeleton=((0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (0, 6), (3, 7), (6, 7), (10, 8), (10, 9)),
    flip_pairs=((0, 3), (1, 4), (2, 5), (6, 7), (8, 9)),
)  # fmt: skip
COLUMNS = [0, 1, 2, 3, 4, 5, 6, 9, 12, 13, 16]
"""The labelled 11 of the 29 columns: lsho lelb lwri rsho relb rwri lhip rhip leye reye nose."""
NUM_COLUMNS = 29
FRAME_SIDE = 3.5
"""Side of the frame, in heights of the torso box."""
FRAME_CENTRE = 0.3
"""Where the frame's centre lies between the top (0) and the bottom (1) of the torso box."""
SPLITS = ("train", "test", "all")
REQUIRED = ("coords", "filepath", "torsobox", "istrain", "istest")


@DATASETS.register()
class Flic(PersonArrayDataset):
    """FLIC or FLIC-full: one upper body with 11 keypoints per sample.

    A sample's `boxes` is the extent of its labelled keypoints. Image ids count file names in the file's order, from 1.
    """

    def __init__(
        self,
        data_root: str | Path,
        annotations: str,
        images: str,
        split: str = "train",
        subset: Mapping[str, Any] | None = None,
        keep_bad: bool = False,
    ) -> None:
        """Read `examples.mat`.

        Args:
            data_root: folder that relative paths start from.
            annotations: `examples.mat` as published.
            images: folder of the frames.
            split: 'train' (`istrain`), 'test' (`istest`) or 'all'.
            subset: fixed hash-fold of image ids.
            keep_bad: FLIC-full only: keep examples marked `isbad` or `isunchecked`.

        Raises:
            ConfigError: no such split.
            DataError: a missing file or folder, another variable or struct, or nobody left.
        """
        if split not in SPLITS:
            raise ConfigError(
                f"Flic has no split {split!r}; {near_names(split, SPLITS)}; for a validation part use `subset`"
            )
        source, folder = Path(data_root) / annotations, Path(data_root) / images
        examples = items(read_variable(source, "examples"))
        _check(examples, source)
        people = _read_people(examples, source)
        in_split = _flags(examples, f"is{split}") if split != "all" else np.ones(len(examples), bool)
        bad = (_flags(examples, "isbad") | _flags(examples, "isunchecked")) & (not keep_bad)
        labelled = (people.keypoints[..., 2] > 0).any(axis=1)
        super().__init__(
            people=people,
            images=folder,
            meta=META,
            chosen=in_split & labelled & ~bad,
            subset=subset,
            source=f"split {split!r} of {source}",
            left_out={
                "bad_or_unchecked": int((in_split & bad).sum()),
                "no_keypoints": int((in_split & ~bad & ~labelled).sum()),
            },
        )


def _check(examples: list[Any], path: Path) -> None:
    if not examples:
        raise DataError(f"{path}: 'examples' is empty")
    fields = getattr(examples[0], "_fieldnames", [])
    missing = [name for name in REQUIRED if name not in fields]
    if missing:
        raise DataError(
            f"{path}: the structs of 'examples' lack {', '.join(missing)}; they have {', '.join(fields) or 'no fields'}"
        )


def _flags(examples: list[Any], name: str) -> Array:
    return np.array([bool(number(example, name)) for example in examples])


def _numbers(example: Any, name: str, shape: tuple[int, ...], where: str) -> Array:
    value = np.asarray(field(example, name))
    if value.dtype.kind not in "fiu" or value.shape != shape:
        raise DataError(f"{where}: {name!r} has shape {value.shape} and type {value.dtype}; expected {shape} numbers")
    return value.astype(float)


def _read_people(examples: list[Any], path: Path) -> PersonArrays:
    files: dict[str, int] = {}
    image_of, coords, torsos = [], [], []
    for row, example in enumerate(examples):
        where = f"{path}: example {row + 1}"
        name = field(example, "filepath")
        if not isinstance(name, str):
            raise DataError(f"{where}: 'filepath' is {name!r}, not a file name")
        if name not in files:
            files[name] = len(files)
        image_of.append(files[name])
        coords.append(_numbers(example, "coords", (2, NUM_COLUMNS), where)[:, COLUMNS].T)
        torsos.append(_numbers(example, "torsobox", (4,), where))
    points, torso = np.stack(coords) - PIXEL_ONE, np.stack(torsos) - PIXEL_ONE
    visibility = np.where(np.isfinite(points).all(axis=-1), 2, 0)
    keypoints = mark_unlabelled(points, visibility)
    height = torso[:, 3] - torso[:, 1]
    centres = np.stack([(torso[:, 0] + torso[:, 2]) / 2, torso[:, 1] + FRAME_CENTRE * height], axis=1)
    return PersonArrays(
        names=np.array(list(files)),
        image_ids=np.arange(1, len(files) + 1),
        image_of=np.array(image_of, np.int32),
        ids=np.arange(1, len(examples) + 1),
        keypoints=keypoints,
        frames=squares(centres, FRAME_SIDE * height),
        boxes=keypoint_extent(keypoints, otherwise=torso),
        head_sizes=None,
    )
