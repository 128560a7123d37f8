"""What stands in for parts of torchvision's detectors, and which of their constructors' arguments a config may give."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.image_list import ImageList

from densezoo.errors import ConfigError, near_names
from densezoo.layers.precision import full_precision
from densezoo.registry import check_kinds

DETECTORS: dict[str, type[nn.Module]] = {"FCOS": FCOS, "RetinaNet": RetinaNet, "FasterRCNN": FasterRCNN}
_LAST_LAYERS = ("cls_logits", "bbox_reg", "bbox_ctrness", "bbox_pred", "cls_score")
_RESIZING = ("min_size", "max_size")


class ExactConv2d(nn.Conv2d):
    """A convolution in float32, also under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C', h, w)."""
        with full_precision(x):
            return super().forward(x.to(self.weight.dtype))


class ExactLinear(nn.Linear):
    """A linear layer in float32, also under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C) to (N, C')."""
        with full_precision(x):
            return super().forward(x.to(self.weight.dtype))


@dataclass
class Reader:
    """What torchvision calls a backbone; its layers are the model's own and keep their names there.

    Attributes:
        out_channels: width of the maps.
        read: (N, C, H, W) normalised images to named maps, finest first.
    """

    out_channels: int
    read: Callable[[Tensor], dict[str, Tensor]]

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Read the maps of images."""
        return self.read(images)


class Padding(nn.Module):
    """In place of torchvision's transform, for images of one size that are normalised already."""

    def __init__(self, multiple: int) -> None:
        """Pad to multiples of so many pixels."""
        super().__init__()
        self.multiple = multiple

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[ImageList, list[dict[str, Tensor]] | None]:
        """Pad (N, C, H, W) images at the right and at the bottom; boxes stay where they are."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        return ImageList(padded, [(height, width)] * len(images)), targets

    def postprocess(self, found: list[dict[str, Tensor]], *_: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Give detections back as they are: nothing was resized."""
        return found


def check_options(kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return `arguments` where they are numbers that a detector's constructor takes; the rest of them we give it.

    Raises:
        ConfigError: an unknown name, or a value of another kind.
    """
    parameters = inspect.signature(DETECTORS[kind]).parameters
    known = {
        name: type(parameter.default)
        for name, parameter in parameters.items()
        if isinstance(parameter.default, (int, float)) and name not in _RESIZING
    }
    for name in arguments:
        if name not in known:
            raise ConfigError(
                f"detector {kind!r} has no argument {name!r}; {near_names(name, ('levels', 'channels', *known))}"
            )
    check_kinds(known, arguments, f"detector {kind!r}: ")
    return dict(arguments)


def keep_exact(detector: nn.Module) -> None:
    """Let the last layers stay out of autocast."""
    kinds: dict[type[nn.Module], Any] = {nn.Conv2d: ExactConv2d, nn.Linear: ExactLinear}
    for module in detector.modules():
        for name, layer in module.named_children():
            if name in _LAST_LAYERS:
                layer.__class__ = kinds[type(layer)]  # torchvision has made and filled it, and looks for its name
