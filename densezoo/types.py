"""The values that travel between the parts; what the parts promise each other is in `densezoo.contracts`.

Frame of every coordinate: continuous, origin at the image's top left *corner*, so pixel i covers [i, i + 1) and its
centre lies at i + 0.5. Points are (x, y), boxes are xyxy, sizes are (height, width).
Shape letters: N batch, C channels, H W image, h w map, K keypoints, P instances (padded over a batch).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NotRequired, TypedDict

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
        image_size: (height, width) of the image; None where the cells say it: they cover it, and lose as much at the
            bottom and right as at the top and left.
        window: whether the cells are those of a window of the image.
    """

    stride: float
    size: tuple[int, int]
    origin: tuple[float, float] = (0.0, 0.0)
    image_size: tuple[int, int] | None = None
    window: bool = False


@dataclass(frozen=True)
class InferenceViews:
    """How often a model looks at an image before it answers; the defaults are once.

    Attributes:
        flip: look at the mirror image, too.
        scales: factors on the images' sides, each of which is a view.
        window: (height, width) in pixels of the windows through which images are seen, at every scale; None for whole
            images. Networks with convolutions without padding leave the border of a whole image without an answer;
            with windows they answer for all of it.
        overlap: share of a window that the next one sees again, at least; windows of networks with convolutions without
            padding overlap as they must.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    window: tuple[int, int] | None = None
    overlap: float = 0.5


ONE_VIEW = InferenceViews()


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
        keypoint_shift: pixels that were added to the file's keypoints, and are taken off those written as results.
        semantic_classes: names of the values of semantic maps, from 0; empty for a set without such maps.
        volume_slices: how many slices a volume has, and how many pixels each is thick (see
            `densezoo.functional.volumes`); empty for a set without volumes.
    """

    classes: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()
    keypoint_names: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()
    keypoint_shift: float = 0.0
    semantic_classes: tuple[str, ...] = ()
    volume_slices: tuple[float, ...] = ()

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
        semantic: (H, W) uint8 of the file's size, 255 = ignore; absent for sets and files without.
        second_semantic: the same by a second human observer; absent where nobody else looked.
        volume: (D, H, W) uint8 0/1 over the file's pixels; absent for sets and files without.
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
    semantic: NotRequired[Array]
    second_semantic: NotRequired[Array]
    volume: NotRequired[Array]
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
        labels: (P,) int64; absent where `only` leaves boxes out: all are then of the set's one class.
        crowd: (P,) bool.
        ids: (P,) int64 annotation ids.
        masks: (P, H, W) uint8 0/1.
        semantic: (H, W) uint8, 255 = ignore.
        volume: (D, H, W) uint8 0/1, D slices in depth over the image's pixels; see `densezoo.functional.volumes`.
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
    volume: NotRequired[Array]
    score: NotRequired[float]
    truth: NotRequired[ImageTruth]
    whole_image: NotRequired[bool]
    flipped: NotRequired[bool]
    error: NotRequired[str]


class Batch(TypedDict):
    """Samples, stacked, the smaller ones padded to one size; what `losses` and `predict` take.

    Attributes:
        images: (N, 3, H, W) uint8 RGB, channels-last in memory; or float, then taken as normalised already.
        valid: (N, P) bool; False for padding and for unreadable images. Crowds are valid, see `crowd`.
        keypoints: (N, P, K, 3) float32; padding has visibility 0.
        boxes: (N, P, 4) float32.
        labels: (N, P) int64; -1 for padding, and for the instances of samples without labels.
        crowd: (N, P) bool.
        masks: (N, P, H, W) uint8.
        semantic: (N, H, W) uint8; padding is 255.
        volume: (N, D, H, W) uint8; padding is 255 in all slices.
        annotated: of every annotation of the batch that not all samples have: its name, `'keypoints'`, `'boxes'`,
            `'masks'`, `'semantic'` or `'volume'`, to (N,) bool. An unreadable image has none. What is not annotated is
            padding, of which nothing is learned; see `densezoo.functional.annotated`. Absent where all have all.
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
    volume: NotRequired[Tensor]
    annotated: NotRequired[dict[str, Tensor]]
    samples: NotRequired[list[Sample]]


class Targets(TypedDict):
    """What `Task.encode` makes of a batch on one grid.

    Attributes:
        maps: map name to (N, C, h, w) target.
        weights: map name to a weight that broadcasts to the map's target; zero means no loss there.
        semantic: (N, H, W) int64 labels of the image's own pixels, 255 = ignore, for losses that are taken there.
        pixel_weights: (N, H, W) float32, added to the weight of each of those pixels.
        grid: what brings maps to those pixels.
        cells: (N, A, P) int64 flat cell (row · w + column) of each of A points of every object; -1 for none.
        offsets: (N, A, 2, P) float32 x, y of each of those points in its cell, which objects may share.
    """

    maps: Maps
    weights: Maps
    semantic: NotRequired[Tensor]
    pixel_weights: NotRequired[Tensor]
    grid: NotRequired[Grid]
    cells: NotRequired[Tensor]
    offsets: NotRequired[Tensor]


class Prediction(TypedDict):
    """Decoded answer for one sample, in network pixels; arrays live on the CPU.

    Attributes:
        keypoints: (P, K, 3) float32 x, y, score.
        scores: (P,) float32 instance scores.
        boxes: (P, 4) float32 xyxy.
        labels: (P,) int64.
        semantic: (H, W) uint8, the network's whole input; 255 where the network has no answer.
        label_maps: the maps that `semantic` is the argmax of, once they are interpolated: (L, h, w) float32, on the
            network's device, and where their cells lie. Evaluation takes them out for `file_labels`.
        file_labels: (H, W) uint8 of the file's size, see `densezoo.functional.answered_labels`.
        probabilities: (L, H, W) float32 of each label, 0 where the network has no answer; only where a metric of the
            task reads them.
        volume: (D, H, W) float16 probabilities of being inside, over the network's whole input; 0 where there is no
            answer.
    """

    scores: Array
    keypoints: NotRequired[Array]
    boxes: NotRequired[Array]
    labels: NotRequired[Array]
    semantic: NotRequired[Array]
    label_maps: NotRequired[tuple[Tensor, Grid]]
    file_labels: NotRequired[Array]
    probabilities: NotRequired[Array]
    volume: NotRequired[Array]


def identity_affine() -> Array:
    """Return a new (2, 3) float64 identity."""
    return np.eye(2, 3)
