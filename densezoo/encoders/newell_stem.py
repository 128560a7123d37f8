"""Stem of the stacked hourglass: image to one map at a quarter of its size.

Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, https://arxiv.org/abs/1603.06937.
Deviation: the pooling rounds sizes up, which changes nothing for inputs that are multiples of 4.
"""

from collections.abc import Sequence

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
        self,
        channels: int | Sequence[int] = 256,
        in_channels: int = 3,
        round_up: bool = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the stem.

        Args:
            channels: C, a multiple of 4; or the widths of the convolution and of the three residuals.
            in_channels: 3 (RGB), 1, or any other number.
            round_up: whether the pooling keeps the last row and column of an odd map; the published networks drop them.
            mean: of values in 0–1, per input channel; None for ImageNet's with three channels and 0.5 with others.
            std: in the same way.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: `channels` is neither a positive multiple of 4 nor four widths, `mean` or `std` has not one
                number per input channel, or an unknown norm or activation.
        """
        super().__init__()
        widths = [channels // 4, channels // 2, channels // 2, channels] if isinstance(channels, int) else [*channels]
        if len(widths) != 4 or min(widths) < 1 or (isinstance(channels, int) and channels % 4):
            raise ConfigError(f"NewellStem: channels={channels} must be a positive multiple of 4, or four widths")
        self.channels = widths[-1:]
        self.strides = [4]
        self.origins = [0.0]
        self.mean = tuple(mean or (MEAN if in_channels == 3 else (0.5,) * in_channels))
        self.std = tuple(std or (STD if in_channels == 3 else (0.5,) * in_channels))
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != in_channels:
                raise ConfigError(f"NewellStem: {name}={values} must have in_channels={in_channels} numbers")
        self.layers = nn.Sequential(
            ConvNormAct(in_channels, widths[0], 7, 2, norm, activation),
            Residual(widths[0], widths[1], norm, activation),
            nn.MaxPool2d(2, ceil_mode=round_up),
            Residual(widths[1], widths[2], norm, activation),
            Residual(widths[2], widths[3], norm, activation),
        )

    def forward(self, images: Tensor) -> Pyramid:
        """Map (N, in_channels, H, W) normalised images to [(N, C, ceil(H / 4), ceil(W / 4))]."""
        return [self.layers(images)]
