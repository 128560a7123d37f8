"""Semantic segmentation: one logit per class, brought to every pixel of the image for the loss and for the answer.

Fully convolutional networks (Long, Shelhamer, Darrell 2015, https://arxiv.org/abs/1411.4038) with the losses of
`densezoo.functional.segmentation_losses`. A network with several stages is supervised on each (deep supervision).
"""

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densezoo.contracts import Metric
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.functional import segmentation_losses as losses
from densezoo.functional.border_weights import BorderWeight
from densezoo.functional.grids import at_cells, bring_to_image, covered, highest_in_image, image_size
from densezoo.functional.label_maps import IGNORE, enlarged
from densezoo.registry import METRICS, TASKS, check_arguments
from densezoo.types import Array, Batch, DatasetMeta, Grid, Maps, Prediction, Sample, Targets

MAP = "logits"
PIXEL_LOSSES = ("cross_entropy", "focal")
IMAGE_LOSSES = ("dice", "lovasz")
LOSSES = (*PIXEL_LOSSES, *IMAGE_LOSSES)


@TASKS.register()
class Segmentation:
    """A label for every pixel.

    Cross-entropy and focal loss are sums over pixels divided by the number of labelled ones; Dice and Lovász are taken
    image by image and divided by the number of images with a labelled pixel. Pixels beyond the map, as valid
    convolutions leave them, are not learned, though they count among the labelled ones.

    Attributes:
        outputs: `{'logits': C}`.
        meta_fields: of `DatasetMeta`, whose values a model learns and must find again in other data.
        learns_labelled_only: an image without a labelled pixel teaches nothing.
    """

    meta_fields: tuple[str, ...] = ("semantic_classes",)
    learns_labelled_only = True

    def __init__(
        self,
        num_classes: int,
        meta: DatasetMeta | None = None,
        loss: str | Mapping[str, float] = "cross_entropy",
        class_weights: Sequence[float] | None = None,
        ignore_index: int = IGNORE,
        label_smoothing: float = 0.0,
        focal_gamma: float = 2.0,
        metrics: Sequence[Mapping[str, Any]] | None = None,
        border_weight: Mapping[str, float] | None = None,
    ) -> None:
        """Make the task.

        Args:
            num_classes: C; 1 for the logit of label 1 against label 0.
            meta: what the data set's labels mean; metrics need it.
            loss: `'cross_entropy'`, `'focal'`, `'dice'`, `'lovasz'`, or factors for a sum of them, such as
                `dict(cross_entropy=1, dice=0.5)`.
            class_weights: factor for the pixels of each class in cross-entropy and focal loss; two where C = 1.
            ignore_index: a label that is neither learned nor scored, besides 255. A value of the files that is no class
                is better made 255 by the data set, with `semantic_ignore` of CocoScenes.
            label_smoothing: share of the target that cross-entropy spreads over all classes.
            focal_gamma: how much focal loss lowers well-classified pixels.
            metrics: configs of the metrics, the first of which ranks models; None takes MeanIoU. One whose class says
                `reads_probabilities = True` gets those of every pixel, too.
            border_weight: `dict(w0=10, sigma=5)`: background between neighbouring objects weighs more in cross-entropy
                and focal loss, see `densezoo.functional.border_weights`. Objects are the samples' instance masks, or
                where they have none the connected areas of labels other than 0.

        Raises:
            ConfigError: a value that cannot be, or `num_classes` differs from the data set's.
        """
        factors = {loss: 1.0} if isinstance(loss, str) else dict(loss)
        for name in factors:
            if name not in LOSSES:
                raise ConfigError(f"Segmentation: no loss={name!r}; {near_names(str(name), LOSSES)}")
        if not factors or not all(0 < factor < math.inf for factor in factors.values()):
            raise ConfigError(f"Segmentation: loss={loss!r} must name losses and factors above 0")
        if not 1 <= num_classes <= IGNORE:
            raise ConfigError(f"Segmentation: num_classes={num_classes} must be 1 to {IGNORE}")
        num_labels = max(num_classes, 2)
        if class_weights is not None and (
            len(class_weights) != num_labels
            or not all(0 <= weight < math.inf for weight in class_weights)
            or not any(class_weights)
        ):
            raise ConfigError(
                f"Segmentation: class_weights must be {num_labels} numbers from 0, and not all 0, not {class_weights!r}"
            )
        if class_weights is not None and not set(factors) & set(PIXEL_LOSSES):
            raise ConfigError(f"Segmentation: class_weights belong to {' and '.join(PIXEL_LOSSES)}; take them out")
        if border_weight is not None and not set(factors) & set(PIXEL_LOSSES):
            raise ConfigError(f"Segmentation: border_weight belongs to {' and '.join(PIXEL_LOSSES)}; take it out")
        if not 0 <= label_smoothing < 1 or (label_smoothing and "cross_entropy" not in factors):
            raise ConfigError(
                f"Segmentation: label_smoothing={label_smoothing} must be from 0 to below 1, and needs cross_entropy"
            )
        if not focal_gamma >= 0:
            raise ConfigError(f"Segmentation: focal_gamma={focal_gamma} must be 0 or more")
        if not 0 <= ignore_index <= IGNORE:
            raise ConfigError(f"Segmentation: ignore_index={ignore_index} must be 0 to {IGNORE}")
        if meta is not None and not meta.semantic_classes:
            raise ConfigError(
                "Segmentation: the data set names no semantic classes; give it semantic_classes=[…] if it has semantic "
                "maps, or choose data with semantic maps"
            )
        if meta is not None and len(meta.semantic_classes) == 1:
            raise ConfigError(
                f"Segmentation: the semantic maps of the data set have one class, {meta.semantic_classes[0]!r}, which "
                "leaves nothing to tell apart; name the background, too, such as classes=['background', …] of "
                "LabelFolders or semantic_classes of CocoScenes"
            )
        if meta is not None and len(meta.semantic_classes) != num_labels:
            raise ConfigError(
                f"Segmentation: num_classes={num_classes}, but the semantic maps of the data set have "
                f"{len(meta.semantic_classes)} classes {list(meta.semantic_classes)}; set num_classes to their number "
                "(1 will do for two)"
            )
        self.outputs = {MAP: num_classes}
        self.num_classes = num_classes
        self.num_labels = num_labels
        self.meta = meta
        self.factors = {name: float(factor) for name, factor in factors.items()}
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.border_weight: BorderWeight | None = None
        if border_weight is not None:
            check_arguments(BorderWeight, border_weight, {}, "Segmentation: border_weight")
            self.border_weight = BorderWeight(**border_weight)
        given = [{"type": "MeanIoU"}] if metrics is None else metrics
        self.metric_configs = [dict(metric) for metric in given]

    def encode(self, batch: Batch, grid: Grid) -> Targets:
        """Make targets on the device of the labels.

        Args:
            batch: with `semantic` (N, H, W); without it nothing is labelled.
            grid: where the map's cells lie.

        Returns:
            maps: `logits` (N, L, h, w) uint8, 1 for the label of the pixel at the cell's centre; L is C, or 2 where C
                is 1. weights: `logits` (N, 1, h, w) float32, 0 where that pixel has no label. semantic: (N, H, W) int64
                labels of the image's pixels, 255 also beyond the map. grid: as it came. With `border_weight`:
                pixel_weights (N, H, W).
        """
        labels = self._labels(batch)
        cells = at_cells(labels, grid)[:, None]
        known = cells != IGNORE
        one_hot = torch.zeros(len(cells), self.num_labels, *grid.size, dtype=torch.uint8, device=cells.device)
        one_hot.scatter_(1, cells.where(known, 0), known.to(torch.uint8))
        reached = covered(grid, (labels.shape[-2], labels.shape[-1]), labels.device)
        targets = Targets(
            maps={MAP: one_hot},
            weights={MAP: known.float()},
            semantic=labels.where(reached, IGNORE),
            grid=grid,
        )
        if self.border_weight is not None:
            targets["pixel_weights"] = self.border_weight.of_batch(batch, labels)
        return targets

    def _labels(self, batch: Batch) -> Tensor:
        """Return (N, H, W) int64 labels, 255 where none is or where it is to be ignored."""
        if "semantic" not in batch:
            images = batch["images"]
            return torch.full((len(images), *images.shape[-2:]), IGNORE, device=images.device)
        labels = batch["semantic"].long()
        return labels if self.ignore_index == IGNORE else labels.where(labels != self.ignore_index, IGNORE)

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return loss name to the number of labelled pixels, or of images with one."""
        known = self._labels(batch) != IGNORE
        return {
            name: (known if name in PIXEL_LOSSES else known.flatten(1).any(1)).sum().float() for name in self.factors
        }

    def loss(self, maps: Maps, targets: Targets, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return loss name to that loss times its factor; zero where nothing is labelled."""
        labels, pixel_weights = targets["semantic"], targets.get("pixel_weights")
        # class after class in memory, as a softmax is fastest
        values = maps[MAP].float().contiguous()
        logits = bring_to_image(values, targets["grid"], (labels.shape[-2], labels.shape[-1]))
        totals = {}
        for name, factor in self.factors.items():
            if name == "cross_entropy":
                total = losses.cross_entropy(logits, labels, self.class_weights, self.label_smoothing, pixel_weights)
            elif name == "focal":
                total = losses.focal(logits, labels, self.class_weights, self.focal_gamma, pixel_weights)
            else:
                total = losses.dice(logits, labels) if name == "dice" else losses.lovasz(logits, labels)
            totals[name] = factor * total / normalisers[name].clamp(min=1)
        return totals

    def unflip(self, maps: Maps) -> Maps:
        """Mirror (N, C, h, w) maps back.

        Exact where the image's width is a multiple of the stride and the map, as that of valid convolutions, lies in
        its middle.
        """
        return {MAP: maps[MAP].flip(-1)}

    def activate(self, maps: Maps) -> Maps:
        """Turn raw (N, C, h, w) maps into float32 probabilities (N, L, h, w) of every label: two where C = 1."""
        return {MAP: losses.at_least_two(maps[MAP].float()).softmax(1)}

    def decode(self, maps: Maps, grid: Grid) -> list[Prediction]:
        """Find the most likely label of every pixel of the image.

        Logarithms of probabilities are interpolated, which gives the same labels, and probabilities, as to interpolate
        the logits (where none is more than 87 below the highest, the least that float32 tells apart).

        Args:
            maps: activated `logits` (N, L, h, w), or a target.
            grid: where the map's cells lie.

        Returns:
            N predictions with `semantic` (H, W) uint8, 255 beyond the map, the `label_maps` it comes from (for other
            pixels than the network's: `functional.answered_labels`), and no instances. Where a metric of the task reads
            them, with `probabilities` (L, H, W) float32: the softmax of what `semantic` is the argmax of, and 0 beyond
            the map.
        """
        values = maps[MAP].float()
        size = image_size(grid)
        logs = values.clamp(min=torch.finfo(values.dtype).tiny).log()
        reached = covered(grid, size, values.device)
        found = highest_in_image(logs, grid, size).to(torch.uint8).where(reached, IGNORE)
        predictions = [_prediction(semantic) for semantic in found.cpu().numpy()]
        for prediction, each in zip(predictions, logs, strict=True):
            prediction["label_maps"] = each.detach().clone(), grid
        if self._reads_probabilities:
            probabilities = bring_to_image(logs, grid, size).softmax(1) * reached
            for prediction, each in zip(predictions, probabilities.cpu().numpy(), strict=True):
                prediction["probabilities"] = each
        return predictions

    @cached_property
    def _reads_probabilities(self) -> bool:
        """Whether a metric asks for them, by an attribute of that name."""
        # a metric that is not registered here is no matter until something is scored
        chosen = {str(config.get("type")).removeprefix("densezoo.") for config in self.metric_configs}
        return any(getattr(METRICS.get(name), "reads_probabilities", False) for name in chosen & set(METRICS.names()))

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Return the most frequent label of each pixel; where no sample labels a pixel, the most frequent of all.

        Args:
            samples: warped to the network's size; of different sizes they are laid corner on corner.

        Raises:
            DataError: no sample has a labelled pixel.
        """
        counts = np.zeros((self.num_labels, 0, 0), np.int32)
        for sample in samples:
            if "semantic" in sample:
                labels = sample["semantic"]
                counts = enlarged(counts, *labels.shape)
                rows, columns = np.nonzero((labels != self.ignore_index) & (labels < self.num_labels))
                counts[labels[rows, columns], rows, columns] += 1
        if not counts.any():
            raise DataError("the most frequent label needs samples with semantic maps, and there is none")
        overall = counts.sum((1, 2)).argmax()
        return _prediction(np.where(counts.any(0), counts.argmax(0), overall).astype(np.uint8))

    def metrics(self) -> list[Metric]:
        """Return new metrics.

        Raises:
            ConfigError: the task was built without `meta`, or a metric refuses its config or the data set.
        """
        if self.meta is None:
            raise ConfigError(
                "Segmentation: a metric needs to know the classes; build the model with the data set's meta"
            )
        built = []
        for config in self.metric_configs:
            takes = "ignore_index" in inspect.signature(METRICS.get(config.get("type", ""))).parameters
            own = {"ignore_index": self.ignore_index} if takes else {}
            built.append(METRICS.build(own | config, meta=self.meta))
        return built


def _prediction(semantic: Array) -> Prediction:
    return Prediction(semantic=semantic, scores=np.zeros(0, np.float32))
