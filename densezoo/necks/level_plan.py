"""The levels of a neck: how many, how wide, how coarse, where their cells lie, and which of them are read."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from densezoo.errors import ConfigError
from densezoo.layers.double_conv import LOST

DEFAULT_LEVELS = 5  # of hourglass and U-Net: four times half the size


@dataclass(frozen=True)
class LevelPlan:
    """The levels of a neck, finest first.

    Attributes:
        incoming: widths of the encoder's levels.
        finer: number of levels that are finer than the encoder's; they have no skip.
        channels: width that the neck gives each level.
        strides: image pixels per cell of each level.
        origins: image coordinate, in pixels, of the corner of each level's first cell.
        out: levels that are read, ascending.
        extra: how many of the coarsest levels come out of the walk without going into it, as FPN's P6 and P7.
    """

    incoming: list[int]
    finer: int
    channels: list[int]
    strides: list[int]
    origins: list[float]
    out: list[int]
    extra: int = 0

    @property
    def coarsest(self) -> int:
        """Index of the last level that the walk starts from."""
        return len(self.channels) - 1 - self.extra


def count_levels(in_channels: Sequence[int], num_levels: int | None) -> int:
    """Return `num_levels`, or if it is None the number that the encoder gives, or 5 if it gives just one."""
    if num_levels is not None:
        return num_levels
    return len(in_channels) if len(in_channels) > 1 else DEFAULT_LEVELS


def plan_levels(
    neck: str,
    in_channels: Sequence[int],
    in_strides: Sequence[int],
    channels: int | Sequence[int],
    num_stages: int,
    num_levels: int | None = None,
    finer_levels: int = 0,
    out_levels: Sequence[int] | None = (0,),
    extra_levels: int = 0,
    in_origins: Sequence[float] | None = None,
) -> LevelPlan:
    """Check what a neck was asked for.

    Args:
        neck: its name, for messages.
        in_channels: widths of the encoder's levels, finest first.
        in_strides: image pixels per cell of the encoder's levels.
        channels: width of every level, or of each, finest first.
        num_stages: of the neck.
        num_levels: from the encoder's finest level on; None for the encoder's number, or 5 if it gives just one.
        finer_levels: how many levels to add that are finer than the encoder's.
        out_levels: levels that are read; None for all.
        extra_levels: how many levels to add at the end that come out of the walk without going into it.
        in_origins: image coordinate of the corner of each encoder level's first cell; None where all are 0.

    Raises:
        ConfigError: a number that cannot be; the message says which.
    """
    num_levels = count_levels(in_channels, num_levels)
    if num_levels < len(in_channels):
        raise ConfigError(
            f"{neck}: num_levels={num_levels}, but the encoder gives {len(in_channels)} levels, and the last would "
            f"never be read; ask the encoder for the strides {list(in_strides[:num_levels])}"
        )
    if num_stages < 1 or num_levels < 1 or finer_levels < 0 or extra_levels < 0 or num_levels + finer_levels < 2:
        raise ConfigError(
            f"{neck}: num_stages={num_stages} must be at least 1, num_levels={num_levels} at least 2 (1 with finer "
            f"levels), finer_levels={finer_levels} and extra_levels={extra_levels} at least 0"
        )
    if len(in_channels) != len(in_strides):
        raise ConfigError(f"{neck}: in_channels={list(in_channels)} and in_strides={list(in_strides)} differ in number")
    if num_stages > 1 and any(2 * fine != coarse for fine, coarse in itertools.pairwise(in_strides)):
        raise ConfigError(
            f"{neck}: with num_stages={num_stages} the encoder's strides must double from level to level, since later "
            f"stages halve; they are {list(in_strides)}"
        )
    if in_strides[0] % 2**finer_levels:
        raise ConfigError(f"{neck}: finer_levels={finer_levels} would go below one pixel from stride {in_strides[0]}")
    total = finer_levels + num_levels + extra_levels
    widths = [channels] * total if isinstance(channels, int) else list(channels)
    if len(widths) != total or min(widths) < 1:
        raise ConfigError(f"{neck}: channels={channels} must be one width, or {total} of them, one for each level")
    strides = [in_strides[0] // 2**step for step in range(finer_levels, 0, -1)] + list(in_strides)
    origins = list(in_origins or [0.0] * len(in_strides))
    origins = origins[:1] * finer_levels + origins
    while len(strides) < total:
        strides.append(strides[-1] * 2)
        origins.append(origins[-1])
    out = sorted(set(range(total) if out_levels is None else out_levels))
    if not out or out[0] < 0 or out[-1] >= total:
        raise ConfigError(f"{neck}: out_levels={out} must name levels from 0 to {total - 1}")
    return LevelPlan(list(in_channels), finer_levels, widths, strides, origins, out, extra_levels)


def stage_plans(plan: LevelPlan, num_stages: int) -> list[LevelPlan]:
    """Return the levels of every stage.

    The first stage starts from the encoder's levels, each later one from a single map, the finest. Every stage but the
    last gives its finest map, whoever reads it.
    """
    later = replace(plan, incoming=plan.channels[:1], finer=0)
    plans = [plan, *[later] * (num_stages - 1)]
    goes_on = sorted({0, *plan.out})
    return [*(replace(each, out=goes_on) for each in plans[:-1]), plans[-1]]


def shift_by_crops(plans: Sequence[LevelPlan]) -> list[LevelPlan]:
    """Return where the levels of each stage lie after valid convolutions on its own way down, and on its way up."""
    shifted: list[LevelPlan] = []
    for plan in plans:
        origins = shifted[-1].origins.copy() if shifted else plan.origins.copy()
        for level in range(plan.finer + len(plan.incoming), plan.coarsest + 1):
            origins[level] = origins[level - 1] + LOST * plan.strides[level]
        for level in range(plan.coarsest - 1, -1, -1):
            origins[level] = origins[level + 1] + LOST * plan.strides[level]
        shifted.append(replace(plan, origins=origins))
    return shifted


def encoder_widths(in_channels: Sequence[int], num_levels: int | None, finer: Sequence[int]) -> list[int]:
    """Return the widths of levels that keep the encoder's, behind those of `finer` levels."""
    count = count_levels(in_channels, num_levels)
    return [*finer, *in_channels, *[in_channels[-1]] * (count - len(in_channels))]


def halved(width: int, finer_levels: int) -> list[int]:
    """Return widths of levels finer than one of `width`, each half of the next, finest first."""
    return [max(width >> step, 1) for step in range(finer_levels, 0, -1)]
