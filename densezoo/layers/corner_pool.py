"""Corner pooling: the largest value from a cell to the far end of its row or column.

Of CornerNet (Law and Deng 2018, https://arxiv.org/abs/1808.01244, section 3.4). A map is walked row by row, each row
against the one before it, in channels-last memory, where a row is one piece of memory. Only plain operators are
used, so there is nothing to build, and graphs of it can be compiled and exported for a given size. On a GPU with Triton
one kernel walks all rows (`kernels.corner_pool`); for what it does not take the plain operators are run there, too.

Among equal values the gradient goes to the one that the walk meets first, the farthest from the cell that reads it, as
in CornerNet's own operator (which replaces a maximum only by a larger value; `torch.cummax` also by an equal one).
A NaN is larger than everything: all cells that see it are NaN, and each of them keeps its own gradient. Deviation:
gradients of 16-bit maps are added up in float32.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from densezoo.errors import ConfigError, near_names

# direction: the axis of an (N, H, W, C) map that is walked, and whether from its end
DIRECTIONS = {"top": (1, True), "left": (2, True), "bottom": (1, False), "right": (2, False)}
HAS_TRITON = find_spec("triton") is not None
KERNEL_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
LONGEST = 2048  # cells of a walk; a kernel holds all of them in registers


def corner_pool(x: Tensor, direction: str) -> Tensor:
    """Give every cell the largest value between it and one end of its column or row.

    Args:
        x: (N, C, H, W) of any type and size, empty ones too; channels-last memory saves a copy.
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
    if not x.shape[axis + 1]:
        return x.clone()  # no row to begin with
    pooled: Tensor = _RunningMax.apply(x, axis, from_end)
    return pooled


class _RunningMax(torch.autograd.Function):
    """Running maximum of an (N, C, H, W) map along an axis of its channels-last view."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, from_end: bool) -> Tensor:
        cells = _channels_last(x)
        if _has_kernel(cells, axis):
            pooled = running_max(cells, axis, from_end)
        else:
            rows = _walk(cells, axis, from_end)
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
        cells = _channels_last(grad)
        traced, again = torch.compiler.is_compiling(), torch.is_grad_enabled()  # again: gradients of gradients
        if (traced or not again) and _has_kernel(cells, axis):
            return _channels_first(running_max_backward(cells, pooled, axis, ctx.from_end)), None, None
        exact = torch.promote_types(grad.dtype, torch.float32)
        low, high = pooled.narrow(axis, 0, rest), pooled.narrow(axis, 1, rest)
        carried = low <= high if ctx.from_end else low >= high
        carries = _walk(carried.to(exact), axis, ctx.from_end)
        if traced or again:
            rows = _walk(cells.to(exact), axis, ctx.from_end)
            for index in range(rest - 1, -1, -1):
                rows[index] = torch.addcmul(rows[index], rows[index + 1], carries[index])
            total = _join(rows, axis, ctx.from_end)
        else:  # in place, a third faster, and not in the gradient that came
            total = cells.to(exact, copy=cells.data_ptr() == grad.data_ptr())
            rows = _walk(total, axis, ctx.from_end)
            for index in range(rest - 1, -1, -1):
                rows[index].addcmul_(rows[index + 1], carries[index])
        total.narrow(axis, 0 if ctx.from_end else 1, rest).masked_fill_(carried, 0)
        return _channels_first(total.to(grad.dtype)), None, None


def _has_kernel(cells: Tensor, axis: int) -> bool:
    """Whether Triton takes an (N, H, W, C) map; exported graphs hold plain operators only."""
    return (
        not torch.compiler.is_exporting()
        and HAS_TRITON
        and cells.is_cuda
        and cells.dtype in KERNEL_TYPES
        and cells.shape[axis] <= LONGEST
    )


@torch.library.custom_op("densezoo::running_max", mutates_args=())
def running_max(cells: Tensor, axis: int, from_end: bool) -> Tensor:
    """Take the running maximum of an (N, H, W, C) map along an axis, by Triton."""
    from densezoo.layers.kernels import corner_pool as kernels  # only where it runs: it imports Triton

    return kernels.running_max(cells, axis, from_end)


@torch.library.custom_op("densezoo::running_max_backward", mutates_args=())
def running_max_backward(grad: Tensor, pooled: Tensor, axis: int, from_end: bool) -> Tensor:
    """Bring the gradient of a running maximum, (N, H, W, C) as it is, to where each maximum was met, by Triton."""
    from densezoo.layers.kernels import corner_pool as kernels

    return kernels.running_max_backward(grad, pooled, axis, from_end)


@running_max.register_fake
def _(cells: Tensor, axis: int, from_end: bool) -> Tensor:
    return torch.empty_like(cells)


@running_max_backward.register_fake
def _(grad: Tensor, pooled: Tensor, axis: int, from_end: bool) -> Tensor:
    return torch.empty_like(grad)


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
