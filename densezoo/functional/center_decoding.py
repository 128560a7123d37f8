"""From heat to objects, and from an object's centre to its keypoints: how the maps of centres are read, batched.

Zhou, Wang, Krähenbühl 2019, "Objects as Points" (https://arxiv.org/abs/1904.07850, sections 4.1 and 4.2). Positions are
in cells, cell j spanning [j, j + 1]; offsets count from the cell's corner, sizes in cells. Numbers are those of the
published code.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from densezoo.functional.corner_targets import take_from_cells
from densezoo.functional.grouping import highest_cells, local_maxima

PEAK_SCORE = 0.1  # a keypoint's heat must exceed it to be a peak
SNAP_DISTANCE = 0.3  # of the box's longer side: how far a keypoint may move to a peak


@dataclass(frozen=True)
class Centers:
    """The best centres, best first.

    Attributes:
        score: (N, M) in 0–1; 0 for none.
        label: (N, M) int64 class.
        column: (N, M) int64 cell.
        row: (N, M) int64 cell.
        boxes: (N, M, 4) float32 xyxy in cells; not clipped, and without an area where a size is not positive.
    """

    score: Tensor
    label: Tensor
    column: Tensor
    row: Tensor
    boxes: Tensor


def find_centers(heat: Tensor, size: Tensor, offset: Tensor, count: int) -> Centers:
    """Find objects at the maxima of heat.

    Args:
        heat: (N, C, h, w) in 0–1.
        size: (N, 2, h, w) width and height.
        offset: (N, 2, h, w) x, y of the centre in its cell.
        count: how many; fewer where there are fewer cells.
    """
    planes = heat.flatten(2).contiguous().view(heat.shape)  # rows in one piece, which channels-last maps have not
    score, label, row, column = highest_cells(local_maxima(planes), count)
    x, y, width, height = take_from_cells(torch.cat([offset, size], 1), row * heat.shape[3] + column).unbind(1)
    x, y = column + x, row + y
    boxes = torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)
    return Centers(score, label, column, row, boxes)


def find_keypoints(centers: Centers, offset: Tensor, heat: Tensor, heat_offset: Tensor, count: int) -> Tensor:
    """Find every object's keypoints: where its centre says, or at the nearest peak of heat.

    A keypoint goes to the nearest of the peaks of its kind, of any object, if that lies in the object's box and not
    farther than `SNAP_DISTANCE`.

    Args:
        centers: M objects.
        offset: (N, 2K, h, w) x, y of each keypoint from the corner of the centre's cell.
        heat: (N, K, h, w) in 0–1.
        heat_offset: (N, 2, h, w) x, y of a keypoint in its cell.
        count: how many peaks of each kind are looked at.

    Returns:
        (N, M, K, 3) float32 x, y in cells, and the heat there: the peak's, or that of the cell that holds the point, 0
        outside the map.
    """
    num_images, kinds, height, width = heat.shape
    cells = torch.stack([centers.column, centers.row], -1)[:, None]
    told = take_from_cells(offset, centers.row * width + centers.column).view(num_images, kinds, 2, -1)
    told = told.transpose(2, 3) + cells

    planes = heat.flatten(2).contiguous().view(num_images * kinds, 1, height, width)
    score, _, row, column = (found.view(num_images, kinds, -1) for found in highest_cells(local_maxima(planes), count))
    x, y = take_from_cells(heat_offset, (row * width + column).flatten(1)).view(num_images, 2, kinds, -1).unbind(1)
    peaks = torch.stack([column + x, row + y], -1)

    # without the matrix product that cdist is fast with, whose rounding moves near points
    distance = torch.cdist(told, peaks, compute_mode="donot_use_mm_for_euclid_dist")
    distance, nearest = distance.masked_fill(score[:, :, None] <= PEAK_SCORE, torch.inf).min(-1)
    point = peaks.gather(2, nearest[..., None].expand(-1, -1, -1, 2))
    low, high = centers.boxes[:, None, :, :2], centers.boxes[:, None, :, 2:]
    reach = SNAP_DISTANCE * (high - low).amax(-1)
    snaps = (distance <= reach) & ((point >= low) & (point <= high)).all(-1)

    x, y = told.unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    place = y.where(inside, 0.0).long() * width + x.where(inside, 0.0).long()
    there = heat.flatten(2).gather(2, place).where(inside, 0.0)
    points = point.where(snaps[..., None], told)
    scores = score.gather(2, nearest).where(snaps, there)
    return torch.cat([points, scores[..., None]], -1).transpose(1, 2)
