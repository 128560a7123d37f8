"""Gaussian heatmaps and their peaks, batched, on any device.

Positions here are in *cells*: cell j is centred at j + 0.5, so a map of width w spans [0, w].
Refinement: quarter of a cell as in Newell et al. 2016 (https://arxiv.org/abs/1603.06937), and the Taylor expansion of
Zhang et al. 2020, "Distribution-Aware Coordinate Representation" (DARK, https://arxiv.org/abs/1910.06278). Deviations:
the quarter move is decided per axis, so a peak in the first column may still move along its column; DARK's expansion is
taken over 3×3 cells, and for a peak in a border cell about the nearest cell that has all its neighbours, which is still
exact for a Gaussian.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# As in DARK: the log of an empty or negative cell must stay finite.
LOG_FLOOR = 1e-10


def gaussian_maps(points: Tensor, present: Tensor, size: tuple[int, int], sigma: float, quantised: bool) -> Tensor:
    """Draw one Gaussian per point, as the outer product of two one-dimensional ones (never cut off).

    Args:
        points: (..., 2) x, y in cells.
        present: (...) bool; where False, or where the point is outside the map, the map stays zero.
        size: (height, width) of the maps in cells.
        sigma: standard deviation in cells.
        quantised: centre the Gaussian on the cell that holds the point, whose value is then exactly 1; otherwise on
            the point itself.

    Returns:
        (..., height, width) float32 in 0–1.
    """
    height, width = size
    points = points.float()
    x, y = points[..., 0], points[..., 1]
    present = present & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    columns, rows = (
        _gaussian_profile(torch.where(present, position, 0.0), cells, sigma, quantised)
        for position, cells in ((x, width), (y, height))
    )
    return (rows * present[..., None])[..., :, None] * columns[..., None, :]


def _gaussian_profile(position: Tensor, cells: int, sigma: float, quantised: bool) -> Tensor:
    """Return (..., cells) values of a Gaussian of peak 1 about `position` (...) at the centres of the cells."""
    centre = position.floor() if quantised else position - 0.5
    offset = torch.arange(cells, device=position.device, dtype=position.dtype) - centre[..., None]
    return torch.exp(offset.square() * (-0.5 / sigma**2))


def draw_points(points: Tensor, present: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Draw the Gaussians of many people's points, where the highest of several stands.

    Unlike those of `gaussian_maps` they end, at 3 sigma and a cell, so that many take little memory.

    Args:
        points: (N, P, K, 2) x, y in cells; the Gaussians are centred there.
        present: (N, P, K) bool; only of points on the map. The others draw nothing.
        size: (height, width) of the maps in cells.
        sigma: standard deviation in cells.

    Returns:
        (N, K, height, width) float32 in 0–1.
    """
    height, width = size
    num_images, _, num_kinds = present.shape
    points = points.float().where(present[..., None], 0.0).transpose(1, 2)
    reach = math.ceil(3 * sigma) + 1
    cells = points.floor().long()[..., None] + torch.arange(-reach, reach + 1, device=points.device)
    profiles = torch.exp((cells + 0.5 - points[..., None]).square() * (-0.5 / sigma**2))
    columns, rows = cells.unbind(3)
    across = profiles[..., 0, :] * ((columns >= 0) & (columns < width))
    down = profiles[..., 1, :] * ((rows >= 0) & (rows < height)) * present.transpose(1, 2)[..., None]
    # what lies beyond the map is 0, and may go into any cell
    places = rows.clamp(0, height - 1)[..., :, None] * width + columns.clamp(0, width - 1)[..., None, :]
    maps = points.new_zeros(num_images * num_kinds, height * width)
    drawn = down[..., :, None] * across[..., None, :]
    maps.scatter_reduce_(1, places.flatten(0, 1).flatten(1), drawn.flatten(0, 1).flatten(1), "amax")
    return maps.reshape(num_images, num_kinds, height, width)


def find_peaks(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the highest cell of every map (the first one of equals, by rows).

    Args:
        maps: (..., h, w).

    Returns:
        column and row (...) int64, and value (...) of the highest cells.
    """
    width = maps.shape[-1]
    value, index = maps.flatten(-2).max(-1)
    return index % width, index // width, value


def refine_quarter(maps: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Move peaks a quarter of a cell towards the higher neighbour, on each axis that has two of them.

    Args:
        maps: (..., h, w).
        column: (...) int64 of the peak.
        row: (...) int64 of the peak.

    Returns:
        (..., 2) x, y offset of the peak from the centre of its cell, in cells: -0.25, 0 or 0.25.
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(-2)

    def difference(position: Tensor, cells: int, step: int) -> Tensor:
        inner = (position > 0) & (position < cells - 1)
        index = row * width + column
        higher = flat.gather(-1, torch.where(inner, index + step, index)[..., None])
        lower = flat.gather(-1, torch.where(inner, index - step, index)[..., None])
        return torch.sign(higher - lower)[..., 0]

    return 0.25 * torch.stack([difference(column, width, 1), difference(row, height, width)], -1)


def refine_taylor(maps: Tensor, column: Tensor, row: Tensor, blur: float = 0.0) -> Tensor:
    """Move peaks to the top of the quadratic through the logarithm of the 3×3 cells around them (DARK).

    Args:
        maps: (..., h, w); values at or below 1e-10 count as 1e-10.
        column: (...) int64 of the peak.
        row: (...) int64 of the peak.
        blur: standard deviation in cells of a Gaussian that smooths the maps first (DARK's modulation); 0 for none.

    Returns:
        (..., 2) x, y offset of the peak from the centre of its cell, in cells, within ±0.5. Zero for maps of fewer
        than three rows or columns, and where the quadratic has no top.
    """
    height, width = maps.shape[-2:]
    if height < 3 or width < 3:
        return torch.zeros(*column.shape, 2, device=maps.device)
    logs = (blur_maps(maps, blur) if blur > 0 else maps.float()).clamp(min=LOG_FLOOR).log()
    centre_column, centre_row = column.clamp(1, width - 2), row.clamp(1, height - 2)
    steps = torch.arange(-1, 2, device=maps.device)
    neighbours = (steps[:, None] * width + steps).flatten()
    index = (centre_row * width + centre_column)[..., None] + neighbours
    patch = logs.flatten(-2).gather(-1, index).reshape(*column.shape, 3, 3)

    dx = 0.5 * (patch[..., 1, 2] - patch[..., 1, 0])
    dy = 0.5 * (patch[..., 2, 1] - patch[..., 0, 1])
    dxx = patch[..., 1, 2] - 2 * patch[..., 1, 1] + patch[..., 1, 0]
    dyy = patch[..., 2, 1] - 2 * patch[..., 1, 1] + patch[..., 0, 1]
    dxy = 0.25 * (patch[..., 2, 2] - patch[..., 2, 0] - patch[..., 0, 2] + patch[..., 0, 0])
    determinant = dxx * dyy - dxy.square()
    has_top = (determinant > 0) & (dxx < 0)
    determinant = torch.where(has_top, determinant, 1.0)
    top = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1) / determinant[..., None]
    offset = top + torch.stack([centre_column - column, centre_row - row], -1)
    return torch.where(has_top[..., None], offset.clamp(-0.5, 0.5), 0.0)


def refine_points(
    maps: Tensor, column: Tensor, row: Tensor, refine: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Refine several peaks of each map, by the 3×3 cells about them.

    Args:
        maps: (..., h, w).
        column: (..., M) int64 of the peaks.
        row: (..., M) int64 of the peaks.
        refine: `refine_quarter` or `refine_taylor`.

    Returns:
        (..., M, 2) x, y offset of the peaks from the centres of their cells, in cells. Zero for maps of fewer than
        three rows or columns.
    """
    height, width = maps.shape[-2:]
    if height < 3 or width < 3:
        return torch.zeros(*column.shape, 2, device=maps.device)
    left, top = column.clamp(1, width - 2) - 1, row.clamp(1, height - 2) - 1
    steps = torch.arange(3, device=maps.device)
    index = (top[..., None, None] + steps[:, None]) * width + left[..., None, None] + steps
    patches = maps.flatten(-2).gather(-1, index.flatten(-3)).reshape(index.shape)
    return refine(patches, column - left, row - top)


def blur_maps(maps: Tensor, sigma: float) -> Tensor:
    """Smooth maps by a Gaussian, normalised by the part of it that lies inside the map.

    Args:
        maps: (..., h, w).
        sigma: standard deviation in cells; the kernel reaches three of them.

    Returns:
        (..., h, w) float32.
    """
    radius = max(1, round(3 * sigma))
    offset = torch.arange(-radius, radius + 1, device=maps.device, dtype=torch.float32)
    kernel = torch.exp(offset.square() * (-0.5 / sigma**2))
    height, width = maps.shape[-2:]

    def along_rows(planes: Tensor) -> Tensor:
        return F.conv2d(planes, kernel[None, None, None], padding=(0, radius))

    planes = maps.float().reshape(-1, 1, height, width)
    ones = torch.ones(1, 1, 1, max(height, width), device=maps.device)
    blurred = along_rows(planes) / along_rows(ones[..., :width])
    blurred = along_rows(blurred.mT) / along_rows(ones[..., :height])
    return blurred.mT.reshape(maps.shape)
