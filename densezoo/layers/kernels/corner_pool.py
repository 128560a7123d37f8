"""Kernels of corner pooling for a GPU; imported only where one runs.

An (N, H, W, C) map in one piece is taken as (outer, length, inner): its middle axis is walked, and everything else is a
lane. A program holds `COLUMNS` lanes whole, neighbours in memory, and scans them in parallel. Values are compared and
added up in float32, or in float64 where they are.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 2048  # cells of a program: 16 in each of 128 threads
FEWEST_COLUMNS = 8  # float32 values in the 32 bytes that memory gives at a time


@triton.jit
def _places(
    steps: tl.tensor,
    lanes: tl.tensor,
    inner: tl.tensor,
    length: tl.tensor,
    from_end: tl.constexpr,
    columns: tl.constexpr,
) -> tl.tensor:
    """Return where in memory (R,) steps of the walks lie, (R, columns), and which of them exist."""
    lane = tl.program_id(0).to(tl.int64) * columns + tl.arange(0, columns)
    cell = length - 1 - steps if from_end else steps
    at = (lane // inner * length * inner + lane % inner)[None, :] + cell[:, None] * inner
    exists = (lane < lanes)[None, :] & (steps >= 0)[:, None] & (steps < length)[:, None]
    return at, exists


@triton.jit
def _load(values: tl.tensor, at: tl.tensor, exists: tl.tensor) -> tl.tensor:
    loaded = tl.load(values + at, mask=exists, other=0.0)
    return loaded if loaded.dtype == tl.float64 else loaded.to(tl.float32)


@triton.jit
def _larger(first: tl.tensor, second: tl.tensor) -> tl.tensor:
    """Return the larger of two, or a NaN."""
    return tl.where((first >= second) | (first != first), first, second)


@triton.jit
def _add_since_start(total: tl.tensor, starts: tl.tensor, value: tl.tensor, value_starts: tl.tensor) -> tl.tensor:
    """Add up, beginning anew where 1 says so."""
    return tl.where(value_starts > 0, value, total + value), starts | value_starts


@triton.jit
def _forward(
    cells: tl.tensor,
    pooled: tl.tensor,
    lanes: tl.tensor,
    inner: tl.tensor,
    length: tl.tensor,
    from_end: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
) -> None:
    at, exists = _places(tl.arange(0, rows), lanes, inner, length, from_end, columns)
    # what is beyond the walk's end comes last, and changes nothing
    tl.store(pooled + at, tl.associative_scan(_load(cells, at, exists), 0, _larger), mask=exists)


@triton.jit
def _backward(
    grad: tl.tensor,
    pooled: tl.tensor,
    total: tl.tensor,
    lanes: tl.tensor,
    inner: tl.tensor,
    length: tl.tensor,
    from_end: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
) -> None:
    steps = length - 1 - tl.arange(0, rows)  # back, from the last that was met
    at, exists = _places(steps, lanes, inner, length, from_end, columns)
    before, has_before = _places(steps - 1, lanes, inner, length, from_end, columns)
    after, has_after = _places(steps + 1, lanes, inner, length, from_end, columns)
    here = _load(pooled, at, exists)
    carried = has_before & (here <= _load(pooled, before, has_before))
    carries = has_after & (_load(pooled, after, has_after) <= here)
    starts = tl.where(carries, 0, 1)
    summed, _ = tl.associative_scan((_load(grad, at, exists), starts), 0, _add_since_start)
    tl.store(total + at, tl.where(carried, 0.0, summed), mask=exists)


def running_max(cells: Tensor, axis: int, from_end: bool) -> Tensor:
    """Take the running maximum of an (N, H, W, C) map in one piece along an axis, from its start or its end."""
    pooled = torch.empty_like(cells)
    _launch(_forward, (cells, pooled), axis, from_end)
    return pooled


def running_max_backward(grad: Tensor, pooled: Tensor, axis: int, from_end: bool) -> Tensor:
    """Add up the gradients (N, H, W, C) of all cells that carry the same maximum, at the cell where it was met."""
    total = torch.empty_like(grad)
    _launch(_backward, (grad, pooled, total), axis, from_end)
    return total


def _launch(kernel: Any, maps: tuple[Tensor, ...], axis: int, from_end: bool) -> None:
    """Run a kernel on all lanes of maps in one piece."""
    first = maps[0]
    if not first.numel():
        return
    length, inner = first.shape[axis], first.shape[axis + 1 :].numel()
    lanes = first.numel() // length
    rows = triton.next_power_of_2(length)
    columns = min(max(TILE // rows, FEWEST_COLUMNS), triton.next_power_of_2(lanes))
    warps = 4 if rows * columns <= 2 * TILE else 8
    with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]
        kernel[(triton.cdiv(lanes, columns),)](*maps, lanes, inner, length, from_end, rows, columns, num_warps=warps)
