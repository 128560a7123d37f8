"""Convolution, normalisation, activation, in this order."""

from torch import Tensor, nn

from densezoo.layers.normalise import norm_act


class ConvNormAct(nn.Module):
    """Convolution, then normalisation, then activation.

    The convolution may have a bias even before a batch normalisation, as in Newell's network; it keeps parameter counts
    and published weights comparable.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        norm: str = "batch",
        activation: str = "relu",
        bias: bool = True,
        padding: int | None = None,
        groups: int = 1,
    ) -> None:
        """Make the layer.

        Args:
            in_channels: C in.
            out_channels: C out.
            kernel_size: odd size of the square kernel.
            stride: step; the output is ceil(H / stride) × ceil(W / stride) with the default padding.
            norm: see `make_norm`.
            activation: see `make_activation`.
            bias: whether the convolution has one.
            padding: zeros on each side; None for 'same', half the kernel.
            groups: of the convolution.

        Raises:
            ConfigError: an unknown norm or activation.
        """
        super().__init__()
        around = kernel_size // 2 if padding is None else padding
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, around, groups=groups, bias=bias)
        self.norm_act = norm_act(out_channels, norm, activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C in, H, W) to (N, C out, h, w)."""
        out: Tensor = self.norm_act(self.conv(x))
        return out
