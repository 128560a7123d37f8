"""Convolutional head: a branch of convolutions per output map, on one level of the pyramid."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import nn

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.precision import full_precision
from densezoo.registry import HEADS
from densezoo.types import Maps, Pyramid


@HEADS.register()
class ConvHead(nn.Module):
    """One branch per map: hidden convolutions (none by default), then a bare convolution, 1×1 unless given.

    Without hidden convolutions this is the head of Newell et al. 2016. Output weights start as torch's default, unless
    `initial_std` is given.

    Attributes:
        stride: image pixels per cell of every map.
        origin: image coordinate, in pixels, of the corner of the maps' first cell.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        outputs: Mapping[str, int],
        in_origins: Sequence[float] | None = None,
        level: int = 0,
        hidden_channels: Sequence[int] = (),
        kernel_size: int = 3,
        norm: str = "batch",
        activation: str = "relu",
        final_kernel_size: int = 1,
        initial_std: float | None = None,
    ) -> None:
        """Make the head.

        Args:
            in_channels: width of every level of the pyramid, finest first.
            in_strides: image pixels per cell of every level.
            outputs: map name to its channels.
            in_origins: image coordinate of the corner of each level's first cell; None where all are 0.
            level: index of the level that is read.
            hidden_channels: width of each hidden convolution.
            kernel_size: odd kernel size of the hidden convolutions.
            norm: see `make_norm`; for the hidden convolutions.
            activation: see `make_activation`; for the hidden convolutions.
            final_kernel_size: odd kernel size of the last convolution.
            initial_std: standard deviation of the output weights at the start, with bias zero; None keeps torch's.

        Raises:
            ConfigError: the pyramid has no such level, a width, kernel size or deviation that cannot be, or an unknown
                norm or activation.
        """
        super().__init__()
        if not 0 <= level < len(in_channels):
            raise ConfigError(f"ConvHead: level={level}, but the pyramid has the levels 0 to {len(in_channels) - 1}")
        if min(final_kernel_size, kernel_size) < 1 or final_kernel_size % 2 == 0 or kernel_size % 2 == 0:
            raise ConfigError(
                f"ConvHead: kernel_size={kernel_size} and final_kernel_size={final_kernel_size} must be odd, from 1 on"
            )
        if min(hidden_channels, default=1) < 1:
            raise ConfigError(f"ConvHead: hidden_channels={list(hidden_channels)} must be at least 1 each")
        if initial_std is not None and not 0 <= initial_std < math.inf:
            raise ConfigError(f"ConvHead: initial_std={initial_std} must be 0 or more")
        self.level = level
        self.stride = in_strides[level]
        self.origin = in_origins[level] if in_origins else 0.0
        self.branches = nn.ModuleDict()
        for name, channels in outputs.items():
            widths = [in_channels[level], *hidden_channels]
            final = nn.Conv2d(widths[-1], channels, final_kernel_size, padding=final_kernel_size // 2)
            if initial_std is not None:
                nn.init.normal_(final.weight, std=initial_std)
                final.bias = nn.Parameter(torch.zeros(channels))
            hidden = [
                ConvNormAct(width, following, kernel_size, 1, norm, activation)
                for width, following in itertools.pairwise(widths)
            ]
            self.branches[name] = nn.Sequential(*hidden, final)

    def forward(self, pyramid: Pyramid) -> Maps:
        """Map the pyramid to {map name: (N, channels, h, w)} at the size of the level that is read.

        The last convolution is float32 under autocast too: the 8 bits of a bfloat16 logit put the peak of a heatmap
        into a wrong cell now and then.
        """
        maps = {}
        for name, branch in self.branches.items():
            x = pyramid[self.level]
            *hidden, final = cast(nn.Sequential, branch)
            for layer in hidden:
                x = layer(x)
            with full_precision(x):
                maps[name] = final(x.to(cast(nn.Conv2d, final).weight.dtype))
        return maps
