"""A whole study from Python: units in turn, failures that do not stop the others, and going on."""

import pytest

import densezoo
from densezoo.comparison import compare as module
from densezoo.comparison.ledger import Ledger
from densezoo.errors import ConfigError, DataError

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
    assert not found.missing
    assert found.conclusions.comparisons[0].reason == "with one seed it is not known how much seeds matter"
    assert "nothing can be concluded" in (tmp_path / "work" / "report.md").read_text()


def test_without_its_tries_a_unit_is_left_out(study, tmp_path, monkeypatch):
    (tmp_path / "study.py").write_text(STUDY + "learning_rates = [1e-3, 2e-3]\n")
    study = densezoo.load_study(tmp_path / "study.py")
    said: list[str] = []

    def fail(*_):
        raise DataError("no such image")

    monkeypatch.setattr(module, "run_unit", fail)
    found = densezoo.compare(study, tmp_path / "work", say=said.append)
    assert "sum/seed-0 is left out, since what it needs is not done" in said
    assert len(found.missing) == 4 + 3
