"""Encoders and necks of the zoo as backbones of torchvision's detectors.

    backbone = as_backbone(create_model("fpn_resnet50", tasks=None))
    detector = FCOS(backbone, num_classes=4, **detector_arguments(backbone, FCOS))

`examples/torchvision_detector.py` trains one. torchvision assumes what holds for its own backbones: five levels from
stride 4 or 8 on, images padded to multiples of 32, strides found by dividing sizes. `detector_arguments` says instead
what holds for a given backbone.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, KeypointRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from densezoo.contracts import Encoder, Neck
from densezoo.errors import ConfigError
from densezoo.models import DenseModel
from densezoo.necks.staged_neck import StagedNeck

LOG = logging.getLogger("densezoo")
DEFAULT_CHANNELS = 256  # of torchvision's own pyramids
RATIOS = (0.5, 1.0, 2.0)  # height / width of anchors: FPN, RetinaNet
PYRAMID = 5  # levels that the published detectors spread their anchors over
COARSEST_POOLED = 32  # FPN, section 4.2: coarser levels only propose
GROUPS = 32  # of the group normalisation in torchvision's FCOS head


class Backbone(nn.Module):
    """Images to named maps of one width.

    Attributes:
        model: encoder and neck.
        out_channels: width of every map.
        strides: image pixels per cell of every map, finest first.
    """

    def __init__(self, model: DenseModel, channels: int | None) -> None:
        """Add the projections; `channels` None is for maps of one width, or else 256."""
        super().__init__()
        encoder, neck = model.encoder, model.neck
        widths, strides, origins = encoder.channels, encoder.strides, encoder.origins
        if neck is not None:
            widths, strides, origins = neck.out_channels, neck.out_strides, neck.out_origins[-1]
        if any(origins):
            raise ConfigError(
                f"the maps begin at {origins} pixels, but torchvision's detectors put every map's first cell at the "
                "image's corner; take convolutions that keep the size (align='resize')"
            )
        self.model = model
        self.strides: list[int] = list(strides)
        self.out_channels: int = channels or (widths[0] if len(set(widths)) == 1 else DEFAULT_CHANNELS)
        self.projections = nn.ModuleDict()
        for index, width in enumerate(widths):
            same = width == self.out_channels
            self.projections[str(index)] = nn.Identity() if same else nn.Conv2d(width, self.out_channels, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map (N, 3, H, W) normalised images to {'0': (N, C, h, w) of the finest level, '1': …} of the last stage."""
        pyramid = self.model.forward_features(images)[-1]
        pairs = zip(self.projections.items(), pyramid, strict=True)
        return OrderedDict((name, project(level)) for (name, project), level in pairs)


def as_backbone(model: DenseModel | Encoder, neck: Neck | None = None, channels: int | None = None) -> Backbone:
    """Wrap a network as a backbone of torchvision's detectors.

    What the maps do not depend on, such as the coarser outputs of stages before the last, is frozen and reported, so
    that every parameter that trains gets a gradient.

    Args:
        model: built with `tasks=None`, or an encoder.
        neck: follows the encoder; None lets the detector read the encoder itself.
        channels: width of all maps. Levels of another width get a 1×1 projection. None is the levels' own width if
            they have one, else 256.

    Raises:
        ConfigError: the model has tasks or a neck of its own, expects feedback, or loses borders to valid convolutions.
    """
    if isinstance(model, DenseModel):
        if model.tasks:
            raise ConfigError(
                "this model has heads that a detector would not train; build it with tasks=None, or give its parts: "
                "as_backbone(model.encoder, model.neck)"
            )
        if neck is not None:
            raise ConfigError("give a model, or an encoder and a neck; this model has its own")
    else:
        model = DenseModel(model, neck)
    if isinstance(model.neck, StagedNeck) and model.neck.fed_back:
        raise ConfigError("this neck expects maps of heads between its stages; build it without 'feedback'")
    backbone = Backbone(model, channels)
    _freeze_unread(backbone)
    return backbone


def _freeze_unread(backbone: Backbone) -> None:
    """Freeze the parameters that no map depends on."""
    modes = [(module, module.training) for module in backbone.modules()]
    named = {name: parameter for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    if not named:
        return
    side = max(backbone.strides[-1], 64)
    device = next(iter(named.values())).device
    backbone.eval()
    with torch.enable_grad():
        maps = backbone(torch.zeros(1, len(backbone.model.encoder.mean), side, side, device=device))
        total = torch.stack([level.sum() for level in maps.values()]).sum()
        gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    for module, training in modes:
        module.training = training
    unread = [name for name, gradient in zip(named, gradients, strict=True) if gradient is None]
    for name in unread:
        named[name].requires_grad_(False)
    if unread:
        size = sum(named[name].numel() for name in unread) / 1e6
        LOG.warning("froze %d tensors (%.2f M numbers) that no map depends on; first %s", len(unread), size, unread[0])


def detector_arguments(backbone: Backbone, detector: type[nn.Module]) -> dict[str, Any]:
    """Return what a detector of torchvision must be told about a backbone.

    Anchors are those of the published detectors in proportion to the strides: FCOS 1×, RetinaNet 4, 5 and 6.3×,
    Faster R-CNN and its kin 8×; of a lone level, those of five. Regions are pooled from strides up to 32.

    Args:
        backbone: from `as_backbone`.
        detector: `FCOS`, `RetinaNet`, `FasterRCNN`, `KeypointRCNN` or `MaskRCNN`, or a class derived from one.

    Returns:
        Keyword arguments for its constructor: anchors, region pooling, normalisation and padding of images.

    Raises:
        ConfigError: another detector, or a width or strides that it cannot work with.
    """
    encoder = backbone.model.encoder
    arguments: dict[str, Any] = {
        "image_mean": list(encoder.mean),
        "image_std": list(encoder.std),
        # then sizes divide by strides, and torchvision finds the strides by dividing
        "size_divisible": backbone.strides[-1],
    }
    if issubclass(detector, FCOS):
        if backbone.out_channels % GROUPS:
            raise ConfigError(
                f"FCOS normalises maps in {GROUPS} groups, but these have {backbone.out_channels} channels; give "
                f"as_backbone(channels=…) a multiple of {GROUPS}"
            )
        return arguments | {"anchor_generator": _anchors([(stride,) for stride in backbone.strides], (1.0,))}
    if issubclass(detector, RetinaNet):
        return arguments | {"anchor_generator": _anchors(_sizes(backbone.strides, 4, 3), RATIOS)}
    if not issubclass(detector, FasterRCNN):
        raise ConfigError(f"no arguments are known for {detector.__name__}; FCOS, RetinaNet or an R-CNN will do")
    arguments["rpn_anchor_generator"] = _anchors(_sizes(backbone.strides, 8, 1), RATIOS)
    arguments["box_roi_pool"] = roi_pool(backbone, 7)
    if issubclass(detector, KeypointRCNN):
        arguments["keypoint_roi_pool"] = roi_pool(backbone, 14)
    if issubclass(detector, MaskRCNN):
        arguments["mask_roi_pool"] = roi_pool(backbone, 14)
    return arguments


def _sizes(strides: Sequence[int], scale: int, octave: int) -> list[tuple[int, ...]]:
    """Return the sizes of each level's anchors, `octave` of them in an octave."""
    octaves = PYRAMID if len(strides) == 1 else 1
    steps = [2 ** (step / octave) for step in range(octave * octaves)]
    return [tuple(int(scale * stride * step) for step in steps) for stride in strides]


def _anchors(sizes: Sequence[tuple[int, ...]], ratios: tuple[float, ...]) -> Any:
    return AnchorGenerator(tuple(sizes), (ratios,) * len(sizes))


def roi_pool(backbone: Backbone, size: int) -> Any:
    """Return the pooling of regions from a backbone's levels to `size` × `size` cells.

    Raises:
        ConfigError: strides do not double from level to level.
    """
    strides = [stride for stride in backbone.strides if stride <= COARSEST_POOLED] or backbone.strides[:1]
    if strides != [strides[0] << step for step in range(len(strides))]:
        raise ConfigError(
            f"regions are shared out among levels whose strides double, not {strides}; give the neck other out_levels"
        )
    pool = MultiScaleRoIAlign([str(index) for index in range(len(strides))], size, sampling_ratio=2)
    # known here; it would estimate them from the first batch, and wrongly where that has small images
    finest = round(math.log2(strides[0]))
    pool.scales = [1 / stride for stride in strides]
    pool.map_levels = LevelMapper(finest, finest + len(strides) - 1)
    return pool
