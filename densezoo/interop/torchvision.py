"""Encoders and necks of the zoo as backbones of torchvision's detectors, in loops of your own.

    backbone = as_backbone(create_model("fpn_resnet50", tasks=None))
    detector = FCOS(backbone, num_classes=4, **detector_arguments(backbone, FCOS))

`examples/torchvision_detector.py` trains one. With `detector = dict(type='FCOS')` in a config the zoo's own tools do
(`densezoo.models.detector`). torchvision assumes what holds for its own backbones: images padded to multiples of 32,
and see `densezoo.models.detector_levels`. `detector_arguments` says instead what holds for a given backbone.
"""

from typing import Any

from torch import Tensor, nn

from densezoo.contracts import Encoder, Neck
from densezoo.errors import ConfigError
from densezoo.models import DenseModel, Model
from densezoo.models.detector_levels import Projections, freeze_unread, level_arguments, levels_of
from densezoo.necks.staged_neck import StagedNeck


class Backbone(nn.Module):
    """Images to named maps of one width.

    Attributes:
        model: encoder and neck.
        out_channels: width of every map.
        strides: image pixels per cell of every map, finest first.
    """

    def __init__(self, model: Model, channels: int | None) -> None:
        """Add the projections; `channels` None is for maps of one width, or else 256."""
        super().__init__()
        widths, self.strides = levels_of(model.encoder, model.neck)
        self.model = model
        self.projections = Projections(widths, channels)
        self.out_channels: int = self.projections.channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map (N, 3, H, W) normalised images to {'0': (N, C, h, w) of the finest level, '1': …} of the last stage."""
        maps: dict[str, Tensor] = self.projections(self.model.forward_features(images)[-1])
        return maps


def as_backbone(model: Model | Encoder, neck: Neck | None = None, channels: int | None = None) -> Backbone:
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
    if isinstance(model, Model):
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
    freeze_unread(backbone, backbone, len(model.encoder.mean), backbone.strides[-1])
    return backbone


def detector_arguments(backbone: Backbone, detector: type[nn.Module]) -> dict[str, Any]:
    """Return what a detector of torchvision must be told about a backbone.

    Args:
        backbone: from `as_backbone`.
        detector: `FCOS`, `RetinaNet`, `FasterRCNN`, `KeypointRCNN` or `MaskRCNN`, or a class derived from one.

    Returns:
        Keyword arguments for its constructor: anchors, region pooling, normalisation and padding of images.

    Raises:
        ConfigError: another detector, or a width or strides that it cannot work with.
    """
    encoder = backbone.model.encoder
    return {
        "image_mean": list(encoder.mean),
        "image_std": list(encoder.std),
        # then sizes divide by strides, and torchvision finds the strides by dividing
        "size_divisible": backbone.strides[-1],
        **level_arguments(backbone.strides, backbone.out_channels, detector),
    }
