"""Several data sets as one to train on. A sample has the annotations of its own source and teaches no more than those.

Example:
    train_data = [
        dict(type="CocoScenes", annotations="coco/train.json", images="coco/images", only=["boxes", "keypoints"]),
        dict(type="CocoScenes", annotations="streets/train.json", images="streets/images", semantic="streets/labels",
             semantic_classes=["road", "other"], only=["semantic"]),
    ]

which is short for `dict(type="Mixed", sources=[…])`. An epoch has as many samples as all sources together: each of them
once, or with `weights` so many of each source as its weight says (a small source is gone through several times, a large
one in part, in another order each time). The sources of an epoch are spread evenly over its batches, or with
`alternate` every batch is of one source, and each has a whole number of batches. What has no whole number is rounded up
or down at random in each epoch, so that over many epochs every source has its share.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.contracts import NotesInput
from densezoo.datasets.narrowed import OF_KEYPOINTS, build_source, object_counts
from densezoo.errors import ConfigError
from densezoo.registry import DATASETS
from densezoo.types import Array, DatasetMeta, ImageTruth, Sample

_ALIKE = ("classes", "keypoint_names", "flip_pairs", "semantic_classes", "volume_slices")
"""Fields of `DatasetMeta` in which sources that have any must agree; of the others the first one's are taken."""
_OWNERS = {"category_ids": "classes"} | dict.fromkeys(OF_KEYPOINTS, "keypoint_names")
"""Fields of `DatasetMeta` that belong to another: a set without that one comes last."""


@DATASETS.register()
class Mixed:
    """The samples of all sources, one source after the other; which of them an epoch sees, the training decides.

    Attributes:
        meta: of every field the value of the sources that have one.
        lengths: number of samples of each source.
        weights: share of each source in an epoch, as given; None for its share of the samples.
        alternate: whether every batch is of one source.
    """

    def __init__(
        self,
        sources: Sequence[Mapping[str, Any]],
        data_root: str | Path,
        weights: Sequence[float] | None = None,
        alternate: bool = False,
    ) -> None:
        """Build the sources.

        Args:
            sources: configs of data sets, each with its own `subset` and `only` (see `densezoo.datasets.narrowed`).
            data_root: folder of all data.
            weights: how much of an epoch's samples each source is; they need not sum to 1.
            alternate: fill every batch from one source.

        Raises:
            ConfigError: no source, a source that is `Mixed` itself, weights that cannot be, or sources whose
                annotations contradict each other.
            DataError: files that are missing or broken, or a source without a sample.
        """
        if not sources or any(isinstance(cfg, Mapping) and cfg.get("type") == "Mixed" for cfg in sources):
            raise ConfigError("Mixed: sources must be a list of data sets, none of them Mixed again")
        if weights is not None and (len(weights) != len(sources) or min(weights) <= 0):
            raise ConfigError(f"Mixed: weights must be {len(sources)} numbers above 0, not {list(weights)}")
        self._sources = [build_source(cfg, data_root) for cfg in sources]
        names = [f"source {number} ({cfg['type']})" for number, cfg in enumerate(sources, start=1)]
        self.meta = merge_metas(dict(zip(names, (source.meta for source in self._sources), strict=True)))
        self.lengths = [len(source) for source in self._sources]
        self._starts = [0, *itertools.accumulate(self.lengths)]
        self.weights = None if weights is None else [float(weight) for weight in weights]
        self.alternate = alternate

    def __len__(self) -> int:
        """Number of samples of all sources."""
        return self._starts[-1]

    def read(self, index: int) -> Sample:
        """Read sample `index` in the file's pixels, with the annotations that its source has.

        Raises:
            DataError: the image is missing or does not decode.
        """
        source, own = self._find(index)
        return self._sources[source].read(own)

    def truth(self, index: int) -> ImageTruth:
        """Every annotation of the file that sample `index` comes from."""
        source, own = self._find(index)
        return self._sources[source].truth(own)

    def input_notes(self) -> list[str]:
        """Say what was odd in the files of the sources."""
        return [note for source in self._sources if isinstance(source, NotesInput) for note in source.input_notes()]

    def object_counts(self) -> Array:
        """Return how many objects are to be found in each sample: (n,) int64, 0 where its source does not say."""
        return np.concatenate([object_counts(source) for source in self._sources])

    def _find(self, index: int) -> tuple[int, int]:
        """Return the source of a sample, and its index there."""
        source = int(np.searchsorted(self._starts, index, side="right")) - 1
        return source, index - self._starts[source]


def source_configs(data: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    """Return the configs of the data sets that a config of data consists of: of a mixed one, what is mixed."""
    sets = [] if data is None else [data] if isinstance(data, Mapping) else data
    return [source for each in sets for source in (each.get("sources", []) if each.get("type") == "Mixed" else [each])]


def merge_metas(metas: Mapping[str, DatasetMeta]) -> DatasetMeta:
    """Say what the annotations of several data sets mean together.

    Args:
        metas: name to meaning, at least one.

    Raises:
        ConfigError: two of them name other classes, keypoints, pairs of keypoints or semantic classes.
    """
    merged: dict[str, Any] = {}
    for field in DatasetMeta.__dataclass_fields__:
        owner = _OWNERS.get(field, field)
        first = sorted(metas, key=lambda name: not getattr(metas[name], owner))
        values = [(name, getattr(metas[name], field)) for name in first]
        known = [(name, value) for name, value in values if value or field == "keypoint_shift"]  # a shift may be 0
        for name, value in known[1:]:
            if field in _ALIKE and value != known[0][1]:
                word = field.replace("_", " ")
                raise ConfigError(
                    f"{known[0][0]} has the {word} {list(known[0][1])}, {name} has {list(value)}; one network has one "
                    f"list of {word}: mix sets that have the same, or take those annotations out of one of them, such "
                    "as by only=['boxes']"
                )
        if known:
            merged[field] = known[0][1]
    return DatasetMeta(**merged)
