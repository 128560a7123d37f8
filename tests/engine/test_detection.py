"""Training with one of torchvision's detectors: what is drawn at random, several processes, the configs."""

import difflib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from densezoo.engine import train as train_module
from densezoo.engine.build import build_dense_model
from densezoo.engine.checkpoint import load_checkpoint
from densezoo.engine.config import check_config, load_config
from densezoo.engine.load import load_model
from densezoo.engine.train import train
from densezoo.models import Detector
from densezoo.types import DatasetMeta

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "detection"
BLOOD = DatasetMeta(classes=("RBC", "WBC", "Platelets"), category_ids=(1, 2, 3))
FEW = {"rpn_post_nms_top_n_train": 30, "rpn_post_nms_top_n_test": 30, "box_batch_size_per_image": 16}


@pytest.fixture
def config(tiny_root):
    scenes = {"type": "Synthetic", "view": "scenes", "num_images": 8, "size": 64}
    return check_config(
        {
            "encoder": {"type": "NewellStem", "channels": 32, "norm": "group"},
            "neck": {"type": "StackedHourglass", "num_stages": 2, "num_levels": 3, "norm": "group"},
            "tasks": {"boxes": {"type": "Boxes", "num_classes": 5}},
            "detector": {"type": "FasterRCNN", **FEW},
            "warp": {"size": (48, 48), "padding": 1.0, "flip": 0.5},
            "data_root": str(tiny_root),
            "train_data": {**scenes, "split": "train"},
            "val_data": {**scenes, "split": "val"},
            "epochs": 3,
            "batch_size": 4,
            "engine": {"workers": 0, "device": "cpu", "ema": 0.9},
        }
    )


def weights(folder):
    return load_checkpoint(folder / "checkpoints" / "last.pt")["model"]


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_byte_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.numpy().tobytes() == other[name].numpy().tobytes(), name


def test_a_resumed_run_draws_the_proposals_that_it_would_have_drawn(config, tmp_path, monkeypatch):
    train(config, tmp_path / "whole")
    saved = train_module.save_checkpoint

    def die_after_the_second(path, checkpoint):
        saved(path, checkpoint)
        if checkpoint["epoch"] == 2 and path.name == "last.pt":
            raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "save_checkpoint", die_after_the_second)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts")
    monkeypatch.undo()
    torch.rand(100)
    train(config, tmp_path / "parts", resume=True)
    assert_byte_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    loaded = load_model(tmp_path / "parts" / "checkpoints" / "last.pt")
    assert isinstance(loaded, Detector)
    assert_byte_equal(loaded.state_dict(), weights(tmp_path / "whole"))


def test_weights_come_from_the_seed(config):
    build = [build_dense_model(replace(config, seed=seed), None, torch.device("cpu")) for seed in (3, 3, 4)]
    assert_byte_equal(build[0].state_dict(), build[1].state_dict())
    name = "detector.rpn.head.cls_logits.weight"
    assert not torch.equal(build[0].state_dict()[name], build[2].state_dict()[name])


def test_accumulated_batches_weigh_as_one_step(config, tmp_path):
    config = replace(config, detector={"type": "FCOS"}, epochs=1, val_data=None)
    train(config, tmp_path / "one")
    train(replace(config, batch_size=2).with_engine(accumulate=2), tmp_path / "two")
    one, two = (lines(tmp_path / name)[0]["loss"] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=0.2)


@pytest.mark.parametrize("kind", ["FCOS", pytest.param("FasterRCNN", marks=pytest.mark.slow)])
def test_two_processes_train_together(config, tmp_path, kind):
    config = replace(config, detector={"type": kind, **(FEW if kind == "FasterRCNN" else {})}, epochs=2)
    path = tmp_path / "config.py"
    path.write_text(config.to_text())
    train(config, tmp_path / "one")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        str(ROOT / "tools" / "train.py"), str(path), "--work-dir", str(tmp_path / "two"), "--launcher", "pytorch",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (
        [line for line in lines(tmp_path / name) if line["kind"] == "train"] for name in ("one", "two")
    )  # fmt: skip
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for mine, theirs in zip(one, two, strict=True):  # the mean of two halves, where each has positives of its own
        assert theirs["loss"] == pytest.approx(mine["loss"], rel=0.2)
    assert "boxes/AP" in lines(tmp_path / "two")[-1]["scores"]


def test_hourglass_and_fpn_differ_in_one_line_the_neck():
    texts = [(CONFIGS / f"fcos_{neck}_bccd.py").read_text().splitlines() for neck in ("hourglass", "fpn")]
    changed = [line for line in difflib.ndiff(*texts) if line[0] in "+-"]
    assert [line[:9] for line in changed] == ["- neck = ", "+ neck = "]


def test_the_config_of_people_builds():
    config = load_config(CONFIGS / "fcos_fpn_coco_person.py")
    model = build_dense_model(config, replace(BLOOD, classes=("person",), category_ids=(1,)), torch.device("cpu"))
    assert model.strides == [8, 16, 32, 64]


@pytest.mark.parametrize("name", ["fcos_hourglass", "fcos_fpn", "retinanet_hourglass", "faster_rcnn_hourglass"])
def test_configs_build(name):
    config = load_config(CONFIGS / f"{name}_bccd.py")
    model = build_dense_model(config, BLOOD, torch.device("cpu"))
    assert model.strides == [8, 16, 32] if name.startswith("fcos") else [4, 8, 16]
    assert sum(p.numel() for p in model.parameters()) < 6e6
    assert config.warp["size"] == (240, 320)
