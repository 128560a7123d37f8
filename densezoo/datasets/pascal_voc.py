"""Pascal VOC 2012, the images with semantic maps.

Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", 2015,
https://doi.org/10.1007/s11263-014-0733-5. Read as published in `VOCdevkit/VOC2012`: `JPEGImages/2007_000032.jpg`,
`SegmentationClass/2007_000032.png`, and the split in `ImageSets/Segmentation/train.txt`. The border around objects is
255, unlabelled. The labels of the test split are not public.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densezoo.datasets.label_folders import LabelFolders
from densezoo.datasets.splits import split_folder
from densezoo.registry import DATASETS

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
SPLITS = {"train": "train", "val": "val", "trainval": "trainval"}


@DATASETS.register()
class PascalVoc(LabelFolders):
    """20 classes of objects and their background."""

    def __init__(
        self, folder: str, data_root: str | Path, split: str = "train", subset: Mapping[str, Any] | None = None
    ) -> None:
        """List the files.

        Args:
            folder: that holds `JPEGImages` and so on, relative to `data_root`; '.' for that itself.
            data_root: folder that paths start from.
            split: 'train', 'val' or 'trainval'.
            subset: part of the split, see `densezoo.datasets.subset.in_subset`.

        Raises:
            ConfigError: no such split.
            DataError: files are missing or do not fit together.
        """
        part = split_folder("PascalVoc", split, SPLITS)
        super().__init__(
            images=f"{folder}/JPEGImages/{{name}}.jpg",
            labels=f"{folder}/SegmentationClass/{{name}}.png",
            classes=CLASSES,
            data_root=data_root,
            names=f"{folder}/ImageSets/Segmentation/{part}.txt",
            subset=subset,
            ignore=255,
        )
