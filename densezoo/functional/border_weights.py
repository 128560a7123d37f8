"""Weights that make a network learn the narrow background between neighbouring objects.

Of U-Net (Ronneberger, Fischer, Brox 2015, https://arxiv.org/abs/1505.04597, equation 2): a pixel x of the background
weighs w0 · exp(-(d1(x) + d2(x))² / 2σ²) more, d1 and d2 being the distances to the nearest and the second nearest
object. Distances are those between centres of pixels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from densezoo.errors import ConfigError
from densezoo.functional.annotated import annotated
from densezoo.functional.label_maps import IGNORE
from densezoo.types import Array, Batch

REACH = 6.0  # standard deviations, from where on a weight is below 2e-8 of w0


@dataclass(frozen=True)
class BorderWeight:
    """The paper's two numbers.

    Attributes:
        w0: weight where two objects would touch.
        sigma: how fast it falls with the sum of both distances, in pixels.
    """

    w0: float = 10.0
    sigma: float = 5.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one is not above 0.
        """
        for name, value in (("w0", self.w0), ("sigma", self.sigma)):
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
                raise ConfigError(f"border_weight: {name} must be a number above 0, not {value!r}")

    def of_objects(self, masks: Iterable[Array], size: tuple[int, int]) -> Array:
        """Return the weight of every pixel.

        Args:
            masks: (H, W) uint8 each, above 0 where an object is; those without a pixel are none.
            size: (height, width) of all of them.

        Returns:
            (height, width) float32 from 0 to w0: 0 on objects, and everywhere where there are less than two.
        """
        nearest = np.full((2, *size), np.inf, np.float32)
        taken = np.zeros(size, bool)
        around = int(np.ceil(REACH * self.sigma))
        for mask in masks:
            left, top, width, height = cv2.boundingRect(mask)
            if width == 0:
                continue
            # further away than that, an object changes no weight
            rows = slice(max(top - around, 0), top + height + around)
            columns = slice(max(left - around, 0), left + width + around)
            window = mask[rows, columns] > 0
            distance = cv2.distanceTransform((~window).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            first, second = nearest[:, rows, columns]
            np.minimum(second, np.maximum(first, distance), out=second)
            np.minimum(first, distance, out=first)
            taken[rows, columns] |= window
        weights: Array = self.w0 * np.exp(-(nearest.sum(0) ** 2) / (2 * self.sigma**2))
        weights[taken] = 0
        return weights.astype(np.float32)

    def of_labels(self, labels: Array) -> Array:
        """Return the weights of a semantic map, whose connected areas of labels other than 0 and 255 are the objects.

        Args:
            labels: (H, W) uint8. Pixels that touch at a corner are connected.
        """
        count, numbers = cv2.connectedComponents(((labels != 0) & (labels != IGNORE)).astype(np.uint8))
        masks = ((numbers == number).astype(np.uint8) for number in range(1, count))
        height, width = labels.shape
        return self.of_objects(masks, (height, width))

    def of_batch(self, batch: Batch, labels: Tensor) -> Tensor:
        """Return the weights (N, H, W) float32 of a batch, on the device of its labels; worked out on the CPU.

        Args:
            batch: objects are its instance masks, in samples that have them: no crowds, and none that the map takes
                for background.
            labels: (N, H, W), from whose connected areas objects are taken in the other samples.
        """
        maps = labels.to(torch.uint8).cpu().numpy()
        masked = annotated(batch, "masks").tolist()
        masks = batch["masks"].cpu().numpy() if any(masked) else None
        crowds = batch["crowd"].cpu().numpy() if "crowd" in batch else np.zeros(batch["valid"].shape, np.bool_)
        weights = [
            self.of_objects(_told_apart(masks[row][~crowds[row]], own), own.shape)
            if masks is not None and masked[row]
            else self.of_labels(own)
            for row, own in enumerate(maps)
        ]
        return torch.from_numpy(np.stack(weights)).to(labels.device)


def _told_apart(masks: Array, labels: Array) -> Iterator[Array]:
    """Yield the masks (P, H, W) most of whose pixels are no background in a semantic map (H, W)."""
    for mask in masks:
        inside = labels[mask > 0]
        if 2 * np.count_nonzero(inside) > inside.size:
            yield mask
