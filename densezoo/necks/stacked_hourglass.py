"""Stacked hourglass: down to the smallest maps and back up, repeated with supervision in between.

Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, https://arxiv.org/abs/1603.06937
(`block='residual'`), and the variant of Law, Deng, "CornerNet: Detecting Objects as Paired Keypoints", ECCV 2018,
https://arxiv.org/abs/1808.01244 (`block='basic'`): strided instead of pooled, wider towards the bottom, several blocks
a level, no bias. Deviations, none of which changes the papers' cases: pooling rounds sizes up and upsampling goes to
the skip's size, so any input works; levels of an encoder that has several are the first stage's way down.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from densezoo.errors import ConfigError, near_names
from densezoo.layers.conv import ConvNormAct
from densezoo.layers.fusion import fusion_config
from densezoo.layers.normalise import make_activation
from densezoo.layers.residual import BasicBlock, Residual
from densezoo.necks.level_plan import plan_levels, stage_plans
from densezoo.necks.pathway import Blanks
from densezoo.necks.staged_neck import Merge, StagedNeck, top_down
from densezoo.registry import NECKS


class LawMerge(Merge):
    """Between CornerNet's stacks: residual(act(1×1-norm(input) + 1×1-norm(features))), and fed-back maps likewise."""

    def __init__(
        self,
        in_channels: int | None,
        features: int,
        channels: int,
        feedback_channels: int,
        norm: str,
        activation: str,
    ) -> None:
        """Make the layers; `features` is the width of the stage's output, the others are as in `Merge`."""

        def project(before: int, after: int) -> nn.Module:
            return ConvNormAct(before, after, 1, norm=norm, activation="none", bias=norm == "none")

        super().__init__(in_channels, channels, feedback_channels, features, project)
        self.activation = make_activation(activation)
        self.block = BasicBlock(channels, channels, 1, norm, activation)

    def forward(self, x: Tensor, features: Tensor, feedback: Sequence[Tensor]) -> Tensor:
        """Map x (N, C in, h, w), features (N, C', h, w) and maps of any size to (N, C, h, w)."""
        out: Tensor = self.block(self.activation(super().forward(x, features, feedback)))
        return out


@NECKS.register()
class StackedHourglass(StagedNeck):
    """`num_stages` hourglasses, each starting from the merged result of the one before."""

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        channels: int | Sequence[int] | None = None,
        num_stages: int = 2,
        num_levels: int | None = None,
        finer_levels: int = 0,
        fusion: str | Mapping[str, Any] = "sum",
        out_levels: Sequence[int] | None = (0,),
        out_channels: int | None = None,
        feedback_channels: int = 0,
        block: str = "residual",
        blocks: int | Sequence[int] = 1,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        """Make the neck.

        Args:
            in_channels: widths of the encoder's levels, finest first.
            in_strides: image pixels per cell of the encoder's levels.
            channels: width of all levels, or of each, finest first; None takes that of the encoder's finest level.
            num_stages: number of hourglasses.
            num_levels: levels from the encoder's finest on; None for the encoder's number, or 5 if it gives just one.
            finer_levels: levels finer than the encoder's, which have no skip.
            fusion: a name in `FUSIONS`, or a dict with `type` and the fusion's own arguments.
            out_levels: levels that are read, 0 being the finest; None for all.
            out_channels: width of the levels that are read; None keeps that of each. For `block='basic'` alone.
            feedback_channels: total width of the maps that are fed back to the next stage.
            block: `'residual'`, pre-activated, with pooling, or `'basic'`, with strides.
            blocks: how many of them in each place, for all levels or for each, finest first.
            norm: see `make_norm`.
            activation: see `make_activation`.

        Raises:
            ConfigError: a number that cannot be, or an unknown fusion, block, norm or activation.
        """
        widths = in_channels[0] if channels is None else channels
        plan = plan_levels(
            "StackedHourglass", in_channels, in_strides, widths, num_stages, num_levels, finer_levels, out_levels
        )
        counts = [blocks] * len(plan.channels) if isinstance(blocks, int) else list(blocks)
        if len(counts) != len(plan.channels) or min(counts) < 1:
            raise ConfigError(f"StackedHourglass: blocks={blocks} must be one count, or {len(plan.channels)} of them")
        if block not in ("residual", "basic"):
            raise ConfigError(f"StackedHourglass: no block={block!r}; {near_names(block, ('residual', 'basic'))}")
        newell = block == "residual"
        if out_channels is not None and (newell or out_channels < 1):
            raise ConfigError(f"StackedHourglass: out_channels={out_channels} needs block='basic', and at least 1")
        widths_out = [out_channels or width for width in plan.channels]
        bias = newell or norm == "none"

        def chain(count: int, in_channels: int, out_channels: int, stride: int = 1, last: bool = False) -> nn.Module:
            """Make `count` blocks; the first changes width and size, or the last does."""
            made: list[nn.Module] = []
            for index in range(count):
                changes = index == (count - 1 if last else 0)
                before = in_channels if last or index == 0 else out_channels
                after = in_channels if last and not changes else out_channels
                if newell:
                    made.append(Residual(before, after, norm, activation))
                else:
                    made.append(BasicBlock(before, after, stride if changes else 1, norm, activation))
            return nn.Sequential(*made)

        def lateral(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return chain(counts[level], in_channels, out_channels)

        def pre(level: int, in_channels: int, out_channels: int) -> nn.Module:
            return chain(counts[level], in_channels, out_channels, last=not newell)

        def down(level: int, in_channels: int, out_channels: int) -> nn.Module:
            # ceil_mode keeps a last odd row and lets maps of a single cell through
            pool = nn.MaxPool2d(2, ceil_mode=True) if newell else nn.Identity()
            return nn.Sequential(pool, chain(counts[level - 1], in_channels, out_channels, stride=2))

        def post(level: int, in_channels: int, out_channels: int) -> nn.Module:
            before = chain(counts[level], in_channels, out_channels) if newell else nn.Identity()
            return nn.Sequential(
                before, ConvNormAct(out_channels, widths_out[level], 1 if newell else 3, 1, norm, activation, bias)
            )

        blanks = Blanks(fusion_config(fusion), norm, activation, lateral=lateral, pre=pre)

        def merge(in_channels: int | None, channels: int, feedback_channels: int) -> nn.Module:
            if newell:
                return Merge(in_channels, channels, feedback_channels)
            return LawMerge(in_channels, widths_out[0], channels, feedback_channels, norm, activation)

        super().__init__(stage_plans(plan, num_stages), feedback_channels, down, top_down(blanks), post, merge)
        self.out_channels = [widths_out[level] for level in plan.out]
