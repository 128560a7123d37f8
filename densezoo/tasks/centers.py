"""Objects as their centres: heat per class, the box's size, the centre's place in its cell, and the way to keypoints.

Zhou, Wang, Krähenbühl, "Objects as Points", 2019, https://arxiv.org/abs/1904.07850. Sizes and offsets are in cells, as
in the published code (https://github.com/xingyizhou/CenterNet) and its port in mmdetection
(https://github.com/open-mmlab/mmdetection). Where these two differ:

- Radius of the Gaussians: mmdetection's by default; `radius='legacy'` is the published one, of sides rounded up.
- Several objects with their centre in one cell: the last one's size and offset are learned, as in mmdetection; the cell
  counts once for each of them. The published code learns all of them there, and so does the median.
- Boxes of several views are suppressed by soft-NMS, as published; those of one view never.

Deviations from both: boxes are clipped to the image, and what has no area there is neither learned nor found; cells
that are no local maximum are never centres; losses are divided by the number of objects even where two of a class share
a cell; the flip test averages offsets, too; losses of the stages are added, not averaged. The losses of size and offset
are means over x and y, as in both.

Keypoints (section 4.2; mmdetection has none) are those of the published code, except: crowds are left out; an object
without a labelled keypoint still has its box learned; where keypoints share a cell, the mean of their offsets is
learned, and the cell counts once for each.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from densezoo.contracts import Metric
from densezoo.errors import ConfigError, near_names
from densezoo.functional.annotated import annotated
from densezoo.functional.boxes import clip_boxes, soft_nms
from densezoo.functional.center_decoding import find_centers, find_keypoints
from densezoo.functional.center_targets import box_targets, keypoint_targets
from densezoo.functional.commonest_pose import commonest_pose
from densezoo.functional.corner_losses import focal_loss
from densezoo.functional.corner_targets import RADII
from densezoo.functional.grids import image_size
from densezoo.functional.object_cells import known_images, learned_objects
from densezoo.functional.oks import sigmas_of
from densezoo.registry import METRICS, TASKS
from densezoo.tasks.finds_objects import FindsObjects
from densezoo.tasks.finds_poses import keypoints_of, labelled_inside
from densezoo.types import Batch, DatasetMeta, Grid, Maps, Prediction, Sample, Targets

logger = logging.getLogger("densezoo")


@TASKS.register()
class Centers(FindsObjects):
    """Boxes of objects from their centres, and their keypoints where `num_keypoints` is given.

    Attributes:
        default_head: type of the head where a config names none.
        outputs: `{'heat': C, 'size': 2, 'offset': 2}`; with K keypoints also `{'keypoint_offset': 2 K, 'keypoint_heat':
            K, 'keypoint_heat_offset': 2}`.
        meta_fields: as of every task; of a task without keypoints the classes alone.
    """

    default_head = "Center"
    meta_fields: tuple[str, ...] = ("classes", "keypoint_names")

    def __init__(
        self,
        num_classes: int,
        meta: DatasetMeta | None = None,
        num_keypoints: int = 0,
        class_agnostic: bool = False,
        radius: str = "corrected",
        size_weight: float = 0.1,
        offset_weight: float = 1.0,
        max_detections: int = 100,
        metrics: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Make the task.

        Args:
            num_classes: of the data set. Objects of other labels are not learned.
            meta: what the data set's annotations mean; metrics, and the flip test of keypoints, need it.
            num_keypoints: K, to learn the keypoints of all objects that have some; 0 for boxes alone.
            class_agnostic: one heat map for objects of all classes, which are then all found as label 0.
            radius: of the Gaussians: `'corrected'`, worked out for an overlap of 0.3, or `'legacy'`, for one of 0.7
                with the wrong roots of CornerNet's first release.
            size_weight: of the loss of sizes.
            offset_weight: of the losses of offsets within a cell, of centres and of keypoints.
            max_detections: objects per image.
            metrics: configs of the metrics, the first of which ranks models; None takes BoxAP, and with keypoints
                KeypointAP where sigmas are known.

        Raises:
            ConfigError: a value that cannot be, or a number that differs from the data set's.
        """
        if radius not in RADII:
            raise ConfigError(f"Centers: no radius={radius!r}; {near_names(str(radius), RADII)}")
        super().__init__(num_classes, meta, class_agnostic, metrics)
        if num_keypoints < 0 or max_detections < 1:
            raise ConfigError(
                f"Centers: num_keypoints={num_keypoints} must be at least 0, and max_detections={max_detections} at "
                "least 1"
            )
        self.check_weights(size_weight=size_weight, offset_weight=offset_weight)
        if class_agnostic and num_keypoints:
            raise ConfigError(
                f"Centers: num_keypoints={num_keypoints} belong to some classes, which class_agnostic=True does not "
                "tell apart; take one of them out"
            )
        if meta is not None and num_keypoints not in (0, meta.num_keypoints):
            raise ConfigError(
                f"Centers: num_keypoints={num_keypoints}, but the data set has {meta.num_keypoints} keypoints; set "
                f"num_keypoints={meta.num_keypoints} or choose other data"
            )
        self.num_channels = 1 if class_agnostic else num_classes
        self.outputs = {"heat": self.num_channels, "size": 2, "offset": 2}
        if num_keypoints:
            parts = {"keypoint_offset": 2 * num_keypoints, "keypoint_heat": num_keypoints, "keypoint_heat_offset": 2}
            self.outputs |= parts
        else:
            self.meta_fields = ("classes",)
        self.num_keypoints = num_keypoints
        self.scores_keypoints = num_keypoints > 0 and metrics is None
        self.radius = radius
        self.size_weight, self.offset_weight = size_weight, offset_weight
        self.max_objects, self.limited_by = max_detections, "max_detections"

    def encode(self, batch: Batch, grid: Grid) -> Targets:
        """Make targets on the device of the boxes.

        Args:
            batch: with `boxes` (N, P, 4), `labels` and `valid` (N, P), and `keypoints` (N, P, K, 3) where K is given.
                Without boxes no object is there. Crowds and boxes without an area in the image are left out, the others
                clipped to the image; those whose centre lies beyond the map are left out, and so are keypoints there.
            grid: where the maps' cells lie.

        Returns:
            See `box_targets` and `keypoint_targets`. Heat that nobody annotated weighs 0.
        """
        size = image_size(grid)
        boxes, channels, present = learned_objects(batch, size, self.num_classes, self.class_agnostic)
        targets, spots, radii = box_targets(boxes, channels, present, self.num_channels, self.radius, grid)
        targets["weights"]["heat"] *= known_images(batch)
        if self.num_keypoints:
            keypoints, labelled = self._joints(batch, present, size)
            more = keypoint_targets(keypoints[..., :2], labelled & spots.present[..., None], spots, radii, grid)
            posed = annotated(batch, "keypoints").float()[:, None, None, None]
            more["weights"]["keypoint_heat"] *= known_images(batch) * posed
            targets = Targets(maps=targets["maps"] | more["maps"], weights=targets["weights"] | more["weights"])
        return targets

    def _joints(self, batch: Batch, present: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return (N, P, K, 3) keypoints, and (N, P, K) bool: those of present objects, labelled and on the image."""
        keypoints = keypoints_of(batch, self.num_keypoints, self.name)
        return keypoints, present[..., None] & labelled_inside(keypoints, size)

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of objects for `heat`, `size` and `offset`, and of their keypoints for the others."""
        height, width = batch["images"].shape[-2:]
        present = learned_objects(batch, (height, width), self.num_classes)[2]
        count = present.sum().float()
        counts = {"heat": count, "size": count, "offset": count}
        if self.num_keypoints:
            joints = self._joints(batch, present, (height, width))[1].sum().float()
            counts |= {name: joints for name in self.outputs if name not in counts}
        return counts

    def loss(self, maps: Maps, targets: Targets, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss of every map, per object or per keypoint.

        Without any object (keypoint) the loss of heat is that of the background, divided by 1; the others are zero.
        """
        weights = {"size": self.size_weight, "offset": self.offset_weight, "keypoint_heat_offset": self.offset_weight}
        losses = {}
        for name in self.outputs:
            target, weight = targets["maps"][name], targets["weights"][name]
            if name.endswith("heat"):
                total = focal_loss(maps[name], target, weight)
            else:
                total = ((maps[name].float() - target).abs() * weight).sum() / 2  # the mean over x and y
            losses[name] = weights.get(name, 1.0) * total / normalisers[name].clamp(min=1)
        return losses

    def unflip(self, maps: Maps) -> Maps:
        """Mirror the maps of mirrored images: x in a cell becomes 1 - x, and keypoints change places.

        Exact where the image's width is a multiple of the stride and the map lies in its middle.

        Raises:
            ConfigError: the task was built without `meta`, so nobody knows which keypoints change places.
        """
        mirrored = {name: values.flip(-1) for name, values in maps.items()}
        for name, values in mirrored.items():
            if name.startswith("keypoint") and name != "keypoint_heat_offset":
                order = self.known_meta("a flip test of keypoints").flip_order
                values = values.reshape(len(values), self.num_keypoints, -1, *values.shape[-2:])[:, order].flatten(1, 2)
            if name.endswith("offset"):
                values = torch.stack([1 - values[:, 0::2], values[:, 1::2]], 2).flatten(1, 2)
            mirrored[name] = values
        return mirrored

    def activate(self, maps: Maps) -> Maps:
        """Turn heat into probabilities, and all maps into float32."""
        exact = {name: values.float() for name, values in maps.items()}
        return {name: values.sigmoid() if name.endswith("heat") else values for name, values in exact.items()}

    def decode(self, maps: Maps, grid: Grid) -> list[Prediction]:
        """Find objects; as `decode_views` of a single view.

        Args:
            maps: activated maps, or targets: those of `outputs`.
            grid: where the maps' cells lie.
        """
        return self.decode_views([(maps, grid)])

    def decode_views(self, views: Sequence[tuple[Maps, Grid]]) -> list[Prediction]:
        """Find objects at the maxima of heat, in all views of the same images.

        Objects of one view are never suppressed; those of several by soft-NMS of their boxes, on the CPU.

        Args:
            views: activated maps, or targets, and where their cells lie in the images; at least one.

        Returns:
            N predictions: boxes (D, 4) in network pixels, within the image, scores (D,) from the best down, labels (D,)
            and with K keypoints also keypoints (D, K, 3), each scored by its heat. D may be 0.
        """
        found = [self._find(maps, grid) for maps, grid in views]
        boxes, scores, labels, keypoints = (torch.cat(values, 1) for values in zip(*found, strict=True))
        if len(views) > 1:
            index, scores = soft_nms(boxes, scores, labels, self.max_objects)
        else:
            index = torch.arange(scores.shape[1]).expand_as(scores)
        predictions = []
        for image, chosen in enumerate(scores > 0):
            kept = index[image, chosen]
            prediction = Prediction(
                boxes=boxes[image, kept].numpy(),
                labels=labels[image, kept].numpy(),
                scores=scores[image, chosen].numpy(),
            )
            if self.num_keypoints:
                prediction["keypoints"] = keypoints[image, kept].numpy()
            predictions.append(prediction)
        return predictions

    def _find(self, maps: Maps, grid: Grid) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (N, M, 4) boxes, (N, M) scores, 0 for none, (N, M) labels and (N, M, K, 3) keypoints, on the CPU."""
        maps = {name: values.detach() for name, values in maps.items()}
        centers = find_centers(maps["heat"], maps["size"], maps["offset"], self.max_objects)
        boxes = centers.boxes.cpu() * grid.stride + torch.tensor(grid.origin * 2)
        boxes, has_area = clip_boxes(boxes, image_size(grid))
        score = centers.score.cpu()
        score = score.where(has_area & (score > 0), 0.0)
        keypoints = boxes.new_zeros(*score.shape, 0, 3)
        if self.num_keypoints:
            offset, heat, heat_offset = (maps[f"keypoint_{part}"] for part in ("offset", "heat", "heat_offset"))
            keypoints = find_keypoints(centers, offset, heat, heat_offset, self.max_objects).cpu()
            points = keypoints[..., :2] * grid.stride + torch.tensor(grid.origin)
            keypoints = torch.cat([points, keypoints[..., 2:]], -1)
        return boxes, score, centers.label.cpu(), keypoints

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Return the mean box of the most frequent class (the lowest label of equals), in network pixels.

        With keypoints only objects with a labelled one are looked at, and their mean pose, as they stand in their
        boxes, is put into the mean box.

        Args:
            samples: warped to the network's size. Crowds and boxes without an area are left out.

        Raises:
            DataError: no sample has such a box.
        """
        return commonest_pose(samples) if self.num_keypoints else super().constant_prediction(samples)

    def metrics(self) -> list[Metric]:
        """Return new metrics.

        Raises:
            ConfigError: the task was built without `meta`, or a metric refuses its config or the data set.
        """
        found, meta = super().metrics(), self.known_meta("a metric")
        if self.scores_keypoints and sigmas_of(meta):
            found.append(METRICS.build({"type": "KeypointAP"}, meta=meta))
        elif self.scores_keypoints:
            logger.warning(
                "no OKS AP, only box AP: no published OKS sigmas are known for these keypoints; to get it, give "
                "dict(type='KeypointAP', sigmas=[…]) with one number per keypoint in the task's metrics"
            )
        return found
