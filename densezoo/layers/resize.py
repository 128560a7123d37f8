"""Bringing a coarse map to the size of a finer one.

Way-down layers of the zoo round sizes up (ceil), so cell j of a level covers cells 2j and 2j + 1 of the finer one, for
odd sizes too. Nearest resizing to the finer size then gives cell i the value of cell i // 2: nothing shifts.
"""

import torch.nn.functional as F
from torch import Tensor


def resize_nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, C, h, w) to (N, C, *size) by repeating cells; `x` itself where the size is right already."""
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="nearest")
