"""The zoo's hourglasses under timm's names: feature extractors for whatever takes models of timm.

    import densezoo, timm
    model = timm.create_model("hourglass52", features_only=True, out_indices=(0, 1, 2, 3))

`import densezoo` is enough to have them registered (see `densezoo.timm_hook`). This module imports nothing but timm's
registry until a model is made. There is no classifier, so `features_only=True` must be given, and there are no
published weights that timm could fetch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from timm.models import FeatureInfo, register_model
from torch import Tensor, nn

from densezoo.errors import ConfigError

NAMES = (*(f"newell_hourglass_s{num_stages}" for num_stages in (1, 2, 4, 8)), "hourglass52", "hourglass104")


class HourglassFeatures(nn.Module):
    """Image to maps of the last hourglass, as timm's own feature extractors give them.

    Attributes:
        feature_info: widths, reductions and modules of all levels, and which of them are given.
        pretrained_cfg: the image size that it was published with, mean and deviation.
    """

    def __init__(
        self, name: str, in_channels: int, out_indices: int | Sequence[int] | None, output_stride: int | None
    ) -> None:
        """Make the network with just the levels asked for.

        Args:
            name: of the model.
            in_channels: of the images.
            out_indices: levels, 0 being the finest; negative ones count from the coarsest; a number is that many of the
                coarsest; None is all.
            output_stride: that of the coarsest level, or 32, by which timm means no dilation; None is the same.

        Raises:
            ConfigError: a level that there is not, or another stride.
        """
        from densezoo.models import create_model  # here, so that registering stays quick
        from densezoo.models.named import MODELS

        super().__init__()
        self.model = create_model(name, encoder={"in_channels": in_channels}, neck={"out_levels": None}, tasks=None)
        neck: Any = self.model.neck
        count, last = len(neck.out_levels), neck.num_stages - 1
        if out_indices is None:
            out_indices = count
        wanted = range(-out_indices, 0) if isinstance(out_indices, int) else out_indices
        if not wanted or min(wanted) < -count or max(wanted) >= count:
            raise ConfigError(f"timm model {name!r}: out_indices={out_indices} must be among its {count} levels")
        levels = sorted({index % count for index in wanted})
        for number, stage in enumerate(neck.stages):
            _keep_levels(stage, levels if number == last else [0])
        info = [
            {"num_chs": width, "reduction": stride, "module": f"model.neck.stages.{last}.posts.{level}"}
            for level, width, stride in zip(neck.out_levels, neck.out_channels, neck.out_strides, strict=True)
        ]
        self.feature_info = FeatureInfo(info, tuple(levels))
        own = self.feature_info.reduction()[-1]
        if output_stride not in (None, 32, own):
            raise ConfigError(
                f"timm model {name!r}: output_stride={output_stride} would take dilations, which hourglasses do not "
                f"have; the coarsest of these levels has {own}: give output_stride={own}, or ask for fewer levels"
            )
        encoder = self.model.encoder
        self.pretrained_cfg = {
            "architecture": name,
            "input_size": (in_channels, *MODELS[name].size),
            "mean": encoder.mean,
            "std": encoder.std,
        }

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (N, C, H, W) normalised images to maps (N, C_i, ceil(H / reduction_i), ceil(W / reduction_i))."""
        return self.model.forward_features(images)[-1]


def _keep_levels(stage: Any, levels: Sequence[int]) -> None:
    """Leave out what a stage has for other levels alone."""
    for level in [name for name in stage.posts if int(name) not in levels]:
        del stage.posts[level]
    for level in [name for name in stage.walk.nodes if int(name) < min(levels)]:
        del stage.walk.nodes[level]


def _entrypoint(name: str) -> Callable[..., HourglassFeatures]:
    def make(
        pretrained: bool = False,
        pretrained_cfg: object = None,
        pretrained_cfg_overlay: Mapping[str, Any] | None = None,
        cache_dir: object = None,
        features_only: bool = False,
        in_chans: int = 3,
        out_indices: int | Sequence[int] | None = None,
        output_stride: int | None = None,
    ) -> HourglassFeatures:
        """Make the model; the arguments are those that timm and programs around it give."""
        if not features_only:
            raise ConfigError(f"timm model {name!r} has no classifier; give features_only=True")
        if pretrained:
            raise ConfigError(f"timm model {name!r} has no published weights; give pretrained=False")
        return HourglassFeatures(name, in_chans, out_indices, output_stride)

    make.__name__ = make.__qualname__ = name
    return make


for _name in NAMES:
    register_model(_entrypoint(_name))
