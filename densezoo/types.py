"""The values that travel between the parts. Every contract of the zoo is a type or a protocol in this file.

Frame of every coordinate: continuous, origin at the image's top left *corner*, so pixel i covers [i, i + 1) and its
centre lies at i + 0.5. Points are (x, y), boxes are xyxy, sizes are (height, width).
Shape letters: N batch, C channels, H W image, h w map, K keypoints, P instances (padded over a batch).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Pyramid = list[Tensor]
"""Maps of one image batch, finest first."""
Maps = dict[str, Tensor]
"""Map name to (N, C, h, w): what one head gives on one stage."""
Outputs = list[Maps]
"""Maps of every stage of one task, in stage order."""


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map lie in the network's input image.

    Cell (row i, column j) is centred at x = origin[0] + (j + 0.5) · stride, y = origin[1] + (i + 0.5) · stride.

    Attributes:
        stride: image pixels per cell.
        size: (height, width) of the map in cells.
        origin: (x, y) in image pixels of the corner of cell (0, 0); not (0, 0) for valid convolutions.
    """

    stride: float
    size: tuple[int, int]
    origin: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class DatasetMeta:
    """What the annotations of a data set mean; saved with every checkpoint.

    Attributes:
        classes: category names, in label order.
        category_ids: the file's own category ids, in label order.
        keypoint_names: K names, in keypoint order; empty for a set without keypoints.
        skeleton: pairs of keypoint indices (from 0) to draw as limbs.
        flip_pairs: pairs of keypoint indices that change places in a mirrored image.
        sigmas: K per-keypoint OKS constants, or empty where nobody published any.
    """

    classes: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()
    keypoint_names: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()

    @property
    def num_keypoints(self) -> int:
        """K."""
        return len(self.keypoint_names)

    @property
    def flip_order(self) -> list[int]:
        """K indices: keypoint k of the mirrored image is keypoint `flip_order[k]` of the original."""
        order = list(range(self.num_keypoints))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return order

    @property
    def has_torso(self) -> bool:
        """Whether both shoulders and both hips are named, as a torso-normalised score needs."""
        return {"left_shoulder", "right_shoulder", "left_hip", "right_hip"} <= set(self.keypoint_names)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings (JSON, `weights_only` checkpoints)."""
        return {key: _as_lists(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DatasetMeta":
        """Invert `to_dict`."""
        return cls(**{key: _as_tuples(value) for key, value in values.items()})


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


class ImageTruth(TypedDict):
    """Every annotation of one *file*, in the file's own pixels: what evaluation compares with.

    Attributes:
        ids: (P,) int64 annotation ids.
        labels: (P,) int64 indices into `DatasetMeta.classes`.
        boxes: (P, 4) float32 xyxy.
        areas: (P,) float32 square pixels, as annotated.
        crowd: (P,) bool.
        keypoints: (P, K, 3) float32 x, y, visibility (0 unlabelled, 1 hidden, 2 visible); absent for sets without.
        head_sizes: (P,) float32 pixels, the normaliser of PCKh; absent for sets without head boxes.
        rles: P compressed COCO RLE dicts, or None where an instance has no mask; absent when not asked for.
        size: (height, width) of the file.
    """

    ids: Array
    labels: Array
    boxes: Array
    areas: Array
    crowd: Array
    keypoints: NotRequired[Array]
    head_sizes: NotRequired[Array]
    rles: NotRequired[list[dict[str, Any] | None]]
    size: tuple[int, int]


class Sample(TypedDict):
    """One image and whatever annotations it has. Missing annotations are absent keys.

    A data set's `read` gives it in the file's pixels; the warp moves image and annotations to network pixels together
    and sets `to_original`.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        image_id: the file's id in its data set.
        path: the file, for messages and pictures.
        to_original: (2, 3) float64 affine from this image's coordinates to the file's.
        frame: (4,) float32 xyxy region of the *file* that the network should see: the person's box for a top-down
            sample, the whole image for a scene. The warp fits it into the network's input.
        keypoints: (P, K, 3) float32 x, y, visibility. Top-down samples have P = 1.
        boxes: (P, 4) float32 xyxy.
        labels: (P,) int64.
        crowd: (P,) bool.
        ids: (P,) int64 annotation ids.
        masks: (P, H, W) uint8 0/1.
        semantic: (H, W) uint8, 255 = ignore.
        score: confidence of the box that made this sample; absent means 1 (ground-truth boxes).
        truth: the file's own annotations; only in evaluation.
        whole_image: the sample shows a whole file with all its instances; those that leave the view are dropped.
        flipped: the warp mirrored the image.
        error: why the image could not be read; the image is then black and every annotation is invalid.
    """

    image: Array
    image_id: int
    path: str
    to_original: Array
    frame: Array
    keypoints: NotRequired[Array]
    boxes: NotRequired[Array]
    labels: NotRequired[Array]
    crowd: NotRequired[Array]
    ids: NotRequired[Array]
    masks: NotRequired[Array]
    semantic: NotRequired[Array]
    score: NotRequired[float]
    truth: NotRequired[ImageTruth]
    whole_image: NotRequired[bool]
    flipped: NotRequired[bool]
    error: NotRequired[str]


class Batch(TypedDict):
    """Samples of one size, stacked; what `losses` and `predict` take.

    Attributes:
        images: (N, 3, H, W) uint8 RGB, channels-last in memory; or float, then taken as normalised already.
        valid: (N, P) bool; False for padding and for unreadable images. Crowds are valid, see `crowd`.
        keypoints: (N, P, K, 3) float32; padding has visibility 0.
        boxes: (N, P, 4) float32.
        labels: (N, P) int64; padding is -1.
        crowd: (N, P) bool.
        masks: (N, P, H, W) uint8.
        semantic: (N, H, W) uint8; padding is 255.
        samples: N samples without their image and masks, for metrics and pictures. Never moved to a device.
    """

    images: Tensor
    valid: Tensor
    keypoints: NotRequired[Tensor]
    boxes: NotRequired[Tensor]
    labels: NotRequired[Tensor]
    crowd: NotRequired[Tensor]
    masks: NotRequired[Tensor]
    semantic: NotRequired[Tensor]
    samples: NotRequired[list[Sample]]


class Targets(TypedDict):
    """What `Task.encode` makes of a batch on one grid.

    Attributes:
        maps: map name to (N, C, h, w) target.
        weights: map name to a weight that broadcasts to the map's target; zero means no loss there.
    """

    maps: Maps
    weights: Maps


class Prediction(TypedDict):
    """Decoded answer for one sample, in network pixels; arrays live on the CPU.

    Attributes:
        keypoints: (P, K, 3) float32 x, y, score.
        scores: (P,) float32 instance scores.
        boxes: (P, 4) float32 xyxy.
        labels: (P,) int64.
        semantic: (H, W) uint8.
    """

    scores: Array
    keypoints: NotRequired[Array]
    boxes: NotRequired[Array]
    labels: NotRequired[Array]
    semantic: NotRequired[Array]


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
        mean: per input channel, of values in 0–1.
        std: per input channel, of values in 0–1.
    """

    channels: list[int]
    strides: list[int]
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
        num_stages: how many pyramids it gives.
    """

    out_channels: list[int]
    out_strides: list[int]
    num_stages: int

    def begin(self, pyramid: Pyramid) -> Pyramid:
        """Make what the first stage starts from."""
        ...

    def stage(self, index: int, x: Pyramid) -> Pyramid:
        """Run stage `index`."""
        ...

    def merge(self, index: int, x: Pyramid, pyramid: Pyramid, feedback: Sequence[Tensor] = ()) -> Pyramid:
        """Make what stage `index` + 1 starts from, of what stage `index` got and gave and of fed-back raw maps."""
        ...


class Head(Protocol):
    """Pyramid to named maps of one size; a `torch.nn.Module`.

    Attributes:
        stride: image pixels per cell of its maps.
    """

    stride: int

    def __call__(self, pyramid: Pyramid) -> Maps:
        """Map a pyramid to {map name: (N, C, h, w)}."""
        ...


@runtime_checkable
class SkipsImages(Protocol):
    """A data set with annotated files that no sample comes from, since no detector found a box there."""

    def truths_without_samples(self) -> Iterable[tuple[int, ImageTruth]]:
        """Image ids and annotations of those files."""
        ...


class Task(Protocol):
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
        """Bring the maps of mirrored images back to the original's frame (mirror, swap, shift)."""
        ...

    def activate(self, maps: Maps) -> Maps:
        """Raw maps to float32 maps that may be averaged over views and decoded: what targets look like."""
        ...

    def decode(self, maps: Maps, grid: Grid) -> list[Prediction]:
        """N predictions in network pixels, from activated maps or targets; `decode(encode(x))` is about x."""
        ...

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Best answer that never looks at the image, from warped training samples: the baseline of every table."""
        ...

    def metrics(self) -> list["Metric"]:
        """New, empty metrics."""
        ...


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


def identity_affine() -> Array:
    """Return a new (2, 3) float64 identity."""
    return np.eye(2, 3)
