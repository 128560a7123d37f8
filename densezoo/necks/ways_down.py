"""How necks of several families make a coarser level of a finer one."""

from torch import nn

from densezoo.layers.conv import ConvNormAct
from densezoo.layers.double_conv import DoubleConv
from densezoo.necks.pathway import Make


def pool_and_convolve(norm: str, activation: str, padding: int = 1) -> Make:
    """Return U-Net's way down: 2×2 max-pooling, then two 3×3 convolutions."""

    def down(level: int, in_channels: int, out_channels: int) -> nn.Module:
        # ceil_mode keeps a last odd row and lets maps of a single cell through
        pool = nn.MaxPool2d(2, ceil_mode=True)
        return nn.Sequential(pool, DoubleConv(in_channels, out_channels, None, norm, activation, padding))

    return down


def halve(norm: str, activation: str) -> Make:
    """Return FPN's way down: a strided 3×3 convolution, with a bias where no normalisation follows."""

    def down(level: int, in_channels: int, out_channels: int) -> nn.Module:
        return ConvNormAct(in_channels, out_channels, 3, 2, norm, activation, bias=norm == "none")

    return down
