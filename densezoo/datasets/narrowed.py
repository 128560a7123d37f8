"""A data set of which only some annotations are taken, as `only=['keypoints']` in its config says.

A sample of one person, cut out of an image, says nothing of the boxes of the others on it: for a task that finds
everybody they would be background. Where such a set is mixed with others, or is there for one of several tasks, `only`
says what it is good for.

Labels are indices into the classes, which belong to the boxes, and are left out with them: all instances are then of
the set's one class. A set of several classes has to keep its boxes, or nobody would know whose the keypoints are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.contracts import CountsObjects, Dataset, NotesInput, SkipsImages
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.functional.annotated import ANNOTATIONS, MEANINGS
from densezoo.registry import DATASETS
from densezoo.types import Array, DatasetMeta, ImageTruth, Sample

OF_KEYPOINTS = ("skeleton", "flip_pairs", "sigmas", "keypoint_shift")
"""Fields of `DatasetMeta` that go with the names of keypoints."""
_OF_INSTANCES = ("keypoints", "boxes", "masks")


def build_source(cfg: Mapping[str, Any], data_root: str | Path) -> Dataset:
    """Build the data set of a config entry, which may say `only`.

    Raises:
        ConfigError: an unknown type or argument, or an annotation in `only` that is not there, or not without another.
        DataError: files that are missing or broken, or no sample at all.
    """
    arguments = {key: value for key, value in cfg.items() if key != "only"} if isinstance(cfg, Mapping) else cfg
    if "only" in cfg and cfg.get("type") == "Mixed":
        raise ConfigError("Mixed: only belongs to its sources; give it to each of them")
    dataset: Dataset = DATASETS.build(arguments, data_root=Path(data_root))
    if not len(dataset):
        raise DataError(f"{cfg.get('type')} {cfg.get('annotations', '')} has no sample; check split and subset")
    return Narrowed(dataset, cfg["only"], str(cfg.get("type"))) if cfg.get("only") is not None else dataset


def object_counts(dataset: Dataset) -> Array:
    """Return how many objects are to be found in each sample: (n,) int64, 0 where the data set does not say."""
    return dataset.object_counts() if isinstance(dataset, CountsObjects) else np.zeros(len(dataset), np.int64)


class Narrowed:
    """Samples without the annotations that are not named; what evaluation compares with (`truth`) stays whole.

    Attributes:
        meta: without what the left out annotations mean, so that no task takes the set for one of its own.
    """

    def __init__(self, dataset: Dataset, only: Any, name: str = "the data set") -> None:
        """Take `only` some annotations of a data set; ids and crowds stay with whatever instances there are.

        Args:
            dataset: the whole.
            only: names out of `ANNOTATIONS`, at least one.
            name: of the data set, for messages.

        Raises:
            ConfigError: `only` is no list of annotations, or the set has not got one, or it has several classes and is
                to have keypoints or masks without boxes.
        """
        if not isinstance(only, (list, tuple)) or not only:
            raise ConfigError(f"{name}: only must be a list of annotations, such as ['keypoints'], not {only!r}")
        for key in only:
            if key not in ANNOTATIONS:
                raise ConfigError(f"{name}: only has no annotation {key!r}; {near_names(str(key), ANNOTATIONS)}")
            if key in MEANINGS and not getattr(dataset.meta, MEANINGS[key]):
                raise ConfigError(f"{name}: only={list(only)!r}, but it has no {key}; take that out")
        if "masks" in only and "rles" not in dataset.truth(0):
            raise ConfigError(
                f"{name}: only={list(only)!r}, but it has no masks; take that out, or read them: masks=True"
            )
        parts = [key for key in ("keypoints", "masks") if key in only]
        if parts and "boxes" not in only and len(dataset.meta.classes) > 1:
            raise ConfigError(
                f"{name}: only={list(only)!r} does not say which of the {len(dataset.meta.classes)} classes "
                f"{' and '.join(parts)} are of; add 'boxes', or take a set of one class"
            )
        emptied = [field for key, field in MEANINGS.items() if key not in only]
        emptied += OF_KEYPOINTS if "keypoints" not in only else ()
        empty = DatasetMeta()
        changes: dict[str, Any] = {field: getattr(empty, field) for field in emptied}
        self.meta: DatasetMeta = replace(dataset.meta, **changes)
        self._dataset, self._left_out = dataset, [key for key in ANNOTATIONS if key not in only]
        if "boxes" not in only:
            self._left_out.append("labels")

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._dataset)

    def read(self, index: int) -> Sample:
        """Read sample `index` in the file's pixels, without what is left out.

        Raises:
            DataError: the image is missing or does not decode.
        """
        sample = self._dataset.read(index)
        for key in self._left_out:
            sample.pop(key, None)  # type: ignore[misc]
        if not any(key in sample for key in _OF_INSTANCES):
            sample.pop("crowd", None)  # of nobody
        return sample

    def truth(self, index: int) -> ImageTruth:
        """Every annotation of the file that sample `index` comes from."""
        return self._dataset.truth(index)

    def truths_without_samples(self) -> Iterable[tuple[int, ImageTruth]]:
        """Image ids and annotations of files that no sample comes from, where the data set has such."""
        return self._dataset.truths_without_samples() if isinstance(self._dataset, SkipsImages) else ()

    def input_notes(self) -> list[str]:
        """Say what was odd in the files, where the data set does."""
        return self._dataset.input_notes() if isinstance(self._dataset, NotesInput) else []

    def object_counts(self) -> Array:
        """Return how many objects are to be found in each sample: (n,) int64, 0 where boxes are left out."""
        return np.zeros(len(self), np.int64) if "boxes" in self._left_out else object_counts(self._dataset)
