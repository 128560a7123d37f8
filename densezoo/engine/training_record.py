"""What a checkpoint's training cost, for the record of a test."""

import logging
from pathlib import Path
from typing import Any

from densezoo.engine.checkpoint import load_checkpoint
from densezoo.engine.config import config_from_text
from densezoo.engine.load import load_model
from densezoo.engine.work_dir import WorkDir
from densezoo.errors import DataError, DenseZooError
from densezoo.visualization.curves import read_log

logger = logging.getLogger("densezoo")


def training_record(checkpoint: str | Path) -> dict[str, Any]:
    """Return the budget and the config of the run that a checkpoint is of.

    Args:
        checkpoint: of a run; budgets are those of the whole run where its work dir is still around it.

    Returns:
        `config`: as it was run, in plain values. `epoch`: of the checkpoint. `parameters`: of the model. `images`: seen
        in training, again and again. `seconds`: of training, without evaluations; None where no log tells, with
        a warning where a broken one is there. Empty for a checkpoint that no training wrote, or, with a warning, one
        whose config this version does not build.
    """
    saved = load_checkpoint(checkpoint)
    if not isinstance(saved.get("config"), str) or "step" not in saved:
        return {}
    try:
        config = config_from_text(saved["config"], str(checkpoint))
        parameters = sum(item.numel() for item in load_model(checkpoint).parameters())
    except DenseZooError as error:
        logger.warning("no record of the training, since the checkpoint's config cannot be built: %s", error)
        return {}
    step, seconds = saved["step"], None
    folder = Path(checkpoint).resolve().parent
    log = WorkDir(folder.parent).metrics
    if folder.name == "checkpoints" and log.is_file():
        try:
            lines = [line for line in read_log(log) if line["kind"] == "train"]
            if not lines:
                raise DataError(f"{log}: no line of kind 'train'")
            step, seconds = max(line["step"] for line in lines), sum(line["seconds"] for line in lines)
        except (DataError, OSError, KeyError, TypeError, ValueError) as error:
            logger.warning("%s does not tell how long the training took: %s %s", log, type(error).__name__, error)
    return {
        "config": config.to_dict(),
        "epoch": saved["epoch"],
        "parameters": parameters,
        # checkpoints of older versions do not say how many a small set gave
        "images": step * saved.get("step_images", config.batch_size * config.engine.accumulate),
        "seconds": seconds,
    }
