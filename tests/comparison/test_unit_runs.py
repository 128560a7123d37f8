"""Units as they are trained and tested: what they leave, and what becomes of those that are killed."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from densezoo.comparison import units as units_module
from densezoo.comparison.circumstances import code_words
from densezoo.comparison.prepared import Prepared
from densezoo.comparison.shared_start import shared_start
from densezoo.comparison.study import Arm, Study
from densezoo.comparison.units import Unit, needs, read_result, run_unit
from densezoo.engine import train as train_module
from densezoo.engine.build import build_dataset
from densezoo.engine.checkpoint import load_checkpoint
from densezoo.engine.config import load_config
from densezoo.engine.intervals import read_draws
from densezoo.engine.sharing import read_test

METRIC = "pose/PCK@0.2"


def tiny_study(path):
    """A study of the tiny config with a test set, and what is prepared of it."""
    config = replace(load_config(path), test_data={"type": "Synthetic", "split": "test", "num_images": 12, "size": 64})
    arms = [Arm(name, {}, config, None) for name in ("base", "concat", "again")]
    study = Study(
        "fusion", "fusion.py", arms, [0, 1], METRIC, 0.01, [0.001, 0.01], 0.4, cluster=r"(\d)\.\w+$", draws=20
    )
    meta = build_dataset(config.train_data, config.data_root).meta
    concat = replace(config, neck={**config.neck, "fusion": "concat"})
    return study, Prepared({"base": config, "concat": concat, "again": config}, {}, True, meta)


@pytest.fixture(scope="module")
def finished(tiny_text, tmp_path_factory):
    """Config, work dir, study and what was prepared, with the tries and one seed of an arm done."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "tiny.py"
    path.write_text(tiny_text)
    study, prepared = tiny_study(path)
    secret = {name: replace(config, test_data={"type": "NotThere"}) for name, config in prepared.configs.items()}
    for unit in [*needs(Unit("concat", "seed", 0), study), Unit("concat", "seed", 0)]:
        run_unit(study, replace(prepared, configs=secret) if unit.kind == "lr" else prepared, unit, folder / "study")
    return path, folder / "study", study, prepared


def files_of(work_dir):
    folder = work_dir / "units" / "concat" / "seed-0" / "test"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "metrics.json"}


def without_times(work_dir):
    metrics = json.loads((work_dir / "units" / "concat" / "seed-0" / "test" / "metrics.json").read_text())
    del metrics["training"]["seconds"], metrics["checkpoint"]
    return metrics


def test_a_try_and_a_seed_leave_what_a_report_needs(finished):
    _, work_dir, _, _ = finished
    tries = [read_result(Unit("concat", "lr", rate), work_dir) for rate in (0.001, 0.01)]
    folder = Unit("concat", "lr", 0.01).folder(work_dir)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["epoch"]) for line in lines] == [("train", 1), ("eval", 1)]
    assert tries[1].score == lines[1]["scores"][METRIC]
    assert tries[1].seconds == lines[0]["seconds"]

    best = max(tries, key=lambda result: result.score)
    found = read_result(Unit("concat", "seed", 0), work_dir)
    assert (found.unit, found.metric, found.learning_rate) == ("concat/seed-0", METRIC, best.learning_rate)
    threads = torch.get_num_threads()
    assert found.device == ("cpu, 1 thread" if threads == 1 else f"cpu, {threads} threads")
    assert found.code == code_words()
    assert (found.torch, found.higher_is_better) == (torch.__version__, True)
    folder = Unit("concat", "seed", 0).folder(work_dir)
    assert not (folder / "test.partial").exists()
    test = read_test(folder / "test")
    assert test.scores[METRIC] == found.score
    assert test.training["config"]["optimizer"]["lr"] == best.learning_rate
    assert test.training["seconds"] == pytest.approx(found.seconds)
    assert Path(json.loads((folder / "test" / "metrics.json").read_text())["checkpoint"]).name == "last.pt"
    (draws,) = read_draws(folder / "test" / "draws.json")
    assert (draws.scores.keys(), draws.clusters) == ({METRIC}, 10)  # last digits of twelve files
    assert (len(draws.image_ids), len(draws.scores[METRIC])) == (12, 20)
    assert {"per_image.csv", "predictions.json"} <= files_of(work_dir).keys()


def test_a_killed_unit_ends_as_if_it_had_not_been(finished, tmp_path):
    path, work_dir, study, prepared = finished
    for unit in needs(Unit("concat", "seed", 0), study):
        target = unit.folder(tmp_path)
        target.mkdir(parents=True)
        (target / "result.json").write_bytes((unit.folder(work_dir) / "result.json").read_bytes())
    code = """
import os, sys
from test_unit_runs import Unit, run_unit, tiny_study
from densezoo.engine.run import Run
optimize = Run.optimize
def deadly(run, group):
    if run.step == 9:  # of seven in an epoch, in the midst of the second
        os.kill(os.getpid(), 9)
    return optimize(run, group)
Run.optimize = deadly
study, prepared = tiny_study(sys.argv[1])
run_unit(study, prepared, Unit("concat", "seed", 0), sys.argv[2])
"""
    words = [sys.executable, "-c", f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n{code}"]
    killed = subprocess.run([*words, str(path), str(tmp_path)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    unit = Unit("concat", "seed", 0)
    assert load_checkpoint(unit.folder(tmp_path) / "checkpoints" / "last.pt")["epoch"] == 1
    assert read_result(unit, tmp_path) is None
    result = run_unit(study, prepared, unit, tmp_path)
    assert result.score == read_result(unit, work_dir).score
    assert files_of(tmp_path) == files_of(work_dir)
    assert without_times(tmp_path) == without_times(work_dir)


def test_a_test_that_was_cut_off_is_made_again_without_training(finished, tmp_path, monkeypatch):
    _, work_dir, study, prepared = finished
    unit = Unit("concat", "seed", 0)
    there = unit.folder(work_dir)
    (unit.folder(tmp_path) / "checkpoints").mkdir(parents=True)
    for name in ("config.py", "metrics.jsonl", "checkpoints/last.pt"):
        (unit.folder(tmp_path) / name).write_bytes((there / name).read_bytes())
    for each in needs(unit, study):
        each.folder(tmp_path).mkdir(parents=True)
        (each.folder(tmp_path) / "result.json").write_bytes((each.folder(work_dir) / "result.json").read_bytes())
    monkeypatch.setattr(train_module, "train_epoch", lambda *_: pytest.fail("it is trained"))
    with monkeypatch.context() as cut:
        cut.setattr(units_module, "write_draws", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_unit(study, prepared, unit, tmp_path)
    assert (unit.folder(tmp_path) / "test.partial" / "per_image.csv").is_file()
    assert not (unit.folder(tmp_path) / "test").exists()
    assert read_result(unit, tmp_path) is None
    run_unit(study, prepared, unit, tmp_path)
    assert files_of(tmp_path) == files_of(work_dir)
    (unit.folder(tmp_path) / "result.json").unlink()
    monkeypatch.setattr(units_module, "score_checkpoint", lambda *_, **__: pytest.fail("it is tested"))
    assert run_unit(study, prepared, unit, tmp_path).score == read_result(unit, work_dir).score


def test_a_run_killed_between_its_first_two_checkpoints_begins_anew(finished, tmp_path):
    _, work_dir, study, prepared = finished
    unit = Unit("concat", "lr", 0.01)
    there, here = unit.folder(work_dir), unit.folder(tmp_path)
    (here / "checkpoints").mkdir(parents=True)
    for name in ("config.py", "metrics.jsonl", "checkpoints/best.pt"):
        (here / name).write_bytes((there / name).read_bytes())
    prepared = replace(
        prepared, configs={name: replace(each, test_data=None) for name, each in prepared.configs.items()}
    )
    assert run_unit(study, prepared, unit, tmp_path).score == read_result(unit, work_dir).score


def test_arms_start_from_what_they_share_and_the_repetition_from_other_seeds(finished, tmp_path, monkeypatch):
    _, _, study, prepared = finished
    starts, configs = {}, {}

    def train(config, folder, resume, start):
        starts[Path(folder).parent.name], configs[Path(folder).parent.name] = start, config
        raise KeyboardInterrupt

    monkeypatch.setattr(units_module, "train", train)
    study = replace(study, learning_rates=[0.1])
    for arm in ("base", "concat", "again"):
        with pytest.raises(KeyboardInterrupt):
            run_unit(study, prepared, Unit(arm, "seed", 1), tmp_path)
    assert {arm: (config.seed, config.optimizer["lr"], config.test_data) for arm, config in configs.items()} == {
        arm: (seed, 0.1, study.base.config.test_data) for arm, seed in (("base", 1), ("concat", 1), ("again", 1001))
    }
    both = [prepared.configs["base"], prepared.configs["concat"]]
    for arm, (place, seed) in {"base": (0, 1), "concat": (1, 1), "again": (0, 1001)}.items():
        expected = shared_start(both, prepared.meta, place, seed)
        assert starts[arm].keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in starts[arm].items())
    equal = [name for name, value in starts["base"].items() if torch.equal(value, starts["concat"].get(name))]
    assert len(equal) > 10
