import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from densezoo import load_model, train
from densezoo.engine import train as train_module
from densezoo.engine.build import build_dataset, build_dense_model
from densezoo.engine.checkpoint import load_checkpoint
from densezoo.engine.config import RunConfig, load_config
from densezoo.engine.distributed import Processes
from densezoo.engine.evaluate import mean_score
from densezoo.engine.run import Run
from densezoo.engine.work_dir import WorkDir
from densezoo.errors import CheckpointError, ConfigError, DataError, DenseZooError

CPU = torch.device("cpu")


def weights(work_dir, name="last"):
    return load_checkpoint(work_dir / "checkpoints" / f"{name}.pt")["model"]


def lines(work_dir):
    return [json.loads(line) for line in (work_dir / "metrics.jsonl").read_text().splitlines()]


def test_best_follows_the_newest_weights_while_no_score_is_a_number(tmp_path, monkeypatch):
    class Counted(Run):
        def checkpoint(self):
            return {"model": {"epoch": torch.tensor(self.epoch)}}

        model_checkpoint = checkpoint

    said = []
    monkeypatch.setattr(train_module, "draw_curves", lambda *_: None)
    config = replace(RunConfig(encoder={}, tasks={}, warp={}, train_data={}), epochs=9)
    run = Counted(config, *[None] * 9, [("set", None)], ["a/AP", "b/AP"], True, set(), {}, [])
    report, folder = SimpleNamespace(say=said.append), WorkDir(tmp_path)
    kept = []
    for run.epoch, score in enumerate([None, float("nan"), float("nan"), 0.5, float("nan"), 0.4], start=1):
        run.scores = {} if score is None else {"a/AP": 0.5, "b/AP": score}
        train_module.keep(run, folder, mean_score(run.scores, run.best_names), report)
        kept.append(int(weights(tmp_path, "best")["epoch"]))
    assert kept == [1, 2, 3, 4, 4, 4]
    assert [line for line in said if "is NaN" in line] == [
        "  b/AP is NaN, so this epoch is not the best; until one is, best.pt has the newest weights"
    ]


def assert_byte_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.numpy().tobytes() == other[name].numpy().tobytes(), name


def test_windows_that_do_not_fit_are_refused_before_the_training(tiny_config, tmp_path):
    config = load_config(tiny_config).with_engine(window=(31, 31), eval_every=100)
    with pytest.raises(ConfigError, match=r"engine\.window"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_leaves_everything_that_is_promised(tiny_config, tmp_path):
    scores = train(load_config(tiny_config), tmp_path / "run")
    found = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {"config.py", "checkpoints/last.pt", "checkpoints/best.pt", "metrics.jsonl", "curves.png"} <= found
    assert any(name.startswith("tensorboard/events") for name in found)
    assert [(line["kind"], line["epoch"]) for line in lines(tmp_path / "run")] == [
        ("train", 1), ("eval", 1), ("train", 2), ("eval", 2),
    ]  # fmt: skip
    assert lines(tmp_path / "run")[-1]["scores"]["pose/PCK@0.2"] == scores["pose/PCK@0.2"]
    model = load_model(tmp_path / "run" / "checkpoints" / "best.pt")
    assert not model.training
    assert_byte_equal(model.state_dict(), weights(tmp_path / "run", "best"))


def test_another_seed_gives_another_run_and_the_same_seed_the_same(tiny_config, tmp_path):
    config = replace(load_config(tiny_config), epochs=1)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(replace(config, seed=seed), tmp_path / name)
    assert_byte_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert lines(tmp_path / "a")[0]["loss"] != lines(tmp_path / "c")[0]["loss"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_ends_byte_equal_to_one_that_never_stopped(tiny_config, tmp_path, monkeypatch, workers):
    config = load_config(tiny_config, {"engine.ema": 0.9, "epochs": 3}).with_engine(workers=workers)
    train(config, tmp_path / "whole")

    saved = train_module.save_checkpoint

    def die_after_the_first(path, checkpoint):
        saved(path, checkpoint)
        if checkpoint["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "save_checkpoint", die_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts")
    monkeypatch.undo()
    torch.rand(100)  # what else the process draws must not matter
    train(config, tmp_path / "parts", resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoints/last.pt") for name in ("whole", "parts"))
    assert_byte_equal(whole["model"], parts["model"])
    assert_byte_equal(weights(tmp_path / "whole", "best"), weights(tmp_path / "parts", "best"))
    assert_byte_equal(whole["trained_model"], parts["trained_model"])
    assert torch.equal(whole["rng"]["torch"], parts["rng"]["torch"])
    strip = [{key: value for key, value in line.items() if "second" not in key and key != "data_wait"}
             for name in ("whole", "parts") for line in lines(tmp_path / name)]  # fmt: skip
    assert strip[: len(strip) // 2] == strip[len(strip) // 2 :]


def test_a_plateau_schedule_and_uneven_accumulation_survive_a_resume(tiny_config, tmp_path, monkeypatch):
    config = replace(
        load_config(tiny_config, {"epochs": 3, "batch_size": 3}).with_engine(accumulate=2),
        schedule={"type": "plateau", "factor": 0.2, "patience": 0},
        optimizer={"type": "rmsprop", "lr": 2.5e-4, "alpha": 0.99},
    )
    train(config, tmp_path / "whole")
    monkeypatch.setattr(train_module, "draw_curves", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts")
    monkeypatch.undo()
    train(config, tmp_path / "parts", resume=True)
    assert_byte_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert [line.get("lr") for line in lines(tmp_path / "whole")] == [
        line.get("lr") for line in lines(tmp_path / "parts")
    ]


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_finished_run_is_not_run_again_nor_overwritten(tiny_config, tmp_path):
    config = replace(load_config(tiny_config), epochs=1)
    first = train(config, tmp_path)
    before = (tmp_path / "checkpoints/last.pt").read_bytes()
    with pytest.raises(ConfigError, match="already holds a run"):
        train(config, tmp_path)
    assert train(config, tmp_path, resume=True) == pytest.approx(first, nan_ok=True)
    with pytest.raises(CheckpointError, match="epochs differ"):
        train(replace(config, epochs=2), tmp_path, resume=True)
    assert (tmp_path / "checkpoints/last.pt").read_bytes() == before


def test_a_model_alone_is_nothing_to_resume_from(tiny_config, tmp_path):
    config = replace(load_config(tiny_config), epochs=1)
    train(config, tmp_path)
    (tmp_path / "checkpoints/last.pt").write_bytes((tmp_path / "checkpoints/best.pt").read_bytes())
    with pytest.raises(CheckpointError, match=r"has no 'bad_images': it holds a model only.*init_from"):
        train(config, tmp_path, resume=True)


@pytest.mark.parametrize("higher", [True, False])
def test_a_tie_is_no_better_score(higher):
    run = SimpleNamespace(best_score=None, higher_is_better=higher)
    worse, better = (0.2, 0.4) if higher else (0.4, 0.2)
    assert [Run.note_score(run, score) for score in (0.3, 0.3, worse, float("nan"), None, better)] == [
        True, False, False, False, False, True,
    ]  # fmt: skip


def test_what_is_never_learned_is_said(tiny_config, tmp_path, capsys):
    config = replace(load_config(tiny_config), epochs=1, val_data=None)
    folder = build_dataset(config.train_data, config.data_root).folder
    content = json.loads((folder / "annotations/train.json").read_text())
    found = [dict(each, score=1.0) for each in content["annotations"] if each["category_id"] == 1]
    (tmp_path / "found.json").write_text(json.dumps(found))
    detected = {"type": "CocoPose", "annotations": "annotations/train.json", "images": "images",
                "boxes": str(tmp_path / "found.json")}  # fmt: skip
    train(replace(config, data_root=str(folder), train_data=detected), tmp_path / "run")
    assert "task 'pose' learned nothing in this epoch" in capsys.readouterr().out


def test_accumulated_batches_give_the_gradient_of_one_large_batch(tiny_config):
    # SGD without momentum: the weights after a step show the gradient
    options = {
        "optimizer": {"type": "momentum", "momentum": 0.0, "lr": 1.0},
        "schedule": {"type": "one_cycle", "div_factor": 1.0},
    }
    config = replace(load_config(tiny_config), **options)
    large = Run.build(replace(config, batch_size=8), Processes(0, 1, CPU))
    small = Run.build(replace(config, batch_size=4).with_engine(accumulate=2), Processes(0, 1, CPU))
    one = large.optimize([next(iter(large.train_loader))])
    several = small.optimize([batch for batch, _ in zip(small.train_loader, range(2), strict=False)])
    assert one["pose/heatmap"].item() == pytest.approx(several["pose/heatmap"].item(), rel=1e-5)
    for (name, value), other in zip(large.model.named_parameters(), small.model.parameters(), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5, msg=name)


def test_clipping_bounds_the_step(tiny_config):
    options = {
        "optimizer": {"type": "momentum", "momentum": 0.0, "lr": 1.0},
        "schedule": {"type": "one_cycle", "div_factor": 1.0},
    }
    run = Run.build(replace(load_config(tiny_config), **options).with_engine(clip=0.01), Processes(0, 1, CPU))
    before = [value.detach().clone() for value in run.model.parameters()]
    run.optimize([next(iter(run.train_loader))])
    moved = sum((value - old).pow(2).sum() for value, old in zip(run.model.parameters(), before, strict=True)).sqrt()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("engine", [{"amp": True}, {"ema": 0.99}])
def test_training_learns_with_autocast_and_averaging(tiny_config, tmp_path, engine):
    config = load_config(tiny_config).with_engine(**engine)
    train(replace(config, epochs=4, val_data=None, optimizer={"type": "adamw", "lr": 5e-3}), tmp_path)
    losses = [line["loss"] for line in lines(tmp_path)]
    assert losses[-1] < 0.7 * losses[0]
    assert (tmp_path / "checkpoints/best.pt").is_file()


@pytest.mark.slow
def test_a_compiled_step_gives_the_same_losses(tiny_config, tmp_path):
    config = replace(load_config(tiny_config), epochs=1, val_data=None)
    train(config, tmp_path / "plain")
    train(config.with_engine(compile=True), tmp_path / "compiled")
    plain, compiled = (lines(tmp_path / name)[0]["loss"] for name in ("plain", "compiled"))
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_a_loss_that_is_no_number_stops_the_run_with_advice(tiny_config, tmp_path):
    config = replace(load_config(tiny_config), optimizer={"type": "momentum", "lr": 1e30})
    with pytest.raises(DenseZooError, match=r"the loss is nan.*lower optimizer\.lr"):
        train(config, tmp_path)


def break_an_image(config, tmp_path):
    """Copy the training set, one image of which is not an image."""
    shutil.copytree(Path(config.data_root) / "synthetic", tmp_path / "data" / "synthetic")
    folder = next((tmp_path / "data" / "synthetic").glob(f"train_{config.train_data['num_images']}x*"))
    image = sorted((folder / "images").iterdir())[0]
    image.write_bytes(b"no image")
    return replace(config, data_root=str(tmp_path / "data")), image


def test_an_image_that_does_not_decode_is_named_and_skipped_up_to_the_limit(tiny_config, tmp_path, capsys):
    config = replace(load_config(tiny_config), epochs=1, batch_size=2)
    train(config, tmp_path / "draw")
    config, image = break_an_image(config, tmp_path)
    train(config, tmp_path / "run")
    assert f"skipped: {image}" in capsys.readouterr().out
    with pytest.raises(DataError, match=f"max_bad_images=0.*{image.name}"):
        train(config.with_engine(max_bad_images=0), tmp_path / "strict")


def test_too_few_samples_for_a_step_are_refused(tiny_config, tmp_path):
    with pytest.raises(DataError, match="do not fill one step"):
        train(load_config(tiny_config, {"engine.accumulate": 50}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_init_from_reports_what_did_not_fit(tiny_config, tmp_path, capsys):
    config = replace(load_config(tiny_config), epochs=1, val_data=None)
    train(config, tmp_path / "first")
    checkpoint = tmp_path / "first/checkpoints/last.pt"
    wider = replace(config, neck=config.neck | {"num_stages": 3}, init_from=str(checkpoint))
    train(wider, tmp_path / "second")
    out = capsys.readouterr().out
    assert f"started from {checkpoint}" in out
    assert "neck.stages.2." in out
    checkpoint.unlink()
    train(wider, tmp_path / "second", resume=True)  # a run that has begun needs the file no more
    assert "started from" not in capsys.readouterr().out


def test_processes_of_torchrun_must_be_joined(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="add --launcher pytorch"):
        train(load_config(tiny_config), tmp_path / "run")


def test_a_task_without_metrics_is_refused(tiny_config, tmp_path):
    with pytest.raises(ConfigError, match="no task has a metric"):
        train(load_config(tiny_config, {"tasks.pose.metrics": []}), tmp_path / "run")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_two_processes_train_as_one_with_the_same_global_batch(tiny_config, tmp_path):
    # Adam would make a step of any size out of the rounding of a gradient that is nothing
    options = {"batch_size": 2, "epochs": 2, "optimizer.type": "sgd", "optimizer.lr": 0.02}
    train(load_config(tiny_config, options), tmp_path / "one")
    assert lines(tmp_path / "one")[-1]["step"] >= 10
    tools = Path(__file__).parents[2] / "tools" / "train.py"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port()),
        str(tools), str(tiny_config), "--work-dir", str(tmp_path / "two"), "--launcher", "pytorch",
        "--cfg-options", *[f"{key}={value}" for key, value in options.items()],
    ]  # fmt: skip
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for one, two in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert one["step"] == two["step"]
        if one["kind"] == "train":
            assert two["loss"] == pytest.approx(one["loss"], abs=1e-4)
        else:
            assert two["scores"]["pose/PCK@0.2"] == pytest.approx(one["scores"]["pose/PCK@0.2"], abs=0.02)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    config = load_config(tiny_config)
    start = build_dense_model(config, None, torch.device("cpu"), starts=True).state_dict()
    floats = [name for name in one if one[name].is_floating_point()]
    assert max((one[name] - start[name]).abs().max() for name in floats) > 1e-2
    assert max((one[name] - two[name]).abs().max() for name in floats) < 1e-3
