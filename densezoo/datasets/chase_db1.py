"""CHASE-DB1: vessels in pictures of the retinas of children.

Fraz et al., "An Ensemble Classification-Based Approach Applied to Retinal Blood Vessel Segmentation", 2012,
https://doi.org/10.1109/TBME.2012.2205687. 28 images of 999x960 pixels, both eyes of 14 children, in one folder:
`Image_01L.jpg`, with the labels of two observers in `Image_01L_1stHO.png` and `Image_01L_2ndHO.png`.

The authors give no split; as is usual the first 20 images train and the last 8 test. They publish no field of view
either, so the black rim is background here, which raises accuracy and the area under the ROC curve, though not Dice.
Whoever has masks can read the folder as `LabelFolders` with `field_of_view`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densezoo.datasets.label_folders import LabelFolders
from densezoo.datasets.splits import split_folder
from densezoo.registry import DATASETS

CLASSES = ("background", "vessel")
_TRAINING_CHILDREN, _CHILDREN = 10, 14
SPLITS = {"train": "train", "test": "test"}


@DATASETS.register()
class ChaseDb1(LabelFolders):
    """Retinal vessels, those that the second observer saw, too."""

    def __init__(
        self, folder: str, data_root: str | Path, split: str = "train", subset: Mapping[str, Any] | None = None
    ) -> None:
        """List the files.

        Args:
            folder: of all files, relative to `data_root`.
            data_root: folder that paths start from.
            split: 'train', the first 20 images, or 'test', the last 8.
            subset: part of the split, see `densezoo.datasets.subset.in_subset`.

        Raises:
            ConfigError: no such split.
            DataError: files are missing or do not fit together.
        """
        part = split_folder("ChaseDb1", split, SPLITS)
        first, last = (1, _TRAINING_CHILDREN) if part == "train" else (_TRAINING_CHILDREN + 1, _CHILDREN)
        super().__init__(
            images=f"{folder}/Image_{{name}}.jpg",
            labels=f"{folder}/Image_{{name}}_1stHO.png",
            classes=CLASSES,
            data_root=data_root,
            names=[f"{child:02}{eye}" for child in range(first, last + 1) for eye in "LR"],
            subset=subset,
            values={0: 0, 1: 1, 255: 1},  # one bit as published, 8 where a program has written them again
            second_labels=f"{folder}/Image_{{name}}_2ndHO.png",
        )
