"""Any model of timm that gives feature maps, https://github.com/huggingface/pytorch-image-models.

Weights keep timm's names behind `model.`, and on image sizes that timm takes by itself the maps are timm's own.
Additions, all for images of any size:

- Transformers of a fixed size get timm's switches for any size. Swin also shifts its windows at every level, as its
  authors' detection code does (https://arxiv.org/abs/2103.14030); timm leaves that out where a map of the default image
  size is a single window.
- Where timm refuses a size or rounds maps down (patches, HRNet), the image is padded with zeros, the mean colour, at
  the bottom and right. How far is tried out once, when the model is made. The maps are cut to ceil(image / stride).
  Where windows have a share of the size that the model was made for (MaxViT), it is to multiples of that size.

What lies behind the last map that is asked for is left out, and so are classifiers.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm import create_model, get_pretrained_cfg, is_model, list_models
from timm.models import group_modules, group_parameters
from timm.models.hrnet import HighResolutionNet
from torch import Tensor, nn

from densezoo.errors import ConfigError, near_names
from densezoo.layers.image_statistics import image_statistics
from densezoo.layers.resize import fit
from densezoo.registry import ENCODERS
from densezoo.types import Pyramid

ANY_SIZE = {"dynamic_img_size": True, "strict_img_size": False, "always_partition": True}
"""timm's switches for images of any size; each family has some of them."""
SINGLE_VALUE = "Expected more than 1 value per channel"  # how torch's own message begins


@ENCODERS.register()
class Timm(nn.Module):
    """The last map of every stride of a timm model; a plain transformer has a single stride.

    Attributes:
        channels: width of every level, finest first.
        strides: image pixels per cell of every level.
        origins: zeros.
        mean: per input channel, of values in 0–1.
        std: per input channel, of values in 0–1.
        multiple: the image is padded to multiples of so many pixels.
    """

    def __init__(
        self,
        model: str,
        pretrained: bool = False,
        strides: Sequence[int] | None = None,
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        output_stride: int | None = None,
        frozen_stages: int = 0,
        drop_path_rate: float | None = None,
    ) -> None:
        """Make the model.

        Args:
            model: timm's name for it, such as `'resnet50'` or `'resnet50.a1_in1k'`.
            pretrained: fetch timm's weights from the Hugging Face hub, or take them from its cache.
            strides: which levels to give, ascending; None for all.
            in_channels: 3 (RGB), 1, or any other number.
            mean: of values in 0–1, per input channel; None for the model's own with three channels and 0.5 with others.
            std: in the same way.
            output_stride: of the coarsest map: later strides become dilations. Not every model takes it.
            frozen_stages: how many stages never train, as timm counts them: 1 is the stem alone, 2 the stem and the
                first stage (or block, in a plain transformer). Their normalisations stay in eval mode.
            drop_path_rate: chance with which a residual branch is left out in training; None for the model's default.

        Raises:
            ConfigError: no such model, stride or stage, weights that cannot be fetched, an argument that the model does
                not take, a `mean` or `std` that cannot be, or a model that is bound to one image size.
        """
        super().__init__()
        image_statistics("Timm", in_channels, mean, std)  # wrong ones are found before weights are fetched
        arguments = {"in_chans": in_channels, "output_stride": output_stride, "drop_path_rate": drop_path_rate}
        self.model: Any = _create(model, pretrained, arguments)
        levels = {info["reduction"]: (index, info["num_chs"]) for index, info in enumerate(self.model.feature_info)}
        self.strides = sorted(levels) if strides is None else list(strides)
        if not self.strides or self.strides != sorted(set(self.strides) & set(levels)):
            raise ConfigError(
                f"Timm: {model!r} gives the strides {sorted(levels)}, not strides={strides}; name some, ascending"
            )
        self.indices = [levels[stride][0] for stride in self.strides]
        self.channels = [levels[stride][1] for stride in self.strides]
        self.origins = [0.0] * len(self.strides)
        config = self.model.pretrained_cfg
        self.mean, self.std = image_statistics("Timm", in_channels, mean, std, config["mean"], config["std"])
        self.model.prune_intermediate_layers(self.indices, prune_norm=True)
        if isinstance(self.model, HighResolutionNet):
            self._prune_branches(sorted(levels))
        self.multiple = self._find_multiple(sorted(levels), in_channels)
        self.frozen = self._freeze(frozen_stages)
        self.train()

    def _prune_branches(self, every: Sequence[int]) -> None:
        """Leave out what only makes HRNet's coarser maps; its maps come out of the last module together."""
        finest = [stride for stride in every[1:] if stride <= self.strides[-1]]
        if [stride for stride in self.strides if stride in finest] != finest:
            raise ConfigError(f"Timm: HRNet makes all maps down to the finest together; ask for the strides {finest}")
        if finest:
            last = self.model.stage4[-1]
            last.fuse_layers = last.fuse_layers[: len(finest)]

    def _find_multiple(self, every: Sequence[int], in_channels: int) -> int:
        """Return the least padding with which maps have size ceil(image / stride), be it odd or a single pixel.

        Raises:
            ConfigError: the model takes no such image.
        """
        self.model.eval()
        config = self.model.pretrained_cfg
        made_for = max(config["input_size"][1:])
        windows = {made_for} if made_for % every[-1] == 0 else set()
        refusal = ""
        for multiple in sorted({1, every[0], self.strides[-1], every[-1]} | windows):
            # an odd number of cells on every level, and more than the size that the model may be bound to
            height, width = (-(-side // multiple) * multiple for side in (max(2 * every[-1], multiple) + 1, 1))
            try:
                with torch.no_grad():
                    maps = self._maps(torch.zeros(1, in_channels, height, width))
            except (AssertionError, RuntimeError) as error:
                refusal = str(error).split("\n")[0]
                continue
            sizes = [(-(-height // stride), -(-width // stride)) for stride in self.strides]
            found = [tuple(level.shape[-2:]) for level in maps]
            if found == sizes:
                return multiple
            refusal = f"{height}×{width} pixels give maps of {found} cells"
        if config.get("fixed_input_size"):
            refusal = "its layers are made for {1}×{2} pixels".format(*config["input_size"])
        raise ConfigError(
            f"Timm: {config['architecture']!r} does not take images of any size: {refusal}; take one of timm's many "
            "that do, such as a resnet, convnext or hrnet, or of its transformers a vit, swin, pvt_v2 or maxvit"
        )

    def _freeze(self, frozen_stages: int) -> list[str]:
        """Freeze the parameters of the first stages, and return the names of the modules to keep in eval mode."""
        if not frozen_stages:
            return []
        matcher = self.model.group_matcher(coarse=True)
        stages = group_parameters(self.model, matcher)
        if not 0 < frozen_stages <= len(stages):
            raise ConfigError(f"Timm: frozen_stages={frozen_stages} must be from 0 to {len(stages)}")
        frozen = {name for stage in range(frozen_stages) for name in stages[stage]}
        for name, parameter in self.model.named_parameters():
            if name in frozen:
                parameter.requires_grad_(False)
        modules = group_modules(self.model, matcher)
        return [name for stage in range(frozen_stages) for name in modules[stage]]

    def train(self, mode: bool = True) -> "Timm":
        """Set the training mode of what is not frozen."""
        super().train(mode)
        for name in self.frozen:
            self.model.get_submodule(name).eval()
        return self

    def _maps(self, images: Tensor) -> Pyramid:
        maps: Pyramid = self.model.forward_intermediates(images, indices=self.indices, intermediates_only=True)
        return maps

    def forward(self, images: Tensor) -> Pyramid:
        """Map (N, in_channels, H, W) normalised images to maps (N, C_i, ceil(H / stride_i), ceil(W / stride_i)).

        Raises:
            ConfigError: a batch normalisation is to train on a single value.
        """
        height, width = images.shape[-2:]
        if self.multiple > 1:
            images = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        sizes = [(-(-height // stride), -(-width // stride)) for stride in self.strides]
        try:
            maps = self._maps(images)
        except ValueError as error:
            if not str(error).startswith(SINGLE_VALUE):
                raise
            raise ConfigError(
                "Timm: batch normalisation cannot train on one image where its map is a single cell (or pooled to "
                "one); take a larger batch or larger images, or an encoder without it: a convnext of timm's, or one of "
                "the zoo's own with norm='group'"
            ) from error
        return [fit(level, size) for level, size in zip(maps, sizes, strict=True)]


def _create(name: str, pretrained: bool, arguments: dict[str, Any]) -> Any:
    """Let timm make a whole model, without its classifier.

    Raises:
        ConfigError: it cannot.
    """
    architecture = name.split(".")[0]
    if ":" not in name and not is_model(architecture):
        raise ConfigError(
            f"Timm: timm has no model {name!r}; {near_names(architecture, list_models())}; timm.list_models() has all"
        )
    try:
        made = create_model(name, pretrained=pretrained, num_classes=0, **_switches(name), **arguments)
    except (OSError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items() if value is not None)
        hint = "; the weights come from the network unless pretrained=False" if pretrained else ""
        reason = str(error) or "it does not take these values"
        raise ConfigError(f"Timm: timm cannot make {name!r} with {given}: {reason}{hint}") from error
    if not hasattr(made, "forward_intermediates") or not hasattr(made, "prune_intermediate_layers"):
        raise ConfigError(f"Timm: the installed timm gives no feature maps of {name!r}; a newer one may")
    return made


def _switches(name: str) -> dict[str, Any]:
    """Return those of `ANY_SIZE` that a model of fixed size takes."""
    config = get_pretrained_cfg(name)
    if config is None or not config.fixed_input_size:
        return {}
    with torch.device("meta"):
        kinds = type(create_model(name)).__mro__
    known = {argument for kind in kinds for argument in inspect.signature(kind).parameters}
    return {switch: value for switch, value in ANY_SIZE.items() if switch in known}
