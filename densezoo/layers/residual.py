"""Residual blocks of the two hourglasses: pre-activated bottleneck, and basic block."""

from torch import Tensor, nn

from densezoo.layers.conv import ConvNormAct
from densezoo.layers.normalise import make_activation, norm_act


class Residual(nn.Module):
    """1×1 to half the width, 3×3, 1×1, each after normalisation and activation, around a skip connection.

    Of Newell et al. 2016 (https://arxiv.org/abs/1603.06937, fig. 4). Convolutions have a bias. The skip is the
    input itself, or a bare 1×1 convolution where the width changes.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch", activation: str = "relu") -> None:
        """Make the block.

        Args:
            in_channels: C in.
            out_channels: C out; the bottleneck has half of it.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: an unknown norm or activation.
        """
        super().__init__()
        half = max(out_channels // 2, 1)
        self.body = nn.Sequential(
            norm_act(in_channels, norm, activation),
            nn.Conv2d(in_channels, half, 1),
            norm_act(half, norm, activation),
            nn.Conv2d(half, half, 3, padding=1),
            norm_act(half, norm, activation),
            nn.Conv2d(half, out_channels, 1),
        )
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C in, H, W) to (N, C out, H, W)."""
        out: Tensor = self.skip(x) + self.body(x)
        return out


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a skip connection, activated at the end.

    Of He et al. 2016 (https://arxiv.org/abs/1512.03385), as CornerNet's hourglass has it: the skip is a normalised 1×1
    convolution where width or size change. Convolutions have a bias only without normalisation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, norm: str = "batch", activation: str = "relu"
    ) -> None:
        """Make the block.

        Args:
            in_channels: C in.
            out_channels: C out.
            stride: of the first convolution and of the skip.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: an unknown norm or activation.
        """
        super().__init__()
        bias = norm == "none"
        self.body = nn.Sequential(
            ConvNormAct(in_channels, out_channels, 3, stride, norm, activation, bias),
            ConvNormAct(out_channels, out_channels, 3, 1, norm, "none", bias),
        )
        same = stride == 1 and in_channels == out_channels
        self.skip = nn.Identity() if same else ConvNormAct(in_channels, out_channels, 1, stride, norm, "none", bias)
        self.activation = make_activation(activation, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C in, H, W) to (N, C out, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.activation(self.body(x) + self.skip(x))
        return out
