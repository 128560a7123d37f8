"""One warp: crop, scale, rotation, shift, flip, half body and resize as one affine per sample, elastic deformation too.

The affine is composed first and applied once, to the image, keypoints, boxes, masks and the semantic map together, so
that nothing is resampled twice and annotations cannot drift from pixels. Random ranges follow stacked hourglass
(https://arxiv.org/abs/1603.06937: rotation of ±30°, scale of 0.75 to 1.25) or, with `distribution='normal'`, its
published code, which draws other numbers than the paper says. A scene is letterboxed by the same code: its frame is
the image. Networks that take images of any size need no letterbox: `size=None` keeps the file's pixels, and `crop` cuts
windows of one size out of them for training.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from densezoo.errors import ConfigError
from densezoo.functional.affine import (
    box_areas,
    clip_boxes,
    compose,
    enlarge_box,
    invert,
    keeps_axes,
    transform_boxes,
)
from densezoo.registry import check_arguments
from densezoo.transforms.checks import check_border, check_number, check_scale, check_size
from densezoo.transforms.elastic import Elastic
from densezoo.transforms.half_body import UPPER_PREFERENCE, half_body_frame, split_body
from densezoo.transforms.resample import move_boxes, move_keypoints, warp_image, warp_masks, warp_semantic
from densezoo.transforms.view import View, crop_view, lay_view
from densezoo.transforms.volume import move_volume
from densezoo.types import Array, Sample

IMAGENET_MEAN = (124, 116, 104)  # normalises to nearly 0, which is what convolutions pad with
UNKNOWN_SIZE = (256, 256)  # of files that cannot be read; large enough for every network of the zoo


class Warp:
    """Fits the frame of a sample into a view, with random changes in training.

    Fields of the sample afterwards:
        image: (H, W, 3); `border` where the view leaves the image.
        keypoints: moved, exchanged left and right in a mirrored view; visibility 0 where they leave the view.
        boxes: moved, the upright extent of the rotated corners, clipped to the view. In a rotated or deformed view the
            box of an instance with a mask is the tight extent of its mask instead, as the corners' extent is up to
            twice as large as the object.
        masks, semantic: nearest pixel; outside the image 0 and 255.
        volume: slice by slice like a mask, and in depth by the scale about its middle.
        to_original: from the view to the file; an elastic deformation is not in it.
        flipped: whether the view is mirrored.
    In a sample of a whole image (`whole_image`) instances whose box has left the view are dropped from every array. A
    top-down sample keeps its only instance, also where its frame happens to be the whole image, so that arrays of a
    batch stay aligned with its people.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None,
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
        border: str | Sequence[int] = IMAGENET_MEAN,
        crop: int | Sequence[int] | None = None,
        elastic: Mapping[str, Any] | None = None,
        crop_margin: int = 0,
    ) -> None:
        """Check and keep the ranges.

        Args:
            size: (height, width) of the view in pixels, or one number for both. None for the frame's own pixels: at
                evaluation nothing is resampled, and with `padding=1` a scene is seen as the file has it.
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
            border: RGB outside the image, or `'reflect'` for its mirror image (labels stay 255 there). The default
                normalises to about 0 with ImageNet's mean.
            crop: (height, width) of the window, or one number for both, that training cuts out of each view after it
                was scaled, rotated and mirrored. Its place is drawn among those in which it lies in the frame, where
                that is larger than the window, and where it is smaller among those in which it contains the frame.
            elastic: arguments of `densezoo.transforms.elastic.Elastic`, such as `dict(sigma=10)`; None for no
                deformation.
            crop_margin: pixels on each side of a crop that the network does not answer for, as convolutions without
                padding lose them (92 for the U-Net of 2015): only the crop's middle is placed in the frame, so that all
                of that is learned. They show what `border` says.

        Raises:
            ConfigError: a value is out of its range; the message names the field.
        """
        self.size = None if size is None else check_size("warp.size", size)
        self.crop = None if crop is None else check_size("warp.crop", crop)
        self.flip_order = [int(index) for index in flip_order]
        if [self.flip_order[k] for k in self.flip_order if 0 <= k < len(self.flip_order)] != list(
            range(len(self.flip_order))
        ):
            raise ConfigError(f"warp.flip_order must pair {len(self.flip_order)} keypoints, not {self.flip_order}")
        self.padding = check_number("warp.padding", padding, 1e-3)
        self.scale = check_scale("warp.scale", scale)
        self.rotation = check_number("warp.rotation", rotation, 0, 180)
        self.flip = check_number("warp.flip", flip, 0, 1)
        self.half_body = check_number("warp.half_body", half_body, 0, 1)
        self.shift = check_number("warp.shift", shift, 0, 1)
        self.rotation_probability = check_number("warp.rotation_probability", rotation_probability, 0, 1)
        if distribution not in ("uniform", "normal"):
            raise ConfigError(f"warp.distribution must be 'uniform' or 'normal', not {distribution!r}")
        self.distribution = distribution
        self.halves = split_body(keypoint_names) if self.half_body > 0 else ([], [])
        self.border = check_border("warp.border", border)
        self.crop_margin = check_number("warp.crop_margin", crop_margin, 0)
        if self.crop_margin % 1:
            raise ConfigError(f"warp.crop_margin={crop_margin} must be whole pixels")
        if self.crop is None and self.crop_margin:
            raise ConfigError("warp.crop_margin is that of crops; give warp.crop, or take it out")
        if self.crop is not None and 2 * self.crop_margin >= min(self.crop):
            raise ConfigError(f"warp.crop_margin={crop_margin} leaves nothing of warp.crop={self.crop}")
        if self.crop is not None and self.shift > 0:
            raise ConfigError("warp.shift moves what warp.crop places anew; take one of the two out")
        self.elastic: Elastic | None = None
        if elastic is not None:
            if not isinstance(elastic, Mapping):
                raise ConfigError(f"warp.elastic must be a dict, such as dict(sigma=10), or None, not {elastic!r}")
            check_arguments(Elastic, elastic, {}, "warp.elastic")
            self.elastic = Elastic(**elastic)

    def blank_size(self, training: bool) -> tuple[int, int]:
        """Return (height, width) of the view of a file of unknown size."""
        return (self.crop if training else None) or self.size or UNKNOWN_SIZE

    def draw(self, rng: np.random.Generator) -> View:
        """Draw the random part of one view.

        Every number is drawn whatever the options, so that an option does not change the draws of another, nor
        those of what uses `rng` afterwards. The numbers of `crop` and `elastic` come from a generator of their own.
        """
        turn, turned, zoom, mirror, half, upper, right, down = rng.random(8).tolist()
        normal_turn, normal_zoom = np.clip(rng.standard_normal(2), -2, 2).tolist()
        low, high = self.scale
        if self.distribution == "uniform":
            scale, rotation = low + zoom * (high - low), (2 * turn - 1) * self.rotation
        else:
            middle, deviation = math.log(low * high) / 2, math.log(high / low) / 2
            scale, rotation = math.exp(middle + deviation * normal_zoom), normal_turn * self.rotation
        place: tuple[float, float] | None = None
        bend: Array | None = None
        if self.crop is not None or self.elastic is not None:
            (own,) = rng.spawn(1)
            x, y = own.random(2).tolist()
            place = (x, y) if self.crop is not None else None
            bend = None if self.elastic is None else self.elastic.draw(own)
        return View(
            scale=scale,
            rotation=rotation if turned < self.rotation_probability else 0.0,
            flip=mirror < self.flip,
            shift=((2 * right - 1) * self.shift, (2 * down - 1) * self.shift),
            half_body=half < self.half_body,
            prefer_upper=upper < UPPER_PREFERENCE,
            place=place,
            bend=bend,
        )

    def lay(self, sample: Sample, view: View) -> tuple[Array, tuple[int, int]]:
        """Return the (2, 3) affine from the sample's image to the view, and the view's (height, width).

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
        affine, size = lay_view(padded, view, self.size)
        if self.crop is None or view.place is None:
            return affine, size
        return crop_view(affine, padded, view.place, self.crop, self.crop_margin), self.crop

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Sample:
        """Warp a sample.

        Args:
            sample: as a data set's `read` gives it; left as it is.
            rng: source of the random changes; None for evaluation: the padded frame, whole and upright.

        Returns:
            A new sample in the view's pixels.

        Raises:
            ConfigError: the number of keypoints is not that of `flip_order`; or see `lay`.
        """
        view = View() if rng is None else self.draw(rng)
        affine, size = self.lay(sample, view)
        bend = None if self.elastic is None or view.bend is None else self.elastic.bend(view.bend, size)
        warped = sample.copy()
        warped["image"] = warp_image(sample["image"], affine, size, self.border, bend)
        warped["to_original"] = compose(sample["to_original"], invert(affine))
        warped["flipped"] = view.flip
        if "semantic" in sample:
            warped["semantic"] = warp_semantic(sample["semantic"], affine, size, bend)
        if "volume" in sample:
            warped["volume"] = move_volume(sample["volume"], affine, size, bend)
        if "keypoints" in sample:
            self._check_keypoints(sample["keypoints"])
            moved = move_keypoints(sample["keypoints"], affine, size, bend)
            warped["keypoints"] = moved[:, self.flip_order] if view.flip else moved
        extents, present = np.zeros((0, 4)), np.zeros(0, bool)
        if "masks" in sample:
            warped["masks"], extents, present = warp_masks(sample["masks"], affine, size, bend)
        if "boxes" in sample:
            boxes = clip_boxes(move_boxes(sample["boxes"].astype(np.float64), affine, bend), size)
            if "masks" in sample and (bend is not None or not keeps_axes(affine)):
                boxes = np.where(present[:, None], extents, boxes)
            warped["boxes"] = boxes.astype(np.float32)
            if sample.get("whole_image", False):
                _keep_instances(warped, box_areas(warped["boxes"]) > 0)
        return warped

    def _check_keypoints(self, keypoints: Array) -> None:
        if keypoints.shape[1] != len(self.flip_order):
            raise ConfigError(
                f"the sample has {keypoints.shape[1]} keypoints but warp.flip_order is for {len(self.flip_order)}; "
                "take both from the same data set"
            )


def _keep_instances(sample: Sample, keep: Array) -> None:
    """Drop instances from every array of a sample that counts them."""
    if keep.all():
        return
    for key in ("keypoints", "boxes", "labels", "crowd", "ids", "masks"):
        if key in sample:
            sample[key] = sample[key][keep]
