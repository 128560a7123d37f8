"""Measure corner pooling against `torch.cummax`, forward alone and with backward, on the CPU.

    python benchmarks/corner_pool.py                     # one map of 128 channels, 128×128, two threads
    python benchmarks/corner_pool.py --batch 4 --threads 8

`cummax` is turned around where it walks from the end, as in mmcv's operator. The two are measured in turns, so that a
drift of the machine's speed meets both; what is printed is the median. The zoo's networks are channels-last throughout.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from densezoo.engine.allocator import keep_freed_memory

keep_freed_memory()  # before the first tensor

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from densezoo.layers.corner_pool import DIRECTIONS, corner_pool  # noqa: E402

LAYOUTS = {"channels-last": torch.channels_last, "planes": torch.contiguous_format}


def cummax_pool(x: Tensor, direction: str) -> Tensor:
    """Corner pooling by `torch.cummax`, which gives the gradient of equal values to another cell."""
    axis, from_end = DIRECTIONS[direction]
    if not from_end:
        return torch.cummax(x, axis + 1).values
    return torch.cummax(x.flip(axis + 1), axis + 1).values.flip(axis + 1)


def milliseconds(pool: Callable[[Tensor, str], Tensor], x: Tensor, grad: Tensor, direction: str) -> tuple[float, float]:
    """Time one forward pass without, and one with backward pass."""
    started = time.perf_counter()
    with torch.no_grad():
        pool(x, direction)
    middle = time.perf_counter()
    torch.autograd.grad(pool(x, direction), x, grad)
    return (middle - started) * 1000, (time.perf_counter() - middle) * 1000


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (options.batch, options.channels, options.size, options.size)
    pools = {"corner_pool": corner_pool, "cummax": cummax_pool}
    print(f"{'median ms':<24}{'forward':>10}{'cummax':>10}{'':>10}{'+ backward':>12}{'cummax':>10}")
    for layout, memory_format in LAYOUTS.items():
        x = torch.randn(shape).relu().contiguous(memory_format=memory_format).requires_grad_()
        grad = torch.randn(shape).contiguous(memory_format=memory_format)
        for direction in DIRECTIONS:
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in pools}
            for turn in range(options.repeats + 2):
                for name, pool in pools.items():
                    found = milliseconds(pool, x, grad, direction)
                    if turn >= 2:  # the first two warm up
                        times[name].append(found)
            cells = []
            for kind in (0, 1):
                own, other = (statistics.median(pair[kind] for pair in times[name]) for name in pools)
                cells.append(f"{own:10.2f}{other:10.2f} ({other / own:5.1f}×)")
            print(f"{layout + ', ' + direction:<24}{''.join(cells)}")


if __name__ == "__main__":
    main()
