"""VGG-16 that runs bottom-up once, and then top-down with the same filters: image to a pyramid of refined maps.

Hu, Ramanan, "Bottom-Up and Top-Down Reasoning with Hierarchical Rectified Gaussians", CVPR 2016,
https://arxiv.org/abs/1507.05699; their code is https://github.com/peiyunh/rg-mpii.

Units z >= 0 of layers i = 1, 2, … score `sum_i <z_i, W_i z_(i-1) + b_i> - |z_i|² / 2`. Given its neighbours, the best
z_i is `relu(W_i z_(i-1) + b_i + W_(i+1)ᵀ z_(i+1))`. So going up from z = 0 and down again is coordinate ascent, and
unrolls to convolutions, transposed convolutions of the same filters, and ReLUs. Without normalisation (`norm='none'`)
that is exact; with one after each convolution, as published, the network keeps that form, but the score need not rise.

Pooling comes before the ReLU, so the units of a block's last layer live on the pooled map, and the switches of the
pooling are part of W. That is why the activation is no argument: another one would be another model.

Deviations:

- pooling rounds sizes up, so that any image will do; nothing changes for multiples of 32;
- switches are those of the normalised map that is pooled. The authors' code recomputes them on the map before its
  normalisation, which gives the same wherever the normalisation's scale is positive;
- top-down normalisations start with the bias 0 (0.001 in the authors' code).
"""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.image_statistics import image_statistics
from densezoo.layers.normalise import make_norm
from densezoo.registry import ENCODERS
from densezoo.types import Pyramid

LAYERS_OF_BLOCK = (2, 2, 3, 3, 3)
POOLED = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")
READ = ("conv2_2", "conv3_3", "conv4_3", "fc7")  # where the paper's score maps are taken
LOWEST = "conv3_1"  # the last whose filters send anything down


@ENCODERS.register()
class RectifiedGaussianVGG(nn.Module):
    """Rectified maps of pool2, pool3, pool4 and fc7; with two passes, the first three after the top-down pass.

    The paper's QP1 has one pass, its QP2 two. The second adds no filters, only normalisations. Nothing is above fc7, so
    fc7 stays as the bottom-up pass left it.

    Attributes:
        channels: widths of blocks 2, 3 and 4, then `fc_channels`.
        strides: `[4, 8, 16, 32]`.
        origins: zeros.
        mean: per input channel, of values in 0–1.
        std: per input channel, of values in 0–1.
    """

    def __init__(
        self,
        passes: int = 2,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        fc_channels: int = 4096,
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        norm: str = "batch",
    ) -> None:
        """Make the encoder.

        Args:
            passes: 1 (bottom-up), or 2 (bottom-up, then top-down).
            channels: width of each of VGG's five blocks.
            fc_channels: width of fc6 (a 7×7 convolution) and fc7 (1×1).
            in_channels: 3 (RGB), 1, or any other number.
            mean: of values in 0–1, per input channel; None for ImageNet's with three channels and 0.5 with others.
            std: in the same way.
            norm: see `make_norm`; after every convolution, the transposed ones too.

        Raises:
            ConfigError: another number of passes or blocks, a width below 1, a `mean` or `std` that cannot be,
                or an unknown norm.
        """
        super().__init__()
        if passes not in (1, 2):
            raise ConfigError(f"RectifiedGaussianVGG: passes={passes} must be 1 (bottom-up) or 2 (top-down as well)")
        if len(channels) != len(LAYERS_OF_BLOCK) or min(*channels, fc_channels) < 1:
            raise ConfigError(
                f"RectifiedGaussianVGG: channels={list(channels)} must be five widths, one for each block of VGG, and "
                f"fc_channels={fc_channels} one more"
            )
        self.channels = [*channels[1:4], fc_channels]
        self.strides = [4, 8, 16, 32]
        self.origins = [0.0] * 4
        self.mean, self.std = image_statistics("RectifiedGaussianVGG", in_channels, mean, std)
        sizes = [
            (f"conv{block}_{index}", width, 3)
            for block, (width, count) in enumerate(zip(channels, LAYERS_OF_BLOCK, strict=True), start=1)
            for index in range(1, count + 1)
        ]
        self.layers = nn.ModuleDict()
        self.top_down = nn.ModuleDict()
        self.steps: list[tuple[str, str]] = []  # (layer whose filters are used, layer whose units they refine)
        below, width_below = "", in_channels
        for name, width, kernel_size in [*sizes, ("fc6", fc_channels, 7), ("fc7", fc_channels, 1)]:
            self.layers[name] = ConvNormAct(width_below, width, kernel_size, 1, norm, "none")
            if passes == 2 and (self.steps or name == LOWEST):
                self.steps.insert(0, (name, below))
                self.top_down[name] = make_norm(norm, width_below)
            below, width_below = name, width
        self.refined = {below for _, below in self.steps}

    def forward(self, images: Tensor) -> Pyramid:
        """Map (N, in_channels, H, W) normalised images to maps of ceil(H / stride) × ceil(W / stride), finest first."""
        units: dict[str, Tensor] = {}
        sums: dict[str, Tensor] = {}  # what units are before they are rectified
        switches: dict[str, tuple[Tensor, tuple[int, int]]] = {}
        x = images
        for name, layer in self.layers.items():
            x = layer(x)
            if name in POOLED:
                height, width = x.shape[-2:]
                x, chosen = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
                switches[name] = chosen, (height, width)
            if name in self.refined:
                sums[name] = x
            x = x.relu()
            if name in READ:
                units[name] = x
        for name, below in self.steps:
            above = units[name]
            if name in switches:
                chosen, size = switches[name]
                above = F.max_unpool2d(above, chosen, (2, 2), output_size=size)
            conv = cast(ConvNormAct, self.layers[name]).conv
            message = F.conv_transpose2d(above, conv.weight, padding=conv.kernel_size[0] // 2)
            units[below] = (sums[below] + self.top_down[name](message)).relu()
        return [units[name] for name in READ]
