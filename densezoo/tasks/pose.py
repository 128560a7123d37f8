"""Human pose of one person per image, as one heatmap per keypoint.

Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, https://arxiv.org/abs/1603.06937.
Deviation: Gaussians are not cut off (the original draws 7×7 cells, beyond which they are below 0.012).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densezoo.errors import ConfigError, DataError, near_names
from densezoo.functional import heatmaps, losses
from densezoo.functional.annotated import annotated
from densezoo.registry import TASKS
from densezoo.tasks.finds_poses import FindsPoses, labelled_inside
from densezoo.types import Batch, DatasetMeta, Grid, Maps, Prediction, Sample, Targets

MAP = "heatmap"
TARGETS = ("quantised", "unbiased")
JOINTS = ("zero_target", "mask", "visible_only")
LOSSES = ("mse", "cross_entropy")
REFINEMENTS = ("none", "quarter", "dark")


@TASKS.register()
class Pose(FindsPoses):
    """Keypoints of one person from heatmaps.

    Which joints the loss sees (`joints`):

    - `'zero_target'`: all joints of a valid person; those that are unlabelled or outside the image have an all-zero
      target, as in the paper.
    - `'mask'`: joints that are labelled, hidden ones too, and inside the image.
    - `'visible_only'`: joints that are labelled visible and inside the image; hidden ones are not learned at all.

    Attributes:
        outputs: `{'heatmap': K}`.
        meta_fields: of `DatasetMeta`, whose values a model learns and must find again in other data.
    """

    meta_fields: tuple[str, ...] = ("keypoint_names",)

    def __init__(
        self,
        num_keypoints: int,
        meta: DatasetMeta | None = None,
        target: str = "quantised",
        sigma: float = 1.0,
        joints: str = "mask",
        loss: str = "mse",
        foreground: float = 0.0,
        refine: str = "quarter",
        dark_blur: float = 0.0,
        flip_shift: int = 0,
        metrics: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Make the task.

        Args:
            num_keypoints: K.
            meta: what the data set's keypoints mean; flip test and metrics need it.
            target: `'quantised'` centres the Gaussian on the joint's cell, where it is exactly 1; `'unbiased'` on the
                joint itself.
            sigma: standard deviation of the Gaussian, in cells.
            joints: which joints the loss sees; see the class.
            loss: `'mse'`, or `'cross_entropy'` between the softmax over the cells and the Gaussian.
            foreground: extra weight of the Gaussian's cells in `'mse'`; see `losses.squared_error`.
            refine: how decoding improves on the highest cell: `'none'`, `'quarter'` of a cell towards the higher
                neighbour, or `'dark'` (Taylor expansion).
            dark_blur: smoothing before `'dark'`, in cells; 0 for none.
            flip_shift: cells by which maps of mirrored images move to the right after they are mirrored back. 0 is
                exact for this project's coordinates; mmpose and HRNet use 1 with theirs.
            metrics: configs of the metrics, the first of which ranks models; None takes OKS AP where sigmas are known,
                and PCK, of the torso where the joints have one and else of the box.

        Raises:
            ConfigError: a value that does not exist, or `num_keypoints` differs from the data set's.
        """
        for name, value, known in (
            ("target", target, TARGETS),
            ("joints", joints, JOINTS),
            ("loss", loss, LOSSES),
            ("refine", refine, REFINEMENTS),
        ):
            if value not in known:
                raise ConfigError(f"Pose: no {name}={value!r}; {near_names(str(value), known)}")
        if num_keypoints < 1:
            raise ConfigError(f"Pose: num_keypoints={num_keypoints} must be at least 1")
        if not 0 < sigma < math.inf:
            raise ConfigError(f"Pose: sigma={sigma} must be above 0, and finite")
        for name, number in (("foreground", foreground), ("dark_blur", dark_blur), ("flip_shift", flip_shift)):
            if not 0 <= number < math.inf:
                raise ConfigError(f"Pose: {name}={number} must be 0 or more, and finite")
        if dark_blur and refine != "dark":
            raise ConfigError(f"Pose: dark_blur={dark_blur} belongs to refine='dark'; take it out")
        if loss == "cross_entropy" and joints == "zero_target":
            raise ConfigError("Pose: loss='cross_entropy' has no zero target; use joints='mask' or 'visible_only'")
        if loss == "cross_entropy" and foreground:
            raise ConfigError(f"Pose: foreground={foreground} belongs to loss='mse'; take it out")
        super().__init__(num_keypoints, meta, metrics)
        self.outputs = {MAP: num_keypoints}
        self.target = target
        self.sigma = sigma
        self.joints = joints
        self.loss_name = loss
        self.foreground = foreground
        self.refine = refine
        self.dark_blur = dark_blur
        self.flip_shift = flip_shift

    def encode(self, batch: Batch, grid: Grid) -> Targets:
        """Make heatmaps on the device of the keypoints.

        Args:
            batch: with `keypoints` (N, P, K, 3) and `valid` (N, P); P is 1, or 0 for empty annotations. With more
                persons, a map holds the highest of their Gaussians. Crowds count as absent.
            grid: where the map's cells lie.

        Returns:
            maps: `heatmap` (N, K, h, w) float32. weights: `heatmap` (N, K, 1, 1) float32, 0 or 1. A joint outside
                of the map is treated as one outside of the image.
        """
        keypoints = self._keypoints(batch)
        labelled, supervised = self._joint_masks(batch)
        # plain numbers, since making a tensor of them on a GPU would wait for it
        x, y = ((keypoints[..., axis] - grid.origin[axis]) / grid.stride for axis in (0, 1))
        cells = torch.stack([x, y], -1)
        # a network without padding has maps that end before the image does
        height, width = grid.size
        labelled = labelled & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        supervised = supervised if self.joints == "zero_target" else supervised & labelled
        gaussians = heatmaps.gaussian_maps(
            cells, labelled & supervised, grid.size, self.sigma, quantised=self.target == "quantised"
        )
        if gaussians.shape[1] == 0:
            maps = gaussians.new_zeros(gaussians.shape[:1] + gaussians.shape[2:])
        else:
            maps = gaussians[:, 0] if gaussians.shape[1] == 1 else gaussians.amax(1)
        weight = supervised.any(1).float()[..., None, None]
        return Targets(maps={MAP: maps}, weights={MAP: weight})

    def _joint_masks(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (N, P, K) bools: joints that are labelled inside the image, and joints that the loss sees."""
        keypoints = self._keypoints(batch)
        valid = (batch["valid"] & annotated(batch, "keypoints")[:, None])[..., None]
        if "crowd" in batch:
            valid = valid & ~batch["crowd"][..., None]
        labelled = labelled_inside(keypoints, batch["images"].shape[-2:]) & valid
        if self.joints == "zero_target":
            return labelled, valid.expand_as(labelled)
        if self.joints == "visible_only":
            return labelled, labelled & (keypoints[..., 2] > 1)
        return labelled, labelled

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of joints that the loss sees, as `heatmap`.

        Joints on the image but beyond its map, as valid convolutions leave them, count too.
        """
        return {MAP: self._joint_masks(batch)[1].any(1).sum().float()}

    def loss(self, maps: Maps, targets: Targets, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss per joint that is seen, as `heatmap`; zero where none is."""
        target, weight = targets["maps"][MAP], targets["weights"][MAP]
        if self.loss_name == "mse":
            total = losses.squared_error(maps[MAP], target, weight, self.foreground)
        else:
            total = losses.spatial_cross_entropy(maps[MAP], target, weight)
        return {MAP: total / normalisers[MAP].clamp(min=1)}

    def unflip(self, maps: Maps) -> Maps:
        """Bring (N, K, h, w) maps of mirrored images back: mirror, swap left and right, shift by `flip_shift`.

        Exact where cells lie alike in both images, which `DenseModel.predict` sees to.

        Raises:
            ConfigError: the task was built without `meta`, so nobody knows which joints change places.
        """
        mirrored = maps[MAP].flip(-1)[:, self._known_meta("a flip test").flip_order]
        if self.flip_shift:
            mirrored = torch.cat([mirrored[..., : self.flip_shift], mirrored[..., : -self.flip_shift]], -1)
        return {MAP: mirrored}

    def activate(self, maps: Maps) -> Maps:
        """Turn raw (N, K, h, w) maps into float32 ones whose ideal peak is 1, as that of the targets is."""
        raw = maps[MAP].float()
        if self.loss_name == "mse":
            return {MAP: raw}
        # a Gaussian of peak 1 sums to about 2π sigma² cells, which is what its distribution was divided by
        ideal_peak = 1 / max(2 * torch.pi * self.sigma**2, 1.0)
        return {MAP: raw.flatten(-2).softmax(-1).reshape(raw.shape) / ideal_peak}

    def decode(self, maps: Maps, grid: Grid) -> list[Prediction]:
        """Find the highest cell of every map and refine it.

        Args:
            maps: activated `heatmap` (N, K, h, w), or a target.
            grid: where the map's cells lie.

        Returns:
            N predictions with one person: keypoints (1, K, 3) in network pixels, each scored by its peak (about 1 for
            a certain one), and their mean as the person's score.
        """
        values = maps[MAP].float()
        column, row, value = heatmaps.find_peaks(values)
        cells = torch.stack([column, row], -1) + 0.5
        if self.refine == "quarter":
            cells = cells + heatmaps.refine_quarter(values, column, row)
        elif self.refine == "dark":
            cells = cells + heatmaps.refine_taylor(values, column, row, self.dark_blur)
        if self.loss_name == "cross_entropy":
            value = value.clamp(max=1)  # a network may be surer than its target, of one cell
        x, y = (cells[..., axis] * grid.stride + grid.origin[axis] for axis in (0, 1))
        keypoints = torch.stack([x, y, value], -1).detach().cpu().numpy()
        return [Prediction(keypoints=person[None], scores=person[None, :, 2].mean(-1)) for person in keypoints]

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Return the mean pose, in network pixels: of every joint, over the samples that label it.

        Args:
            samples: warped to the network's size. A joint that nobody labels takes the mean of the others.

        Raises:
            DataError: no sample has a labelled joint.
        """
        total, count = np.zeros((self.num_keypoints, 2)), np.zeros((self.num_keypoints, 1))
        for sample in samples:
            if "keypoints" not in sample:
                continue
            labelled = sample["keypoints"][..., 2:] > 0
            total += (sample["keypoints"][..., :2] * labelled).sum(0)
            count += labelled.sum(0)
        if not count.any():
            raise DataError("the mean pose needs samples with labelled keypoints, and there is none")
        mean = np.where(count > 0, total / np.maximum(count, 1), total.sum(0) / count.sum())
        keypoints = np.concatenate([mean, np.ones((self.num_keypoints, 1))], 1).astype(np.float32)
        return Prediction(keypoints=keypoints[None], scores=np.ones(1, np.float32))
