"""Where the parts meet: encoder, neck, one head per stage and task, and the tasks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densezoo.contracts import DecodesViews, Encoder, Head, Neck, NeedsWholeImages, Task, UnscalesMaps
from densezoo.errors import ConfigError, DivergedError
from densezoo.functional.grids import average_views
from densezoo.layers.resize import resize_by
from densezoo.models.loss_weights import LossWeights
from densezoo.models.model import Model
from densezoo.models.tiles import lay_windows, look_through_windows, stitch
from densezoo.tasks.finds_objects import FindsObjects
from densezoo.types import ONE_VIEW, Batch, Grid, InferenceViews, Maps, Outputs, Prediction, Pyramid, Targets


class DenseModel(Model):
    """A network and what its maps mean. `losses` and `predict` are all that the engine calls.

    Weights are held channels-last and images are brought to it, since every convolution is faster so.

    Attributes:
        encoder: image to pyramid.
        neck: pyramid to one pyramid per stage; None where heads read the encoder.
        heads: per stage, task name to head.
        tasks: task name to task.
        num_stages: of the neck, or 1.
    """

    tasks: dict[str, Task]

    def __init__(
        self,
        encoder: Encoder,
        neck: Neck | None = None,
        heads: Sequence[Mapping[str, Head]] = (),
        tasks: Mapping[str, Task] | None = None,
        feedback: Sequence[tuple[str, str]] = (),
        loss_weights: LossWeights | None = None,
    ) -> None:
        """Join the parts.

        Args:
            encoder: its `mean` and `std` normalise uint8 images.
            neck: None lets heads read the encoder's pyramid, as a single stage.
            heads: one mapping from task name to head per stage; empty without tasks.
            tasks: what the maps mean.
            feedback: (task name, map name) of the maps that the neck gets back between stages.
            loss_weights: how the losses of the tasks are added; None for their sum.
        """
        super().__init__(encoder, neck)
        self.heads = nn.ModuleList(nn.ModuleDict(cast(Mapping[str, nn.Module], stage)) for stage in heads)
        self.tasks = dict(tasks or {})
        self.feedback = list(feedback)
        self.loss_weights = loss_weights
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, stages: str = "all") -> dict[str, Outputs]:
        """Run the network.

        Args:
            images: (N, C, H, W) uint8 in 0–255, normalised here, or float, taken as normalised already.
            stages: `'all'`, or `'last'`, which leaves out heads that nobody reads.

        Returns:
            Task name to maps per stage; a single stage with `'last'`.

        Raises:
            ValueError: another word for `stages`.
        """
        if stages not in ("all", "last"):
            raise ValueError(f"stages must be 'all' or 'last', not {stages!r}")
        return self._run(images, list(self.tasks), stages == "last")[1]

    def forward_features(self, images: Tensor) -> list[Pyramid]:
        """Run encoder and neck; gives one pyramid per stage. Heads run only where the neck gets their maps back."""
        return self._run(images, [], last_only=True)[0]

    def _run(self, images: Tensor, tasks: list[str], last_only: bool) -> tuple[list[Pyramid], dict[str, Outputs]]:
        """Return the pyramid of every stage, and the maps of `tasks` on every stage or on the last one only."""
        outputs: dict[str, Outputs] = {task: [] for task in tasks}
        pyramids: list[Pyramid] = []
        fed_back = {task for task, _ in self.feedback}
        x = self.encoder(self._normalise(images))
        if self.neck is not None:
            x = self.neck.begin(x)
        for index in range(self.num_stages):
            pyramid, finest = (x, x[0]) if self.neck is None else self.neck.stage(index, x)
            pyramids.append(pyramid)
            is_last = index + 1 == self.num_stages
            read = set(tasks) if is_last or not last_only else set()
            needed = read if is_last else read | fed_back
            maps = {task: self._read(index, task, pyramid) for task in self.tasks if task in needed}
            for task in tasks:
                if task in read:
                    outputs[task].append(maps[task])
            if self.neck is not None and not is_last:
                x = self.neck.merge(index, x, finest, [maps[task][name] for task, name in self.feedback])
        return pyramids, outputs

    def _read(self, stage: int, task: str, pyramid: Pyramid) -> Maps:
        seen = pyramid if self.loss_weights is None else self.loss_weights.watch(task, pyramid)
        return self._head(stage, task)(seen)

    def _head(self, stage: int, task: str) -> Head:
        return cast(Head, cast(nn.ModuleDict, self.heads[stage])[task])

    def grid(self, stage: int, task: str, maps: Maps, images: Tensor) -> Grid:
        """Say where the cells of a head's maps lie in the images that they were made of."""
        height, width = next(iter(maps.values())).shape[-2:]
        head = self._head(stage, task)
        return Grid(
            stride=head.stride,
            size=(height, width),
            origin=(head.origin, head.origin),
            image_size=(images.shape[-2], images.shape[-1]),
        )

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return what each loss sum is divided by, `'task/loss'` to a 0-d float tensor.

        Sum them over processes and accumulated batches, and give the sums to `losses`.
        """
        found = {
            f"{name}/{key}": value
            for name, task in self.tasks.items()
            for key, value in task.normalisers(batch).items()
        }
        return found if self.loss_weights is None else found | self.loss_weights.normalisers(batch)

    def losses(self, batch: Batch, normalisers: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return `'task/loss'` to a 0-d float32 loss, summed over stages; the training loss is the sum of them all.

        They are weighted, and what learned weights add is among them as `'loss_weights/task'`.

        Args:
            batch: on the device of the model.
            normalisers: what `normalisers` gave, summed over all that makes one step; None takes this batch alone.

        Raises:
            ConfigError: the model has no tasks.
        """
        self._check_tasks()
        shared = self.normalisers(batch) if normalisers is None else normalisers
        totals: dict[str, Tensor] = {}
        for name, stages in self(batch["images"]).items():
            task = self.tasks[name]
            own = {key.removeprefix(f"{name}/"): value for key, value in shared.items() if key.startswith(f"{name}/")}
            targets: dict[Grid, Targets] = {}
            for stage, maps in enumerate(stages):
                grid = self.grid(stage, name, maps, batch["images"])
                with torch.autocast(batch["images"].device.type, enabled=False):
                    if grid not in targets:
                        targets[grid] = task.encode(batch, grid)
                    stage_losses = task.loss(maps, targets[grid], own)
                for key, value in stage_losses.items():
                    label = f"{name}/{key}"
                    totals[label] = totals[label] + value if label in totals else value
        return totals if self.loss_weights is None else self.loss_weights(totals, batch, shared)

    @torch.no_grad()
    def predict(self, batch: Batch, views: InferenceViews = ONE_VIEW) -> dict[str, list[Prediction]]:
        """Return task name to N predictions of the last stage, in network pixels.

        Set the model to `eval` first; this does not change it.

        Args:
            batch: `images` is all that is read.
            views: how often to look. Maps of mirrored images are averaged with those of the image, where both have
                them. Tasks that find boxes suppress those of all scales and windows together; for others the maps of
                windows are put together, and those of all scales averaged, on the cells of the scale nearest 1.

        Raises:
            ConfigError: the model has no tasks, a task cannot mirror its maps, or windows do not suit network or task.
            DivergedError: its maps hold numbers that are not finite.
        """
        return self.decode(self.look(batch, views))

    @torch.no_grad()
    def look(self, batch: Batch, views: InferenceViews = ONE_VIEW) -> dict[str, list[tuple[Maps, Grid]]]:
        """Return task name to activated maps of the last stage and where they lie, for each scale; see `predict`.

        The scale nearest 1 comes first. A task that finds boxes has maps for each window of each scale. Those of
        mirrored images are averaged with those of the image, or stand beside them under other names.
        """
        self._check_tasks()
        images = self._normalise(batch["images"])
        ordered = sorted(views.scales, key=lambda scale: abs(math.log(scale)))
        found = [self._at_scale(images, scale, views) for scale in ordered]
        return {name: [pair for of_scale in found for pair in of_scale[name]] for name in self.tasks}

    def decode(self, views: Mapping[str, Sequence[tuple[Maps, Grid]]]) -> dict[str, list[Prediction]]:
        """Return task name to N predictions from what `look` gave."""
        predictions = {}
        for name, own in views.items():
            task = self.tasks[name]
            with torch.autocast(self.pixel_scale.device.type, enabled=False):
                if isinstance(task, DecodesViews):
                    predictions[name] = task.decode_views(own)
                else:
                    predictions[name] = task.decode(*average_views(own))
        return predictions

    def _at_scale(self, images: Tensor, scale: float, views: InferenceViews) -> dict[str, list[tuple[Maps, Grid]]]:
        """Return task name to the activated maps of normalised images at one scale, and where they lie unscaled."""
        scaled = resize_by(images, scale)
        size = (images.shape[-2], images.shape[-1])
        if views.window is None:
            found = {name: [pair] for name, pair in self._look_once(scaled, views.flip).items()}
        else:
            found = self._through_windows(scaled, views.window, views)
        if scale == 1:
            return found
        return {
            name: [(_unscale_maps(self.tasks[name], maps, scale), _unscale(grid, scale, size)) for maps, grid in own]
            for name, own in found.items()
        }

    def _through_windows(
        self, images: Tensor, window: tuple[int, int], views: InferenceViews
    ) -> dict[str, list[tuple[Maps, Grid]]]:
        """Return task name to the activated maps of normalised images: of each window where boxes are found."""
        for name, task in self.tasks.items():
            if isinstance(task, NeedsWholeImages):
                raise ConfigError(f"task {name!r} needs whole images; take engine.window out of the config")
        encoder, heads = self.encoder, cast(nn.ModuleDict, self.heads[-1]).values()
        coarsest = (encoder.strides[-1], encoder.origins[-1]) if self.neck is None else self.neck.coarsest
        lost = max(cast(Head, head).origin for head in heads)
        tiling = lay_windows((images.shape[-2], images.shape[-1]), window, views.overlap, coarsest, lost)
        found = look_through_windows(images, tiling, partial(self._look_once, flip=views.flip))
        return {
            # boxes that two windows see are suppressed
            name: pairs if isinstance(self.tasks[name], FindsObjects) else [stitch(pairs)]
            for name, pairs in found.items()
        }

    def _look_once(self, images: Tensor, flip: bool) -> dict[str, tuple[Maps, Grid]]:
        """Return task name to the activated maps of normalised images, and where they lie."""
        outputs = self(images, "last")
        mirrored = self(self._mirror(images), "last") if flip else None
        found = {}
        for name, task in self.tasks.items():
            grid = self.grid(self.num_stages - 1, name, outputs[name][0], images)
            if not all(values.isfinite().all() for values in outputs[name][0].values()):
                raise DivergedError(f"task {name!r} has maps with numbers that are not finite; its training diverged")
            if mirrored is not None and any(grid.origin) and not _is_symmetric(grid, images):
                raise ConfigError(
                    f"the maps of task {name!r} do not lie in the middle of images {images.shape[-1]} pixels wide, as "
                    "those of convolutions without padding may not, so mirrored ones do not fit; look through windows "
                    "(engine.window), which are of one size, or take flip_test=False"
                )
            with torch.autocast(images.device.type, enabled=False):
                maps = task.activate(outputs[name][0])
                if mirrored is not None:
                    unflipped = task.unflip(mirrored[name][0])
                    inside = {key: values[..., : grid.size[1]] for key, values in unflipped.items()}
                    other = task.activate(inside)
                    shared = {key: (maps[key] + other[key]) / 2 for key in maps.keys() & other.keys()}
                    maps = {**maps, **other, **shared}  # what only one view has is decoded beside the other
            found[name] = (maps, grid)
        return found

    def _mirror(self, images: Tensor) -> Tensor:
        """Mirror normalised images so that the cells of all maps lie as in the original.

        Where maps reach beyond the right edge, the image is padded with the mean to their end, which the mirrored maps
        then have at their beginning; cells beyond those of the original are to be cut off once they are mirrored back.
        """
        heads = [self._head(self.num_stages - 1, task) for task in self.tasks]
        missing = 0 if any(head.origin for head in heads) else -images.shape[-1] % math.lcm(*(h.stride for h in heads))
        return F.pad(images, (0, missing)).flip(-1)

    def _check_tasks(self) -> None:
        if not self.tasks:
            raise ConfigError("this model was built without tasks; give tasks=dict(...) to train it or to predict")


def _unscale_maps(task: Task, maps: Maps, scale: float) -> Maps:
    return task.unscale(maps, scale) if isinstance(task, UnscalesMaps) else maps


def _unscale(grid: Grid, scale: float, size: tuple[int, int]) -> Grid:
    """Return where the cells of a scaled image lie in the image (height, width)."""
    origin = (grid.origin[0] / scale, grid.origin[1] / scale)
    return replace(grid, stride=grid.stride / scale, origin=origin, image_size=size)


def _is_symmetric(grid: Grid, images: Tensor) -> bool:
    """Whether a grid leaves the same margin at the left and right of the images."""
    return 2 * grid.origin[0] + grid.size[1] * grid.stride == images.shape[-1]
