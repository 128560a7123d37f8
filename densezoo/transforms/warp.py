"""One warp: crop, scale, rotation, shift, flip, half body and resize as one affine per sample.

The affine is composed first and applied once, to the image, keypoints, boxes, masks and the semantic map together, so
that nothing is resampled twice and annotations cannot drift from pixels. Random ranges follow stacked hourglass
(https://arxiv.org/abs/1603.06937: rotation of ±30°, scale of 0.75 to 1.25) or, with `distribution='normal'`, its
published code, which draws other numbers than the paper says. A scene is letterboxed by the same code: its frame is
the image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from densezoo.errors import ConfigError
from densezoo.functional.affine import (
    box_areas,
    clip_boxes,
    compose,
    enlarge_box,
    fit_frame,
    invert,
    keeps_axes,
    transform_boxes,
)
from densezoo.functional.label_maps import IGNORE, warp_labels
from densezoo.transforms.checks import check_number
from densezoo.transforms.half_body import UPPER_PREFERENCE, half_body_frame, split_body
from densezoo.transforms.resample import move_keypoints, warp_image, warp_masks
from densezoo.types import Array, Sample

IMAGENET_MEAN = (124, 116, 104)  # normalises to nearly 0, which is what convolutions pad with


@dataclass(frozen=True)
class View:
    """What the random numbers of one sample say. The defaults are the view of evaluation.

    Attributes:
        scale: factor on the content's size.
        rotation: degrees, clockwise on the screen.
        flip: mirror.
        shift: (x, y) in fractions of the view.
        half_body: look at one half of the body if the person qualifies.
        prefer_upper: the upper half where both qualify.
    """

    scale: float = 1.0
    rotation: float = 0.0
    flip: bool = False
    shift: tuple[float, float] = (0.0, 0.0)
    half_body: bool = False
    prefer_upper: bool = True


class Warp:
    """Fits the frame of a sample into a view of fixed size, with random changes in training.

    Fields of the sample afterwards:
        image: (H, W, 3); `border` where the view leaves the image.
        keypoints: moved, exchanged left and right in a mirrored view; visibility 0 where they leave the view.
        boxes: moved, the upright extent of the rotated corners, clipped to the view. In a rotated view the box of an
            instance with a mask is the tight extent of its mask instead, as the corners' extent is up to twice as
            large as the object.
        masks, semantic: nearest pixel; outside the image 0 and 255.
        to_original: from the view to the file.
        flipped: whether the view is mirrored.
    In a sample of a whole image (`whole_image`) instances whose box has left the view are dropped from every array. A
    top-down sample keeps its only instance, also where its frame happens to be the whole image, so that arrays of a
    batch stay aligned with its people.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        flip_order: Sequence[int] = (),
        keypoint_names: Sequence[str] = (),
        padding: float = 1.25,
        scale: Sequence[float] | None = None,
        rotation: float = 0.0,
        flip: float = 0.0,
        half_body: float = 0.0,
        shift: float = 0.0,
        rotation_probability: float = 1.0,
        distribution: str = "uniform",
        border: Sequence[int] = IMAGENET_MEAN,
    ) -> None:
        """Check and keep the ranges.

        Args:
            size: (height, width) of the view in pixels, or one number for both.
            flip_order: K indices: keypoint k of the mirrored view is keypoint `flip_order[k]`.
            keypoint_names: K names; only `half_body` reads them.
            padding: the frame's sides are multiplied by it before it is fitted; 1 for a letterbox.
            scale: (low, high) factors on the person's size in the view: above 1 the person is larger. None for none.
                The paper's "scale" is that of the crop, its inverse; the ranges of both are nearly symmetric.
            rotation: degrees, in both directions.
            flip: probability of a mirrored view.
            half_body: probability of looking at the upper or the lower body only, for top-down samples with at
                least half of their keypoints labelled.
            shift: largest move of the content, in fractions of the view's width and height.
            rotation_probability: share of samples that are rotated at all.
            distribution: `'uniform'` draws rotation and scale uniformly in their ranges. `'normal'` draws them from a
                normal distribution whose standard deviation is the range (for `scale`, in its logarithm), clipped at
                two deviations: Newell's code is `rotation=30, rotation_probability=0.4, scale=(2**-0.25, 2**0.25)`.
            border: RGB outside the image. The default normalises to about 0 with ImageNet's mean.

        Raises:
            ConfigError: a value is out of its range; the message names the field.
        """
        self.size = _check_size(size)
        self.flip_order = [int(index) for index in flip_order]
        if [self.flip_order[k] for k in self.flip_order if 0 <= k < len(self.flip_order)] != list(
            range(len(self.flip_order))
        ):
            raise ConfigError(f"warp.flip_order must pair {len(self.flip_order)} keypoints, not {self.flip_order}")
        self.padding = check_number("warp.padding", padding, 1e-3)
        self.scale = _check_scale(scale)
        self.rotation = check_number("warp.rotation", rotation, 0, 180)
        self.flip = check_number("warp.flip", flip, 0, 1)
        self.half_body = check_number("warp.half_body", half_body, 0, 1)
        self.shift = check_number("warp.shift", shift, 0, 1)
        self.rotation_probability = check_number("warp.rotation_probability", rotation_probability, 0, 1)
        if distribution not in ("uniform", "normal"):
            raise ConfigError(f"warp.distribution must be 'uniform' or 'normal', not {distribution!r}")
        self.distribution = distribution
        self.halves = split_body(keypoint_names) if self.half_body > 0 else ([], [])
        if len(border) != 3:
            raise ConfigError(f"warp.border must be three numbers (RGB), not {border!r}")
        red, green, blue = (int(check_number("warp.border", value, 0, 255)) for value in border)
        self.border = (red, green, blue)

    def draw(self, rng: np.random.Generator) -> View:
        """Draw the random part of one view.

        Every number is drawn whatever the options, so that an option does not change the draws of another, nor
        those of what uses `rng` afterwards.
        """
        turn, turned, zoom, mirror, half, upper, right, down = rng.random(8).tolist()
        normal_turn, normal_zoom = np.clip(rng.standard_normal(2), -2, 2).tolist()
        low, high = self.scale
        if self.distribution == "uniform":
            scale, rotation = low + zoom * (high - low), (2 * turn - 1) * self.rotation
        else:
            middle, deviation = math.log(low * high) / 2, math.log(high / low) / 2
            scale, rotation = math.exp(middle + deviation * normal_zoom), normal_turn * self.rotation
        return View(
            scale=scale,
            rotation=rotation if turned < self.rotation_probability else 0.0,
            flip=mirror < self.flip,
            shift=((2 * right - 1) * self.shift, (2 * down - 1) * self.shift),
            half_body=half < self.half_body,
            prefer_upper=upper < UPPER_PREFERENCE,
        )

    def affine(self, sample: Sample, view: View) -> Array:
        """Return the (2, 3) affine from the sample's image to the view.

        Raises:
            ConfigError: a half body is asked for in a sample of a whole image, which may show any number of people.
        """
        # The frame is in the file's pixels; the image need not be (it may have been decoded at a smaller size).
        frame = transform_boxes(invert(sample["to_original"]), sample["frame"].astype(np.float64))
        padded = enlarge_box(frame, self.padding)
        if view.half_body and "keypoints" in sample:
            if sample.get("whole_image", False):
                raise ConfigError("warp.half_body needs one person per sample (a top-down data set); set it to 0")
            for person in sample["keypoints"]:
                half = half_body_frame(person, self.halves, view.prefer_upper, frame)
                padded = padded if half is None else half
        return fit_frame(padded, self.size, view.scale, view.rotation, view.flip, view.shift)

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Sample:
        """Warp a sample.

        Args:
            sample: as a data set's `read` gives it; left as it is.
            rng: source of the random changes; None for evaluation: the padded frame, whole and upright.

        Returns:
            A new sample in the view's pixels.

        Raises:
            ConfigError: the number of keypoints is not that of `flip_order`; or see `affine`.
        """
        view = View() if rng is None else self.draw(rng)
        affine = self.affine(sample, view)
        warped = sample.copy()
        warped["image"] = warp_image(sample["image"], affine, self.size, self.border)
        warped["to_original"] = compose(sample["to_original"], invert(affine))
        warped["flipped"] = view.flip
        if "semantic" in sample:
            warped["semantic"] = warp_labels(sample["semantic"], affine, self.size, IGNORE)
        if "keypoints" in sample:
            warped["keypoints"] = self._move_keypoints(sample["keypoints"], affine, view.flip)
        extents, present = np.zeros((0, 4)), np.zeros(0, bool)
        if "masks" in sample:
            warped["masks"], extents, present = warp_masks(sample["masks"], affine, self.size)
        if "boxes" in sample:
            boxes = clip_boxes(transform_boxes(affine, sample["boxes"].astype(np.float64)), self.size)
            if "masks" in sample and not keeps_axes(affine):
                boxes = np.where(present[:, None], extents, boxes)
            warped["boxes"] = boxes.astype(np.float32)
            if sample.get("whole_image", False):
                _keep_instances(warped, box_areas(warped["boxes"]) > 0)
        return warped

    def _move_keypoints(self, keypoints: Array, affine: Array, flip: bool) -> Array:
        if keypoints.shape[1] != len(self.flip_order):
            raise ConfigError(
                f"the sample has {keypoints.shape[1]} keypoints but warp.flip_order is for {len(self.flip_order)}; "
                "take both from the same data set"
            )
        moved = move_keypoints(keypoints, affine, self.size)
        return moved[:, self.flip_order] if flip else moved


def _check_size(size: Any) -> tuple[int, int]:
    sides = [size, size] if isinstance(size, int) else list(size) if isinstance(size, (list, tuple)) else []
    if len(sides) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise ConfigError(f"warp.size must be (height, width) in whole pixels, or one number, not {size!r}")
    return sides[0], sides[1]


def _check_scale(scale: Any) -> tuple[float, float]:
    if scale is None:
        return 1.0, 1.0
    if not isinstance(scale, (list, tuple)) or len(scale) != 2:
        raise ConfigError(f"warp.scale must be (low, high) or None, not {scale!r}")
    low, high = (check_number("warp.scale", value, 1e-3) for value in scale)
    if low > high:
        raise ConfigError(f"warp.scale must be (low, high) with low <= high, not {tuple(scale)}")
    return low, high


def _keep_instances(sample: Sample, keep: Array) -> None:
    """Drop instances from every array of a sample that counts them."""
    if keep.all():
        return
    for key in ("keypoints", "boxes", "labels", "crowd", "ids", "masks"):
        if key in sample:
            sample[key] = sample[key][keep]
