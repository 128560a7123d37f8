"""Objects as pairs of corners: heat per class, an embedding that says which corners belong together, and offsets.

Law and Deng, "CornerNet: Detecting Objects as Paired Keypoints", ECCV 2018, https://arxiv.org/abs/1808.01244. Where the
published code and its port in mmdetection differ, `rules` says which is followed; see `functional.corner_rules`.
Losses are sums over both corners, of which the port takes half for heat and offset.

Deviations from both: crowds, which the published code takes for objects, are left out; boxes are clipped to the image
before they are paired and suppressed, which the port does at 0 alone and the published code between the two; cells that
are no local maximum are never corners, and boxes without an area no boxes. Deviations from the published code: losses
of the stages are added, as in the port, and not averaged, which Adam does not notice; boxes whose score falls below
0.001 are dropped, as in the port, where its soft-NMS leaves copies of others in their place; boxes of several scales
are suppressed together and not averaged. The losses of embeddings are sums over images, as in both, so their weight
grows with the batch: the 0.1 of the paper goes with the five images of one of its GPUs. Where objects share a corner's
cell, heat and offset are divided by the cells of the batch at hand, as in both; split into several batches it is then
weighed a little differently.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from densezoo.errors import ConfigError, near_names
from densezoo.functional.boxes import soft_nms
from densezoo.functional.corner_losses import focal_loss, focal_weights, offset_loss
from densezoo.functional.corner_rules import RULES
from densezoo.functional.corner_targets import RADII, draw_gaussians, gaussian_radius, put_in_cells, take_from_cells
from densezoo.functional.embedding_losses import hinge, pull_and_push
from densezoo.functional.grids import image_size
from densezoo.functional.grouping import Corners as FoundCorners
from densezoo.functional.grouping import find_corners, pair_corners
from densezoo.functional.object_cells import known_images, last_in_cells, learned_objects
from densezoo.registry import TASKS
from densezoo.tasks.finds_objects import FindsObjects
from densezoo.types import Batch, DatasetMeta, Grid, Maps, Prediction, Targets

CORNERS = ("top_left", "bottom_right")
MIRRORED = {"top_left": "top_right", "bottom_right": "bottom_left"}
"""Corner to what it is in the image that a mirrored one came from."""
CELLS = ("stride", "image")


@TASKS.register()
class Corners(FindsObjects):
    """Boxes of objects from their top-left and bottom-right corners.

    Attributes:
        default_head: type of the head where a config names none.
        outputs: `{'top_left_heat': C, 'top_left_embedding': 1, 'top_left_offset': 2}`, and the same of `bottom_right`.
    """

    default_head = "Corner"

    def __init__(
        self,
        num_classes: int,
        meta: DatasetMeta | None = None,
        class_agnostic: bool = False,
        rules: str = "mmdet",
        radius: str = "corrected",
        cells: str = "stride",
        pull_weight: float = 0.1,
        push_weight: float = 0.1,
        offset_weight: float = 1.0,
        top_k: int = 100,
        embedding_threshold: float = 0.5,
        num_pairs: int = 1000,
        nms_sigma: float = 0.5,
        max_detections: int = 100,
        metrics: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Make the task.

        Args:
            num_classes: of the data set. Objects of other labels are not learned.
            meta: what the data set's labels mean; metrics need it.
            class_agnostic: one heat map for objects of all classes, which are then all found as label 0.
            rules: which implementation is followed where they differ, `'mmdet'` or `'published'`; see
                `functional.corner_rules`.
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
            max_detections: boxes per image.
            metrics: configs of the metrics, the first of which ranks models; None takes BoxAP.

        Raises:
            ConfigError: a value that cannot be, or `num_classes` differs from the data set's.
        """
        for name, value, known in (("rules", rules, RULES), ("radius", radius, RADII), ("cells", cells, CELLS)):
            if value not in known:
                raise ConfigError(f"Corners: no {name}={value!r}; {near_names(str(value), known)}")
        super().__init__(num_classes, meta, class_agnostic, metrics)
        limits = {"top_k": top_k, "num_pairs": num_pairs, "max_detections": max_detections}
        for name, number in limits.items():
            if number < 1:
                raise ConfigError(f"Corners: {name}={number} must be at least 1")
        if not nms_sigma > 0 or not embedding_threshold >= 0:
            raise ConfigError(
                f"Corners: nms_sigma={nms_sigma} must be above 0, and embedding_threshold={embedding_threshold} at "
                "least 0"
            )
        self.check_weights(pull_weight=pull_weight, push_weight=push_weight, offset_weight=offset_weight)
        self.num_channels = 1 if class_agnostic else num_classes
        parts = {"heat": self.num_channels, "embedding": 1, "offset": 2}
        self.outputs = {f"{corner}_{part}": channels for corner in CORNERS for part, channels in parts.items()}
        self.rules = RULES[rules]
        self.radius = radius
        self.cells = cells
        self.pull_weight, self.push_weight, self.offset_weight = pull_weight, push_weight, offset_weight
        self.top_k = top_k
        self.embedding_threshold = embedding_threshold
        self.num_pairs = num_pairs
        self.nms_sigma = nms_sigma
        self.max_detections = max_detections
        self.max_objects = min(limits.values())
        self.limited_by = " and ".join(name for name, number in limits.items() if number == self.max_objects)

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
                offsets: (N, 2, 2, P), x and y of both corners in their cells.
        """
        places, channels, present = self._places(batch, grid)
        height, width = grid.size
        columns, rows = (places[..., axis].long().clamp(max=side - 1) for axis, side in ((0, width), (1, height)))
        sides = (places[:, :, 1] - places[:, :, 0]).ceil()
        radii = gaussian_radius(sides[..., 1], sides[..., 0], self.radius)
        numbers = torch.arange(1, present.shape[1] + 1, device=places.device).expand_as(present)
        flat = (rows * width + columns).where(present[..., None], -1)
        count = present.sum().float()
        known = known_images(batch)
        offsets = (places - torch.stack([columns, rows], -1)).where(present[..., None, None], 0.0)
        maps: Maps = {}
        weights: Maps = {}
        for number, corner in enumerate(CORNERS):
            column, row = columns[..., number], rows[..., number]
            heat = draw_gaussians(column, row, radii, channels, present, self.num_channels, grid.size)
            x, y = offsets[:, :, number].unbind(-1)
            values = torch.stack([x, y, numbers, torch.ones_like(x)], 1)
            drawn = put_in_cells(values, last_in_cells(flat[..., number]), grid.size)
            here = drawn[:, 3:]
            maps |= {f"{corner}_heat": heat, f"{corner}_offset": drawn[:, :2], f"{corner}_embedding": drawn[:, 2:3]}
            weights |= {
                f"{corner}_heat": focal_weights(heat) * (known * _per_cell(count, (heat == 1).sum())),
                f"{corner}_offset": here * _per_cell(count, here.sum()),
                f"{corner}_embedding": here,
            }
        return Targets(maps=maps, weights=weights, cells=flat.transpose(1, 2), offsets=offsets.permute(0, 2, 3, 1))

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
        if self.cells == "image" and not grid.window:  # those of a window lie by their stride
            step = [(side - 2 * lost) / count for side, lost, count in zip(pixels, low, cells, strict=True)]
        ends = (lost + count * each for lost, count, each in zip(low, cells, step, strict=True))
        return low, [min(end, side) for end, side in zip(ends, pixels, strict=True)], step

    def _objects(self, batch: Batch, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return (N, P, 4) boxes clipped to an image (height, width), (N, P) channels, and (N, P) bool: which count."""
        height, width = (side - self.rules.edge for side in size)
        return learned_objects(batch, (height, width), self.num_classes, self.class_agnostic)

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of objects, as `heat` and `offset`; embeddings are not divided by anything."""
        height, width = batch["images"].shape[-2:]
        count = self._objects(batch, (height, width))[2].sum().float()
        return {"heat": count, "offset": count}

    def loss(self, maps: Maps, targets: Targets, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `heat` and `offset` per object, and `pull` and `push`; of both corners together.

        Without any object the heat loss is that of the background, divided by 1, and the others are zero.
        """
        cells, slack = targets["cells"], self.rules.slack
        present = cells[:, 0] >= 0
        heat = offset = torch.zeros((), device=cells.device)
        embeddings: list[Tensor] = []
        for number, corner in enumerate(CORNERS):
            name = f"{corner}_heat"
            wanted, weight = targets["maps"][name], targets["weights"][name]
            heat = heat + focal_loss(maps[name], wanted, weight, self.rules.logit_limit)
            name = f"{corner}_offset"
            if self.rules.each_object:
                found = take_from_cells(maps[name], cells[:, number])
                offset = offset + offset_loss(found, targets["offsets"][:, number], present[:, None])
            else:
                offset = offset + offset_loss(maps[name], targets["maps"][name], targets["weights"][name])
            embeddings.append(take_from_cells(maps[f"{corner}_embedding"], cells[:, number])[:, 0])
        points = torch.stack(embeddings, -1)
        pull, push = pull_and_push(points, present[..., None].expand_as(points), hinge, slack)
        return {
            "heat": heat / normalisers["heat"].clamp(min=1),
            "offset": self.offset_weight * offset / (normalisers["offset"] + slack).clamp(min=slack or 1.0),
            "pull": self.pull_weight * len(CORNERS) * pull,  # their sum, not their mean
            "push": self.push_weight * push,
        }

    def unflip(self, maps: Maps) -> Maps:
        """Mirror the maps of mirrored images, and call the corners what they are in the original.

        A mirrored image's top-left corners are the top-right ones of the original, so the maps come back as
        `top_right_…` and `bottom_left_…`, to be decoded beside those of the original and not averaged with them.
        Their offsets are left as they are, measured from the cell's right edge to the left. By their stride, cells
        have to lie alike in both images, which `DenseModel.predict` sees to.
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
        """Find the boxes of one view; see `decode_views`.

        Args:
            maps: activated maps, or targets: those of `outputs`, those that `unflip` gives, or both, whose boxes are
                then suppressed together.
            grid: where the maps' cells lie.
        """
        return self.decode_views([(maps, grid)])

    def decode_views(self, views: Sequence[tuple[Maps, Grid]]) -> list[Prediction]:
        """Find corners, pair those of a view, and suppress all but the best box of each object by soft-NMS, on the CPU.

        Args:
            views: of the same images, one or more: maps as in `decode`, and where their cells lie in the unscaled
                image. Boxes of all views are suppressed together.

        Returns:
            N predictions: boxes (D, 4) in network pixels, within the image, scores (D,) from the best down, and labels
            (D,). D may be 0.
        """
        candidates = [each for maps, grid in views for each in self._candidates(maps, grid)]
        boxes, scores, labels = (torch.cat(values, 1) for values in zip(*candidates, strict=True))
        index, score = soft_nms(boxes, scores, labels, self.max_detections, self.nms_sigma, border=self.rules.border)
        return [
            Prediction(
                boxes=boxes[image, index[image, found]].numpy(),
                labels=labels[image, index[image, found]].numpy(),
                scores=score[image, found].numpy(),
            )
            for image, found in enumerate(score > 0)
        ]

    def _candidates(self, maps: Maps, grid: Grid) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
        """Give boxes (N, M, 4) in network pixels, scores and labels (N, M) of a view and of its mirrored maps."""
        low, high, step = self._extent(grid)
        limits = [(end - begin) / each for begin, end, each in zip(low, high, step, strict=True)]
        beyond = grid.size[1] * (grid.stride / step[0] - 1)  # by the stride, cells may end behind the image
        for corners, mirrored in ((CORNERS, False), (tuple(MIRRORED[corner] for corner in CORNERS), True)):
            if f"{corners[0]}_heat" in maps:
                first, second = (self._find(maps, corner, mirrored) for corner in corners)
                if mirrored:
                    first, second = (replace(found, x=found.x + beyond) for found in (second, first))
                found = pair_corners(first, second, self.embedding_threshold, limits, self.num_pairs, mirrored)
                cells, scores, labels = (values.cpu() for values in found)
                yield cells * torch.tensor(step * 2) + torch.tensor(low * 2), scores, labels

    def _find(self, maps: Maps, corner: str, mirrored: bool) -> FoundCorners:
        heat, embedding, offset = (maps[f"{corner}_{part}"].detach() for part in ("heat", "embedding", "offset"))
        return find_corners(heat, embedding, offset, self.top_k, mirrored)


def _per_cell(objects: Tensor, cells: Tensor) -> Tensor:
    """Return the factor that makes a sum divided by the number of objects one divided by that of their cells."""
    return torch.where(objects > 0, objects / cells.clamp(min=1), 1.0)
