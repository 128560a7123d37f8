"""Time, and memory at its highest, of finding the label of every pixel: all classes at once, and some at a time.

    python benchmarks/label_decode.py
    python benchmarks/label_decode.py --classes 11 --batch 8 --size 360 480

Each variant in processes of its own, in turns; medians. Maps of a quarter of the size are brought to the image.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch

from densezoo.engine.allocator import keep_freed_memory
from densezoo.functional.grids import bring_to_image, highest_in_image
from densezoo.types import Grid

VARIANTS = {"at once": lambda *args: bring_to_image(*args).argmax(1), "some at a time": highest_in_image}


def measure(variant: str, classes: int, batch: int, size: tuple[int, int]) -> None:
    """Print milliseconds and MiB above what was in use before."""
    keep_freed_memory()
    grid = Grid(4, (size[0] // 4, size[1] // 4))
    maps = torch.randn(batch, classes, *grid.size).to(memory_format=torch.channels_last)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        VARIANTS[variant](maps, grid, size)
        seconds.append(time.perf_counter() - start)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(1000 * statistics.median(seconds), used / 1024)


def main() -> None:
    """Print a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=150)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 680))
    parser.add_argument("--variant", help="measure this one here")
    options = parser.parse_args()
    if options.variant:
        measure(options.variant, options.classes, options.batch, tuple(options.size))
        return
    found: dict[str, list[list[float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(3):
        for variant, values in found.items():
            done = subprocess.run(
                [sys.executable, *sys.argv, "--variant", variant], capture_output=True, text=True, check=True
            )
            values.append([float(word) for word in done.stdout.split()])
    for variant, values in found.items():
        milliseconds, memory = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{variant:15} {milliseconds:8.1f} ms {memory:8.0f} MiB")


if __name__ == "__main__":
    main()
