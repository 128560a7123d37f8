"""Weights to start from, so that what two arms have in common is the same in both.

Two networks that are built from one seed agree up to the first layer that only one of them has: from there on every
layer takes other random numbers. So a tensor takes its values from the first arm of the study that has it, and any two
arms agree in all that both have. Every arm has random numbers of its own for what no earlier one has: from the same
ones, its new layers would be copies of its old ones. The first arm starts as it would by itself.

A tensor is had by two arms if it has the same name and shape in both and lies in modules of the same classes, is
drawn at random in both, and by the look of it in the same way. What is not random (zeros, pretrained weights) is left
as each arm makes it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from densezoo.comparison.costs import build_silently
from densezoo.engine.config import RunConfig
from densezoo.models import Model
from densezoo.types import DatasetMeta

CPU = torch.device("cpu")
COMPARABLE = 64  # numbers from which on two deviations say whether they are of one distribution
DEVIATIONS = 10  # standard errors; for normal numbers that of the ratio of two deviations is 1 / √n


@dataclass(frozen=True)
class _Start:
    """What one arm would start from.

    Attributes:
        state: name to values.
        drawn: name of what is random to the classes of the modules that it lies in, the model's first.
    """

    state: dict[str, Tensor]
    drawn: dict[str, tuple[type, ...]]


def shared_start(configs: Sequence[RunConfig], meta: DatasetMeta, which: int, seed: int) -> dict[str, Tensor]:
    """Return the state dict that one arm starts from.

    Networks are built on the CPU one after the other, so that no more than three are in memory.

    Args:
        configs: of all arms, in the study's order; the base first.
        meta: of the training set.
        which: index of the arm.
        seed: of the arms of a pair, in place of that of the configs.

    Raises:
        ConfigError: a network cannot be built, or its pretrained weights cannot be fetched.
    """
    if which == 0:
        return _build(configs[0], meta, seed).state_dict()
    own = _start(configs[which], meta, _seed_of(which, seed))
    state, missing = dict(own.state), set(own.drawn)
    for place, config in enumerate(configs[:which]):
        if not missing:
            break
        other = _start(config, meta, _seed_of(place, seed))
        shared = {name for name in missing if _have_both(name, own, other)}
        state.update((name, other.state[name]) for name in shared)
        missing -= shared
    return state


def same_start(configs: Sequence[RunConfig], meta: DatasetMeta, which: int, seed: int) -> float:
    """Return which part of an arm's random start values are the base's, 1 for all; arguments as of `shared_start`."""
    base, state = (shared_start(configs, meta, place, seed) for place in (0, which))
    drawn = _start(configs[which], meta, _seed_of(which, seed)).drawn
    alike = [name for name in drawn if name in base and torch.equal(base[name], state[name])]
    numbers = sum(state[name].numel() for name in drawn)
    return sum(state[name].numel() for name in alike) / numbers if numbers else 1.0


def _seed_of(place: int, seed: int) -> int:
    """Return what the own random numbers of the arm at `place` come from: the seed itself for the first."""
    return seed if place == 0 else int(np.random.SeedSequence((seed, place)).generate_state(1)[0])


def _build(config: RunConfig, meta: DatasetMeta, seed: int) -> Model:
    return build_silently(replace(config, seed=seed), meta, CPU, starts=True)


def _start(config: RunConfig, meta: DatasetMeta, seed: int) -> _Start:
    """Build an arm's network, and once more with another seed to see what is random in it."""
    model = _build(config, meta, seed)
    state, other = model.state_dict(), _build(config, meta, seed + 1).state_dict()
    drawn = {name: _classes(model, name) for name, value in state.items() if not torch.equal(value, other[name])}
    return _Start(state, drawn)


def _classes(model: Model, name: str) -> tuple[type, ...]:
    parts = name.split(".")[:-1]
    return tuple(type(model.get_submodule(".".join(parts[:depth]))) for depth in range(len(parts) + 1))


def _have_both(name: str, one: _Start, other: _Start) -> bool:
    return (
        one.drawn[name] == other.drawn.get(name)
        and one.state[name].shape == other.state[name].shape
        and _are_alike(one.state[name], other.state[name])
    )


def _are_alike(one: Tensor, other: Tensor) -> bool:
    """Whether the deviations of two tensors of one shape may be those of one distribution; too few numbers always may.

    A config can draw the same layer from a wider or a narrower distribution, such as a head by its `initial_std`.
    """
    if one.numel() < COMPARABLE:
        return True
    low, high = sorted(float(values.double().std()) for values in (one, other))
    return high <= low * (1 + DEVIATIONS / math.sqrt(one.numel()))
