"""Head that reads a whole pyramid: every level is convolved and enlarged to the size of the finest, then joined.

The semantic branch of Kirillov, Girshick, He, Dollár, "Panoptic Feature Pyramid Networks", CVPR 2019,
https://arxiv.org/abs/1901.02446, section 3.1: 3×3 convolution, group norm, ReLU and bilinear doubling, as often as a
level is coarser, then the sum and a 1×1 convolution. The paper's last enlargement to the image is left to the task,
unless `enlarge` asks for it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from densezoo.errors import ConfigError
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.fusion import build_fusion, fusion_config
from densezoo.layers.precision import full_precision
from densezoo.layers.resize import resize_bilinear
from densezoo.registry import FUSIONS, HEADS
from densezoo.types import Maps, Pyramid


@HEADS.register()
class PyramidHead(nn.Module):
    """One branch per level, joined at the finest of them, then a 1×1 convolution per map.

    Attributes:
        levels: indices of the levels that are read, finest first.
        stride: image pixels per cell of every map.
        origin: image coordinate, in pixels, of the corner of the maps' first cell.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        outputs: Mapping[str, int],
        in_origins: Sequence[float] | None = None,
        levels: Sequence[int] | None = None,
        channels: int = 128,
        fusion: str | Mapping[str, Any] = "sum",
        dropout: float = 0.0,
        enlarge: int = 1,
        align_corners: bool = False,
        norm: str = "group",
        activation: str = "relu",
    ) -> None:
        """Make the head.

        Args:
            in_channels: width of every level of the pyramid, finest first.
            in_strides: image pixels per cell of every level.
            outputs: map name to its channels.
            in_origins: image coordinate of the corner of each level's first cell; None where all are 0.
            levels: indices of the levels that are read; None for all.
            channels: width of the branches.
            fusion: how branches are joined: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            dropout: share of the joined channels that are dropped in training.
            enlarge: factor by which the maps are enlarged at the end.
            align_corners: enlarge with the centres of corner cells kept in the corners, which does not keep cells in
                their places; segmentation_models_pytorch does so.
            norm: see `make_norm`; convolutions in front of one have no bias.
            activation: see `make_activation`.

        Raises:
            ConfigError: no such levels, strides that are no doublings, levels that are shifted against each other, a
                number that cannot be, or an unknown fusion, norm or activation.
        """
        super().__init__()
        read = sorted(set(range(len(in_channels)) if levels is None else levels))
        if not read or read[0] < 0 or read[-1] >= len(in_channels):
            raise ConfigError(f"PyramidHead: levels={levels}, but the pyramid has levels 0 to {len(in_channels) - 1}")
        finest = in_strides[read[0]]
        doublings = [math.log2(in_strides[level] / finest) for level in read]
        if any(count % 1 for count in doublings):
            raise ConfigError(
                f"PyramidHead: strides {[in_strides[level] for level in read]} are no doublings; choose other levels"
            )
        origins = {in_origins[level] if in_origins else 0.0 for level in read}
        if len(origins) > 1:
            raise ConfigError("PyramidHead: valid convolutions shift the levels; read one of them with ConvHead")
        if channels < 1 or not 0 <= dropout < 1 or enlarge < 1 or finest % enlarge:
            raise ConfigError(
                f"PyramidHead: channels={channels} must be at least 1, dropout={dropout} from 0 to below 1, and "
                f"enlarge={enlarge} a divisor of the stride {finest}"
            )
        config = fusion_config(fusion)
        if not getattr(FUSIONS.get(config["type"]), "uses_skips", True):
            raise ConfigError(f"PyramidHead: fusion {config['type']!r} would drop levels; read one with ConvHead")
        self.levels = read
        self.stride = finest // enlarge
        self.origin = origins.pop()
        self.enlarge = enlarge
        self.align_corners = align_corners
        self.doublings = [int(count) for count in doublings]
        self.branches = nn.ModuleList()
        for level, count in zip(read, self.doublings, strict=True):
            widths = [in_channels[level]] + [channels] * (count - 1)
            layers = [ConvNormAct(width, channels, 3, 1, norm, activation, bias=norm == "none") for width in widths]
            self.branches.append(nn.ModuleList(layers))
        self.fuse = build_fusion(config, [channels] * len(read), norm, activation)
        self.dropout = nn.Dropout2d(dropout)
        joined = self.fuse.out_channels
        self.finals = nn.ModuleDict({name: nn.Conv2d(joined, width, 1) for name, width in outputs.items()})

    def forward(self, pyramid: Pyramid) -> Maps:
        """Map the pyramid to {map name: (N, channels, h, w)}, `enlarge` times the size of the finest level read.

        The last convolution is float32 under autocast too, like that of every head.
        """
        height, width = pyramid[self.levels[0]].shape[-2:]
        joined = []
        for level, branch, count in zip(self.levels, self.branches, self.doublings, strict=True):
            x = pyramid[level]
            for done, layer in enumerate(cast(nn.ModuleList, branch), start=1):
                x = layer(x)
                if count:
                    left = 2 ** (count - done)
                    x = self._resize(x, (-(-height // left), -(-width // left)))
            joined.append(x)
        fused = self.dropout(self.fuse(joined))
        with full_precision(fused):
            maps = {name: final(fused.to(final.weight.dtype)) for name, final in self.finals.items()}
            if self.enlarge == 1:
                return maps
            size = (height * self.enlarge, width * self.enlarge)
            return {name: self._resize(values, size) for name, values in maps.items()}

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if self.align_corners:
            return F.interpolate(x, size=size, mode="bilinear", align_corners=True)
        return resize_bilinear(x, size)
