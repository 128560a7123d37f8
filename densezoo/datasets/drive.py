"""DRIVE: vessels in pictures of the retina.

Staal, Abràmoff, Niemeijer, Viergever, van Ginneken, "Ridge-Based Vessel Segmentation in Color Images of the Retina",
2004, https://doi.org/10.1109/TMI.2004.825627. 20 images train (21 to 40), 20 test (01 to 20), of 565x584 pixels each.
Test images were labelled by a second observer, too. Outside the round field of view nothing is learned or scored.

Read as published: `training/images/21_training.tif`, `1st_manual/21_manual1.gif`, `mask/21_training_mask.gif`, and in
`test` also `2nd_manual/01_manual2.gif`; or with every file as `21.png` in the folders `images`, `vessel`, `fov`, and in
`test` also `vessel_2nd`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densezoo.datasets.label_folders import LabelFolders
from densezoo.datasets.splits import split_folder
from densezoo.registry import DATASETS

CLASSES = ("background", "vessel")
SPLITS = {"train": "training", "test": "test"}


@DATASETS.register()
class Drive(LabelFolders):
    """Retinal vessels inside the field of view, and on the test images those of a second observer."""

    def __init__(
        self, folder: str, data_root: str | Path, split: str = "train", subset: Mapping[str, Any] | None = None
    ) -> None:
        """List the files.

        Args:
            folder: that holds `training` and `test`, relative to `data_root`; '.' for that itself.
            data_root: folder that paths start from.
            split: 'train' or 'test'.
            subset: part of the split, see `densezoo.datasets.subset.in_subset`.

        Raises:
            ConfigError: no such split.
            DataError: files are missing or do not fit together.
        """
        part = split_folder("Drive", split, SPLITS)
        inside = f"{folder}/{part}"
        converted = (Path(data_root) / inside / "vessel").is_dir()
        second = f"{inside}/vessel_2nd" if converted else f"{inside}/2nd_manual/{{name}}_manual2.gif"
        super().__init__(
            images=f"{inside}/images" if converted else f"{inside}/images/{{name}}_{part}.tif",
            labels=f"{inside}/vessel" if converted else f"{inside}/1st_manual/{{name}}_manual1.gif",
            classes=CLASSES,
            data_root=data_root,
            subset=subset,
            values={0: 0, 255: 1},
            field_of_view=f"{inside}/fov" if converted else f"{inside}/mask/{{name}}_{part}_mask.gif",
            second_labels=second if part == "test" else None,
        )
