"""From heat to peaks, and from peaks to boxes: how CornerNet's maps are read, batched, on any device.

Law and Deng 2018 (https://arxiv.org/abs/1808.01244, section 3.1 and 4.2). Positions are in cells, cell j spanning
[j, j + 1]; a corner lies at its cell's low edge plus its offset. Deviations: cells that are no local maximum are never
corners (the published code takes them, at score 0, where there are fewer maxima than it wants), and boxes without an
area are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Corners:
    """The best corners of one kind, best first.

    Attributes:
        score: (N, K) in 0–1; 0 for none.
        label: (N, K) int64 class.
        x: (N, K) float32 cells.
        y: (N, K) float32 cells.
        embedding: (N, K) float32.
    """

    score: Tensor
    label: Tensor
    x: Tensor
    y: Tensor
    embedding: Tensor


def local_maxima(maps: Tensor) -> Tensor:
    """Set all cells of (N, C, h, w) to 0 but those that none of their eight neighbours exceeds."""
    return maps * (maps == _highest_of_three(_highest_of_three(maps, -1), -2))


def _highest_of_three(maps: Tensor, axis: int) -> Tensor:
    """Return the highest of each cell and its two neighbours: slices, since pooling is many times slower on a CPU."""
    cells = maps.shape[axis]
    if cells == 1:
        return maps
    pairs = torch.maximum(maps.narrow(axis, 0, cells - 1), maps.narrow(axis, 1, cells - 1))
    inner = torch.maximum(pairs.narrow(axis, 0, cells - 2), pairs.narrow(axis, 1, cells - 2))
    return torch.cat([pairs.narrow(axis, 0, 1), inner, pairs.narrow(axis, cells - 2, 1)], axis)


def highest_cells(maps: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find the highest cells over all channels, the highest first.

    The K highest cells lie in the K rows with the highest maxima, so only those are sorted.

    Args:
        maps: (N, C, h, w).
        count: how many; fewer where there are fewer cells.

    Returns:
        value (N, K), and channel, row and column (N, K) int64.
    """
    num_channels, height, width = maps.shape[1:]
    best = maps.amax(-1).flatten(1).topk(min(count, num_channels * height)).indices
    image = torch.arange(len(maps), device=maps.device)[:, None]
    rows = maps[image, best // height, best % height]
    value, place = rows.flatten(1).topk(min(count, rows.shape[1] * width))
    line = best.gather(1, place // width)
    return value, line // height, line % height, place % width


def find_corners(heat: Tensor, embedding: Tensor, offset: Tensor, count: int, mirrored: bool = False) -> Corners:
    """Find the corners of one kind.

    Args:
        heat: (N, C, h, w) in 0–1.
        embedding: (N, 1, h, w).
        offset: (N, 2, h, w) x, y in cells.
        count: how many; fewer where there are fewer cells.
        mirrored: the maps were mirrored, so that x is measured from the cell's high edge to the left.
    """
    planes = heat.flatten(2).contiguous().view(heat.shape)  # rows in one piece, which channels-last maps have not
    score, label, row, column = highest_cells(local_maxima(planes), count)
    place = row * heat.shape[3] + column
    values = torch.cat([offset, embedding], 1).flatten(2).gather(2, place[:, None].expand(-1, 3, -1))
    dx, dy, tag = values.unbind(1)
    return Corners(score, label, column + (1 - dx if mirrored else dx), row + dy, tag)


def pair_corners(
    left: Corners, right: Corners, threshold: float, limits: Sequence[float], count: int, rising: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Make boxes of all pairs of corners that have one class, near embeddings and an area.

    Args:
        left: the boxes' left corners: the upper ones, or the lower ones where `rising`.
        right: the boxes' right corners.
        threshold: the largest difference of two embeddings.
        limits: largest x and y, in cells; boxes are clipped to them and to 0.
        count: how many pairs, the best by the mean of both scores; fewer where there are fewer.
        rising: the pairs are bottom-left and top-right corners.

    Returns:
        boxes (N, M, 4) xyxy in cells, scores (N, M), and labels (N, M) int64; best first. Where there are fewer pairs,
        the rest are boxes of zeros with a score of 0.
    """
    num_left, num_right = left.score.shape[1], right.score.shape[1]
    upper, lower = (right, left) if rising else (left, right)
    width, height = limits
    x1, x2 = left.x.clamp(0, width)[:, :, None], right.x.clamp(0, width)[:, None, :]
    y1, y2 = upper.y.clamp(0, height), lower.y.clamp(0, height)
    y1, y2 = (y1[:, None, :], y2[:, :, None]) if rising else (y1[:, :, None], y2[:, None, :])
    fits = (
        (left.label[:, :, None] == right.label[:, None, :])
        & ((left.embedding[:, :, None] - right.embedding[:, None, :]).abs() <= threshold)
        & (x2 > x1)
        & (y2 > y1)
        & (left.score[:, :, None] > 0)
        & (right.score[:, None, :] > 0)
    )
    mean = (left.score[:, :, None] + right.score[:, None, :]) / 2
    scores, pair = (mean * fits).flatten(1).topk(min(count, num_left * num_right))
    sides = [side.expand(-1, num_left, num_right).flatten(1).gather(1, pair) for side in (x1, y1, x2, y2)]
    return torch.stack(sides, -1) * (scores > 0)[..., None], scores, left.label.gather(1, pair // num_right)
