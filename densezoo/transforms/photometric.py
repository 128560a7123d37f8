"""Random changes of an image's colours and pixels, after the warp and at the view's size.

Which change is whose: a factor per colour channel of 0.6 to 1.4 is stacked hourglass' only one
(https://arxiv.org/abs/1603.06937, `gain=0.4`); contrast is CornerNet's (0.4); blur and one erased rectangle are what
recent pose recipes add (RTMPose, https://arxiv.org/abs/2303.07399; the rectangle is random erasing,
https://arxiv.org/abs/1708.04896); greyscale and noise make a model independent of the camera. Brightness and gamma are
left out: the gain moves all channels already. Gain and contrast are one table of 256 entries per channel.
"""

import math

import cv2
import numpy as np

from densezoo.transforms.checks import check_number
from densezoo.types import Array, Sample

BLUR_SIGMA = (0.003, 0.01)  # of the longer side: 0.4 to 1.3 pixels at 128, 0.8 to 2.6 at 256
ERASE_SIDE = (0.15, 0.4)  # of the image's sides, so 2 % to 16 % of its area
LEVELS = np.arange(256, dtype=np.float32)


class Photometric:
    """Changes colours, adds blur and noise, hides a rectangle; annotations stay as they are.

    An erased joint keeps its visibility: its place can be told from the rest of the body, which is the point.
    """

    def __init__(
        self,
        gain: float = 0.4,
        contrast: float = 0.0,
        grayscale: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        erase: float = 0.0,
    ) -> None:
        """Check and keep the ranges.

        Args:
            gain: each channel is multiplied by a factor of its own, uniform in 1 ± `gain`.
            contrast: distances from the image's mean grey are multiplied by a factor uniform in 1 ± `contrast`.
            grayscale: probability of an image without colour.
            blur: probability of a Gaussian blur.
            noise: largest standard deviation of the pixel noise, as a fraction of white; an image's own is uniform
                between 0 and this.
            erase: probability that one rectangle is painted over with a random colour.

        Raises:
            ConfigError: a value is out of its range; the message names the field.
        """
        self.gain = check_number("photometric.gain", gain, 0, 1)
        self.contrast = check_number("photometric.contrast", contrast, 0, 1)
        self.grayscale = check_number("photometric.grayscale", grayscale, 0, 1)
        self.blur = check_number("photometric.blur", blur, 0, 1)
        self.noise = check_number("photometric.noise", noise, 0, 0.5)
        self.erase = check_number("photometric.erase", erase, 0, 1)

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Sample:
        """Change the image of a sample.

        Every scalar is drawn whatever the options, so that an option does not change the draws of another.

        Args:
            sample: its image is (H, W, 3) uint8; left as it is.
            rng: source of the changes; None for evaluation: no change.

        Returns:
            A new sample with a new image, or `sample` itself without `rng`.
        """
        if rng is None:
            return sample
        channels = rng.random(3)
        contrast, gray, blur, blur_size, noise, erase = rng.random(6).tolist()
        rectangle, colour = rng.random(4), rng.integers(0, 256, 3)

        gains, spread = 1 + self.gain * (2 * channels - 1), 1 + self.contrast * (2 * contrast - 1)
        image = self._recolour(sample["image"], gains, spread)
        if gray < self.grayscale:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if blur < self.blur:
            sigma = (BLUR_SIGMA[0] + blur_size * (BLUR_SIGMA[1] - BLUR_SIGMA[0])) * max(image.shape[:2])
            image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        if self.noise > 0:
            image = add_noise(image, 255 * self.noise * noise, rng)
        if erase < self.erase:
            image = _erase(image, rectangle, colour)
        changed = sample.copy()
        changed["image"] = image
        return changed

    def _recolour(self, image: Array, gains: Array, contrast: float) -> Array:
        """Multiply the channels by (3,) `gains` and spread them about the mean grey; always a new image."""
        middle = float(np.mean(cv2.mean(image)[:3])) if self.contrast > 0 else 0.0
        levels = middle + contrast * (LEVELS - middle)
        table = np.clip(np.rint(levels[:, None] * gains), 0, 255).astype(np.uint8)
        return cv2.LUT(image, table.reshape(256, 1, 3))


def add_noise(image: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Add independent noise to every value of an image.

    The noise is the difference of two uniform bytes: a triangle of the wanted standard deviation, bounded at 2.4 times
    it. Normal noise costs four times as much and a network cannot tell.

    Args:
        image: (H, W, 3) uint8.
        deviation: standard deviation in grey levels.
        rng: source of the noise.

    Returns:
        (H, W, 3) uint8, rounded and clipped.
    """
    first, second = np.frombuffer(rng.bytes(2 * image.size), np.uint8).reshape(2, *image.shape)
    factor = deviation / math.sqrt((256**2 - 1) / 6)  # two uniform bytes have a variance of (256² - 1) / 12 each
    noise = cv2.addWeighted(first, factor, second, -factor, 0, dtype=cv2.CV_32F)
    return cv2.add(image, noise, dtype=cv2.CV_8U)


def _erase(image: Array, rectangle: Array, colour: Array) -> Array:
    """Paint a rectangle; (4,) `rectangle` holds its centre and sides as uniform draws."""
    height, width = image.shape[:2]
    sides = (ERASE_SIDE[0] + rectangle[2:] * (ERASE_SIDE[1] - ERASE_SIDE[0])) * (width, height)
    left, top = np.rint(rectangle[:2] * (width, height) - sides / 2).astype(int)
    right, bottom = left + round(sides[0]), top + round(sides[1])
    image[max(top, 0) : bottom, max(left, 0) : right] = colour
    return image
