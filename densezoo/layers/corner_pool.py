"""Corner pooling: the largest value from a cell to the far end of its row or column.

Of CornerNet (Law and Deng 2018, https://arxiv.org/abs/1808.01244, section 3.4). A map is walked row by row, each row
against the one before it, in channels-last memory, where a row is one piece of memory. Only torch's operators are used,
so there is nothing to build. `torch.compile` takes a walk for one operator, of any size; exported graphs have its rows
one by one, and so are of one height and width. On a GPU with Triton one kernel walks all rows (`kernels.corner_pool`);
for what it does not take, and where it cannot be built, torch's operators are run there, too.

Among equal values the gradient goes to the one that the walk meets first, the farthest from the cell that reads it, as
in CornerNet's own operator (which replaces a maximum only by a larger value; `torch.cummax` also by an equal one).
A NaN is larger than everything: all cells that see it are NaN, and each of them keeps its own gradient. Deviation:
gradients of 16-bit maps are added up in float32.
"""

import logging
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
_FAILED: list[str] = []  # names of kernels that could not be run here

logger = logging.getLogger("densezoo")


def corner_pool(x: Tensor, direction: str) -> Tensor:
    """Give every cell the largest value between it and one end of its column or row.

    Args:
        x: (N, C, H, W) of any real type and any size, empty ones too; channels-last memory saves a copy.
        direction: where maxima are carried: `'top'` (a cell sees all below it), `'left'` (all to its right),
            `'bottom'` or `'right'`.

    Returns:
        (N, C, H, W), channels-last in memory, as its gradient is.

    Raises:
        ConfigError: an unknown direction.
        ValueError: `x` has not got four axes, or holds complex numbers, which have no largest.
    """
    if direction not in DIRECTIONS:
        raise ConfigError(f"no corner pooling has direction={direction!r}; {near_names(direction, DIRECTIONS)}")
    if x.ndim != 4 or x.is_complex():
        raise ValueError(f"corner pooling needs an (N, C, H, W) map of real numbers, got {tuple(x.shape)} of {x.dtype}")
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
        pooled = (running_max if _is_one_step(cells, axis) else _plain_max)(cells, axis, from_end)
        ctx.save_for_backward(pooled)
        ctx.axis, ctx.from_end = axis, from_end
        return _channels_first(pooled)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Add up the gradients of all cells that carry the same maximum, at the cell where it was met."""
        (pooled,) = ctx.saved_tensors
        cells, again = _channels_last(grad), torch.is_grad_enabled()  # again: gradients of gradients
        if _is_one_step(cells, ctx.axis) and (torch.compiler.is_compiling() or not again):
            total = running_max_backward(cells, pooled, ctx.axis, ctx.from_end)
        else:  # in place, a third faster, where nothing follows the graph, and not in the gradient that came
            changed = None if again or torch.compiler.is_exporting() else cells.data_ptr() == grad.data_ptr()
            total = _plain_backward(cells, pooled, ctx.axis, ctx.from_end, changed)
        return _channels_first(total), None, None


def _is_one_step(cells: Tensor, axis: int) -> bool:
    """Whether an (N, H, W, C) map is walked in one operator of our own.

    So that Triton can, and so that a compiler neither unrolls the walk nor compiles it for each size anew. Exported
    graphs hold torch's operators only.
    """
    return not torch.compiler.is_exporting() and (torch.compiler.is_compiling() or _has_kernel(cells, axis))


def _has_kernel(cells: Tensor, axis: int) -> bool:
    return HAS_TRITON and not _FAILED and cells.is_cuda and cells.dtype in KERNEL_TYPES and cells.shape[axis] <= LONGEST


def _plain_max(cells: Tensor, axis: int, from_end: bool) -> Tensor:
    rows = _walk(cells, axis, from_end)
    for index in range(1, len(rows)):
        rows[index] = torch.maximum(rows[index], rows[index - 1])
    return _join(rows, axis, from_end)


def _plain_backward(cells: Tensor, pooled: Tensor, axis: int, from_end: bool, copy: bool | None = True) -> Tensor:
    """Bring the gradient `cells` of a running maximum `pooled` to where each maximum was met.

    Args:
        cells: (N, H, W, C).
        pooled: (N, H, W, C).
        axis: that was walked.
        from_end: whether from its end.
        copy: `cells` before it is changed, where it has to be; None changes nothing in place, for a graph to be built.
    """
    exact = torch.promote_types(cells.dtype, torch.float32)
    rest = pooled.shape[axis] - 1
    low, high = pooled.narrow(axis, 0, rest), pooled.narrow(axis, 1, rest)
    carried = low <= high if from_end else low >= high
    carries = _walk(carried.to(exact), axis, from_end)
    if copy is None:
        rows = _walk(cells.to(exact), axis, from_end)
        for index in range(rest - 1, -1, -1):
            rows[index] = torch.addcmul(rows[index], rows[index + 1], carries[index])
        total = _join(rows, axis, from_end)
    else:
        total = cells.to(exact, copy=copy)
        rows = _walk(total, axis, from_end)
        for index in range(rest - 1, -1, -1):
            rows[index].addcmul_(rows[index + 1], carries[index])
    total.narrow(axis, 0 if from_end else 1, rest).masked_fill_(carried, 0)
    return total.to(cells.dtype)


def _by_kernel(name: str, axis: int, from_end: bool, *cells: Tensor) -> Tensor | None:
    """Run one of Triton's kernels; None where there is none, or it cannot be built here.

    The latter is said once, and not tried again.
    """
    if not _has_kernel(cells[0], axis):
        return None
    try:
        from densezoo.layers.kernels import corner_pool as kernels  # only where it runs: it imports Triton

        found: Tensor = getattr(kernels, name)(*cells, axis, from_end)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler that is missing or fails, an old GPU: Triton has no class for them all
        _FAILED.append(name)
        logger.warning("corner pooling goes on without Triton, whose kernel does not run here: %s", error)
        return None
    return found


@torch.library.custom_op("densezoo::running_max", mutates_args=())
def running_max(cells: Tensor, axis: int, from_end: bool) -> Tensor:
    """Take the running maximum of an (N, H, W, C) map along an axis."""
    found = _by_kernel("running_max", axis, from_end, cells)
    return _plain_max(cells, axis, from_end) if found is None else found


@torch.library.custom_op("densezoo::running_max_backward", mutates_args=())
def running_max_backward(grad: Tensor, pooled: Tensor, axis: int, from_end: bool) -> Tensor:
    """Bring the gradient of a running maximum, (N, H, W, C) as it is, to where each maximum was met."""
    found = _by_kernel("running_max_backward", axis, from_end, grad, pooled)
    return _plain_backward(grad, pooled, axis, from_end) if found is None else found


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
