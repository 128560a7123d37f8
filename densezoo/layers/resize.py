"""Bringing a coarse map to the size of a finer one.

Way-down layers of the zoo round sizes up (ceil), so cell j of a level covers cells 2j and 2j + 1 of the finer one, for
odd sizes too. Every function here keeps that: a map is doubled and loses the last row that has no counterpart, so
nothing shifts. Maps that are not about double (an encoder without a level in between) are resized outright.
"""

import math

import torch.nn.functional as F
from torch import Tensor


def resize_nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, C, h, w) to (N, C, *size) by repeating cells; `x` itself where the size is right already."""
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="nearest")


def resize_bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, C, h, w) to (N, C, *size) between cell centres; `x` itself where the size is right already."""
    height, width = x.shape[-2:]
    if (height, width) == size:
        return x
    if all(to in (2 * side - 1, 2 * side) for side, to in zip((height, width), size, strict=True)):
        return fit(F.interpolate(x, size=(2 * height, 2 * width), mode="bilinear", align_corners=False), size)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def double_bilinear_corners(x: Tensor) -> Tensor:
    """Double (N, C, h, w) with the corner cells' centres kept in the corners, as some published networks do."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


def resize_by(images: Tensor, scale: float) -> Tensor:
    """Resize (N, C, H, W) images by a factor, bilinear; `images` itself where it is 1.

    By the factor itself, not a ratio of rounded sizes: x comes to lie at `scale` times x, whatever the sides are. Sides
    are rounded up, so that all of the image is seen; beyond it its last row and column go on.

    Args:
        images: float.
        scale: above 0.
    """
    if scale == 1:
        return images
    sides = images.shape[-2:]
    # a whole number may come out a little above or below itself
    height, width = (math.ceil(side * scale - 1e-6) for side in sides)
    # interpolation rounds down, so one more pixel is made where that is too few
    missing = [
        0 if math.floor(side * scale) >= wanted else math.ceil(1 / scale)
        for side, wanted in zip(sides, (height, width), strict=True)
    ]
    if any(missing):
        images = F.pad(images, (0, missing[1], 0, missing[0]), mode="replicate")
    smaller = scale < 1
    scaled = F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False, antialias=smaller)
    return scaled[..., :height, :width]


def fit(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut (N, C, h, w) at the bottom and right, or pad it there with zeros, to (N, C, *size)."""
    down, right = size[0] - x.shape[-2], size[1] - x.shape[-1]
    return x if down == 0 == right else F.pad(x, (0, right, 0, down))


def pad_around(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pad (N, C, h, w) with zeros to (N, C, *size), half of them (rounded down) at the top and left.

    What is larger is cut at the bottom and right.
    """
    down, right = size[0] - x.shape[-2], size[1] - x.shape[-1]
    top, left = max(down, 0) // 2, max(right, 0) // 2
    return x if down == 0 == right else F.pad(x, (left, right - left, top, down - top))


def crop_centre(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the middle of (N, C, h, w) out, (N, C, *size); `x` itself where the size is right already."""
    top, left = (x.shape[-2] - size[0]) // 2, (x.shape[-1] - size[1]) // 2
    return x if x.shape[-2:] == size else x[..., top : top + size[0], left : left + size[1]]
