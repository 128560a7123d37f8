"""From the cells of a map to the pixels of the image and back, as `densezoo.types.Grid` says where they lie."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from densezoo.types import Grid, Maps

_CHANNELS_AT_A_TIME = 32


def image_size(grid: Grid) -> tuple[int, int]:
    """Return (height, width) of the image that a grid lies in."""
    if grid.image_size is not None:
        return grid.image_size
    height, width = (
        round(side * grid.stride + 2 * lost) for side, lost in zip(grid.size, reversed(grid.origin), strict=True)
    )
    return height, width


def bring_to_image(maps: Tensor, grid: Grid, size: tuple[int, int]) -> Tensor:
    """Interpolate maps at the centre of every pixel of the image, bilinear between the centres of cells.

    Args:
        maps: (N, C, h, w) float, on `grid`.
        grid: where the cells lie; any stride and origin.
        size: (height, width) of the image in pixels.

    Returns:
        (N, C, height, width). Pixels that the map does not reach (see `covered`) hold no meaning.
    """
    measures = [*(grid.stride * side for side in grid.size), *grid.origin]
    if all(value % 1 == 0 for value in measures):
        rows, columns, left, top = (int(value) for value in measures)
        if maps.shape[-2:] != (rows, columns):
            maps = F.interpolate(maps, size=(rows, columns), mode="bilinear", align_corners=False)
        # negative numbers cut, as where an odd image has a last cell that is only half on it
        around = (left, size[1] - left - columns, top, size[0] - top - rows)
        return F.pad(maps, around) if any(around) else maps
    return sample_maps(maps, *_places(grid, size, maps.device))


def highest_in_image(maps: Tensor, grid: Grid, size: tuple[int, int]) -> Tensor:
    """Say which channel is the highest at every pixel: the argmax of `bring_to_image`; see `highest_of`."""
    return highest_of(maps, lambda some: bring_to_image(some, grid, size))


def highest_of(maps: Tensor, interpolate: Callable[[Tensor], Tensor]) -> Tensor:
    """Say which channel is the highest once maps are interpolated, some channels at a time.

    So memory does not grow with their number. Of equal ones it is the first.

    Args:
        maps: (N, C, h, w).
        interpolate: makes (N, c, H, W) of (N, c, h, w).

    Returns:
        (N, H, W) int64.
    """
    highest, found = interpolate(maps[:, :_CHANNELS_AT_A_TIME]).max(1)
    for first in range(_CHANNELS_AT_A_TIME, maps.shape[1], _CHANNELS_AT_A_TIME):
        values, channel = interpolate(maps[:, first : first + _CHANNELS_AT_A_TIME]).max(1)
        found = torch.where(values > highest, channel + first, found)
        highest = torch.maximum(values, highest)
    return found


def bring_to_grid(maps: Tensor, grid: Grid, other: Grid) -> Tensor:
    """Interpolate maps (N, C, h, w) on `grid` at the centres of another grid's cells, bilinear: (N, C, h', w').

    Both lie in one image. Beyond the outermost centres their values go on to the map's edge, and cells beyond that, of
    which the map says nothing, are NaN.
    """
    x, y = (
        ((torch.arange(cells, device=maps.device) + 0.5) * other.stride + there - here) / grid.stride
        for cells, there, here in zip(reversed(other.size), other.origin, grid.origin, strict=True)
    )
    across, down = (x >= 0) & (x <= grid.size[1]), (y >= 0) & (y <= grid.size[0])
    return sample_maps(maps, x, y).where(down[:, None] & across, torch.nan)


def average_views(views: Sequence[tuple[Maps, Grid]]) -> tuple[Maps, Grid]:
    """Average activated maps of several views of the same images on the grid of the first, each where it reaches.

    Args:
        views: maps and where their cells lie in the images; all views have the same maps.
    """
    maps, grid = views[0]
    if len(views) == 1:
        return maps, grid
    others = [{name: bring_to_grid(values, own, grid) for name, values in each.items()} for each, own in views[1:]]
    return {
        name: torch.stack([values, *(each[name] for each in others)]).nanmean(0) for name, values in maps.items()
    }, grid


def sample_maps(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Interpolate (N, C, h, w) at columns x (W,) and rows y (H,), in cells from the map's corner."""
    height, width = maps.shape[-2:]
    points = torch.stack(torch.meshgrid(2 * x / width - 1, 2 * y / height - 1, indexing="xy"), -1).to(maps.dtype)
    return F.grid_sample(maps, points.expand(len(maps), -1, -1, -1), padding_mode="border", align_corners=False)


def covered(grid: Grid, size: tuple[int, int], device: torch.device) -> Tensor:
    """Say which pixels of an image (height, width) lie on the cells of a map: (height, width) bool on `device`."""
    x, y = _places(grid, size, device)
    across, down = (x >= 0) & (x < grid.size[1]), (y >= 0) & (y < grid.size[0])
    return down[:, None] & across[None, :]


def at_cells(labels: Tensor, grid: Grid) -> Tensor:
    """Return the label of the pixel that holds the centre of each cell, or of the nearest pixel.

    Args:
        labels: (N, H, W).
        grid: where the cells lie.

    Returns:
        (N, h, w).
    """
    x, y = (
        ((torch.arange(cells, device=labels.device) + 0.5) * grid.stride + origin).long().clamp(0, pixels - 1)
        for cells, origin, pixels in zip(reversed(grid.size), grid.origin, reversed(labels.shape[-2:]), strict=True)
    )
    return labels[:, y[:, None], x]


def _places(grid: Grid, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return where the centres of the image's columns and rows lie, in cells from the map's corner: (W,) and (H,)."""
    x, y = (
        (torch.arange(pixels, device=device) + 0.5 - origin) / grid.stride
        for pixels, origin in zip(reversed(size), grid.origin, strict=True)
    )
    return x, y
