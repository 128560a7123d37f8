"""A trained model from its checkpoint alone."""

from collections.abc import Mapping
from pathlib import Path

import torch

from densezoo.engine.build import build_dense_model
from densezoo.engine.checkpoint import load_checkpoint, load_weights
from densezoo.engine.config import RunConfig, config_from_text
from densezoo.errors import CheckpointError
from densezoo.models import DenseModel
from densezoo.types import DatasetMeta


def load_model(checkpoint: str | Path, device: str = "cpu") -> DenseModel:
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
    model = build_dense_model(checkpoint_config(checkpoint), checkpoint_meta(checkpoint), torch.device(device))
    load_weights(model, checkpoint)
    return model.eval()


def checkpoint_config(checkpoint: str | Path) -> RunConfig:
    """Return the config that a checkpoint was trained with.

    Raises:
        CheckpointError: not a checkpoint of densezoo's.
    """
    text = load_checkpoint(checkpoint).get("config")
    if not isinstance(text, str):
        raise CheckpointError(f"{checkpoint} is not a checkpoint of densezoo's train command (it has no 'config')")
    return config_from_text(text, where=str(checkpoint))


def checkpoint_meta(checkpoint: str | Path) -> DatasetMeta:
    """Return what the annotations meant that a checkpoint was trained with.

    Raises:
        CheckpointError: not a checkpoint of densezoo's.
    """
    saved = load_checkpoint(checkpoint).get("meta")
    if not isinstance(saved, Mapping):
        raise CheckpointError(f"{checkpoint} is not a checkpoint of densezoo's train command (it has no 'meta')")
    return DatasetMeta.from_dict(saved)
