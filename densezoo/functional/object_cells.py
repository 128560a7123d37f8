"""Which objects of a batch are learned, which cells of a map they lie in, and what stands where several share one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from densezoo.functional.annotated import annotated
from densezoo.functional.boxes import clip_boxes
from densezoo.functional.grids import at_cells
from densezoo.types import Batch, Grid


@dataclass(frozen=True)
class Spots:
    """Where points lie on a map.

    Attributes:
        column: (...) int64; 0 where absent.
        row: (...) int64; 0 where absent.
        offset: (..., 2) float32 x, y from the cell's corner, in cells, 0 to 1; 0 where absent.
        present: (...) bool; the points that count and lie on the map.
        cell: (...) int64 flat cell, row · w + column; -1 where absent.
    """

    column: Tensor
    row: Tensor
    offset: Tensor
    present: Tensor
    cell: Tensor


def learned_objects(
    batch: Batch, size: tuple[int, int], num_classes: int, class_agnostic: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the objects that a detector learns: valid, no crowd, of a known class, with an area in the image.

    Args:
        batch: with `boxes` (N, P, 4), `labels` and `valid` (N, P); without boxes no object is there.
        size: (height, width) of the image in pixels.
        num_classes: labels from there on are not learned.
        class_agnostic: take all labels for 0.

    Returns:
        (N, P, 4) boxes clipped to the image, (N, P) int64 labels, both 0 where absent, and (N, P) bool: which count.
    """
    present = batch["valid"]
    if "boxes" not in batch:
        return torch.zeros(*present.shape, 4, device=present.device), present.long(), torch.zeros_like(present)
    present = present & annotated(batch, "boxes")[:, None]
    if "crowd" in batch:
        present = present & ~batch["crowd"]
    boxes, has_area = clip_boxes(batch["boxes"], size)
    labels = batch["labels"]
    present = present & has_area & (labels >= 0) & (labels < num_classes)
    return boxes.where(present[..., None], 0.0), labels.where(present & (not class_agnostic), 0), present


def known_images(batch: Batch) -> Tensor:
    """Say of which images the objects are known: (N, 1, 1, 1) float32, 1 or 0.

    What has no object on such an image is background there.
    """
    return annotated(batch, "boxes").float()[:, None, None, None]


def cells_on(batch: Batch, chosen: Tensor, grid: Grid) -> Tensor:
    """Say which cells lie on objects: their centres on an object's mask, or in its box where it has no mask.

    Args:
        batch: with `masks` (N, P, H, W), `boxes` (N, P, 4), both or none.
        chosen: (N, P) bool; the objects.
        grid: where the cells lie.

    Returns:
        (N, h, w) bool.
    """
    on = chosen.new_zeros(len(chosen), *grid.size)
    if "masks" in batch:
        masks = batch["masks"]
        at = at_cells(masks.flatten(0, 1), grid).bool().reshape(*chosen.shape, *grid.size)
        on = (at & chosen[..., None, None]).any(1)
        chosen = chosen & ~(masks != 0).flatten(2).any(2)
    if "boxes" in batch:
        inside = []
        for axis, cells in enumerate(reversed(grid.size)):
            centres = (torch.arange(cells, device=chosen.device) + 0.5) * grid.stride + grid.origin[axis]
            low, high = batch["boxes"][..., axis, None], batch["boxes"][..., axis + 2, None]
            inside.append((centres > low) & (centres < high))
        across, down = inside
        on = on | ((down & chosen[..., None])[..., :, None] & across[..., None, :]).any(1)
    return on


def locate(points: Tensor, present: Tensor, grid: Grid) -> Spots:
    """Find the cells that points lie in.

    Args:
        points: (..., 2) x, y in the image's pixels.
        present: (...) bool; which of them count.
        grid: where the map's cells lie.
    """
    height, width = grid.size
    # plain numbers, since making a tensor of them on a GPU would wait for it
    x, y = ((points[..., axis] - grid.origin[axis]) / grid.stride for axis in (0, 1))
    present = present & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x.where(present, 0.0), y.where(present, 0.0)
    column, row = x.long(), y.long()
    offset = torch.stack([x - column, y - row], -1)
    return Spots(column, row, offset, present, (row * width + column).where(present, -1))


def last_in_cells(cells: Tensor) -> Tensor:
    """Take objects off their cell that share it with a later one.

    Args:
        cells: (N, P) int64 flat cells; -1 for none.

    Returns:
        (N, P) int64; -1 where it was, and where a later object has the same cell. No cell is left to two objects.
    """
    later = (cells[:, :, None] == cells[:, None, :]).triu(1).any(2)
    return cells.masked_fill(later, -1)


def sum_in_cells(values: Tensor, cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Add each object's values to its cell of maps of zeros.

    Args:
        values: (N, C, P).
        cells: (N, P) int64 flat cells; below 0 nowhere.
        size: (height, width) of the maps in cells.

    Returns:
        (N, C, height, width).
    """
    height, width = size
    num_images, channels = values.shape[:2]
    maps = values.new_zeros(num_images, channels, height * width + 1)  # what is nowhere goes behind the last cell
    places = cells.where(cells >= 0, height * width)
    filled = maps.scatter_add(2, places[:, None].expand_as(values), values)[..., :-1]
    return filled.reshape(num_images, channels, height, width)
