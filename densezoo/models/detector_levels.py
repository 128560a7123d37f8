"""What torchvision's detectors need of a pyramid: levels of one width, and anchors and regions that fit its strides.

torchvision assumes what holds for its own backbones: five levels from stride 4 or 8 on. Anchors here are those of the
published detectors in proportion to the strides: FCOS 1×, RetinaNet 4, 5 and 6.3×, Faster R-CNN and its kin 8×; of a
lone level, those of five. Regions are pooled from strides up to 32 (FPN, https://arxiv.org/abs/1612.03144, section 4.2:
coarser levels only propose).
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, KeypointRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from densezoo.contracts import Encoder, Neck
from densezoo.errors import ConfigError
from densezoo.types import Pyramid

LOG = logging.getLogger("densezoo")
DEFAULT_CHANNELS = 256  # of torchvision's own pyramids
RATIOS = (0.5, 1.0, 2.0)  # height / width of anchors: FPN, RetinaNet
PYRAMID = 5  # levels that the published detectors spread their anchors over
COARSEST_POOLED = 32
GROUPS = 32  # of the group normalisation in torchvision's FCOS head


class Projections(nn.ModuleDict):
    """Brings the levels of a pyramid to one width, by 1×1 convolutions where they have another.

    Attributes:
        channels: that width.
    """

    def __init__(self, widths: Sequence[int], channels: int | None) -> None:
        """Make the convolutions; `channels` None is for levels of one width, or else 256."""
        super().__init__()
        self.channels: int = channels or (widths[0] if len(set(widths)) == 1 else DEFAULT_CHANNELS)
        for index, width in enumerate(widths):
            same = width == self.channels
            self[str(index)] = nn.Identity() if same else nn.Conv2d(width, self.channels, 1)

    def forward(self, pyramid: Pyramid) -> dict[str, Tensor]:
        """Map a pyramid, finest first, to {'0': (N, C, h, w) of its finest level, '1': …}."""
        pairs = zip(self.items(), pyramid, strict=True)
        return OrderedDict((name, project(level)) for (name, project), level in pairs)


def levels_of(encoder: Encoder, neck: Neck | None) -> tuple[list[int], list[int]]:
    """Return widths and strides of the levels that a neck's last stage gives, or without a neck the encoder.

    Raises:
        ConfigError: convolutions without padding have moved the first cells from the image's corner.
    """
    widths, strides, origins = encoder.channels, encoder.strides, encoder.origins
    if neck is not None:
        widths, strides, origins = neck.out_channels, neck.out_strides, neck.out_origins[-1]
    if any(origins):
        raise ConfigError(
            f"the maps begin at {origins} pixels, but torchvision's detectors put every map's first cell at the "
            "image's corner; take convolutions that keep sizes: padding='same' of an encoder, align='resize' of a neck"
        )
    return list(widths), list(strides)


def freeze_unread(
    module: nn.Module, read: Callable[[Tensor], Mapping[str, Tensor]], channels: int, stride: int
) -> None:
    """Freeze the parameters that no map depends on, and report them.

    Args:
        module: whose parameters; its modes stay as they are.
        read: its maps of (1, channels, H, W) images.
        channels: of the images.
        stride: of the coarsest map.
    """
    modes = [(part, part.training) for part in module.modules()]
    named = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    if not named:
        return
    side = max(stride, 64)
    device = next(iter(named.values())).device
    module.eval()
    with torch.enable_grad():
        maps = read(torch.zeros(1, channels, side, side, device=device))
        total = torch.stack([level.sum() for level in maps.values()]).sum()
        gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    for part, training in modes:
        part.training = training
    unread = [name for name, gradient in zip(named, gradients, strict=True) if gradient is None]
    for name in unread:
        named[name].requires_grad_(False)
    if unread:
        size = sum(named[name].numel() for name in unread) / 1e6
        LOG.warning("froze %d tensors (%.2f M numbers) that no map depends on; first %s", len(unread), size, unread[0])


def level_arguments(strides: Sequence[int], channels: int, detector: type[nn.Module]) -> dict[str, Any]:
    """Return the anchors, and where regions are pooled their pooling, as arguments of a detector of torchvision.

    Args:
        strides: image pixels per cell of every level, finest first.
        channels: width of the levels.
        detector: `FCOS`, `RetinaNet`, `FasterRCNN`, `KeypointRCNN` or `MaskRCNN`, or a class derived from one.

    Raises:
        ConfigError: another detector, or a width or strides that it cannot work with.
    """
    if issubclass(detector, FCOS):
        if channels % GROUPS:
            raise ConfigError(
                f"FCOS normalises maps in {GROUPS} groups, but these have {channels} channels; give it channels=… that "
                f"are a multiple of {GROUPS}"
            )
        return {"anchor_generator": _anchors([(stride,) for stride in strides], (1.0,))}
    if issubclass(detector, RetinaNet):
        return {"anchor_generator": _anchors(_sizes(strides, 4, 3), RATIOS)}
    if not issubclass(detector, FasterRCNN):
        raise ConfigError(f"no arguments are known for {detector.__name__}; FCOS, RetinaNet or an R-CNN will do")
    arguments = {
        "rpn_anchor_generator": _anchors(_sizes(strides, 8, 1), RATIOS),
        "box_roi_pool": roi_pool(strides, 7),
    }
    if issubclass(detector, KeypointRCNN):
        arguments["keypoint_roi_pool"] = roi_pool(strides, 14)
    if issubclass(detector, MaskRCNN):
        arguments["mask_roi_pool"] = roi_pool(strides, 14)
    return arguments


def _sizes(strides: Sequence[int], scale: int, octave: int) -> list[tuple[int, ...]]:
    """Return the sizes of each level's anchors, `octave` of them in an octave."""
    octaves = PYRAMID if len(strides) == 1 else 1
    steps = [2 ** (step / octave) for step in range(octave * octaves)]
    return [tuple(int(scale * stride * step) for step in steps) for stride in strides]


def _anchors(sizes: Sequence[tuple[int, ...]], ratios: tuple[float, ...]) -> Any:
    return AnchorGenerator(tuple(sizes), (ratios,) * len(sizes))


def roi_pool(strides: Sequence[int], size: int) -> Any:
    """Return the pooling of regions from levels of these strides to `size` × `size` cells.

    Raises:
        ConfigError: strides do not double from level to level.
    """
    pooled = [stride for stride in strides if stride <= COARSEST_POOLED] or list(strides[:1])
    if pooled != [pooled[0] << step for step in range(len(pooled))]:
        raise ConfigError(
            f"regions are shared out among levels whose strides double, not {pooled}; let other levels be read"
        )
    pool = MultiScaleRoIAlign([str(index) for index in range(len(pooled))], size, sampling_ratio=2)
    # known here; it would estimate them from the first batch, and wrongly where that has small images
    finest = round(math.log2(pooled[0]))
    pool.scales = [1 / stride for stride in pooled]
    pool.map_levels = LevelMapper(finest, finest + len(pooled) - 1)
    return pool
