"""Stem of the stacked hourglass: image to one map at a quarter of its size.

Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, https://arxiv.org/abs/1603.06937.
Deviation: the pooling rounds sizes up, which changes nothing for inputs that are multiples of 4.
"""

from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.residual import Residual
from densezoo.registry import ENCODERS
from densezoo.types import Pyramid

# ImageNet statistics of RGB in 0–1, as torchvision publishes them; any numbers near them would do for training from
# scratch.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@ENCODERS.register()
class NewellStem(nn.Module):
    """7×7/2 convolution, residual, 2×2 max-pool, two residuals: widths C/4, C/2, C/2, C.

    Attributes:
        channels: `[C]`.
        strides: `[4]`.
        origins: `[0.0]`.
        mean: per input channel, of values in 0–1.
        std: per input channel, of values in 0–1.
    """

    def __init__(
        self, channels: int = 256, in_channels: int = 3, norm: str = "batch", activation: str = "relu"
    ) -> None:
        """Make the stem.

        Args:
            channels: C, a multiple of 4.
            in_channels: 3 (RGB), or 1; any other number gets the mean and deviation 0.5.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: `channels` is not a positive multiple of 4, or an unknown norm or activation.
        """
        super().__init__()
        if channels < 4 or channels % 4:
            raise ConfigError(f"NewellStem: channels={channels} must be a positive multiple of 4")
        self.channels = [channels]
        self.strides = [4]
        self.origins = [0.0]
        self.mean = MEAN if in_channels == 3 else (0.5,) * in_channels
        self.std = STD if in_channels == 3 else (0.5,) * in_channels
        self.layers = nn.Sequential(
            ConvNormAct(in_channels, channels // 4, 7, 2, norm, activation),
            Residual(channels // 4, channels // 2, norm, activation),
            nn.MaxPool2d(2, ceil_mode=True),
            Residual(channels // 2, channels // 2, norm, activation),
            Residual(channels // 2, channels, norm, activation),
        )

    def forward(self, images: Tensor) -> Pyramid:
        """Map (N, in_channels, H, W) normalised images to [(N, C, ceil(H / 4), ceil(W / 4))]."""
        return [self.layers(images)]
