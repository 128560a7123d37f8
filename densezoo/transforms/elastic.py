"""Elastic deformation: random displacements on a coarse grid over the view, interpolated at every pixel.

Of U-Net (Ronneberger, Fischer, Brox 2015, https://arxiv.org/abs/1505.04597, section 3.1: a 3 × 3 grid, Gaussian
displacements with a standard deviation of 10 pixels, bicubic interpolation). Deliberate deviations: draws are clipped
at two deviations, and the deviation is at most an eighth of the distance between grid points, so that nothing folds
over itself. The grid's outer points lie on the view's edges, which the paper leaves open.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from densezoo.errors import ConfigError
from densezoo.functional.affine import apply_affine, invert
from densezoo.transforms.checks import check_number
from densezoo.types import Array

CLIP = 2.0  # standard deviations
STIFFEST = 1 / 8  # deviation over the distance of grid points
STEPS = 100  # of the inversion, which ends much earlier
EXACT = 1e-3  # pixels


class Elastic:
    """What may be drawn; see `Bend` for what it does to a view."""

    def __init__(self, grid: int = 3, sigma: float = 10.0, probability: float = 1.0) -> None:
        """Check and keep the ranges.

        Args:
            grid: points along each side of the view.
            sigma: standard deviation of the displacements in pixels of the view, in x and in y.
            probability: share of views that are deformed at all.

        Raises:
            ConfigError: a value is out of its range; the message names the field.
        """
        if not isinstance(grid, int) or isinstance(grid, bool) or grid < 2:
            raise ConfigError(f"warp.elastic.grid must be a whole number of at least 2, not {grid!r}")
        self.grid = grid
        self.sigma = check_number("warp.elastic.sigma", sigma, 0)
        self.probability = check_number("warp.elastic.probability", probability, 0, 1)

    def draw(self, rng: np.random.Generator) -> Array | None:
        """Draw (grid, grid, 2) displacements x, y in standard deviations, or None for a view that stays as it is."""
        chosen = rng.random() < self.probability
        drawn = np.clip(rng.standard_normal((self.grid, self.grid, 2)), -CLIP, CLIP)
        return drawn if chosen else None

    def bend(self, drawn: Array, size: tuple[int, int]) -> "Bend":
        """Return the deformation of a view (height, width) by what `draw` gave."""
        gaps = np.array(size[::-1]) / (self.grid - 1)
        return Bend(drawn * np.minimum(self.sigma, STIFFEST * gaps), size)


@dataclass(frozen=True, eq=False)
class Bend:
    """A deformed view: at p it shows what the plain view would show at p + d(p).

    Attributes:
        vectors: (g, g, 2) d in pixels of the view, x and y, at g × g points from corner to corner; beyond the view it
            goes on as on its edge.
        size: (height, width) of the view.
    """

    vectors: Array
    size: tuple[int, int]

    def displacement(self, points: Array) -> Array:
        """Return d (..., 2) at points (..., 2) x, y of the view."""
        flat = points.reshape(-1, 2)
        across, down = (self._weights(flat[:, axis], axis) for axis in (0, 1))
        found: Array = np.einsum("ni,nj,ijc->nc", down, across, self.vectors)
        return found.reshape(points.shape)

    def move(self, points: Array) -> Array:
        """Return where what lies at points (..., 2) of the plain view is in the deformed one, (..., 2) float64."""
        moved = points.astype(np.float64)
        for _ in range(STEPS):
            before, moved = moved, points - self.displacement(moved)
            if not moved.size or np.abs(moved - before).max() < EXACT:
                break
        return moved

    @cached_property
    def plain(self) -> Array:
        """(H, W, 2) x, y in the plain view of what each pixel's centre shows."""
        (height, width), vectors = self.size, self.vectors
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        across, down = self._weights(x, 0), self._weights(y, 1)
        return np.stack(
            [down @ vectors[..., 0] @ across.T + x, down @ vectors[..., 1] @ across.T + y[:, None]], axis=-1
        )

    def extent(self) -> Array:
        """Return the (4,) xyxy box of the plain view that the deformed one shows, up to half a pixel."""
        return np.concatenate([self.plain.min((0, 1)) - 0.5, self.plain.max((0, 1)) + 0.5])

    def sources(self, affine: Array) -> tuple[Array, Array]:
        """Return column and row in an image, (H, W) float32 indices, that each pixel shows, as `cv2.remap` takes them.

        Args:
            affine: (2, 3), image coordinates to those of the plain view.
        """
        x, y = np.moveaxis((apply_affine(invert(affine), self.plain) - 0.5).astype(np.float32), -1, 0)
        return np.ascontiguousarray(x), np.ascontiguousarray(y)

    def _weights(self, values: Array, axis: int) -> Array:
        """Return (n, g) factors of the grid points for coordinates (n,) in x (axis 0) or y: Keys' cubic convolution."""
        last = len(self.vectors) - 1
        places = np.clip(values / self.size[1 - axis], 0, 1) * last
        first = np.minimum(np.floor(places), last - 1).astype(np.int64)
        t = places - first
        rows = np.arange(len(places))
        weights = np.zeros((len(places), last + 1))
        for step, factor in (
            (-1, ((2 - t) * t - 1) * t / 2),
            (0, ((3 * t - 5) * t * t + 2) / 2),
            (1, ((4 - 3 * t) * t + 1) * t / 2),
            (2, (t - 1) * t * t / 2),
        ):
            weights[rows, np.clip(first + step, 0, last)] += factor
        return weights
