"""Branch of a head that gives one map: 3×3 convolution, activation, 1×1 convolution, without normalisation.

The branch of CornerNet (https://arxiv.org/abs/1808.01244) and of "Objects as Points" (https://arxiv.org/abs/1904.07850).
"""

from typing import cast

import torch
from torch import Tensor, nn

from densezoo.layers.conv import ConvNormAct
from densezoo.layers.precision import full_precision

HEAT_BIAS = -2.19  # sigmoid gives 0.1: most cells are background, and must not drown the loss at the start


class MapBranch(nn.Sequential):
    """The hidden convolution with its activation, then the one that gives the map."""

    def __init__(self, name: str, in_channels: int, channels: int, out_channels: int, activation: str = "relu") -> None:
        """Make the layers.

        Args:
            name: of the map; one that ends in `heat` starts with the bias of a probability of 0.1.
            in_channels: C in.
            channels: width of the hidden convolution.
            out_channels: of the map.
            activation: see `make_activation`.

        Raises:
            ConfigError: an unknown activation.
        """
        final = nn.Conv2d(channels, out_channels, 1)
        if name.endswith("heat"):
            final.bias = nn.Parameter(torch.full((out_channels,), HEAT_BIAS))
        super().__init__(ConvNormAct(in_channels, channels, 3, 1, "none", activation), final)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C in, h, w) to (N, out_channels, h, w).

        The last convolution is float32 under autocast too: offsets are parts of a cell.
        """
        hidden, final = self[0], cast(nn.Conv2d, self[1])
        x = hidden(x)
        with full_precision(x):
            out: Tensor = final(x.to(final.weight.dtype))
        return out
