import json

import pytest
import torch

from densezoo.engine.build import build_dataset, build_dense_model
from densezoo.engine.checkpoint import save_checkpoint
from densezoo.engine.config import load_config
from densezoo.engine.training_record import training_record


@pytest.fixture
def checkpoint(tiny_config, tmp_path):
    """A checkpoint of epoch 1, step 3, in a work dir without a log."""
    config = load_config(tiny_config)
    meta = build_dataset(config.train_data, config.data_root).meta
    model = build_dense_model(config, meta, torch.device("cpu"))
    saved = {"model": model.state_dict(), "meta": meta.to_dict(), "config": config.to_text(), "epoch": 1, "step": 3}
    save_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt", saved)
    return tmp_path / "run" / "checkpoints" / "best.pt"


def line(**values):
    return json.dumps(values) + "\n"


def test_the_record_is_of_the_whole_run_where_a_log_tells(checkpoint, caplog):
    assert (training_record(checkpoint)["images"], training_record(checkpoint)["seconds"]) == (12, None)
    log = checkpoint.parents[1] / "metrics.jsonl"
    lines = [line(kind="train", step=3, seconds=1.5), line(kind="eval", step=3), line(kind="train", step=6, seconds=2)]
    log.write_text("".join(lines))
    found = training_record(checkpoint)
    assert (found["images"], found["seconds"], found["epoch"]) == (24, 3.5, 1)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no record yet"),
        ("no JSON\n" + line(kind="train", step=3, seconds=1), "line 1: not a record"),
        (line(kind="eval", step=9), "no line of kind 'train'"),
        (line(kind="train", step=9), "KeyError 'seconds'"),
        (line(kind="train", step=9, seconds=None), "TypeError"),
    ],
)
def test_a_log_that_does_not_tell_is_a_warning(checkpoint, caplog, text, reason):
    log = checkpoint.parents[1] / "metrics.jsonl"
    log.write_text(text)
    found = training_record(checkpoint)
    assert (found["images"], found["seconds"]) == (12, None)
    assert found["config"]["epochs"] == 2
    assert f"{log} does not tell how long the training took: " in caplog.text
    assert reason in caplog.text
