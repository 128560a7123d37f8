"""The unit that U-Net and its kin are made of."""

from typing import cast

from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct

SMALLEST_VALID = 5  # cells on a side, of which two unpadded 3×3 convolutions leave one

LOST = 2  # cells that two unpadded 3×3 convolutions take off each side


class DoubleConv(nn.Sequential):
    """Two 3×3 convolutions, each with normalisation and activation.

    Of Ronneberger et al. 2015 (https://arxiv.org/abs/1505.04597), which has no normalisation. Convolutions have a bias
    only without normalisation, and weights then start as in that paper, with a standard deviation of √(2 / N) for N
    inputs: with torch's default hardly anything of an image, or of a gradient, comes through eighteen of them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mid_channels: int | None = None,
        norm: str = "batch",
        activation: str = "relu",
        padding: int = 1,
    ) -> None:
        """Make the layers: (N, C in, h, w) to (N, C out, h, w), or two cells less on each side without padding.

        Args:
            in_channels: C in.
            out_channels: C out.
            mid_channels: width between the two convolutions; None for C out.
            norm: see `make_norm`.
            activation: see `make_activation`.
            padding: zeros on each side of each convolution: 1, or 0 for 'valid' convolutions.

        Raises:
            ConfigError: an unknown norm or activation.
        """
        middle = out_channels if mid_channels is None else mid_channels
        bias = norm == "none"
        super().__init__(
            ConvNormAct(in_channels, middle, 3, 1, norm, activation, bias, padding),
            ConvNormAct(middle, out_channels, 3, 1, norm, activation, bias, padding),
        )
        if bias:
            for layer in self:
                conv = cast(ConvNormAct, layer).conv
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(cast(nn.Parameter, conv.bias))
        self.smallest = 1 if padding else SMALLEST_VALID

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C in, h, w) to (N, C out, h, w), or two cells less on each side without padding.

        Raises:
            ConfigError: nothing would be left.
        """
        height, width = x.shape[-2:]
        if min(height, width) < self.smallest:
            raise ConfigError(
                f"two 3×3 convolutions without padding leave nothing of a map of {height}×{width} cells, only of one "
                f"of {self.smallest}×{self.smallest} or more; take larger images, or padding "
                "(padding='same' of PlainUNet, align='resize' of UNet)"
            )
        for layer in self:
            x = layer(x)
        return x
