"""Gaussians whose size follows the object, batched, on any device: the heat that corners and centres are learned from.

Law and Deng 2018, "CornerNet" (https://arxiv.org/abs/1808.01244, section 3.2): corners that are a little off still make
a box that overlaps the object's well, so cells around a corner are punished less. The radius is the largest by which
both corners may be off for a given overlap. CornerNet's first release took wrong roots of the three quadratics, with an
overlap of 0.7; the corrected ones go with 0.3.
"""

import torch
from torch import Tensor

RADII = {"corrected": 0.3, "legacy": 0.7}
"""Kind of radius to the overlap (intersection over union) that it is worked out for."""


def gaussian_radius(height: Tensor, width: Tensor, kind: str = "corrected") -> Tensor:
    """Work out how far both corners of a box may be off.

    Args:
        height: (...) of the boxes, in cells.
        width: (...) of the boxes, in cells.
        kind: one of `RADII`.

    Returns:
        (...) int64 cells, rounded down, at least 0.

    Raises:
        KeyError: another kind.
    """
    overlap = RADII[kind]
    height, width = height.double(), width.double()  # so that whole radii are not rounded down to the one below
    around = height + width
    # a r² + b r + c = 0 at the overlap, and the sign of its root's square root
    quadratics = (
        (1.0, -around, width * height * (1 - overlap) / (1 + overlap), -1),  # one corner inside the box, one outside
        (4.0, -2 * around, (1 - overlap) * width * height, -1),  # both inside
        (4 * overlap, 2 * overlap * around, (overlap - 1) * width * height, 1),  # both outside
    )
    radii = []
    for a, b, c, sign in quadratics:
        root = (b.square() - 4 * a * c).sqrt()
        radii.append((root - b) / 2 if kind == "legacy" else (sign * root - b) / (2 * a))
    return torch.stack(radii).amin(0).clamp(min=0).long()


def draw_gaussians(
    columns: Tensor,
    rows: Tensor,
    radii: Tensor,
    channels: Tensor,
    present: Tensor,
    num_channels: int,
    size: tuple[int, int],
) -> Tensor:
    """Draw one Gaussian per object into the map of its class, where the highest of several stands.

    Its standard deviation is a third of its reach, (2 · radius + 1) / 6, and it ends `radius` cells from its peak.

    Args:
        columns: (N, P) int64 cell of the peak.
        rows: (N, P) int64.
        radii: (N, P) int64, 0 or more.
        channels: (N, P) int64 class, 0 to C - 1 where present.
        present: (N, P) bool; what is absent draws nothing.
        num_channels: C.
        size: (height, width) of the maps in cells.

    Returns:
        (N, C, height, width) float32 in 0–1, exactly 1 at the peaks and nowhere else.
    """
    height, width = size
    num_images = len(columns)
    across = _profiles(columns, radii, width)
    down = _profiles(rows, radii, height) * present[..., None]
    drawn = down[..., :, None] * across[..., None, :]
    heat = drawn.new_zeros(num_images * num_channels, height * width)
    place = torch.arange(num_images, device=heat.device)[:, None] * num_channels + channels.where(present, 0)
    heat.scatter_reduce_(0, place.reshape(-1, 1).expand(-1, height * width), drawn.flatten(0, 1).flatten(1), "amax")
    return heat.view(num_images, num_channels, height, width)


def _profiles(centres: Tensor, radii: Tensor, cells: int) -> Tensor:
    """Return (N, P, cells) float32 values of Gaussians about (N, P) cells, zero beyond their radius."""
    distance = (torch.arange(cells, device=centres.device) - centres[..., None]).abs()
    reach = radii[..., None]
    # the exponential of what lies far beyond would be slow, and is not read
    return torch.exp(-0.5 * (6 * distance.clamp(max=reach) / (2 * reach + 1)).square()) * (distance <= reach)


def put_in_cells(values: Tensor, cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Write each object's values into its cell of maps of zeros.

    Args:
        values: (N, C, P).
        cells: (N, P) int64 flat cells, row · w + column; below 0 nowhere.
        size: (height, width) of the maps in cells.

    Returns:
        (N, C, height, width); of several objects in a cell the last one stays (on a GPU, any of them).
    """
    height, width = size
    num_images, channels = values.shape[:2]
    maps = values.new_zeros(num_images, channels, height * width + 1)  # what is nowhere goes behind the last cell
    places = cells.where(cells >= 0, height * width)
    filled = maps.scatter(2, places[:, None].expand_as(values), values)[..., :-1]
    return filled.reshape(num_images, channels, height, width)


def take_from_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Read maps (N, C, h, w) at each object's cell.

    Args:
        maps: (N, C, h, w).
        cells: (N, P) int64 flat cells, row · w + column; below 0 for none.

    Returns:
        (N, C, P); what is nowhere reads the first cell.
    """
    return maps.flatten(2).gather(2, cells.clamp(min=0)[:, None].expand(-1, maps.shape[1], -1))
