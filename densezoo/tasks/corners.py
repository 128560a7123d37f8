"""Objects as pairs of corners: heat per class, an embedding that says which corners belong together, and offsets.

Law and Deng, "CornerNet: Detecting Objects as Paired Keypoints", ECCV 2018, https://arxiv.org/abs/1808.01244. Where the
published code and its port in mmdetection (https://github.com/open-mmlab/mmdetection) differ, the port is followed:

- Two objects that share a corner's cell count once in the offset loss, and there the last one's offset is learned.
- An image with a single object has no push loss; the published code adds a constant.
- Soft-NMS takes boxes as they are; `nms_border=1` adds a pixel to their sides, as the published code does.

Deviations from both: boxes are clipped to the image before they are paired and suppressed; an object without an area
in the image is skipped; losses of the stages are added, not averaged. The losses of embeddings are sums over images, as
in both, so their weight grows with the batch: the 0.1 of the paper goes with the five images of one of its GPUs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from densezoo.contracts import Metric
from densezoo.errors import ConfigError, near_names
from densezoo.functional.boxes import clip_boxes, commonest_box, soft_nms
from densezoo.functional.corner_losses import focal_loss, focal_weights, offset_loss, pull_and_push
from densezoo.functional.corner_targets import RADII, draw_gaussians, gaussian_radius, put_in_cells
from densezoo.functional.grids import image_size
from densezoo.functional.grouping import Corners as FoundCorners
from densezoo.functional.grouping import find_corners, pair_corners
from densezoo.registry import METRICS, TASKS
from densezoo.types import Batch, DatasetMeta, Grid, Maps, Prediction, Sample, Targets

CORNERS = ("top_left", "bottom_right")
MIRRORED = {"top_left": "top_right", "bottom_right": "bottom_left"}
"""Corner to what it is in the image that a mirrored one came from."""
CELLS = ("stride", "image")


@TASKS.register()
class Corners:
    """Boxes of objects from their top-left and bottom-right corners.

    Attributes:
        meta_fields: of `DatasetMeta`, whose values a model learns and must find again in other data.
        outputs: `{'top_left_heat': C, 'top_left_embedding': 1, 'top_left_offset': 2}`, and the same of `bottom_right`.
    """

    meta_fields: tuple[str, ...] = ("classes",)

    def __init__(
        self,
        num_classes: int,
        meta: DatasetMeta | None = None,
        class_agnostic: bool = False,
        radius: str = "corrected",
        cells: str = "stride",
        pull_weight: float = 0.1,
        push_weight: float = 0.1,
        offset_weight: float = 1.0,
        top_k: int = 100,
        embedding_threshold: float = 0.5,
        num_pairs: int = 1000,
        nms_sigma: float = 0.5,
        nms_border: int = 0,
        max_detections: int = 100,
        metrics: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Make the task.

        Args:
            num_classes: of the data set. Objects of other labels are not learned.
            meta: what the data set's labels mean; metrics need it.
            class_agnostic: one heat map for objects of all classes, which are then all found as label 0.
            radius: of the Gaussians: `'corrected'`, worked out for an overlap of 0.3, or `'legacy'`, for one of 0.7
                with the wrong roots of CornerNet's first release.
            cells: how large a cell is: `'stride'` pixels, or `'image'`, its share of the image's side, as in CornerNet
                and mmdetection. They differ where the stride does not divide the side: published weights were trained
                with 511 pixels on 128 cells.
            pull_weight: of the loss between an object's two embeddings.
            push_weight: of the loss between the embeddings of different objects.
            offset_weight: of the loss of offsets.
            top_k: corners of each kind that decoding looks at.
            embedding_threshold: the largest difference of embeddings within a pair.
            num_pairs: best pairs that are kept before soft-NMS, in each view.
            nms_sigma: of soft-NMS; the smaller, the more it suppresses.
            nms_border: pixels that soft-NMS adds to widths and heights: 1 as in CornerNet, 0 as in mmdetection.
            max_detections: boxes per image.
            metrics: configs of the metrics, the first of which ranks models; None takes BoxAP.

        Raises:
            ConfigError: a value that cannot be, or `num_classes` differs from the data set's.
        """
        for name, value, known in (("radius", radius, RADII), ("cells", cells, CELLS)):
            if value not in known:
                raise ConfigError(f"Corners: no {name}={value!r}; {near_names(str(value), known)}")
        counts = {"num_classes": num_classes, "top_k": top_k, "num_pairs": num_pairs, "max_detections": max_detections}
        for name, number in counts.items():
            if number < 1:
                raise ConfigError(f"Corners: {name}={number} must be at least 1")
        if nms_sigma <= 0:
            raise ConfigError(f"Corners: nms_sigma={nms_sigma} must be above 0")
        if meta is not None and len(meta.classes) != num_classes:
            raise ConfigError(
                f"Corners: num_classes={num_classes}, but the data set has {len(meta.classes)} classes; "
                f"set num_classes={len(meta.classes)} (class_agnostic=True learns them as one) or choose other data"
            )
        self.num_channels = 1 if class_agnostic else num_classes
        parts = {"heat": self.num_channels, "embedding": 1, "offset": 2}
        self.outputs = {f"{corner}_{part}": channels for corner in CORNERS for part, channels in parts.items()}
        self.num_classes = num_classes
        self.meta = meta
        self.class_agnostic = class_agnostic
        self.radius = radius
        self.cells = cells
        self.pull_weight, self.push_weight, self.offset_weight = pull_weight, push_weight, offset_weight
        self.top_k = top_k
        self.embedding_threshold = embedding_threshold
        self.num_pairs = num_pairs
        self.nms_sigma, self.nms_border = nms_sigma, nms_border
        self.max_detections = max_detections
        given = [{"type": "BoxAP", "class_agnostic": class_agnostic}] if metrics is None else metrics
        self.metric_configs = [dict(metric) for metric in given]

    def encode(self, batch: Batch, grid: Grid) -> Targets:
        """Make targets on the device of the boxes.

        Args:
            batch: with `boxes` (N, P, 4), `labels` and `valid` (N, P); without boxes no object is there. Crowds and
                boxes without an area in the image are left out; the others are clipped to the image, or to the map
                where that is smaller.
            grid: where the maps' cells lie.

        Returns:
            maps, of each corner: `heat` (N, C, h, w) with a Gaussian per object, 1 at its corner's cell; `offset`
                (N, 2, h, w), the corner's place in its cell; `embedding` (N, 1, h, w), the object's number from 1.
                weights: `heat` (N, C, h, w), see `focal_weights`; the others (N, 1, h, w), 0 where no corner is. Those
                of `heat` and `offset` make up for objects that share a cell. cells: (N, 2, P), of both corners.
        """
        places, channels, present = self._places(batch, grid)
        height, width = grid.size
        columns, rows = (places[..., axis].long().clamp(max=side - 1) for axis, side in ((0, width), (1, height)))
        sides = (places[:, :, 1] - places[:, :, 0]).ceil()
        radii = gaussian_radius(sides[..., 1], sides[..., 0], self.radius)
        numbers = torch.arange(1, present.shape[1] + 1, device=places.device).expand_as(present)
        flat = (rows * width + columns).where(present[..., None], -1)
        count = present.sum().float()
        known = float("boxes" in batch)
        maps: Maps = {}
        weights: Maps = {}
        for number, corner in enumerate(CORNERS):
            column, row = columns[..., number], rows[..., number]
            heat = draw_gaussians(column, row, radii, channels, present, self.num_channels, grid.size)
            x, y = places[:, :, number].unbind(-1)
            values = torch.stack([x - column, y - row, numbers, torch.ones_like(x)], 1)
            drawn = put_in_cells(values, flat[..., number], grid.size)
            here = drawn[:, 3:]
            maps |= {f"{corner}_heat": heat, f"{corner}_offset": drawn[:, :2], f"{corner}_embedding": drawn[:, 2:3]}
            weights |= {
                f"{corner}_heat": focal_weights(heat) * (known * _per_cell(count, (heat == 1).sum())),
                f"{corner}_offset": here * _per_cell(count, here.sum()),
                f"{corner}_embedding": here,
            }
        return Targets(maps=maps, weights=weights, cells=flat.transpose(1, 2))

    def _places(self, batch: Batch, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Return (N, P, 2, 2) both corners' x and y in cells, (N, P) channels, and (N, P) bool, which are learned."""
        low, high, step = self._extent(grid)
        boxes, channels, present = self._objects(batch, image_size(grid))
        # plain numbers, since making a tensor of them on a GPU would wait for it
        x, y = ((boxes[..., axis::2].clamp(low[axis], high[axis]) - low[axis]) / step[axis] for axis in (0, 1))
        places = torch.stack([x, y], -1)
        return places, channels, present & (places[:, :, 1] > places[:, :, 0]).all(-1)

    def _extent(self, grid: Grid) -> tuple[list[float], list[float], list[float]]:
        """Return, in pixels of x and y, where the cells begin, where they or the image end, and how large a cell is."""
        pixels, cells, low = image_size(grid)[::-1], grid.size[::-1], list(grid.origin)
        step = [float(grid.stride)] * 2
        if self.cells == "image":
            step = [(side - 2 * lost) / count for side, lost, count in zip(pixels, low, cells, strict=True)]
        ends = (lost + count * each for lost, count, each in zip(low, cells, step, strict=True))
        return low, [min(end, side) for end, side in zip(ends, pixels, strict=True)], step

    def _objects(self, batch: Batch, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return (N, P, 4) boxes clipped to an image (height, width), (N, P) channels, and (N, P) bool: which count."""
        present = batch["valid"]
        if "boxes" not in batch:
            return torch.zeros(*present.shape, 4, device=present.device), present.long(), torch.zeros_like(present)
        if "crowd" in batch:
            present = present & ~batch["crowd"]
        boxes, has_area = clip_boxes(batch["boxes"], size)
        labels = batch["labels"]
        present = present & has_area & (labels >= 0) & (labels < self.num_classes)
        return boxes.where(present[..., None], 0.0), labels.where(present & (not self.class_agnostic), 0), present

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of objects, as `heat` and `offset`; embeddings are not divided by anything."""
        height, width = batch["images"].shape[-2:]
        count = self._objects(batch, (height, width))[2].sum().float()
        return {"heat": count, "offset": count}

    def loss(self, maps: Maps, targets: Targets, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `heat` and `offset` per object, and `pull` and `push`; of both corners together.

        Without any object the heat loss is that of the background, divided by 1, and the others are zero.
        """

        def both(part: str, loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
            names = [f"{corner}_{part}" for corner in CORNERS]
            first, second = (loss(maps[name], targets["maps"][name], targets["weights"][name]) for name in names)
            return first + second

        cells = targets["cells"]
        first, second = (
            maps[f"{corner}_embedding"].flatten(1).gather(1, cells[:, number].clamp(min=0))
            for number, corner in enumerate(CORNERS)
        )
        pull, push = pull_and_push(first, second, cells[:, 0] >= 0)
        return {
            "heat": both("heat", focal_loss) / normalisers["heat"].clamp(min=1),
            "offset": self.offset_weight * both("offset", offset_loss) / normalisers["offset"].clamp(min=1),
            "pull": self.pull_weight * pull,
            "push": self.push_weight * push,
        }

    def unflip(self, maps: Maps) -> Maps:
        """Mirror the maps of mirrored images, and call the corners what they are in the original.

        A mirrored image's top-left corners are the top-right ones of the original, so the maps come back as
        `top_right_…` and `bottom_left_…`, to be decoded beside those of the original and not averaged with them.
        Their offsets are left as they are, measured from the cell's right edge to the left.
        """
        names = MIRRORED | {mirrored: corner for corner, mirrored in MIRRORED.items()}
        unflipped = {}
        for name, values in maps.items():
            corner, part = name.rsplit("_", 1)
            unflipped[f"{names[corner]}_{part}"] = values.flip(-1)
        return unflipped

    def activate(self, maps: Maps) -> Maps:
        """Turn heat into probabilities, and all maps into float32."""
        exact = {name: values.float() for name, values in maps.items()}
        return {name: values.sigmoid() if name.endswith("_heat") else values for name, values in exact.items()}

    def decode(self, maps: Maps, grid: Grid) -> list[Prediction]:
        """Find corners, pair them, and suppress all but the best box of each object by soft-NMS, on the CPU.

        Args:
            maps: activated maps, or targets: those of `outputs`, those that `unflip` gives, or both, whose boxes are
                then suppressed together.
            grid: where the maps' cells lie.

        Returns:
            N predictions: boxes (D, 4) in network pixels, within the image, scores (D,) from the best down, and labels
            (D,). D may be 0.
        """
        low, high, step = self._extent(grid)
        limits = [(end - begin) / each for begin, end, each in zip(low, high, step, strict=True)]
        pairs = []
        for corners, mirrored in ((CORNERS, False), (tuple(MIRRORED[corner] for corner in CORNERS), True)):
            if f"{corners[0]}_heat" in maps:
                first, second = (self._find(maps, corner, mirrored) for corner in corners)
                left, right = (second, first) if mirrored else (first, second)
                pairs.append(pair_corners(left, right, self.embedding_threshold, limits, self.num_pairs, mirrored))
        cells, scores, labels = (torch.cat(values, 1).cpu() for values in zip(*pairs, strict=True))
        boxes = cells * torch.tensor(step * 2) + torch.tensor(low * 2)
        index, score = soft_nms(boxes, scores, labels, self.max_detections, self.nms_sigma, border=self.nms_border)
        return [
            Prediction(
                boxes=boxes[image, index[image, found]].numpy(),
                labels=labels[image, index[image, found]].numpy(),
                scores=score[image, found].numpy(),
            )
            for image, found in enumerate(score > 0)
        ]

    def _find(self, maps: Maps, corner: str, mirrored: bool) -> FoundCorners:
        heat, embedding, offset = (maps[f"{corner}_{part}"].detach() for part in ("heat", "embedding", "offset"))
        return find_corners(heat, embedding, offset, self.top_k, mirrored)

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Return the mean box of the most frequent class (the lowest label of equals), in network pixels.

        Args:
            samples: warped to the network's size. Crowds and boxes without an area are left out.

        Raises:
            DataError: no sample has a box.
        """
        return commonest_box(samples, self.class_agnostic)

    def metrics(self) -> list[Metric]:
        """Return new metrics.

        Raises:
            ConfigError: the task was built without `meta`, or a metric refuses its config or the data set.
        """
        if self.meta is None:
            raise ConfigError("Corners: a metric needs to know the classes; build the model with the data set's meta")
        return [METRICS.build(config, meta=self.meta) for config in self.metric_configs]


def _per_cell(objects: Tensor, cells: Tensor) -> Tensor:
    """Return the factor that makes a sum divided by the number of objects one divided by that of their cells."""
    return torch.where(objects > 0, objects / cells.clamp(min=1), 1.0)
