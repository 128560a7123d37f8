"""Maps that centres, boxes and keypoints of objects are learned from, batched, on any device.

Zhou, Wang, Krähenbühl 2019, "Objects as Points" (https://arxiv.org/abs/1904.07850, sections 3 and 4). All lengths in
cells. See `densezoo.tasks.centers` for where peers differ.
"""

import torch
from torch import Tensor

from densezoo.functional.corner_losses import focal_weights
from densezoo.functional.corner_targets import draw_gaussians, gaussian_radius, put_in_cells
from densezoo.functional.object_cells import Spots, last_in_cells, locate, sum_in_cells
from densezoo.types import Grid, Targets


def box_targets(
    boxes: Tensor, channels: Tensor, present: Tensor, num_channels: int, radius: str, grid: Grid
) -> tuple[Targets, Spots, Tensor]:
    """Make the targets of boxes.

    Args:
        boxes: (N, P, 4) xyxy in the image's pixels.
        channels: (N, P) int64 heat map of each, 0 to C - 1.
        present: (N, P) bool; those whose centre lies beyond the map are left out, too.
        num_channels: C.
        radius: see `gaussian_radius`; for `'legacy'` sides are rounded up first, as in the published code.
        grid: where the map's cells lie.

    Returns:
        Targets; where the centres lie, (N, P); and (N, P) int64 radii. Their maps: `heat` (N, C, h, w), a Gaussian per
        object, 1 at its centre's cell; `size` (N, 2, h, w), width and height; `offset` (N, 2, h, w), the centre's place
        in its cell. Of objects that share a cell, size and offset are the last one's. Their weights: of heat see
        `focal_weights`; of the others (N, 1, h, w), how many objects the cell has.
    """
    spots = locate((boxes[..., :2] + boxes[..., 2:]) / 2, present, grid)
    sides = (boxes[..., 2:] - boxes[..., :2]) / grid.stride
    measured = sides.ceil() if radius == "legacy" else sides
    radii = gaussian_radius(measured[..., 1], measured[..., 0], radius)
    heat = draw_gaussians(spots.column, spots.row, radii, channels, spots.present, num_channels, grid.size)
    values = torch.cat([sides, spots.offset], -1).transpose(1, 2)
    size, offset = put_in_cells(values, last_in_cells(spots.cell), grid.size).chunk(2, 1)
    count = sum_in_cells(torch.ones_like(values[:, :1]), spots.cell, grid.size)
    targets = Targets(
        maps={"heat": heat, "size": size, "offset": offset},
        weights={"heat": focal_weights(heat), "size": count, "offset": count},
    )
    return targets, spots, radii


def keypoint_targets(keypoints: Tensor, labelled: Tensor, spots: Spots, radii: Tensor, grid: Grid) -> Targets:
    """Make the targets of the objects' keypoints.

    Args:
        keypoints: (N, P, K, 2) x, y in the image's pixels.
        labelled: (N, P, K) bool; only of objects that are present. Those beyond the map are left out, too.
        spots: where the objects' centres lie, (N, P).
        radii: (N, P) int64 radius of the Gaussians of each object's keypoints.
        grid: where the map's cells lie.

    Returns:
        maps: `keypoint_offset` (N, 2K, h, w), at the centre's cell x and y of every keypoint in turn, from the corner
        of that cell; `keypoint_heat` (N, K, h, w), a Gaussian per keypoint; `keypoint_heat_offset` (N, 2, h, w), the
        keypoint's place in its own cell, the mean of those that share it. weights: `keypoint_offset` (N, 2K, h, w), 0
        where it says nothing; of `keypoint_heat` see `focal_weights`; `keypoint_heat_offset` (N, 1, h, w), how many
        keypoints the cell has.
    """
    joints = locate(keypoints, labelled, grid)
    centre = torch.stack([spots.column, spots.row], -1)[:, :, None]
    away = torch.stack([joints.column, joints.row], -1) - centre + joints.offset
    told = joints.present[..., None].expand_as(away)
    values = torch.cat([away.where(told, 0.0), told.float()], 2).flatten(2).transpose(1, 2)
    offset, weight = put_in_cells(values, last_in_cells(spots.cell), grid.size).chunk(2, 1)

    only = torch.zeros_like(spots.cell)
    of_kinds = zip(joints.column.unbind(2), joints.row.unbind(2), joints.present.unbind(2), strict=True)
    heat = torch.cat(  # kind by kind, since all Gaussians at once take a lot of memory
        [draw_gaussians(column, row, radii, only, present, 1, grid.size) for column, row, present in of_kinds], 1
    )

    cells, places = joints.cell.flatten(1), joints.offset.flatten(1, 2).transpose(1, 2)
    count = sum_in_cells(torch.ones_like(places[:, :1]), cells, grid.size)
    mean = sum_in_cells(places, cells, grid.size) / count.clamp(min=1)
    return Targets(
        maps={"keypoint_offset": offset, "keypoint_heat": heat, "keypoint_heat_offset": mean},
        weights={"keypoint_offset": weight, "keypoint_heat": focal_weights(heat), "keypoint_heat_offset": count},
    )
