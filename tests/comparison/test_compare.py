"""A whole study from Python: units in turn, failures that do not stop the others, and going on."""

import pytest
import torch

import densezoo
from densezoo.comparison import compare as module
from densezoo.comparison.ledger import Ledger
from densezoo.comparison.prepared import Prepared
from densezoo.comparison.units import Unit
from densezoo.errors import ConfigError, DataError
from densezoo.types import DatasetMeta

STUDY = """
base = "tiny.py"
base_name = "sum"
options = {"epochs": 1}
arms = dict(concat={"neck.fusion": "concat"})
seeds = 1
metric = "pose/PCK@0.2"
smallest_difference = 0.05
draws = 20
"""


@pytest.fixture
def study(tmp_path, tiny_text):
    test_data = 'test_data = dict(type="Synthetic", split="test", num_images=6, size=64)\n'
    (tmp_path / "tiny.py").write_text(tiny_text + test_data)
    (tmp_path / "study.py").write_text(STUDY)
    return densezoo.load_study(tmp_path / "study.py")


def test_runs_reports_and_goes_on(study, tmp_path, monkeypatch):
    said: list[str] = []
    run_unit = module.run_unit

    def fail_once(study, prepared, unit, work_dir):
        if unit.name == "concat/seed-0":
            raise DataError("no such image")
        return run_unit(study, prepared, unit, work_dir)

    monkeypatch.setattr(module, "run_unit", fail_once)
    found = densezoo.compare(study, tmp_path / "work", say=said.append)
    assert "concat/seed-0 failed: no such image" in said
    assert found.missing == {"concat/seed-0": "failed: no such image"}
    assert Ledger(tmp_path / "work").status("again/seed-0") == "done"
    assert found.conclusions.comparisons[0].reason == "there is no seed that both have finished"

    with pytest.raises(ConfigError, match="continue it with --resume"):
        densezoo.compare(study, tmp_path / "work", say=said.append)

    ran: list[str] = []
    monkeypatch.setattr(module, "run_unit", lambda *given: ran.append(given[2].name) or run_unit(*given))
    found = densezoo.compare(study, tmp_path / "work", resume=True, say=said.append)
    assert ran == ["concat/seed-0"]
    assert [line for line in said if line.endswith("started")][-1:] == ["concat/seed-0 started"]
    assert not found.missing
    assert found.conclusions.comparisons[0].reason == "with one seed it is not known how much seeds matter"
    assert "nothing can be concluded" in (tmp_path / "work" / "report.md").read_text()

    (tmp_path / "work/units/concat/seed-0/result.json").unlink()
    found = densezoo.compare(study, tmp_path / "work", resume=True, say=said.append)
    assert list(found.missing) == ["concat/seed-0"]
    assert "result.json is gone; without its files in the ledger" in found.missing["concat/seed-0"]


def test_an_arm_that_needs_too_much_memory_does_not_stop_the_others(study, tmp_path, monkeypatch):
    run_unit = module.run_unit

    def run_out(study, prepared, unit, work_dir):
        if unit.arm == "concat":
            raise torch.OutOfMemoryError("no more")
        return run_unit(study, prepared, unit, work_dir)

    monkeypatch.setattr(module, "run_unit", run_out)
    found = densezoo.compare(study, tmp_path / "work", say=lambda _: None)
    assert found.missing == {"concat/seed-0": "failed: OutOfMemoryError: no more"}


def test_without_its_tries_a_unit_is_left_out(study, tmp_path, monkeypatch):
    (tmp_path / "study.py").write_text(STUDY + "learning_rates = [1e-3, 2e-3]\n")
    study = densezoo.load_study(tmp_path / "study.py")
    said: list[str] = []

    def fail(*_):
        raise DataError("no such image")

    monkeypatch.setattr(module, "run_unit", fail)
    found = densezoo.compare(study, tmp_path / "work", say=said.append)
    assert "sum/seed-0 is left out, since what it needs is not done" in said
    assert len(found.missing) == 6 + 3


def test_what_another_process_runs_is_left_out(study, tmp_path, monkeypatch):
    work_dir, said, ran = tmp_path / "work", [], []
    prepare = module.prepare

    def prepare_and_claim(*given):
        prepared = prepare(*given)
        assert Ledger(work_dir).claim("sum/seed-0", "the other's command")
        return prepared

    monkeypatch.setattr(module, "prepare", prepare_and_claim)
    monkeypatch.setattr(module, "run_unit", lambda *given: ran.append(given[2].name))
    monkeypatch.setattr(module, "report_study", lambda *_: [None])
    densezoo.compare(study, work_dir, say=said.append)
    assert ran == ["concat/seed-0", "again/seed-0"]
    (line,) = [line for line in said if line.startswith("sum/seed-0")]
    assert line.startswith("sum/seed-0 is left out: sum/seed-0 is run by")
    assert Ledger(work_dir).status("sum/seed-0") == "running"


@pytest.mark.parametrize(
    ("error", "status", "why"),
    [
        (RuntimeError("out of memory"), "failed", "RuntimeError: out of memory"),
        (SystemExit(3), "failed", "SystemExit: 3"),
        (DataError("no such image"), "failed", "no such image"),
        (KeyboardInterrupt(), "stopped", "interrupted"),
    ],
)
def test_the_ledger_knows_how_a_unit_ended(study, tmp_path, monkeypatch, error, status, why):
    def fail(*_):
        raise error

    monkeypatch.setattr(module, "run_unit", fail)
    prepared = Prepared({}, {}, True, DatasetMeta())
    with pytest.raises(type(error)):
        module.run_claimed(study, prepared, Unit("sum", "seed", 0), tmp_path, "the command")
    record = Ledger(tmp_path).record("sum/seed-0")
    assert (record.status, record.error) == (status, why)
