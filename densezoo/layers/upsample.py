"""Learned doubling of a map, and what brings a doubled map to the size of a finer one."""

from torch import Tensor, nn

from densezoo.layers.normalise import norm_act
from densezoo.layers.resize import fit, resize_bilinear


class TransposedConvNormAct(nn.Module):
    """Transposed 4×4 convolution with stride 2, then normalisation, then activation."""

    def __init__(
        self, in_channels: int, out_channels: int, norm: str = "batch", activation: str = "relu", bias: bool = True
    ) -> None:
        """Make the layer.

        Args:
            in_channels: C in.
            out_channels: C out.
            norm: see `make_norm`.
            activation: see `make_activation`.
            bias: whether the convolution has one.

        Raises:
            ConfigError: an unknown norm or activation.
        """
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=bias)
        self.norm_act = norm_act(out_channels, norm, activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C in, h, w) to (N, C out, 2h, 2w)."""
        out: Tensor = self.norm_act(self.conv(x))
        return out


def cut_or_resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut a doubled (N, C, h, w) to (N, C, *size) where it has a row or column that has no counterpart.

    A size that is not about that of `x` (an encoder without a level in between) is reached by interpolation.
    """
    if all(side - 1 <= to <= side for side, to in zip(x.shape[-2:], size, strict=True)):
        return fit(x, size)
    return resize_bilinear(x, size)
