"""ADE20K as in the scene parsing benchmark, 150 classes.

Zhou et al., "Semantic Understanding of Scenes through the ADE20K Dataset", 2018, https://arxiv.org/abs/1608.05442.
Read as published in `ADEChallengeData2016`: `images/training/ADE_train_00000001.jpg`, its labels in
`annotations/training/ADE_train_00000001.png`, the same in `validation`, and the names of the classes in
`objectInfo150.txt`. 0 means none of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densezoo.datasets.label_folders import LabelFolders
from densezoo.datasets.splits import split_folder
from densezoo.errors import DataError
from densezoo.registry import DATASETS

NUM_CLASSES = 150
SPLITS = {"train": "training", "val": "validation"}


@DATASETS.register()
class Ade20k(LabelFolders):
    """Scenes of all kinds, 150 classes."""

    def __init__(
        self, folder: str, data_root: str | Path, split: str = "train", subset: Mapping[str, Any] | None = None
    ) -> None:
        """List the files.

        Args:
            folder: that holds `images`, `annotations` and `objectInfo150.txt`, relative to `data_root` ('.': itself).
            data_root: folder that paths start from.
            split: 'train' or 'val'.
            subset: part of the split, see `densezoo.datasets.subset.in_subset`.

        Raises:
            ConfigError: no such split.
            DataError: files are missing or do not fit together.
        """
        part = split_folder("Ade20k", split, SPLITS)
        super().__init__(
            images=f"{folder}/images/{part}/{{name}}.jpg",
            labels=f"{folder}/annotations/{part}/{{name}}.png",
            classes=_read_names(Path(data_root) / folder / "objectInfo150.txt"),
            data_root=data_root,
            subset=subset,
            values={label + 1: label for label in range(NUM_CLASSES)},
            ignore=0,
        )


def _read_names(path: Path) -> list[str]:
    """Return the first name of every class, from a table with a line of titles and tabs between its columns."""
    try:
        _, *lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if line.strip()]
        names = {int(row[0]): row[-1].split(",")[0].strip() for row in rows}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; it names the classes and lies beside 'images'") from error
    except ValueError as error:
        raise DataError(f"{path} is not the table of classes that ADE20K comes with: {error}") from error
    if sorted(names) != list(range(1, NUM_CLASSES + 1)):
        raise DataError(f"{path} must number {NUM_CLASSES} classes from 1; it numbers {len(names)}")
    return [names[number] for number in sorted(names)]
