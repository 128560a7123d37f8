"""A trained model from its checkpoint alone."""

from pathlib import Path
from typing import TypeVar

import torch

from densezoo.engine.build import build_dense_model
from densezoo.engine.checkpoint import Checkpoint, load_checkpoint, load_weights
from densezoo.engine.config import config_from_text
from densezoo.errors import CheckpointError
from densezoo.models import Model
from densezoo.types import DatasetMeta

Value = TypeVar("Value")


def load_model(checkpoint: str | Path, device: str = "cpu") -> Model:
    """Build the model that a checkpoint was trained with and load its weights, in `eval` mode.

    The config inside the checkpoint is read as data; nothing in it is run. A model with parts of your own needs the
    module that registers them imported first.

    Args:
        checkpoint: `last.pt` or `best.pt` of a run.
        device: where to put it.

    Raises:
        CheckpointError: not a checkpoint of densezoo's, or one that does not fit its own config.
        ConfigError: a part that is not registered.
    """
    saved = load_checkpoint(checkpoint)
    config = config_from_text(_field(saved, checkpoint, "config", str), where=str(checkpoint))
    meta = DatasetMeta.from_dict(_field(saved, checkpoint, "meta", dict))
    model = build_dense_model(config, meta, torch.device(device))
    load_weights(model, checkpoint)
    return model.eval()


def checkpoint_meta(checkpoint: str | Path) -> DatasetMeta:
    """Return what the annotations meant that a checkpoint was trained with.

    Raises:
        CheckpointError: not a checkpoint of densezoo's.
    """
    return DatasetMeta.from_dict(_field(load_checkpoint(checkpoint), checkpoint, "meta", dict))


def _field(saved: Checkpoint, path: str | Path, name: str, kind: type[Value]) -> Value:
    value = saved.get(name)
    if not isinstance(value, kind):
        raise CheckpointError(f"{path} is not a checkpoint of densezoo's train command (it has no {name!r})")
    return value
