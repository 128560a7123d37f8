"""Keep freed memory in the process on a Linux CPU.

glibc hands large blocks back to the kernel when they are freed, and every training step then faults the same pages in
again; that costs a small hourglass a twelfth of each step, and a quarter of each inference
(`benchmarks/step_time.py`). Only the commands call this; importing densezoo changes nothing.
"""

import ctypes
import sys

# Parameter numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Tell glibc to serve large blocks from the heap and never to trim it. Call before the first tensor.

    Returns:
        Whether the allocator took it; False on other systems and other C libraries.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = [(_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 << 20)]
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
