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


def image_statistics(
    encoder: str, in_channels: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation per input channel, of values in 0–1.

    Args:
        encoder: its name, for messages.
        in_channels: number of input channels.
        mean: None for ImageNet's with three channels and 0.5 with others.
        std: in the same way.

    Raises:
        ConfigError: not one number per input channel.
    """
    found = []
    for name, values, imagenet in (("mean", mean, MEAN), ("std", std, STD)):
        if values is None:
            values = imagenet if in_channels == 3 else (0.5,) * in_channels
        if len(values) != in_channels:
            raise ConfigError(f"{encoder}: {name}={list(values)} must have in_channels={in_channels} numbers")
        found.append(tuple(values))
    return found[0], found[1]


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
