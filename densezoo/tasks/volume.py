"""Volumetric regression: the channels of one map are the slices of a volume, and every voxel is inside or outside.

"Large Pose 3D Face Reconstruction from a Single Image via Direct Volumetric CNN Regression" (Jackson, Bulat, Argyriou,
Tzimiropoulos 2017, https://arxiv.org/abs/1703.07834): the network of a pose estimator, with a sigmoid cross-entropy for
each voxel. `densezoo.functional.volumes` says where voxels lie.

Deviations: the loss is averaged over the voxels of an image, where the paper sums it; a map may be coarser than the
image, in which case its targets are the means over each cell's pixels, and the answer is interpolated; and every stage
of a network is supervised, as for all tasks.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from densezoo.contracts import Metric
from densezoo.errors import ConfigError, DataError
from densezoo.functional.annotated import annotated
from densezoo.functional.grids import bring_to_grid, bring_to_image, covered, image_size
from densezoo.functional.label_maps import IGNORE, enlarged
from densezoo.functional.volumes import cell_means, stretch_slices
from densezoo.registry import METRICS, TASKS
from densezoo.types import Array, Batch, DatasetMeta, Grid, Maps, Prediction, Sample, Targets

MAP = "slices"
LOSS = "cross_entropy"


@TASKS.register()
class Volume:
    """Which voxels of a volume that is aligned with the image are inside an object.

    Voxels beyond the map, as valid convolutions leave them, are not learned; those of cells that are only partly on the
    image count by that part.

    Attributes:
        outputs: `{'slices': D}`.
        meta_fields: of `DatasetMeta`, whose values a model learns and must find again in other data.
        learns_labelled_only: an image without a labelled pixel teaches nothing.
    """

    meta_fields: tuple[str, ...] = ("volume_slices",)
    learns_labelled_only = True

    def __init__(
        self, num_slices: int, meta: DatasetMeta | None = None, metrics: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """Make the task.

        Args:
            num_slices: D, that of the data set's volumes.
            meta: what the data set's volumes are; metrics need it.
            metrics: configs of metrics; the default is `VolumeIoU`.

        Raises:
            ConfigError: no slice, or volumes of another number of slices, or none.
        """
        if num_slices < 1:
            raise ConfigError(f"Volume: num_slices={num_slices} must be at least 1")
        if meta is not None and not meta.volume_slices:
            raise ConfigError("Volume: the data set has no volumes; choose data with volumes, such as SyntheticVolumes")
        if meta is not None and meta.volume_slices[0] != num_slices:
            raise ConfigError(
                f"Volume: num_slices={num_slices}, but the volumes of the data set have {meta.volume_slices[0]}; set "
                "num_slices to that"
            )
        self.outputs = {MAP: num_slices}
        self.meta = meta
        self.metric_configs = [dict(metric) for metric in ([{"type": "VolumeIoU"}] if metrics is None else metrics)]

    def encode(self, batch: Batch, grid: Grid) -> Targets:
        """Make targets on the device of the volumes.

        Args:
            batch: with `volume` (N, D, H, W); without it nothing is learned, nor of pixels that are 255 there.
            grid: where the map's cells lie.

        Returns:
            maps: `slices` (N, D, h, w) float32, the share of the cell's pixels that are inside. weights: `slices`
                (N, 1, h, w) float32; over the voxels of an image they sum to 1 where it has a volume, else to 0.
        """
        images = batch["images"]
        (depth,) = self.outputs.values()
        if "volume" in batch:
            known = batch["volume"][:, :1] != IGNORE
            volumes = (batch["volume"] * known).float()
        else:
            volumes = torch.zeros(len(images), depth, *images.shape[-2:], device=images.device)
            known = volumes.new_zeros(len(images), 1, *images.shape[-2:], dtype=torch.bool)
        means, reached = cell_means(volumes, grid)
        known_means, _ = cell_means(known.float(), grid)
        tiny = torch.finfo(reached.dtype).tiny
        means /= known_means.clamp(min=tiny)  # over the pixels that are known
        shares = known_means * reached
        shares /= (depth * shares.sum((1, 2, 3), keepdim=True)).clamp(min=tiny)
        return Targets(
            maps={MAP: means}, weights={MAP: shares * annotated(batch, "volume").float()[:, None, None, None]}
        )

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of images with a volume."""
        return {LOSS: annotated(batch, "volume").sum().float()}

    def loss(self, maps: Maps, targets: Targets, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the cross-entropy, averaged over the voxels of an image and over images; zero without a volume."""
        losses = F.binary_cross_entropy_with_logits(maps[MAP].float(), targets["maps"][MAP], reduction="none")
        return {LOSS: (losses * targets["weights"][MAP]).sum() / normalisers[LOSS].clamp(min=1)}

    def unflip(self, maps: Maps) -> Maps:
        """Mirror (N, D, h, w) maps back; exact where the image's width is a multiple of the stride."""
        return {MAP: maps[MAP].flip(-1)}

    def activate(self, maps: Maps) -> Maps:
        """Turn raw (N, D, h, w) maps into float32 probabilities of being inside."""
        return {MAP: maps[MAP].float().sigmoid()}

    def unscale(self, maps: Maps, scale: float) -> Maps:
        """Shrink the depth of activated maps of images that were enlarged by `scale`, as their width is.

        Slices are as many pixels thick at every scale. NaN where those of an enlarged image do not reach.
        """
        return {MAP: stretch_slices(maps[MAP], 1 / scale)}

    def decode_views(self, views: Sequence[tuple[Maps, Grid]]) -> list[Prediction]:
        """Decode the mean of the views that reach a slice, on the cells of the first; 0 where none does.

        Args:
            views: activated maps, unscaled, and where their cells lie in the images.
        """
        (maps, grid), *others = views
        values = [maps[MAP], *(bring_to_grid(other[MAP], own, grid) for other, own in others)]
        return self.decode({MAP: torch.stack(values).nanmean(0).nan_to_num(0)}, grid)

    def decode(self, maps: Maps, grid: Grid) -> list[Prediction]:
        """Interpolate the probabilities at every pixel of the image.

        They are not cut at a half yet: metrics and meshes find the surface between the voxels.

        Args:
            maps: activated `slices` (N, D, h, w), or a target.
            grid: where the map's cells lie.

        Returns:
            N predictions with `volume` (D, H, W) float16, 0 beyond the map, and no instances.
        """
        values, size = maps[MAP].float(), image_size(grid)
        found = bring_to_image(values, grid, size) * covered(grid, size, values.device)
        return [_prediction(volume) for volume in found.half().contiguous().cpu().numpy()]

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Return the mean volume: of each voxel, the share of samples that reach it where it is inside.

        Args:
            samples: warped to the network's size; of different sizes they are laid corner on corner.

        Raises:
            DataError: no sample has a volume.
        """
        (depth,) = self.outputs.values()
        total, count = np.zeros((depth, 0, 0), np.int32), np.zeros((0, 0), np.int32)
        for sample in samples:
            if "volume" in sample:
                height, width = sample["volume"].shape[1:]
                total, count = enlarged(total, height, width), enlarged(count, height, width)
                total[:, :height, :width] += sample["volume"]
                count[:height, :width] += 1
        if not count.any():
            raise DataError("the mean volume needs samples with volumes, and there is none")
        return _prediction((total / np.maximum(count, 1)).astype(np.float16))

    def metrics(self) -> list[Metric]:
        """Return new metrics.

        Raises:
            ConfigError: the task was built without `meta`, or a metric refuses its config or the data set.
        """
        if self.meta is None:
            raise ConfigError(
                "Volume: a metric needs to know how thick slices are; build the model with the data set's meta"
            )
        return [METRICS.build(config, meta=self.meta) for config in self.metric_configs]


def _prediction(volume: Array) -> Prediction:
    return Prediction(volume=volume, scores=np.zeros(0, np.float32))
