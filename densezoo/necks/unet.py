"""U-Net: the encoder's maps themselves as skips, concatenated, and two 3×3 convolutions per level on the way up.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
https://arxiv.org/abs/1505.04597. The paper's way up is `upsample="transposed"` (2×2 up-convolutions to the level's
width) with `align="crop"` (valid convolutions, skips cropped to what is left) and `norm="none"`; the default pads and
normalises as U-Nets on today's encoders do.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from densezoo.errors import ConfigError, near_names
from densezoo.layers.double_conv import DoubleConv
from densezoo.layers.fusion import fusion_config
from densezoo.layers.resize import double_bilinear_corners, fit, pad_around, resize_bilinear, resize_nearest
from densezoo.layers.upsample import cut_or_resize
from densezoo.necks.level_plan import encoder_widths, halved, plan_levels, shift_by_crops, stage_plans
from densezoo.necks.pathway import Blanks, Resize, identity
from densezoo.necks.staged_neck import StagedNeck, top_down
from densezoo.necks.ways_down import pool_and_convolve
from densezoo.registry import NECKS

RESIZES: dict[str, Resize] = {
    "bilinear": resize_bilinear,
    "nearest": resize_nearest,
    "transposed": cut_or_resize,  # of what the 2×2 up-convolution has doubled
}
ALIGNS = ("resize", "pad", "crop")


@NECKS.register()
class UNet(StagedNeck):
    """Doubled, concatenated with the encoder's map, convolved twice, level by level."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] | None = None,
        num_stages: int = 1,
        num_levels: int | None = None,
        finer_levels: int = 0,
        fusion: str | Mapping[str, Any] = "concat",
        out_levels: Sequence[int] | None = (0,),
        feedback_channels: int = 0,
        upsample: str = "bilinear",
        align: str = "resize",
        mid_channels: Sequence[int] | None = None,
        norm: str = "batch",
        activation: str = "relu",
        in_origins: Sequence[float] | None = None,
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of all levels, or of each, finest first; None for the encoder's widths (its coarsest's for
                levels that it lacks), halved for each finer level. The coarsest level keeps the encoder's map and
                width unless it is read.
            num_stages: number of U-Nets, each starting from the merged finest map of the one before.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's, which have no skip.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that are read, 0 being the finest; None for all.
            feedback_channels: total width of the maps that are fed back to the next stage.
            upsample: `'bilinear'`, `'nearest'`, or `'transposed'`, a 2×2 up-convolution to the level's width.
            align: how a doubled map meets its skip. `'resize'` fits any sizes; `'pad'` puts zeros around it, for
                encoders that round sizes down (bilinear doubling then keeps corner cells in the corners); `'crop'`
                cuts the middle out of the skip and makes all convolutions valid. Crops are exact to the cell where
                every pooled map has even sizes.
            mid_channels: width between the two convolutions of each level but the coarsest, finest first; None for
                the level's own.
            norm: see `make_norm`; convolutions have a bias only with `'none'`.
            activation: see `make_activation`.
            in_origins: image coordinate of the corner of each encoder level's first cell; None where all are 0.

        Raises:
            ConfigError: a number that cannot be, an unknown fusion, upsample, align, norm or activation, or an encoder
                of valid convolutions without `align='crop'`, or one whose strides do not double with `'pad'` or
                `'crop'`.
        """
        if upsample not in RESIZES:
            raise ConfigError(f"UNet: no upsample={upsample!r}; {near_names(upsample, RESIZES)}")
        if align not in ALIGNS:
            raise ConfigError(f"UNet: no align={align!r}; {near_names(align, ALIGNS)}")
        if channels is None:
            channels = encoder_widths(in_channels, num_levels, halved(in_channels[0], finer_levels))
        plan = plan_levels(
            "UNet",
            in_channels,
            in_strides,
            channels,
            num_stages,
            num_levels,
            finer_levels,
            out_levels,
            in_origins=in_origins,
        )
        valid = align == "crop"
        if align != "resize" and any(2 * one != other for one, other in itertools.pairwise(in_strides)):
            raise ConfigError(
                f"UNet: align={align!r} doubles maps, but the encoder's strides, {list(in_strides)}, do not double; "
                "take align='resize', or ask the encoder for other levels"
            )
        if not valid and len(set(plan.origins)) > 1:
            raise ConfigError("UNet: the encoder's valid convolutions shift its levels; take align='crop'")
        plans = stage_plans(plan, num_stages)
        if valid:
            plans = shift_by_crops(plans)
        middle = plan.channels[:-1] if mid_channels is None else list(mid_channels)
        if len(middle) != len(plan.channels) - 1 or min(middle, default=1) < 1:
            raise ConfigError(f"UNet: mid_channels={mid_channels} must be {len(plan.channels) - 1} widths from 1 on")
        padding = 0 if valid else 1

        def up_conv(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return nn.ConvTranspose2d(in_channels, out_channels, 2, 2)

        def refine(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return DoubleConv(in_channels, out_channels, middle[level], norm, activation, padding)

        blanks = Blanks(
            fusion_config(fusion),
            norm,
            activation,
            pre=up_conv if upsample == "transposed" else identity,
            refine=refine,
            resize=_joining(upsample, align),
        )
        down = pool_and_convolve(norm, activation, padding)
        super().__init__(plans, feedback_channels, down, top_down(blanks))


def _joining(upsample: str, align: str) -> Resize:
    """Return what brings the coarser map to the skip, or to what the skip is cropped to."""
    return RESIZES[upsample] if align == "resize" else partial(_pad if align == "pad" else _crop, upsample)


def _pad(upsample: str, x: Tensor, size: tuple[int, int]) -> Tensor:
    doubled = double_bilinear_corners(x) if upsample == "bilinear" else _double(upsample, x)
    return pad_around(doubled, size)


def _crop(upsample: str, x: Tensor, size: tuple[int, int]) -> Tensor:
    doubled = _double(upsample, x)
    return fit(doubled, (min(size[0], doubled.shape[-2]), min(size[1], doubled.shape[-1])))


def _double(upsample: str, x: Tensor) -> Tensor:
    """Double a map that no up-convolution has doubled yet."""
    return x if upsample == "transposed" else RESIZES[upsample](x, (2 * x.shape[-2], 2 * x.shape[-1]))
