"""Cityscapes with fine annotations.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", 2016, https://arxiv.org/abs/1604.01685.
Read as published: `leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png` and
`gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png`. Of its 34 labels 19 are learned and scored; which, says
https://github.com/mcordts/cityscapesScripts, whose scripts also write them as `…_gtFine_labelTrainIds.png`. The labels
of the test split are not public.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densezoo.datasets.label_folders import LabelFolders
from densezoo.datasets.splits import split_folder
from densezoo.errors import ConfigError, near_names
from densezoo.registry import DATASETS

CLASS_OF_ID = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""Value in `labelIds` to the class that is learned; other values from 0 to 33 are not."""
NUM_IDS = 34
KINDS = ("labelIds", "labelTrainIds")
SPLITS = {"train": "train", "val": "val"}


@DATASETS.register()
class Cityscapes(LabelFolders):
    """Street scenes, 19 classes."""

    def __init__(
        self,
        folder: str,
        data_root: str | Path,
        split: str = "train",
        labels: str = "labelIds",
        subset: Mapping[str, Any] | None = None,
    ) -> None:
        """List the files.

        Args:
            folder: that holds `leftImg8bit` and `gtFine`, relative to `data_root`; '.' for that itself.
            data_root: folder that paths start from.
            split: 'train' or 'val'.
            labels: which of the label maps to read, 'labelIds' or 'labelTrainIds'; both give the same labels.
            subset: part of the split, see `densezoo.datasets.subset.in_subset`.

        Raises:
            ConfigError: no such split or labels.
            DataError: files are missing or do not fit together.
        """
        part = split_folder("Cityscapes", split, SPLITS)
        if labels not in KINDS:
            raise ConfigError(f"Cityscapes has no labels {labels!r}; {near_names(labels, KINDS)}")
        as_ids = labels == "labelIds"
        super().__init__(
            images=f"{folder}/leftImg8bit/{part}/{{city}}/{{name}}_leftImg8bit.png",
            labels=f"{folder}/gtFine/{part}/{{city}}/{{name}}_gtFine_{labels}.png",
            classes=tuple(CLASS_OF_ID.values()),
            data_root=data_root,
            subset=subset,
            values={number: label for label, number in enumerate(CLASS_OF_ID)} if as_ids else None,
            ignore=[number for number in range(NUM_IDS) if number not in CLASS_OF_ID] if as_ids else 255,
        )
