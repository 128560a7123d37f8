"""What the parts of the zoo promise each other, as protocols; the values they exchange are in `densezoo.types`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from densezoo.types import (
    Array,
    Batch,
    DatasetMeta,
    Grid,
    ImageTruth,
    Maps,
    Prediction,
    Pyramid,
    Sample,
    Targets,
)


@runtime_checkable
class Dataset(Protocol):
    """A data set: knows its annotations, reads one sample in the file's pixels. Never augments."""

    meta: DatasetMeta

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def read(self, index: int) -> Sample:
        """Read sample `index` in the file's pixels; `to_original` is the identity.

        Raises:
            DataError: the image is missing or does not decode; the message names it.
        """
        ...

    def truth(self, index: int) -> ImageTruth:
        """Every annotation of the file that sample `index` comes from, without reading the image."""
        ...


class Encoder(Protocol):
    """Image to feature pyramid; a `torch.nn.Module`.

    Attributes:
        channels: width of every level, finest first.
        strides: image pixels per cell of every level.
        origins: image coordinate, in pixels, of the corner of every level's first cell; 0 unless borders are lost.
        mean: per input channel, of values in 0–1.
        std: per input channel, of values in 0–1.
    """

    channels: list[int]
    strides: list[int]
    origins: list[float]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Pyramid:
        """Map (N, C, H, W) normalised images to a pyramid."""
        ...


class Neck(Protocol):
    """Feature pyramid to one pyramid per stage; a `torch.nn.Module`. It never knows a head.

    Attributes:
        out_channels: width of every level that is read, finest first.
        out_strides: image pixels per cell of every level that is read.
        out_origins: of every stage, the image coordinate, in pixels, of the corner of the first cell of every level
            that is read.
        out_levels: which of the neck's levels those are, 0 being the finest.
        num_stages: how many pyramids it gives.
        coarsest: image pixels per cell of the coarsest level that it works on, and the coordinate of that level's first
            cell in the first stage: a network sees images alike that are moved by so many pixels.
    """

    out_channels: list[int]
    out_strides: list[int]
    out_origins: list[list[float]]
    out_levels: list[int]
    num_stages: int
    coarsest: tuple[int, float]

    def begin(self, pyramid: Pyramid) -> Pyramid:
        """Make what the first stage starts from."""
        ...

    def stage(self, index: int, x: Pyramid) -> tuple[Pyramid, Tensor]:
        """Run stage `index`; gives the levels that are read, and the finest map that it has made, for `merge`."""
        ...

    def merge(self, index: int, x: Pyramid, finest: Tensor, feedback: Sequence[Tensor] = ()) -> Pyramid:
        """Make what stage `index` + 1 starts from, of what stage `index` got and gave and of fed-back raw maps."""
        ...


class Head(Protocol):
    """Pyramid to named maps of one size; a `torch.nn.Module`.

    A head that reads one level is built with `level`, one that reads several with `levels`: indices into the pyramid it
    gets. In a config they count the neck's levels, and the neck gives just the levels that heads read.

    Attributes:
        stride: image pixels per cell of its maps.
        origin: image coordinate, in pixels, of the corner of its maps' first cell.
    """

    stride: int
    origin: float

    def __call__(self, pyramid: Pyramid) -> Maps:
        """Map a pyramid to {map name: (N, C, h, w)}."""
        ...


@runtime_checkable
class SkipsImages(Protocol):
    """A data set with annotated files that no sample comes from, since no detector found a box there."""

    def truths_without_samples(self) -> Iterable[tuple[int, ImageTruth]]:
        """Image ids and annotations of those files."""
        ...


@runtime_checkable
class NotesInput(Protocol):
    """A data set that says which annotations of its files it could not take as they are."""

    def input_notes(self) -> list[str]:
        """At most one line for each file, with its name; nothing where all was in order."""
        ...


@runtime_checkable
class CountsObjects(Protocol):
    """A data set that knows, without reading an image, how many objects there are to find."""

    def object_counts(self) -> Array:
        """Objects in each sample, crowds not counted: (n,) int64."""
        ...


@runtime_checkable
class LimitsObjects(Protocol):
    """A task that finds so many objects in one image and no more."""

    max_objects: int
    limited_by: str
    """The option, or options, that say so."""


class ScoredTask(Protocol):
    """What is asked of a model, and how answers are scored. All that the engine needs of a task."""

    meta_fields: tuple[str, ...]
    """Fields of `DatasetMeta` whose values a model learns and must find again in other data; of the class.

    A task that was built for less than its class can do, such as boxes without keypoints, may have fewer.
    """

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Best answer that never looks at the image, from warped training samples: the baseline of every table."""
        ...

    def metrics(self) -> list["Metric"]:
        """New, empty metrics."""
        ...


class Task(ScoredTask, Protocol):
    """Turns maps into losses, predictions and scores. Has no parameters and no layers."""

    outputs: dict[str, int]
    """Map name to channels: what a head must give."""

    def encode(self, batch: Batch, grid: Grid) -> Targets:
        """Make targets on the device of `batch`'s annotations."""
        ...

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Loss name to what its sum is divided by (joints, objects, pixels), as a 0-d float tensor.

        The engine sums them over processes and accumulated batches before any loss is taken.
        """
        ...

    def loss(self, maps: Maps, targets: Targets, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Loss name to 0-d loss of one stage: a sum divided by its normaliser."""
        ...

    def unflip(self, maps: Maps) -> Maps:
        """Bring the maps of mirrored images back to the original's frame (mirror, swap, shift).

        Maps that keep their name are averaged with the original's; those that come back under another name mean
        something else there, and `decode` gets them beside the original's.
        """
        ...

    def activate(self, maps: Maps) -> Maps:
        """Raw maps to float32 maps that may be averaged over views and decoded: what targets look like."""
        ...

    def decode(self, maps: Maps, grid: Grid) -> list[Prediction]:
        """N predictions in network pixels, from activated maps or targets; `decode(encode(x))` is about x."""
        ...


@runtime_checkable
class DecodesViews(Protocol):
    """A task that brings several views of the same images together itself, instead of decoding the mean of their maps.

    Detectors do: boxes of all views are suppressed together. Tags of different views cannot be averaged either.
    """

    def decode_views(self, views: Sequence[tuple[Maps, Grid]]) -> list[Prediction]:
        """N predictions in network pixels, from the activated maps of every view and where they lie in the images."""
        ...


@runtime_checkable
class UnscalesMaps(Protocol):
    """A task whose maps say something else of an enlarged image, not the same on more cells.

    Volumes do: what they show becomes deeper, too.
    """

    def unscale(self, maps: Maps, scale: float) -> Maps:
        """Bring activated maps of images that were enlarged by `scale` to what they say of the images themselves."""
        ...


@runtime_checkable
class NeedsWholeImages(Protocol):
    """A task whose maps mean nothing beside those of another window of the image."""

    needs_whole_images: bool


@runtime_checkable
class HasCurve(Protocol):
    """A metric whose score depends on a threshold, and can be had at others."""

    primary: str
    threshold: float

    def curve(self, thresholds: Array, weights: Mapping[int, float] | None = None) -> Array:
        """(T,) scores at (T,) thresholds."""
        ...


class Metric(Protocol):
    """Keeps a record per image and turns the records into scores."""

    primary: str
    """The key of `compute` that ranks models."""
    higher_is_better: bool
    """Of `primary`, and of all other keys but those in `opposite_scores`, a frozenset, where a class has that."""

    def update(self, predictions: list[Prediction], samples: list[Sample]) -> None:
        """Add records. Predictions are in network pixels; samples carry `to_original` and `truth`."""
        ...

    def add_truth(self, image_id: int, truth: ImageTruth) -> None:
        """Take note of a file that no sample comes from: what is on it was missed, where the score counts that."""
        ...

    def compute(self, weights: Mapping[int, float] | None = None) -> dict[str, float]:
        """Scores over all records; `weights` maps image ids to multiplicities (absent ids count 0)."""
        ...

    def per_image(self) -> dict[int, dict[str, float]]:
        """Image id to score name to value; NaN where an image has nothing to score."""
        ...

    def merge(self, other: "Metric") -> None:
        """Take over the records of a metric of the same kind, from another process say."""
        ...
