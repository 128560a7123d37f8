"""Weights of other implementations: their state dict to a config of ours and the weights that it loads.

    config, weights = convert_state_dict(torch.load("hg_s2.pth")["state_dict"], "bearpaw")
    model = densezoo.create_model(config)
    model.load_state_dict(weights, strict=True)

Each source is one file in `densezoo/interop/sources/`.
"""

import importlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from densezoo.errors import ConfigError, DataError, near_names
from densezoo.layers.image_statistics import image_statistics
from densezoo.models import create_model
from densezoo.registry import NECKS, check_arguments, check_kinds

LOG = logging.getLogger("densezoo")
COUNTER = "num_batches_tracked"
LAYER = ("weight", "bias", "running_mean", "running_var", COUNTER)


class Weights:
    """A state dict that is being converted. What nobody takes is an error.

    Attributes:
        converted: our name to tensor.
        notes: what was assumed and what was left out, in words.
    """

    def __init__(self, state_dict: Mapping[str, Tensor]) -> None:
        """Open `state_dict`; a `module.` in front of every key (DataParallel) is dropped.

        Raises:
            DataError: there is no tensor in it, or something else than tensors.
        """
        wrong = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
        if wrong or not state_dict:
            raise DataError(
                f"this is no state dict: {f'{wrong[0]!r} is no tensor' if wrong else 'it is empty'}; many checkpoints "
                "hold theirs under 'state_dict' or 'model'; take out what is no weight"
            )
        self._left = dict(state_dict)
        self._shapes = {key: tuple(value.shape) for key, value in self._left.items()}
        self._origins: dict[str, str] = {}  # our layer or tensor to the source's
        self._missing: list[str] = []
        self.converted: dict[str, Tensor] = {}
        self.notes: list[str] = []
        if all(key.startswith("module.") for key in state_dict):
            self.drop_prefix("module.")

    def __contains__(self, key: str) -> bool:
        """Whether the source has a tensor of this name, taken or not."""
        return key in self._shapes

    def has(self, prefix: str) -> bool:
        """Whether the source has any tensor whose name starts so."""
        return any(key.startswith(prefix) for key in self._shapes)

    def drop_prefix(self, prefix: str) -> None:
        """Drop `prefix` from the names that start so, as that of a network inside a larger one; do it first."""
        self._left = {key.removeprefix(prefix): value for key, value in self._left.items()}
        self._shapes = {key.removeprefix(prefix): shape for key, shape in self._shapes.items()}

    def shape(self, key: str, dimensions: int = 4) -> tuple[int, ...]:
        """Return the shape of one tensor; the weight of a convolution has four dimensions, that of a normalisation one.

        Raises:
            DataError: there is none, which says that the source may be another one, or it has other dimensions.
        """
        if key not in self._shapes:
            raise DataError(f"the state dict has no {key!r}; {near_names(key, self._shapes)}; is it of another source?")
        found = self._shapes[key]
        if len(found) != dimensions or min(found) < 1:
            raise DataError(f"{key} is {found}, and not {dimensions} sizes from 1 on; is it of another source?")
        return found

    def width(self, key: str, dimensions: int = 4) -> int:
        """Return the first number of a tensor's shape: how many channels a layer gives.

        Raises:
            DataError: there is no such tensor, or it has other dimensions.
        """
        return self.shape(key, dimensions)[0]

    def count(self, prefix: str) -> int:
        """Return how many numbers from 0 follow `prefix`, if none is left out: `'hg.'` to the number of stacks.

        A gap counts, so that what is in it is found missing.
        """
        numbers = {int(found[1]) for key in self._shapes if (found := re.match(re.escape(prefix) + r"(\d+)\.", key))}
        # so many parts have as many tensors, so a larger number is none of a part
        return max((number + 1 for number in numbers if number < len(self._shapes)), default=0)

    def move(self, source: str, target: str, change: Callable[[Tensor], Tensor] | None = None) -> None:
        """Take one tensor under our name, after `change`, which is for the weights of convolutions."""
        if source not in self._left:
            self._missing.append(source)
            return
        tensor = self._left.pop(source)
        self._origins[target] = source
        self.converted[target] = tensor if change is None or tensor.ndim != 4 else change(tensor).contiguous()

    def layer(self, source: str, target: str, change: Callable[[Tensor], Tensor] | None = None) -> None:
        """Take every tensor of one layer (a convolution or a normalisation); `change` is applied to its weight."""
        found = [part for part in LAYER if f"{source}.{part}" in self._left]
        self._origins[target] = source
        if "weight" not in found:
            self._missing.append(f"{source}.weight")
        for part in found:
            self.move(f"{source}.{part}", f"{target}.{part}", change if part == "weight" else None)

    def dead(self, prefix: str | Sequence[str], why: str) -> None:
        """Leave out the tensors whose names start so (or in one of these ways), and say it; none need be there."""
        prefixes = (prefix,) if isinstance(prefix, str) else tuple(prefix)
        gone = [key for key in self._left if key.startswith(prefixes)]
        size = sum(self._left.pop(key).numel() for key in gone)
        if gone:
            met = [prefix for prefix in prefixes if any(key.startswith(prefix) for key in gone)]
            shown = ", ".join(map(repr, met[:3])) + (", …" if len(met) > 3 else "")
            self.notes.append(f"left out {len(gone)} tensors of {shown} ({size / 1e6:.2f} M numbers): {why}")

    def assume(self, name: str, value: object, why: str) -> None:
        """Note what tensors do not show; `why` is a few words on the value."""
        self.notes.append(f"assumed {name}={value!r} ({why}); give {name}= if it is another")

    def finish(self, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compare with the state dict that our model has, and return the converted one.

        Raises:
            DataError: tensors are missing, left over, or of another shape; all are listed by the source's names.
        """
        for key, value in expected.items():
            if key.endswith(COUNTER):  # old checkpoints lack them
                self.converted.setdefault(key, torch.zeros((), dtype=value.dtype))
        # without some of its tensors a network may be taken for a smaller one, so the missing ones are all that is sure
        lacking = self._missing or [self._name(key) for key in expected if key not in self.converted]
        wrong = [f"missing {key}" for key in lacking]
        wrong += [f"unknown {key} {self._shapes[key]}" for key in self._left]
        for key, value in self.converted.items():
            if key in expected and expected[key].shape != value.shape:
                wrong.append(f"{self._name(key)} is {tuple(value.shape)}, not {tuple(expected[key].shape)}")
            elif key not in expected and not self._missing:
                wrong.append(f"unknown {self._name(key)} {tuple(value.shape)}")
        if wrong:
            raise DataError(f"the state dict does not fit in {len(wrong)} places:\n  " + "\n  ".join(wrong))
        return self.converted

    def _name(self, target: str) -> str:
        """Return the source's name of our tensor, or ours where the source's is not known."""
        layer, _, part = target.rpartition(".")
        if target in self._origins:
            return self._origins[target]
        return f"{self._origins[layer]}.{part}" if layer in self._origins else f"what goes to {target}"


Convert = Callable[..., dict[str, Any]]
"""Takes `Weights` (and options by keyword), moves every tensor, returns the config."""
SOURCES: dict[str, Convert] = {}


def source(name: str) -> Callable[[Convert], Convert]:
    """Register a function that converts state dicts of the source `name`."""

    def register(function: Convert) -> Convert:
        SOURCES[name] = function
        return function

    return register


def list_sources() -> list[str]:
    """Return the names that `convert_state_dict` knows, sorted."""
    importlib.import_module("densezoo.interop.sources")
    return sorted(SOURCES)


def convert_state_dict(
    state_dict: Mapping[str, Tensor], source: str, /, **given: Any
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Convert the weights of another implementation. What was assumed or left out is logged as a warning.

    Args:
        state_dict: names to tensors; sizes are read from them.
        source: a name of `list_sources()`.
        given: what the tensors do not show, such as strides; the source's own defaults where absent.

    Returns:
        The config, for `densezoo.create_model` (or `NECKS.build` where the source is a neck alone), and the weights
        that the built model loads with `strict=True`. Given float images, it gives the source's outputs.

    Raises:
        ConfigError: an unknown source or option, or sizes in the tensors that make no network.
        DataError: tensors are missing, unknown or of another shape; all are listed.
    """
    if source not in list_sources():
        raise ConfigError(f"no source is called {source!r}; {near_names(source, SOURCES)}")
    convert, where = SOURCES[source], f"source {source!r}"
    weights = Weights(state_dict)
    check_arguments(convert, given, {"weights": weights}, where)
    check_kinds(get_type_hints(convert), given, f"{where}: ")
    config = convert(weights, **given)
    try:
        with torch.device("meta"):
            model: nn.Module = NECKS.build(config) if "type" in config else create_model(config)
    except ConfigError as error:
        raise ConfigError(f"{where}: what the tensors show makes no network: {error}") from error
    converted = weights.finish(model.state_dict())
    for note in weights.notes:
        LOG.warning("%s: %s", source, note)
    return config, converted


def given_statistics(
    weights: Weights, in_channels: int, mean: Sequence[float] | None, std: Sequence[float] | None, why: str
) -> dict[str, list[float]]:
    """Return `mean` and `std` for the config of an encoder, and note those that were not given.

    Args:
        weights: where to note it.
        in_channels: of the images.
        mean: of values in 0–1; None assumes ImageNet's with three channels and 0.5 with others.
        std: in the same way.
        why: what is assumed is so, in words.

    Raises:
        ConfigError: not one number per channel, or one that cannot be.
    """
    found = image_statistics("the source", in_channels, mean, std)
    for name, given, values in zip(("mean", "std"), (mean, std), found, strict=True):
        if given is None:
            weights.assume(name, values, why)
    return {"mean": list(found[0]), "std": list(found[1])}


def one_or_list(values: Sequence[int]) -> int | list[int]:
    """Return the number that all levels share, or one for each: the short way to say it in a config."""
    return values[0] if len(set(values)) == 1 else list(values)


def concat_order(*widths: int, order: Iterable[int]) -> Callable[[Tensor], Tensor]:
    """Return a change for a convolution that reads several maps side by side.

    Args:
        widths: of the maps, in the source's order.
        order: our order, as indices into the source's.

    Returns:
        The change; it leaves a weight of another width alone, whose shape is then found not to fit.
    """

    def change(weight: Tensor) -> Tensor:
        if weight.shape[1] != sum(widths):
            return weight
        parts = torch.split(weight, list(widths), dim=1)
        return torch.cat([parts[index] for index in order], 1)

    return change
