"""Several tasks in one network, on one data set and on several."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from densezoo import train
from densezoo.engine import train as train_module
from densezoo.engine.build import build_dataset, build_dense_model, build_loader, build_samples
from densezoo.engine.checkpoint import load_checkpoint
from densezoo.engine.config import differing_keys, load_config
from densezoo.engine.distributed import Processes
from densezoo.engine.loading import collate
from densezoo.engine.run import Run
from densezoo.errors import ConfigError

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
CONFIG = """
encoder = dict(type="NewellStem", channels=16, norm="group")
neck = dict(type="StackedHourglass", num_stages=1, num_levels=2, norm="group")
tasks = dict(
    pose=dict(type="Centers", num_classes=5, num_keypoints=17, head=dict(type="Center", channels=16),
              metrics=[dict(type="PCK", normalizer="box")]),
    boxes=dict(type="Corners", num_classes=5, head=dict(type="Corner", channels=16, pool_channels=8, norm="group")),
    segmentation=dict(type="Segmentation", num_classes=6, loss=dict(cross_entropy=1.0, dice=1.0)),
)
warp = dict(size=(48, 40), padding=1.0, scale=(0.8, 1.2), flip=0.5)
data_root = "{root}"
_set = dict(type="Synthetic", view="scenes", semantic=True, num_images=8, size=64)
train_data = dict(**_set, split="train")
val_data = dict(**_set, split="val")
optimizer = dict(type="adamw", lr=1e-3)
epochs = 2
batch_size = 4
engine = dict(workers=0, device="cpu", best=["pose/PCK_box@0.2", "segmentation/mIoU"])
"""
MIXED = """
loss_weights = dict(type="gradnorm")
train_data = dict(type="Mixed", weights=[1, 1], sources=[
    dict(**_set, split="train", only=["boxes", "keypoints"]),
    dict(**_set, split="val", subset=dict(limit=4), only=["semantic"]),
])
val_data = [dict(**_set, split="val", only=["semantic"]), dict(**_set, split="val", only=["boxes", "keypoints"])]
"""


@pytest.fixture
def write(tmp_path, tiny_root):
    def write(more=""):
        path = tmp_path / "config.py"
        path.write_text(CONFIG.format(root=tiny_root) + more)
        return path

    return write


def lines(folder, kind):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def test_samples_without_an_annotation_add_nothing_to_its_loss_and_gradient(write):
    more = "tasks['people'] = dict(type='Pose', num_keypoints=17, joints='zero_target')\n"
    config = load_config(write(more))
    data = build_dataset(config.train_data, config.data_root)
    samples = build_samples(config, data, training=True)
    known = [samples[(0, index)] for index in range(2)]
    unknown = [samples[(0, index)] for index in range(2, 4)]
    for sample in unknown:
        for key in ("keypoints", "boxes", "semantic"):
            del sample[key]
    model = build_dense_model(config, data.meta, CPU)

    def learn(chosen):
        batch = collate(chosen)
        model.zero_grad(set_to_none=True)
        losses = model.losses(batch)
        sum(losses.values()).backward()
        gradients = {name: value.grad.clone() for name, value in model.named_parameters()}
        return model.normalisers(batch), {name: value.item() for name, value in losses.items()}, gradients

    counts, losses, gradients = learn(known)
    assert all(value > 0 for name, value in losses.items() if not name.endswith("push"))
    for chosen in ([*known, *unknown], [unknown[0], *known, unknown[1]]):
        found = learn(chosen)
        assert found[0] == counts
        assert found[1] == pytest.approx(losses, rel=1e-4)
        for name, value in gradients.items():
            torch.testing.assert_close(found[2][name], value, rtol=1e-3, atol=1e-5, msg=name)
    for sample in unknown:  # annotated, and nothing is there: that is a negative for what finds objects
        sample["boxes"], sample["keypoints"] = known[0]["boxes"][:0], known[0]["keypoints"][:0]
        sample["labels"] = sample["labels"][:0]
    empty = learn([*known, *unknown])[1]
    assert {name for name, value in empty.items() if value > 1.01 * losses[name]} == {
        "pose/heat", "pose/keypoint_heat", "boxes/heat"
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["gradnorm", "uncertainty"])
def test_a_run_on_several_data_sets_resumes_byte_equal(write, tmp_path, monkeypatch, kind):
    config = load_config(
        write(MIXED), {"loss_weights.type": kind, "epochs": 3, "engine.ema": 0.9, "engine.eval_every": 3}
    )
    scores = train(config, tmp_path / "whole")
    assert {name.split("/")[0] for name in scores} == {"pose", "boxes", "segmentation"}
    saved = train_module.save_checkpoint

    def die_after_the_first(path, checkpoint):
        saved(path, checkpoint)
        if checkpoint["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "save_checkpoint", die_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts")
    monkeypatch.undo()
    train(config, tmp_path / "parts", resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoints/last.pt") for name in ("whole", "parts"))
    for kept in ("model", "trained_model"):
        for name, value in whole[kept].items():
            assert value.numpy().tobytes() == parts[kept][name].numpy().tobytes(), name
    weights = [line["loss_weights"] for line in lines(tmp_path / "whole", "train")]
    assert weights == [line["loss_weights"] for line in lines(tmp_path / "parts", "train")]
    assert len({tuple(each.values()) for each in weights}) == 3
    learned = [name for name in whole["trained_model"] if name.startswith("loss_weights.")]
    buffers = ["weights", "first_losses", "relative_losses", "norms"]
    assert learned == [f"loss_weights.{name}" for name in (buffers if kind == "gradnorm" else ["log_variances"])]
    if kind == "gradnorm":
        assert sum(weights[-1].values()) == pytest.approx(3)
    evaluation = lines(tmp_path / "whole", "eval")[-1]["scores"]
    mean = (evaluation["pose/PCK_box@0.2"] + evaluation["segmentation/mIoU"]) / 2
    assert whole["best_score"] == pytest.approx(mean)


def test_each_set_is_scored_for_its_tasks(write):
    run = Run.build(load_config(write(MIXED)), Processes(0, 1, CPU))
    assert [of_set.tasks for of_set, _ in run.val_sets] == [["segmentation"], ["pose", "boxes"]]
    assert run.meta.semantic_classes[0] == "background"
    batch = next(iter(run.train_loader))
    known = batch["annotated"]
    assert known["boxes"].tolist() == (~known["semantic"]).tolist()
    assert known["boxes"].sum() == 2


@pytest.mark.parametrize("alternate", [False, True])
def test_mixed_batches_are_the_same_for_any_number_of_workers(write, alternate):
    config = load_config(write(MIXED), {"train_data.alternate": alternate})
    samples = build_samples(config, build_dataset(config.train_data, config.data_root), training=True)
    found = []
    for workers in (0, 2):
        loader, sampler = build_loader(config.with_engine(workers=workers), samples, Processes(0, 1, CPU))
        sampler.epoch = 1
        found.append([batch["images"] for batch in loader])
        if alternate:
            assert all("semantic" not in batch or "boxes" not in batch for batch in loader)
    assert len(found[0]) == 3
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_sample_that_comes_again_in_an_epoch_is_warped_anew(write):
    config = load_config(write(MIXED))
    samples = build_samples(config, build_dataset(config.train_data, config.data_root), training=True)
    first, again = samples[(0, 9)], samples[(0, 9 + len(samples))]
    assert first["path"] == again["path"]
    assert (first["image"] != again["image"]).any()


def test_gradient_norms_cannot_be_compiled(write):
    config = load_config(write(MIXED)).with_engine(compile=True)
    with pytest.raises(ConfigError, match=r"engine\.compile cannot go with loss_weights"):
        Run.build(config, Processes(0, 1, CPU))


@pytest.mark.slow
def test_uncertainty_can_be_compiled(write, tmp_path):
    config = load_config(write(), {"loss_weights": {"type": "uncertainty"}, "epochs": 1})
    config = replace(config, val_data=None)
    train(config, tmp_path / "plain")
    train(config.with_engine(compile=True), tmp_path / "compiled")
    plain, compiled = (lines(tmp_path / name, "train")[0] for name in ("plain", "compiled"))
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-3)
    assert compiled["loss_weights"] == pytest.approx(plain["loss_weights"], rel=1e-4)


@pytest.mark.parametrize("kind", ["gradnorm", pytest.param("uncertainty", marks=pytest.mark.slow)])
def test_two_processes_with_accumulation_weigh_as_one(write, tmp_path, kind):
    options = {"epochs": 1, "batch_size": 2, "engine.accumulate": 2, "loss_weights.type": kind}
    path = write(MIXED)
    train(load_config(path, options), tmp_path / "one")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port),
        str(ROOT / "tools" / "train.py"), str(path), "--work-dir", str(tmp_path / "two"), "--launcher", "pytorch",
        "--cfg-options", *[f"{key}={value}" for key, value in options.items()],
    ]  # fmt: skip
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for one, two in zip(lines(tmp_path / "one", "train"), lines(tmp_path / "two", "train"), strict=True):
        assert one["step"] == two["step"]
        assert two["losses"] == pytest.approx(one["losses"], rel=1e-2, abs=1e-3)
        assert two["loss_weights"] == pytest.approx(one["loss_weights"], abs=1e-4)
        assert min(abs(value - 1) for value in one["loss_weights"].values()) > 1e-4


@pytest.mark.parametrize("data", ["synthetic", "coco_person"])
def test_the_single_configs_differ_from_the_shared_one_in_their_task_alone(data):
    folder = ROOT / "configs" / "multi"
    shared = load_config(folder / f"pose_boxes_masks_{data}.py")
    assert list(shared.tasks) == ["pose", "boxes", "segmentation"]
    for name, task in (("pose", "pose"), ("boxes", "boxes"), ("masks", "segmentation")):
        single = load_config(folder / f"{name}_{data}.py")
        assert single.tasks == {task: shared.tasks[task]}
        others = {other for other in shared.tasks if other != task}
        differing = [key for key in differing_keys(shared, single) if not key.startswith("loss_weights")]
        assert {key.split(".")[1] for key in differing} == others
        assert all(key.startswith("tasks.") for key in differing)


def test_the_shared_config_learns(tiny_root, tmp_path):
    path = ROOT / "configs" / "multi" / "pose_boxes_masks_synthetic.py"
    options = {
        "data_root": str(tiny_root),
        "train_data.num_images": 16,
        "val_data.num_images": 4,
        "batch_size": 8,
        "epochs": 2,
        "engine.eval_every": 2,
        "engine.workers": 0,
        "engine.flip_test": False,
    }
    scores = train(load_config(path, options), tmp_path)
    assert {"pose/AP", "boxes/AP", "segmentation/mIoU"} <= set(scores)
    first, last = lines(tmp_path, "train")
    assert last["loss"] < first["loss"]
