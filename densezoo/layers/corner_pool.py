"""Corner pooling: the largest value from a cell to the far end of its row or column.

Of CornerNet (Law and Deng 2018, https://arxiv.org/abs/1808.01244, section 3.4). A map is walked row by row, each row
against the one before it, in channels-last memory, where a row is one piece of memory. Only plain operators are
used, so there is nothing to build, and graphs of it can be compiled and exported for a given size.

Among equal values the gradient goes to the one that the walk meets first, the farthest from the cell that reads it, as
in CornerNet's own operator (which replaces a maximum only by a larger value; `torch.cummax` also by an equal one).
Deviation: gradients of 16-bit maps are added up in float32.
"""

from typing import Any

import torch
from torch import Tensor

from densezoo.errors import ConfigError, near_names

# direction: the axis of an (N, H, W, C) map that is walked, and whether from its end
DIRECTIONS = {"top": (1, True), "left": (2, True), "bottom": (1, False), "right": (2, False)}


def corner_pool(x: Tensor, direction: str) -> Tensor:
    """Give every cell the largest value between it and one end of its column or row.

    Args:
        x: (N, C, H, W) of any type; channels-last memory saves a copy.
        direction: where maxima are carried: `'top'` (a cell sees all below it), `'left'` (all to its right),
            `'bottom'` or `'right'`.

    Returns:
        (N, C, H, W), channels-last in memory, as its gradient is.

    Raises:
        ConfigError: an unknown direction.
    """
    if direction not in DIRECTIONS:
        raise ConfigError(f"no corner pooling has direction={direction!r}; {near_names(direction, DIRECTIONS)}")
    axis, from_end = DIRECTIONS[direction]
    pooled: Tensor = _RunningMax.apply(x, axis, from_end)
    return pooled


class _RunningMax(torch.autograd.Function):
    """Running maximum of an (N, C, H, W) map along an axis of its channels-last view."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, from_end: bool) -> Tensor:
        rows = _walk(_channels_last(x), axis, from_end)
        for index in range(1, len(rows)):
            rows[index] = torch.maximum(rows[index], rows[index - 1])
        pooled = _join(rows, axis, from_end)
        ctx.save_for_backward(pooled)
        ctx.axis, ctx.from_end = axis, from_end
        return _channels_first(pooled)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Add up the gradients of all cells that carry the same maximum, at the cell where it was met."""
        (pooled,) = ctx.saved_tensors
        axis, rest = ctx.axis, pooled.shape[ctx.axis] - 1
        exact = torch.promote_types(grad.dtype, torch.float32)
        rows = _walk(_channels_last(grad).to(exact), axis, ctx.from_end)
        low, high = pooled.narrow(axis, 0, rest), pooled.narrow(axis, 1, rest)
        carried = low <= high if ctx.from_end else low >= high
        carries = _walk(carried.to(exact), axis, ctx.from_end)
        for index in range(rest - 1, -1, -1):
            rows[index] = torch.addcmul(rows[index], rows[index + 1], carries[index])
        total = _join(rows, axis, ctx.from_end)
        total.narrow(axis, 0 if ctx.from_end else 1, rest).masked_fill_(carried, 0)
        return _channels_first(total.to(grad.dtype)), None, None


def _channels_last(x: Tensor) -> Tensor:
    """Return (N, C, H, W) as (N, H, W, C) in one piece: without a copy where that is how it lies in memory.

    By way of a transposed matrix, which torch copies several times faster than a map with its axes moved.
    """
    num_images, channels, height, width = x.shape
    return x.flatten(2).mT.contiguous().view(num_images, height, width, channels)


def _channels_first(x: Tensor) -> Tensor:
    """Return (N, H, W, C) as a view (N, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def _walk(x: Tensor, axis: int, from_end: bool) -> list[Tensor]:
    """Return the rows in the order in which they are met."""
    rows = list(x.unbind(axis))
    return rows[::-1] if from_end else rows


def _join(rows: list[Tensor], axis: int, from_end: bool) -> Tensor:
    return torch.stack(rows[::-1] if from_end else rows, axis)
