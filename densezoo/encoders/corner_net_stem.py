"""Stem of CornerNet's hourglasses: image to one map at a quarter of its size.

Law, Deng, "CornerNet: Detecting Objects as Paired Keypoints", ECCV 2018, https://arxiv.org/abs/1808.01244.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.image_statistics import image_statistics
from densezoo.layers.residual import BasicBlock
from densezoo.registry import ENCODERS
from densezoo.types import Pyramid


@ENCODERS.register()
class CornerNetStem(nn.Module):
    """7×7/2 convolution to C/2, basic residual block of stride 2 to C.

    Attributes:
        channels: `[C]`.
        strides: `[4]`.
        origins: `[0.0]`.
        mean: per input channel, of values in 0–1.
        std: per input channel, of values in 0–1.
    """

    def __init__(
        self,
        channels: int = 256,
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the stem.

        Args:
            channels: C, even.
            in_channels: 3 (RGB), or any other number.
            mean: of values in 0–1, per input channel; None for ImageNet's with three channels and 0.5 with others.
            std: in the same way.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: `channels` is not a positive even number, a `mean` or `std` that cannot be, or an
                unknown norm or activation.
        """
        super().__init__()
        if channels < 2 or channels % 2:
            raise ConfigError(f"CornerNetStem: channels={channels} must be a positive even number")
        self.channels = [channels]
        self.strides = [4]
        self.origins = [0.0]
        self.mean, self.std = image_statistics("CornerNetStem", in_channels, mean, std)
        self.layers = nn.Sequential(
            ConvNormAct(in_channels, channels // 2, 7, 2, norm, activation, bias=norm == "none"),
            BasicBlock(channels // 2, channels, 2, norm, activation),
        )

    def forward(self, images: Tensor) -> Pyramid:
        """Map (N, in_channels, H, W) normalised images to [(N, C, ceil(H / 4), ceil(W / 4))]."""
        return [self.layers(images)]
