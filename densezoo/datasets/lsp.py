"""Leeds Sports Pose (2,000 images) and its extended training set (LSPET, 10,000 images), from `joints.mat`.

Johnson and Everingham, BMVC 2010 and CVPR 2011, https://sam.johnson.io/research/lsp.html and `/lspet.html`.

The two archives differ in shape, file names and the meaning of the third value, and the shape tells them apart:

- LSP: `joints` is 3 × 14 × N, images are `im0001.jpg` …; every joint has coordinates. The flag is 1 for a *hidden*
  joint: the page calls it visibility, but readers of the set agree that it is inverted (pytorch-pose's `gen_lsp.m`
  takes 1 − flag, for this set only). The first half of the images trains, the second tests (1,000 each).
- LSPET: `joints` is 14 × 3 × N, images are `im00001.jpg` …; the flag is 1 for a *labelled* joint. In the published file
  every joint with flag 0 has x ≤ 0, so those are unlabelled rather than hidden. All of it is for training; carve a
  validation part with `subset`.

One person per image; left and right are the person's own. Neither page says where pixel 1 lies; the files were made in
MATLAB, so its pixel centres at 1, 2, … are assumed (half a pixel is the whole of the doubt).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.matlab import PIXEL_ONE, read_variable
from densezoo.datasets.person_arrays import PersonArrayDataset, PersonArrays, keypoint_extent, mark_unlabelled
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.registry import DATASETS
from densezoo.types import Array, DatasetMeta

META = DatasetMeta(
    classes=("person",),
    category_ids=(1,),
    keypoint_names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
        "neck", "head_top",
    ),
    skeleton=(
        (0, 1), (1, 2), (2, 8), (3, 4), (4, 5), (3, 9), (2, 3),
        (6, 7), (7, 8), (8, 12), (12, 9), (9, 10), (10, 11), (12, 13),
    ),
    flip_pairs=((5, 0), (4, 1), (3, 2), (11, 6), (10, 7), (9, 8)),
)  # fmt: skip
SPLITS = ("train", "test", "all")
FRAMES = ("joints", "image")


@DATASETS.register()
class Lsp(PersonArrayDataset):
    """LSP or LSPET: one person with 14 joints per sample.

    A sample's `boxes` is the extent of the labelled joints.
    """

    def __init__(
        self,
        data_root: str | Path,
        annotations: str,
        images: str,
        split: str = "train",
        subset: Mapping[str, Any] | None = None,
        frame: str = "joints",
    ) -> None:
        """Read `joints.mat`.

        Args:
            data_root: folder that relative paths start from.
            annotations: `joints.mat` as published.
            images: folder of the images.
            split: 'train', 'test' (LSP only) or 'all'.
            subset: fixed hash-fold of image ids (the number in the file's name).
            frame: what the network sees: 'joints', the extent of the labelled joints, which the warp's padding enlarges
                (the ground truth then says where the person is, at test time too), or 'image', the whole image.

        Raises:
            ConfigError: no such split or frame, or a test split of LSPET.
            DataError: a missing file or folder, another variable, another shape, or nobody left.
        """
        if split not in SPLITS:
            raise ConfigError(
                f"Lsp has no split {split!r}; {near_names(split, SPLITS)}; for a validation part use `subset`"
            )
        if frame not in FRAMES:
            raise ConfigError(f"Lsp has no frame {frame!r}; {near_names(frame, FRAMES)}")
        source, folder = Path(data_root) / annotations, Path(data_root) / images
        points, visibility, pattern, num_train = _read_joints(source)
        if split == "test" and num_train == len(points):
            raise ConfigError(f"{source} is LSPET, a training set without a test split; carve one with `subset`")
        labelled = (visibility > 0).any(axis=1)
        numbers = np.arange(1, len(points) + 1)
        names = np.array([pattern.format(number) for number in numbers])
        keypoints = mark_unlabelled(points, visibility)
        boxes = keypoint_extent(keypoints, otherwise=np.zeros((len(points), 4)))
        people = PersonArrays(
            names=names,
            image_ids=numbers,
            image_of=np.arange(len(points), dtype=np.int32),
            ids=numbers,
            keypoints=keypoints,
            frames=boxes if frame == "joints" else None,
            boxes=boxes,
            head_sizes=None,
        )
        in_split = {"train": numbers <= num_train, "test": numbers > num_train, "all": numbers > 0}[split]
        super().__init__(
            people=people,
            images=folder,
            meta=META,
            chosen=in_split & labelled,
            subset=subset,
            source=f"split {split!r} of {source}",
            left_out={"no_keypoints": int((in_split & ~labelled).sum())},
        )


def _read_joints(path: Path) -> tuple[Array, Array, str, int]:
    """Return points (N, 14, 2), visibility (N, 14), the pattern of image names and how many images train."""
    joints = np.asarray(read_variable(path, "joints"))
    if joints.dtype.kind not in "fiu" or joints.ndim != 3 or joints.shape[:2] not in ((3, 14), (14, 3)):
        raise DataError(f"{path}: 'joints' has shape {joints.shape}; LSP has (3, 14, 2000) and LSPET (14, 3, 10000)")
    num = joints.shape[2]
    if joints.shape[0] == 3:
        joints = joints.transpose(2, 1, 0)
        visibility = np.where(joints[..., 2] > 0, 1, 2)
        return joints[..., :2] - PIXEL_ONE, visibility, "im{:04d}.jpg", (num + 1) // 2
    joints = joints.transpose(2, 0, 1)
    visibility = np.where(joints[..., 2] > 0, 2, 0)
    return joints[..., :2] - PIXEL_ONE, visibility, "im{:05d}.jpg", num
