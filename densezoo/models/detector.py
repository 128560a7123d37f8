"""torchvision's detectors on an encoder and a neck, as models that train and are tested like every other.

FCOS (Tian et al. 2019, https://arxiv.org/abs/1904.01355), RetinaNet (Lin et al. 2017, https://arxiv.org/abs/1708.02002)
and Faster R-CNN (Ren et al. 2015, https://arxiv.org/abs/1506.01497). Heads, targets, losses and decoding are
torchvision's, with its own departures from the papers. Ours from torchvision:

- Images come at the size that the network sees and are not resized again. Where their sides do not divide by the
  coarsest stride they are padded with the mean colour, at the right and at the bottom.
- Labels count from 0 in all three; torchvision's Faster R-CNN keeps 0 for the background.
- Under autocast the last layer of every head, the losses and the decoding stay float32: a bfloat16 logit has 8 bits,
  and so would an anchor's place in the image have.
- The mode (`train`, `eval`) does not choose between losses and answers.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN
from torchvision.ops import batched_nms

from densezoo.contracts import Encoder, Neck
from densezoo.errors import ConfigError, near_names
from densezoo.functional.annotated import annotated
from densezoo.functional.boxes import clip_boxes
from densezoo.functional.object_cells import learned_objects
from densezoo.layers.resize import resize_by
from densezoo.models.detector_levels import Projections, freeze_unread, level_arguments, levels_of
from densezoo.models.detector_parts import DETECTORS, Padding, Reader, check_options, keep_exact
from densezoo.models.model import Model
from densezoo.tasks.boxes import Boxes
from densezoo.types import ONE_VIEW, Batch, InferenceViews, Prediction, Pyramid

FOUND = ("boxes", "scores", "labels")


class Detector(Model):
    """Encoder, neck and one of torchvision's detectors. What the last stage's maps do not depend on is frozen.

    Attributes:
        levels: indices of the levels that are read, into what the neck (or without one the encoder) gives.
        strides: image pixels per cell of those levels.
        projections: brings those levels to one width.
        detector: torchvision's, without layers of a backbone.
        task_name: the key of its only task.
        task: names the classes.
    """

    def __init__(
        self,
        encoder: Encoder,
        neck: Neck | None,
        task_name: str,
        task: Boxes,
        kind: str,
        levels: Sequence[int] | None = None,
        channels: int | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Join the parts.

        Args:
            encoder: its `mean` and `std` normalise uint8 images.
            neck: of any number of stages, the last of which is read; None lets the detector read the encoder.
            task_name: key of answers, and the beginning of the losses' names.
            task: names the classes.
            kind: `'FCOS'`, `'RetinaNet'` or `'FasterRCNN'`.
            levels: indices of the levels to read, ascending; None for all.
            channels: width that levels of another are brought to by 1×1 convolutions; None is their own where they have
                one, else 256. FCOS needs a multiple of 32.
            arguments: numbers of torchvision's constructor, by its names, such as `nms_thresh`.

        Raises:
            ConfigError: an unknown detector or argument, or levels that the detector cannot work with.
        """
        super().__init__(encoder, neck)
        if kind not in DETECTORS:
            raise ConfigError(f"no detector is called {kind!r}; {near_names(str(kind), DETECTORS)}")
        options = check_options(kind, arguments or {})
        if channels is not None and channels < 1:
            raise ConfigError(f"detector {kind!r}: channels={channels} must be at least 1")
        widths, strides = levels_of(encoder, neck)
        self.levels = list(range(len(strides))) if levels is None else list(levels)
        if not self.levels or self.levels != sorted(set(self.levels) & set(range(len(strides)))):
            raise ConfigError(
                f"detector {kind!r}: levels={levels} must be ascending, out of the {len(strides)} levels that are there"
            )
        self.strides = [strides[level] for level in self.levels]
        self.task_name, self.task = task_name, task
        self.tasks = {task_name: task}
        self.projections = Projections([widths[level] for level in self.levels], channels)
        freeze_unread(self, self.read_levels, len(encoder.mean), self.strides[-1])
        width = self.projections.channels
        made = DETECTORS[kind]
        self._background = int(issubclass(made, FasterRCNN))
        self.detector: Any = made(
            Reader(width, self.read_levels),
            task.num_classes + self._background,
            **options,
            **level_arguments(self.strides, width, made),
        )
        self.detector.transform = Padding(self.strides[-1])
        task.max_objects = self._rules().detections_per_img
        task.limited_by = f"{'box_' if self._background else ''}detections_per_img"
        keep_exact(self.detector)
        self.to(memory_format=torch.channels_last)

    def forward_features(self, images: Tensor) -> list[Pyramid]:
        """Map (N, C, H, W) images, uint8 or normalised, to one pyramid per stage: all that neck or encoder gives."""
        x = self.encoder(self._normalise(images))
        if self.neck is None:
            return [x]
        x = self.neck.begin(x)
        pyramids = []
        for index in range(self.num_stages):
            pyramid, finest = self.neck.stage(index, x)
            pyramids.append(pyramid)
            if index + 1 < self.num_stages:
                x = self.neck.merge(index, x, finest)
        return pyramids

    def read_levels(self, images: Tensor) -> dict[str, Tensor]:
        """Map (N, C, H, W) images to {'0': (N, C', h, w) of the finest level that is read, '1': …} of the last stage.

        Float32 under autocast too, since torchvision gives anchors the type of the maps.
        """
        pyramid = self.forward_features(images)[-1]
        maps: dict[str, Tensor] = self.projections([pyramid[level] for level in self.levels])
        return {name: level.to(self.pixel_scale.dtype) for name, level in maps.items()}

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detect in (N, C, H, W) images, uint8 or normalised.

        Returns:
            Per image, the best first: `boxes` (D, 4) xyxy in its pixels, `scores` (D,), `labels` (D,) from 0.
        """
        self.detector.eval()
        found: list[dict[str, Tensor]] = self._ask(self._normalise(images))
        return [{**one, "labels": one["labels"] - self._background} for one in found]

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of images whose boxes are annotated, as `'task/images'`; see `losses`."""
        return {f"{self.task_name}/images": annotated(batch, "boxes").sum().float()}

    def losses(self, batch: Batch, normalisers: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return `'task/loss'` to a 0-d float32 loss, by torchvision's names (`classification`, `bbox_regression`, …).

        torchvision divides by the positives that it draws from this batch in this process, not by those of the whole
        step. A step's loss is the mean of its batches and processes, each with the weight of its images.

        Args:
            batch: on the device of the model. Crowds, padding, labels of no class and boxes without an area in the
                image are left out, the others are clipped to the image. Images without annotated boxes weigh nothing.
            normalisers: what `normalisers` gave, summed over all that makes one step; None takes this batch alone.
        """
        name, own = f"{self.task_name}/images", self.normalisers(batch)
        weight = own[name] / (own if normalisers is None else normalisers)[name].clamp(min=1)
        self.detector.train()  # what torchvision goes by; no layer of its heads does
        images, targets = self._normalise(batch["images"]), self._targets(batch)
        if "annotated" in batch:  # torchvision would take the others for background
            rows = annotated(batch, "boxes").nonzero()[:, 0].tolist() or [0]
            images, targets = images[rows], [targets[row] for row in rows]
        losses: dict[str, Tensor] = self._ask(images, targets)
        return {
            f"{self.task_name}/{name.removeprefix('loss_')}": loss.float() * weight for name, loss in losses.items()
        }

    def _ask(self, *given: Any) -> Any:
        """Call torchvision's detector.

        Raises:
            ConfigError: a normalisation has one number only to normalise.
        """
        try:
            return self.detector(*given)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                f"an image of {given[0].shape[-1]}×{given[0].shape[-2]} pixels is a single cell on the coarsest level, "
                f"which FCOS cannot normalise at channels={self.projections.channels}; give it channels=64, larger "
                "images, or levels= without the coarsest"
            ) from error

    def _targets(self, batch: Batch) -> list[dict[str, Tensor]]:
        """Return `boxes` (P, 4) and `labels` (P,) of every image, as torchvision has them."""
        height, width = batch["images"].shape[-2:]
        boxes, labels, present = learned_objects(batch, (height, width), self.task.num_classes)
        rows = zip(boxes, labels + self._background, present, strict=True)
        return [{"boxes": own[chosen], "labels": label[chosen]} for own, label, chosen in rows]

    @torch.no_grad()
    def predict(self, batch: Batch, views: InferenceViews = ONE_VIEW) -> dict[str, list[Prediction]]:
        """Return the task's name to N predictions, in network pixels: boxes, scores from the best down, labels from 0.

        Set the model to `eval` first; this does not change the mode of encoder and neck.

        Args:
            batch: `images` is all that is read.
            views: how often to look. What is found in mirrored images is mirrored back. Of the boxes of all views that
                overlap by more than the detector's own threshold for the same class, the best scoring one stays, as it
                is; nothing is averaged. The detector's number per image stays the most.

        Raises:
            ConfigError: windows are asked for.
        """
        if views.window is not None:
            raise ConfigError("torchvision's detectors look at whole images; leave engine.window out, or --window")
        images = self._normalise(batch["images"])
        looks = []
        for scale in views.scales:
            scaled = resize_by(images, scale)
            looks.append([_bring_back(found, scale) for found in self(scaled)])
            if views.flip:
                looks.append([_bring_back(found, scale, scaled.shape[-1]) for found in self(scaled.flip(-1))])
        height, width = images.shape[-2:]
        for one in itertools.chain(*looks):  # sides are rounded when an image is scaled
            one["boxes"] = clip_boxes(one["boxes"], (height, width))[0]
        found = looks[0] if len(looks) == 1 else [self._join(of_image) for of_image in zip(*looks, strict=True)]
        return {self.task_name: [_to_prediction(one) for one in found]}

    def _rules(self) -> Any:
        """Return the module of the detector that suppresses boxes."""
        return getattr(self.detector, "roi_heads", self.detector)

    def _join(self, views: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Suppress the detections of several views of an image together."""
        rules = self._rules()
        all_found = {name: torch.cat([view[name] for view in views]) for name in FOUND}
        kept = batched_nms(all_found["boxes"], all_found["scores"], all_found["labels"], rules.nms_thresh)
        return {name: values[kept[: rules.detections_per_img]] for name, values in all_found.items()}


def _bring_back(found: Mapping[str, Tensor], scale: float, mirrored: int | None = None) -> dict[str, Tensor]:
    """Bring detections in a scaled image, mirrored within its width where that is given, back to the image."""
    boxes = found["boxes"]
    if mirrored is not None:
        left, top, right, bottom = boxes.unbind(-1)
        boxes = torch.stack([mirrored - right, top, mirrored - left, bottom], -1)
    return {**found, "boxes": boxes / scale}


def _to_prediction(found: Mapping[str, Tensor]) -> Prediction:
    boxes, scores, labels = (found[name].cpu().numpy() for name in FOUND)
    return Prediction(boxes=boxes.astype("float32"), scores=scores.astype("float32"), labels=labels)
