"""Poses of many people at once: heatmaps of all joints, and a tag at every joint that says whose it is.

Newell, Huang, Deng, "Associative Embedding: End-to-End Learning for Joint Detection and Grouping", NIPS 2017,
https://arxiv.org/abs/1611.05424, as its published code has it (https://github.com/princeton-vl/pose-ae-train): one tag
for each joint, learned on every stage like the heat; losses of tags that are means over an image's people (pairs of
people) and then over images, with 0.001 of the weight of the mean squared error of heat and half of that for the push;
grouping in order from the head outwards; see `functional.tag_grouping`. The flip test averages heat, while tags of both
views stand side by side, as two numbers; several scales share their heat, and tags are those of the scale nearest 1.

Deviations from it: where people are annotated that have no labelled joint, heat is not learned either, as in mmpose,
and not only in crowds; there the labelled joints of others still count, by their Gaussian, which the code leaves out;
crowds without a mask are left out by their box; the cells of several scales are those of the scale nearest 1 and not
of the largest; the quarter cell is of `functional.heatmaps`. Losses of the stages are added, not averaged. The loss
`'focal'` is not the paper's: it is that of CornerNet and of Objects as Points, which learns heat in far fewer steps,
since an empty map is no small loss.

Two people with a joint in one cell share its tag, so nothing can tell them apart by it, and of their joints one is
found. Tags of different windows over an image mean nothing to each other, so windows are refused.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densezoo.errors import ConfigError, near_names
from densezoo.functional import heatmaps, losses
from densezoo.functional.annotated import annotated
from densezoo.functional.commonest_pose import commonest_pose
from densezoo.functional.corner_losses import focal_loss, focal_weights
from densezoo.functional.corner_targets import put_in_cells
from densezoo.functional.embedding_losses import gaussian, pull_and_push
from densezoo.functional.grids import average_views
from densezoo.functional.object_cells import cells_on, last_in_cells, locate
from densezoo.functional.tag_grouping import find_people, joint_order
from densezoo.registry import TASKS
from densezoo.tasks.finds_poses import FindsPoses, labelled_inside
from densezoo.types import Batch, DatasetMeta, Grid, Maps, Prediction, Sample, Targets

HEAT, TAGS, MIRRORED_TAGS = "heatmaps", "tags", "mirrored_tags"
TARGETS = ("quantised", "unbiased")
LOSSES = ("squared_error", "focal")
PRIOR = math.log(0.1 / 0.9)  # added to the heat of the focal loss: a new network's is near 0.1 and not near a half
REFINEMENTS = {"quarter": heatmaps.refine_quarter, "dark": heatmaps.refine_taylor}
PUSH = 0.5  # of the weight of the pull, as in the published code


@TASKS.register()
class AssociativeEmbedding(FindsPoses):
    """Keypoints of everybody in a whole image, without boxes.

    Attributes:
        outputs: `{'heatmaps': K, 'tags': K}`.
        meta_fields: of `DatasetMeta`, whose values a model learns and must find again in other data.
        max_objects: most people per image.
        limited_by: name of the option that says so.
        needs_whole_images: tags of two windows cannot be compared.
    """

    meta_fields: tuple[str, ...] = ("classes", "keypoint_names")
    needs_whole_images = True

    def __init__(
        self,
        num_keypoints: int,
        meta: DatasetMeta | None = None,
        person: str = "person",
        target: str = "quantised",
        loss: str = "squared_error",
        sigma: float = 2.0,
        foreground: float = 0.0,
        tag_weight: float = 1e-3,
        refine: str = "quarter",
        joint_threshold: float = 0.1,
        tag_threshold: float = 1.0,
        max_people: int = 30,
        metrics: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Make the task.

        Args:
            num_keypoints: K.
            meta: what the data set's annotations mean; flip test and metrics need it, and the order of grouping is that
                of its names.
            person: the class that has the keypoints, where the data set has several.
            target: `'quantised'` centres the Gaussian on the joint's cell, `'unbiased'` on the joint itself.
            loss: on heat: `'squared_error'` per map, as in the paper, or `'focal'` per joint, which needs the quantised
                target (see `corner_losses.focal_loss`); heat is then a probability.
            sigma: standard deviation of the Gaussians, in cells.
            foreground: extra weight of the Gaussians' cells in the squared error; see `losses.squared_error`.
            tag_weight: of the loss of tags.
            refine: how decoding improves on the highest cell: `'quarter'` of a cell towards the higher neighbour, or
                `'dark'` (Taylor expansion).
            joint_threshold: heat that begins a person or adds a joint to one.
            tag_threshold: a joint whose tag is not nearer to a person's begins another person.
            max_people: most people per image, and candidates for each joint.
            metrics: configs of the metrics, the first of which ranks models; None takes OKS AP where sigmas are known,
                and PCK, of the torso where the joints have one and else of the box.

        Raises:
            ConfigError: a value that does not exist or cannot be, or one that differs from the data set's.
        """
        for name, value, known in (
            ("target", target, TARGETS),
            ("loss", loss, LOSSES),
            ("refine", refine, REFINEMENTS),
        ):
            if value not in known:
                raise ConfigError(f"AssociativeEmbedding: no {name}={value!r}; {near_names(str(value), known)}")
        for name, number in (("num_keypoints", num_keypoints), ("max_people", max_people)):
            if number < 1:
                raise ConfigError(f"AssociativeEmbedding: {name}={number} must be at least 1")
        for name, size in (("sigma", sigma), ("tag_threshold", tag_threshold)):
            if not 0 < size < math.inf:
                raise ConfigError(f"AssociativeEmbedding: {name}={size} must be above 0, and finite")
        if not 0 <= joint_threshold < 1:
            raise ConfigError(f"AssociativeEmbedding: joint_threshold={joint_threshold} must be from 0 to below 1")
        for name, weight in (("foreground", foreground), ("tag_weight", tag_weight)):
            if not 0 <= weight < math.inf:
                raise ConfigError(f"AssociativeEmbedding: {name}={weight} must be at least 0")
        if loss == "focal" and (target != "quantised" or foreground):
            raise ConfigError("AssociativeEmbedding: loss='focal' needs target='quantised', and has no foreground")
        super().__init__(num_keypoints, meta, metrics)
        self.outputs = {HEAT: num_keypoints, TAGS: num_keypoints}
        self.label = _label_of(person, meta)
        self.order = list(range(num_keypoints)) if meta is None else joint_order(meta.keypoint_names)
        self.target = target
        self.focal = loss == "focal"
        self.sigma = sigma
        self.foreground = foreground
        self.tag_weight = tag_weight
        self.refine = refine
        self.joint_threshold = joint_threshold
        self.tag_threshold = tag_threshold
        self.max_objects, self.limited_by = max_people, "max_people"

    def encode(self, batch: Batch, grid: Grid) -> Targets:
        """Make targets on the device of the keypoints.

        Args:
            batch: with `keypoints` (N, P, K, 3) and `valid` (N, P), and for what is left out `labels`, `crowd`, `boxes`
                and `masks`. Joints that are unlabelled, or outside the image or the map, have no Gaussian.
            grid: where the maps' cells lie.

        Returns:
            maps: `heatmaps` (N, K, h, w), the highest Gaussian of all people; `tags` (N, K, h, w), at a joint's cell
                the number of its person from 1 (of several, the last), 0 elsewhere. weights: `heatmaps` (N, K, h, w), 1
                but on crowds and people without a labelled joint, where a cell counts as much as its Gaussian, and
                0 in images that are not annotated; `tags` (N, K, h, w), 1 at joints. cells: (N, K, P), of the joints.
        """
        people, learned = self._people(batch)
        spots = locate(self._keypoints(batch)[..., :2], learned, grid)
        centres = 0.5 if self.target == "quantised" else spots.offset
        points = torch.stack([spots.column, spots.row], -1) + centres
        heat = heatmaps.draw_points(points, spots.present, grid.size, self.sigma)
        left_out = cells_on(batch, people & ~learned.any(2), grid)[:, None]
        known = annotated(batch, "keypoints").float()[:, None, None, None]
        cells = spots.cell.transpose(1, 2)
        numbers = torch.arange(1, cells.shape[2] + 1, device=cells.device).float().expand(cells.shape)
        values = torch.stack([numbers, torch.ones_like(numbers)], 2).flatten(0, 1)
        drawn = put_in_cells(values, last_in_cells(cells.flatten(0, 1)), grid.size)
        tags, here = drawn.reshape(*heat.shape[:2], 2, *grid.size).unbind(2)
        return Targets(
            maps={HEAT: heat, TAGS: tags},
            weights={HEAT: heat.where(left_out, 1.0) * known, TAGS: here},
            cells=cells,
        )

    def _people(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (N, P) bool: everybody, crowds too; and (N, P, K) bool: the joints that are learned."""
        people = batch["valid"] & annotated(batch, "keypoints")[:, None]
        if "labels" in batch:
            # the data set of an instance without a label has people only
            people = people & ((batch["labels"] == self.label) | (batch["labels"] < 0))
        single = people & ~batch["crowd"] if "crowd" in batch else people
        return people, single[..., None] & labelled_inside(self._keypoints(batch), batch["images"].shape[-2:])

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of annotated images, with or without anybody, and for `heatmaps` that of maps or joints."""
        images = annotated(batch, "keypoints").sum().float()
        heat = self._people(batch)[1].sum().float() if self.focal else images * self.num_keypoints
        return {HEAT: heat, "pull": images, "push": images}

    def loss(self, maps: Maps, targets: Targets, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss of `heatmaps` per map or joint, and `pull` and `push` of tags per image."""
        target, weight = targets["maps"][HEAT], targets["weights"][HEAT]
        if self.focal:
            heat = focal_loss(maps[HEAT].float() + PRIOR, target, weight * focal_weights(target))
        else:
            heat = losses.squared_error(maps[HEAT], target, weight, self.foreground)
        cells = targets["cells"]
        tags = maps[TAGS].flatten(2).gather(2, cells.clamp(min=0)).transpose(1, 2)
        pull, push = pull_and_push(tags, (cells >= 0).transpose(1, 2), gaussian)
        totals = {HEAT: heat, "pull": self.tag_weight * pull, "push": self.tag_weight * PUSH * push}
        return {name: total / normalisers[name].clamp(min=1) for name, total in totals.items()}

    def unflip(self, maps: Maps) -> Maps:
        """Mirror the maps of mirrored images, and let left and right change places.

        Tags come back as `mirrored_tags`: they are other numbers than those of the original, to be decoded beside them.

        Raises:
            ConfigError: the task was built without `meta`, so nobody knows which joints change places.
        """
        order = self._known_meta("a flip test").flip_order
        names = {HEAT: HEAT, TAGS: MIRRORED_TAGS, MIRRORED_TAGS: TAGS}
        return {names[name]: values.flip(-1)[:, order] for name, values in maps.items()}

    def activate(self, maps: Maps) -> Maps:
        """Turn all maps into float32, and heat into what it is learned as."""
        floats = {name: values.float() for name, values in maps.items()}
        return {**floats, HEAT: (floats[HEAT] + PRIOR).sigmoid()} if self.focal else floats

    def decode(self, maps: Maps, grid: Grid) -> list[Prediction]:
        """Find everybody in one view.

        Args:
            maps: activated maps, or targets: `heatmaps` with `tags`, `mirrored_tags` or both, (N, K, h, w).
            grid: where the maps' cells lie.

        Returns:
            N predictions: keypoints (D, K, 3) in network pixels, each scored by its heat, which is at most 1; scores
            (D,), their means, from the best down; boxes (D, 4), the extent of the joints; labels (D,). Everybody has
            all joints: where none was found, that is the place with the person's tag that has the most heat, which the
            person's score does not count. D may be 0.
        """
        heat = maps[HEAT].detach()
        tags = torch.stack([maps[name].detach() for name in (TAGS, MIRRORED_TAGS) if name in maps])
        refine = REFINEMENTS[self.refine]
        found = find_people(heat, tags, self.order, self.max_objects, self.joint_threshold, self.tag_threshold, refine)
        predictions = []
        for keypoints, scores in found:
            keypoints[..., :2] = keypoints[..., :2] * grid.stride + grid.origin
            boxes = np.concatenate([keypoints[..., :2].min(1), keypoints[..., :2].max(1)], 1)
            labels = np.full(len(scores), self.label, np.int64)
            predictions.append(Prediction(keypoints=keypoints, scores=scores, boxes=boxes, labels=labels))
        return predictions

    def decode_views(self, views: Sequence[tuple[Maps, Grid]]) -> list[Prediction]:
        """Find everybody in several views of the same images: the mean of their heat, and the tags of the first.

        Args:
            views: maps as in `decode`, and where their cells lie in the unscaled image; one or more.
        """
        heat, grid = average_views([({HEAT: maps[HEAT]}, grid) for maps, grid in views])
        return self.decode(views[0][0] | heat, grid)

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Return one person, in network pixels: the mean pose, as people stand in their boxes, in the mean box.

        Args:
            samples: warped to the network's size. Crowds and people without a labelled joint are left out.

        Raises:
            DataError: no sample has a box with a labelled joint.
        """
        return commonest_pose(samples)


def _label_of(person: str, meta: DatasetMeta | None) -> int:
    """Return the label of the people; that of the only class, whatever its name.

    Raises:
        ConfigError: there are several classes, and none has this name.
    """
    classes = () if meta is None else meta.classes
    if len(classes) > 1 and person not in classes:
        raise ConfigError(f"AssociativeEmbedding: no class person={person!r}; {near_names(person, classes)}")
    return classes.index(person) if person in classes else 0
