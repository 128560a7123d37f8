"""The study of the embedded data set, whole: every training, test and number of it."""

import json
from pathlib import Path

import pytest

from densezoo.cli.main import main

CONFIG = Path(__file__).parents[2] / "configs/compare/fusion_synthetic.py"


@pytest.mark.slow
def test_runs_by_one_command(tmp_path, capsys):
    work_dir = tmp_path / "work"
    options = ["--cfg-options", f"data_root={tmp_path / 'data'}"]
    assert main(["compare", str(CONFIG), "--work-dir", str(work_dir), *options]) == 0
    assert "All 12 runs are finished." in capsys.readouterr().out
    summary = json.loads((work_dir / "summary.json").read_text())
    arms = {arm["name"]: arm for arm in summary["arms"]}
    assert list(arms) == ["sum", "concat", "none", "again"]
    for name in ("concat", "none"):
        assert 0.95 < arms[name]["cost"]["macs"] / arms["sum"]["cost"]["macs"] < 1.05
    for arm in arms.values():
        assert arm["score"]["mean"] > 0.3  # something was learned
        assert len(arm["runs"]) == 3
    assert {each["arm"] for each in summary["comparisons"]} == {"concat", "none"}
    assert (work_dir / "report.html").stat().st_size > 1_000_000
