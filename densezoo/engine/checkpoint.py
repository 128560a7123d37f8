"""Checkpoints: written whole or not at all, read without running code.

A checkpoint is a dict whose `model` is the state dict that evaluation used (the averaged weights where those are on).
`last.pt` holds everything that a resumed run needs; `best.pt` only what a user of the model needs.
"""

import os
import pickle
import random
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from densezoo.errors import CheckpointError
from densezoo.models.loss_weights import LOSS

Checkpoint = dict[str, Any]

UNREADABLE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)
"""What `torch.load` raises on a file that torch did not write, or that has been damaged since."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`: a kill at any moment leaves the old file or the new one, never a part.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error}; the previous checkpoint is untouched") from error


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint, or any file that holds a state dict, onto the CPU.

    Raises:
        CheckpointError: missing, not a checkpoint, or one that holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}; a run writes checkpoints/last.pt and checkpoints/best.pt")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(f"{path} does not load as tensors and plain values: {_reason(error)}") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}, not a checkpoint or a state dict")
    return loaded


def _reason(error: Exception) -> str:
    """Say why a file does not load: torch's own words are many lines, or a bare number."""
    text = str(error)
    if found := re.search(r"GLOBAL (\S+)", text):
        return (
            f"it holds an object of code, {found[1]}, and no code of a file is run here; save model.state_dict() "
            "instead of the model where it was made"
        )
    if "TorchScript" in text:
        return "it is a TorchScript program; save its state_dict() instead"
    if isinstance(error, (OSError, RuntimeError)) and text:
        return text.splitlines()[0]
    return "torch.save did not write it, or it is broken"


def state_dict_of(checkpoint: Checkpoint, path: str | Path) -> dict[str, torch.Tensor]:
    """Return the state dict in a checkpoint of densezoo's or of another toolbox's usual forms.

    Raises:
        CheckpointError: no tensors in it.
    """
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = dict(checkpoint[key])
            break
    state = {
        key.removeprefix("module."): value
        for key, value in checkpoint.items()
        if isinstance(key, str) and torch.is_tensor(value)
    }
    if not state:
        raise CheckpointError(f"{path} holds no tensors under 'model' or 'state_dict'")
    return state


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a checkpoint's `model` into `model`, exactly.

    Raises:
        CheckpointError: a tensor is missing, left over or of another shape.
    """
    state = state_dict_of(load_checkpoint(path), path)
    fits, problems = match_weights(model, state)
    if problems:
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise CheckpointError(f"{path} does not fit the config's model: {shown}. Test it with the config it ran with")
    model.load_state_dict(fits)


def init_from(model: nn.Module, path: str | Path) -> list[str]:
    """Start `model` from what fits of any checkpoint, but for learned loss weights: they are of the other run's losses.

    Returns:
        One line for every tensor that did not fit or was not taken.

    Raises:
        CheckpointError: nothing fits, or the file does not load.
    """
    found, problems = match_weights(model, state_dict_of(load_checkpoint(path), path))
    fits = {key: value for key, value in found.items() if not key.startswith(f"{LOSS}.")}
    problems += [f"{key} is not taken, since it is of the other run's losses" for key in found if key not in fits]
    if not fits:
        raise CheckpointError(f"init_from {path}: not one tensor fits the model; first: {problems[0]}")
    model.load_state_dict(fits, strict=False)
    return problems


def match_weights(model: nn.Module, state: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Split a state dict into what fits `model` by name and shape, and a line for each misfit."""
    own = model.state_dict()
    fits = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    problems = [
        f"{key} is {tuple(value.shape)} there and {tuple(own[key].shape)} here"
        for key, value in state.items()
        if key in own and key not in fits
    ]
    problems += [f"{key} is only in the checkpoint" for key in state if key not in own]
    problems += [f"{key} is only in the model" for key in own if key not in state]
    return fits, problems


def rng_state() -> dict[str, Any]:
    """Return the state of every global random generator, on a GPU the current device's, as tensors and plain values."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
        "python": [version, list(numbers), gauss],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).copy()), int(position), int(has_gauss), float(cached)],
    }


def restore_rng_state(state: Mapping[str, Any]) -> None:
    """Set every global random generator to `rng_state()`'s answer."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy(), position, has_gauss, cached))
