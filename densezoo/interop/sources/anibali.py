"""Stacked hourglasses of anibali/pytorch-stacked-hourglass, which are those of bearpaw/pytorch-pose.

https://github.com/anibali/pytorch-stacked-hourglass; its published weights are bearpaw's, for MPII.
"""

from collections.abc import Sequence
from typing import Any

from densezoo.interop.conversion import Weights, source
from densezoo.interop.sources.bearpaw import convert_bearpaw


@source("anibali")
def convert_anibali(weights: Weights, *, mean: Sequence[float] | None = None) -> dict[str, Any]:
    """Convert a network to pose heatmaps per stage; see `bearpaw`."""
    return convert_bearpaw(weights, mean=mean)
