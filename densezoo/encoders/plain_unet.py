"""Way down of the original U-Net: pairs of 3×3 convolutions with 2×2 max-pooling in between.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
https://arxiv.org/abs/1505.04597. The paper's is `PlainUNet(in_channels=1, padding="valid", norm="none")`.
Deviations: by default convolutions are padded and normalised, and pooling rounds sizes up, so that any image works; no
dropout at the bottom.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from densezoo.errors import ConfigError, near_names
from densezoo.layers.double_conv import LOST, DoubleConv
from densezoo.layers.image_statistics import image_statistics
from densezoo.registry import ENCODERS
from densezoo.types import Pyramid

NUM_LEVELS = 5  # the paper's


@ENCODERS.register()
class PlainUNet(nn.Module):
    """Two 3×3 convolutions per level, each level at half the size of the one before.

    Attributes:
        channels: width of every level, finest first.
        strides: `[1, 2, 4, …]`.
        origins: zeros, or `[2, 6, 14, …]` for valid convolutions.
        mean: per input channel, of values in 0–1.
        std: per input channel, of values in 0–1.
        smallest: side in pixels of the smallest image that has a cell on every level.
        smallest_up: the same for a network whose way up has valid convolutions, if the encoder has.
    """

    def __init__(
        self,
        channels: int | Sequence[int] = 64,
        in_channels: int = 3,
        padding: str = "same",
        ceil_mode: bool = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the encoder.

        Args:
            channels: width of the finest of five levels, doubled on the way down; or the width of each level.
            in_channels: 3 (RGB), 1, or any other number.
            padding: `'same'`, or `'valid'` for convolutions without padding, which need large images: down and up
                again, five levels lose 92 pixels on each side.
            ceil_mode: whether pooling rounds sizes up; false drops a last odd row, as many U-Nets do.
            mean: of values in 0–1, per input channel; None for ImageNet's with three channels and 0.5 with others.
            std: in the same way.
            norm: see `make_norm`; convolutions have a bias only with `'none'`.
            activation: see `make_activation`.

        Raises:
            ConfigError: fewer than two levels, a width below 1, another padding, a `mean` or `std` that cannot be, or
                an unknown norm or activation.
        """
        super().__init__()
        widths = [channels * 2**level for level in range(NUM_LEVELS)] if isinstance(channels, int) else list(channels)
        if len(widths) < 2 or min(widths) < 1:
            raise ConfigError(f"PlainUNet: channels={channels} must be a positive width, or at least two of them")
        if padding not in ("same", "valid"):
            raise ConfigError(f"PlainUNet: no padding={padding!r}; {near_names(padding, ('same', 'valid'))}")
        valid = padding == "valid"
        self.channels = widths
        self.strides = [2**level for level in range(len(widths))]
        self.origins = [0.0] * len(widths)
        if valid:
            self.origins = [float(LOST * sum(self.strides[: level + 1])) for level in range(len(widths))]
        self.mean, self.std = image_statistics("PlainUNet", in_channels, mean, std)
        lost = 2 * LOST if valid else 0
        up = 1  # cells of the coarsest level that valid convolutions on the way up leave one of
        for _ in widths[1:]:
            up = -(-(up + lost) // 2)
        self.smallest, self.smallest_up = (_pixels_for(cells, len(widths), lost, ceil_mode) for cells in (1, up))
        self.pool = nn.MaxPool2d(2, ceil_mode=ceil_mode)
        self.levels = nn.ModuleList(
            DoubleConv(before, width, None, norm, activation, padding=0 if valid else 1)
            for before, width in zip([in_channels, *widths], widths, strict=False)
        )

    def forward(self, images: Tensor) -> Pyramid:
        """Map (N, in_channels, H, W) normalised images to one map per level.

        The map of a level with stride s is (N, C, ceil(H / s), ceil(W / s)) with the defaults.

        Raises:
            ConfigError: the image is too small for a cell on every level.
        """
        height, width = images.shape[-2:]
        if min(height, width) < self.smallest:
            valid = f" ({self.smallest_up}×{self.smallest_up} with a way up of valid convolutions), or padding='same'"
            raise ConfigError(
                f"PlainUNet: an image of {height}×{width} pixels leaves nothing of the coarsest of {len(self.levels)} "
                f"levels; take images from {self.smallest}×{self.smallest} on"
                + (valid if any(self.origins) else ", or ceil_mode=True")
            )
        pyramid: Pyramid = []
        for level in self.levels:
            pyramid.append(level(self.pool(pyramid[-1]) if pyramid else images))
        return pyramid


def _pixels_for(cells: int, levels: int, lost: int, ceil_mode: bool) -> int:
    """Return how many pixels give the coarsest level so many cells, if every level's convolutions lose `lost`."""
    for _ in range(levels - 1):
        cells = 2 * (cells + lost) - int(ceil_mode)
    return cells + lost
