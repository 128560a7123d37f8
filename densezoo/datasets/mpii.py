"""MPII Human Pose: 25,000 images of 410 activities, 16 joints, up to many people per image.

Andriluka, Pishchulin, Gehler, Schiele, CVPR 2014, http://human-pose.mpi-inf.mpg.de. `mpii_files` says which files are
read and what they hold.

A sample's frame is the published crop of Newell et al. 2016: the annotated position moved down by 15 · scale, and a
square of 1.25 · 200 · scale about it, so that a warp with `padding=1.0` gives their input. Its box is the extent of the
labelled joints. `head_sizes` of the truth is 0.6 times the diagonal of the head box, which PCKh divides by. Left and
right are the person's own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.mpii_files import MpiiFile, read_mpii
from densezoo.datasets.person_arrays import PersonArrayDataset
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.registry import DATASETS
from densezoo.types import Array, DatasetMeta

META = DatasetMeta(
    classes=("person",),
    category_ids=(1,),
    keypoint_names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "pelvis", "thorax", "upper_neck", "head_top",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    ),
    skeleton=(
        (0, 1), (1, 2), (2, 6), (3, 6), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9),
        (10, 11), (11, 12), (12, 7), (13, 7), (13, 14), (14, 15),
    ),
    flip_pairs=((5, 0), (4, 1), (3, 2), (15, 10), (14, 11), (13, 12)),
)  # fmt: skip
SPLITS = ("train", "val", "all", "test")


@DATASETS.register()
class Mpii(PersonArrayDataset):
    """MPII Human Pose: one person with 16 joints per sample."""

    def __init__(
        self,
        data_root: str | Path,
        annotations: str,
        images: str,
        split: str = "train",
        subset: Mapping[str, Any] | None = None,
        val_list: str | None = None,
    ) -> None:
        """Read the annotations.

        Args:
            data_root: folder that relative paths start from.
            annotations: `mpii_human_pose_v1_u12_1.mat` (takes about 20 seconds), `mpii_annotations.json`, or
                `train.json` and its like.
            images: folder of the images.
            split: 'train', 'val', 'all' (of both) or 'test' (images without labels: keypoints all unlabelled).
                `mpii_annotations.json` knows the validation people of Tompson et al. 2015 (2,958). The .mat does not:
                its 'train' is everyone who is labelled, unless `val_list` names the validation images; 'val' needs it.
                The HRNet files are one split each, so they want 'all', or `val_list` with `trainval.json`.
            subset: fixed hash-fold of image ids (the number in the file's name).
            val_list: text file with one image name per line, of the 2,729 validation images that `valid.h5` of the
                stacked hourglass release names, say. Every labelled person of those images is 'val', which can be more
                than the 2,958 of the original list of people.

        Raises:
            ConfigError: no such split, or one that the file cannot tell.
            DataError: a missing or foreign file, a missing folder, or nobody left.
        """
        if split not in SPLITS:
            raise ConfigError(f"Mpii has no split {split!r}; {near_names(split, SPLITS)}")
        source, folder = Path(data_root) / annotations, Path(data_root) / images
        file = read_mpii(source)
        in_split = _people_of(split, file, source, None if val_list is None else Path(data_root) / val_list)
        labelled = (file.people.keypoints[..., 2] > 0).any(axis=1) | (split == "test")
        super().__init__(
            people=file.people,
            images=folder,
            meta=META,
            chosen=in_split & labelled,
            subset=subset,
            source=f"split {split!r} of {source}",
            left_out={**file.left_out, "no_keypoints": int((in_split & ~labelled).sum())},
        )


def _people_of(split: str, file: MpiiFile, source: Path, val_list: Path | None) -> Array:
    """Return (P,) bool: who is in the split."""
    is_test = file.split == "test"
    if split == "test":
        return np.asarray(is_test)
    if split == "all":
        return np.asarray(~is_test)
    is_val = file.split == "val"
    if val_list is not None:
        named = _read_names(val_list, file.people.names.tolist())
        is_val = ~is_test & np.isin(file.people.names, named)[file.people.image_of]
    elif (file.split == "").any():
        raise ConfigError(
            f"{source} is a split of its own and does not say which: use split='all', or name a `val_list`"
        )
    elif split == "val" and (file.split == "trainval").any():
        raise ConfigError(
            f"{source} does not say which images validate: name a `val_list`, or carve a part with `subset`"
        )
    return np.asarray(is_val if split == "val" else ~is_test & ~is_val)


def _read_names(path: Path, images: Sequence[str]) -> list[str]:
    if not path.is_file():
        raise DataError(f"there is no file {path}; check `val_list` and the data root")
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no list of image names: {error}") from error
    if not names:
        raise DataError(f"{path} is empty; `val_list` names the images that validate, such as {images[0]}")
    unknown = sorted(set(names).difference(images))
    if unknown:
        raise DataError(
            f"{path} names {len(unknown)} images that the annotations have not got; {unknown[0]!r} is no image; "
            f"{near_names(unknown[0], images)}"
        )
    return names
