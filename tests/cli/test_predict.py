"""The predict command where something goes wrong on the way; tests of what it answers are in test_commands.py."""

import json
import os

import cv2
import numpy as np
import pytest
import torch

from densezoo.cli.main import main
from densezoo.engine.build import build_dataset, build_dense_model
from densezoo.engine.checkpoint import save_checkpoint
from densezoo.engine.config import load_config


@pytest.fixture
def command(tiny_config, tmp_path):
    """Command that predicts, one by one, on two images and one between them that cannot be read, into `out`."""
    tiny_config.write_text(tiny_config.read_text() + "batch_size = 1\n")
    config = load_config(tiny_config)
    meta = build_dataset(config.train_data, config.data_root).meta
    model = build_dense_model(config, meta, torch.device("cpu"))
    save_checkpoint(tmp_path / "a.pt", {"model": model.state_dict(), "meta": meta.to_dict()})
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(tmp_path / "photos" / name), np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "photos" / "b.png").write_bytes(b"no image")
    return [
        "predict", str(tiny_config), str(tmp_path / "a.pt"), str(tmp_path / "photos"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_answers_until_an_error_are_kept(command, tmp_path, capsys):
    assert main([*command, "--cfg-options", "engine.max_bad_images=0"]) == 2
    said = capsys.readouterr()
    assert said.out == f"stopped early: the 1 predictions so far are in {tmp_path / 'out' / 'predictions.json'}\n"
    assert "1 images could not be read (engine.max_bad_images=0)" in said.err
    answers = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [answer["file_name"] for answer in answers] == ["a.png"]


def test_an_error_before_the_first_answer_leaves_the_folder_free(command, tmp_path, capsys):
    (tmp_path / "photos" / "a.png").write_bytes(b"no image")
    assert main([*command, "--cfg-options", "engine.max_bad_images=0"]) == 2
    assert capsys.readouterr().out == ""
    assert names(tmp_path / "out") == []
    assert main(command) == 0
    assert "1 predictions on 1 images" in capsys.readouterr().out


def test_answers_that_cannot_be_written_are_an_error_of_the_file(command, tmp_path, capsys, monkeypatch):
    def fill(source, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", fill)
    assert main(command) == 2
    assert f"{tmp_path / 'out' / 'predictions.json'} cannot be written: [Errno 28]" in capsys.readouterr().err
