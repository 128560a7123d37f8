"""Stem of the stacked hourglass: image to one map at a quarter of its size.

Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, https://arxiv.org/abs/1603.06937.
Deviation: the pooling rounds sizes up, which changes nothing for inputs that are multiples of 4.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.image_statistics import image_statistics
from densezoo.layers.residual import Residual
from densezoo.registry import ENCODERS
from densezoo.types import Pyramid


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
        self,
        channels: int | Sequence[int] = 256,
        in_channels: int = 3,
        ceil_mode: bool = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the stem.

        Args:
            channels: C, a multiple of 4; or the widths of the convolution and of the three residuals.
            in_channels: 3 (RGB), 1, or any other number.
            ceil_mode: whether the pooling rounds sizes up; false drops a last odd row, as the published networks do.
            mean: of values in 0–1, per input channel; None for ImageNet's with three channels and 0.5 with others.
            std: in the same way.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: `channels` is neither a positive multiple of 4 nor four widths, a `mean` or `std` that cannot
                be, or an unknown norm or activation.
        """
        super().__init__()
        widths = [channels // 4, channels // 2, channels // 2, channels] if isinstance(channels, int) else [*channels]
        if len(widths) != 4 or min(widths) < 1 or (isinstance(channels, int) and channels % 4):
            raise ConfigError(f"NewellStem: channels={channels} must be a positive multiple of 4, or four widths")
        self.channels = widths[-1:]
        self.strides = [4]
        self.origins = [0.0]
        self.mean, self.std = image_statistics("NewellStem", in_channels, mean, std)
        self.layers = nn.Sequential(
            ConvNormAct(in_channels, widths[0], 7, 2, norm, activation),
            Residual(widths[0], widths[1], norm, activation),
            nn.MaxPool2d(2, ceil_mode=ceil_mode),
            Residual(widths[1], widths[2], norm, activation),
            Residual(widths[2], widths[3], norm, activation),
        )

    def forward(self, images: Tensor) -> Pyramid:
        """Map (N, in_channels, H, W) normalised images to [(N, C, h, w)].

        h is ceil(H / 4); without `ceil_mode` it is floor(ceil(H / 2) / 2).
        """
        return [self.layers(images)]
