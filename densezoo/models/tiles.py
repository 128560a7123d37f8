"""Windows over images, and one map of what they show: for images too large, or too odd, to be seen at once.

Windows lie whole strides of the coarsest map apart, so the cells of all of them are cells of one map. Where a network
pads, windows overlap: at its rim a window knows less, so the mean is weighted by the distance to it. Convolutions
without padding answer for the middle of a window only, which it sees just as it sees the whole image; there the answers
abut, and what lies beyond the image is its mirror image. That is the overlap-tile strategy of U-Net (Ronneberger,
Fischer, Brox 2015, https://arxiv.org/abs/1505.04597, figure 2).
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from densezoo.errors import ConfigError
from densezoo.functional.mirroring import mirrored_indices
from densezoo.types import Grid, Maps

Look = Callable[[Tensor], Mapping[str, tuple[Maps, Grid]]]
"""Images to the activated maps of each task and where they lie."""
AT_ONCE = 8
"""Windows that a network gets together, of a batch of fewer images."""


@dataclass(frozen=True)
class Tiling:
    """Where the windows of an image lie.

    Attributes:
        size: (height, width) of each window.
        tops: image row of the upper edge of each row of windows, ascending; windows may reach beyond the image.
        lefts: the same of columns.
        image_size: (height, width) of the image.
    """

    size: tuple[int, int]
    tops: list[int]
    lefts: list[int]
    image_size: tuple[int, int]

    def cut(self, images: Tensor) -> list[Tensor]:
        """Return every window of images (N, C, H, W), row by row: (N, C, *size) each, mirrored beyond the image."""
        (height, width), (top, left) = self.size, (self.tops[0], self.lefts[0])
        for axis, begin, end in ((-2, top, self.tops[-1] + height), (-1, left, self.lefts[-1] + width)):
            pixels = images.shape[axis]
            if begin < 0 or end > pixels:
                indices = torch.from_numpy(mirrored_indices(begin, end, pixels))
                images = images.index_select(axis, indices.to(images.device))
        return [
            images[..., y - top : y - top + height, x - left : x - left + width]
            for y, x in itertools.product(self.tops, self.lefts)
        ]


def lay_windows(
    image_size: tuple[int, int],
    window: tuple[int, int],
    overlap: float,
    coarsest: tuple[int, float],
    lost: float,
) -> Tiling:
    """Say where windows lie on an image.

    Args:
        image_size: (height, width).
        window: (height, width) of the windows. An image that is smaller is seen whole; with convolutions without
            padding by the smallest window that answers for all of it.
        overlap: share of a window that the next one sees again, from 0 to below 1; not where `lost`.
        coarsest: stride and origin of the network's coarsest map.
        lost: pixels on each side of a window that the network does not answer for.

    Raises:
        ConfigError: windows in which the network's maps do not lie alike.
    """
    axes = [
        _lay(pixels, side, overlap, coarsest, math.ceil(lost)) for pixels, side in zip(image_size, window, strict=True)
    ]
    (height, tops), (width, lefts) = axes
    return Tiling((height, width), tops, lefts, image_size)


def _lay(pixels: int, side: int, overlap: float, coarsest: tuple[int, float], lost: int) -> tuple[int, list[int]]:
    """Return the side of windows, and where they begin along a row of pixels."""
    stride, origin = coarsest
    if not lost and side >= pixels:
        return pixels, [0]
    rest = round(2 * origin) % stride  # what even maps on all levels leave
    if lost:
        side = min(side, pixels + 2 * lost + (rest - pixels - 2 * lost) % stride)
    answered = side - 2 * lost
    if side % stride != rest or answered < min(stride, pixels):
        least = 2 * lost + stride + (rest - 2 * lost) % stride
        below = max(side - (side - rest) % stride, least)
        raise ConfigError(
            f"engine.window: a window of {side} pixels does not do for this network, whose coarsest map has a stride "
            f"of {stride}; take {below} or {below + stride}"
        )
    step = answered if lost else side * (1 - overlap)
    step = max(math.floor(step / stride + 1e-6), 1)  # in strides, as what follows; a share is rarely exact
    last = max(math.ceil((pixels - answered) / stride), 0)
    gaps = math.ceil(last / step)
    return side, [last * index // max(gaps, 1) * stride - lost for index in range(gaps + 1)]


def look_through_windows(images: Tensor, tiling: Tiling, look: Look) -> dict[str, list[tuple[Maps, Grid]]]:
    """Look at every window, several at once.

    Args:
        images: (N, C, H, W).
        tiling: of images of that size.
        look: what to do with windows.

    Returns:
        Task name to the maps of every window and where they lie in the image, without cells beyond it.
    """
    windows, places = tiling.cut(images), list(itertools.product(tiling.tops, tiling.lefts))
    several = max(AT_ONCE // len(images), 1)
    found: dict[str, list[tuple[Maps, Grid]]] = {}
    for start in range(0, len(windows), several):
        group = windows[start : start + several]
        answers = look(group[0] if len(group) == 1 else torch.cat(group))
        for name, (maps, grid) in answers.items():
            for number, (top, left) in enumerate(places[start : start + several]):
                rows = slice(number * len(images), (number + 1) * len(images))
                own = {key: values[rows] for key, values in maps.items()}
                origin = (grid.origin[0] + left, grid.origin[1] + top)
                moved = replace(grid, origin=origin, image_size=tiling.image_size, window=len(windows) > 1)
                found.setdefault(name, []).append(_cut_beyond(own, moved, tiling.image_size))
    return found


def _cut_beyond(maps: Maps, grid: Grid, size: tuple[int, int]) -> tuple[Maps, Grid]:
    """Take away rows and columns of cells that lie beside an image (height, width)."""
    spans = []
    for cells, begin, pixels in zip(grid.size, reversed(grid.origin), size, strict=True):
        first, end = math.floor(-begin / grid.stride), math.ceil((pixels - begin) / grid.stride)
        spans.append((max(first, 0), min(end, cells)))
    (top, bottom), (left, right) = spans
    if (bottom - top, right - left) == grid.size:
        return maps, grid
    origin = (grid.origin[0] + left * grid.stride, grid.origin[1] + top * grid.stride)
    cut = {name: values[..., top:bottom, left:right] for name, values in maps.items()}
    return cut, replace(grid, origin=origin, size=(bottom - top, right - left))


def stitch(views: Sequence[tuple[Maps, Grid]]) -> tuple[Maps, Grid]:
    """Put the maps of windows together; where they overlap they are averaged.

    The weight of a cell is the product of its numbers of rows and of columns to the nearest edge of its window,
    counted from 1.

    Args:
        views: activated maps of windows and where their cells lie: of one stride, whole cells apart.

    Raises:
        ConfigError: the windows leave gaps.
    """
    first = views[0][1]
    if len(views) == 1:
        return views[0]
    x, y = (min(grid.origin[axis] for _, grid in views) for axis in (0, 1))
    corners = [
        (round((grid.origin[1] - y) / first.stride), round((grid.origin[0] - x) / first.stride)) for _, grid in views
    ]
    rows, columns = (
        max(corner[axis] + grid.size[axis] for corner, (_, grid) in zip(corners, views, strict=True)) for axis in (0, 1)
    )
    weights = torch.zeros(rows, columns)
    sums = {name: values.new_zeros(*values.shape[:2], rows, columns) for name, values in views[0][0].items()}
    for (top, left), (maps, grid) in zip(corners, views, strict=True):
        height, width = grid.size
        weight = _from_edges(height)[:, None] * _from_edges(width)
        weights[top : top + height, left : left + width] += weight
        for name, values in maps.items():
            sums[name][..., top : top + height, left : left + width] += values * weight.to(values.device)
    if not weights.all():
        raise ConfigError("engine.window: the maps of windows of this size do not meet; take larger ones")
    stitched = {name: total / weights.to(total.device) for name, total in sums.items()}
    return stitched, replace(first, origin=(x, y), size=(rows, columns), window=False)


def _from_edges(cells: int) -> Tensor:
    """Return (cells,) float32: 1, 2, … to the middle and back to 1."""
    ascending = torch.arange(1.0, cells + 1)
    return torch.minimum(ascending, ascending.flip(0))
