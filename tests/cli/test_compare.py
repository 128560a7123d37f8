"""The command that runs a study: from its file to its report, and what it refuses."""

import argparse
import csv
import json
import shlex
import sys

import pytest

from densezoo.cli.arguments import key_values
from densezoo.cli.compare import add_arguments
from densezoo.cli.main import main

STUDY = """
base = "tiny.py"
base_name = "sum"
options = {"epochs": 1, "engine.eval_every": 1}
arms = dict(concat={"neck.fusion": "concat"})
seeds = 2
metric = "pose/PCK@0.2"
smallest_difference = 0.05
draws = 50
"""
UNITS = [f"{arm}/seed-{seed}" for seed in (0, 1) for arm in ("sum", "concat", "again")]


@pytest.fixture(scope="module")
def write_study(tiny_text):
    """Return a function that writes a base and a study of it into a folder, and gives the study's path."""

    def write(folder, text=STUDY):
        test_data = 'test_data = dict(type="Synthetic", split="test", num_images=6, size=64)\n'
        (folder / "tiny.py").write_text(tiny_text + test_data)
        (folder / "study.py").write_text(text)
        return folder / "study.py"

    return write


@pytest.fixture(scope="module")
def finished(write_study, tmp_path_factory):
    """A study whose units were run one by one, and its work dir."""
    folder = tmp_path_factory.mktemp("study")
    study, work_dir = write_study(folder), folder / "work"
    for unit in UNITS:
        assert main(["compare", str(study), "--work-dir", str(work_dir), "--unit", unit]) == 0
    return study, work_dir


@pytest.fixture(scope="module")
def printed(finished):
    """What the report's command prints."""
    study, work_dir = finished
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(map(str, words))))
        assert main(["compare", str(study), "--work-dir", str(work_dir), "--report-only"]) == 0
    return "\n".join(lines)


class TestReport:
    def test_says_what_was_found_and_where_it_is(self, printed, finished):
        assert "is compared with sum by pose/PCK@0.2" in printed
        assert "All 6 runs are finished." in printed
        assert "report.html" in printed

    def test_has_every_arm_seed_and_image(self, printed, finished):
        with (finished[1] / "scores.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {(row["arm"], row["seed"]) for row in rows} == {
            (arm, seed) for arm in ("sum", "concat", "again") for seed in "01"
        }
        assert len(rows) == 6 * len({row["image_id"] for row in rows})

    def test_its_numbers_are_those_of_the_tests(self, printed, finished):
        summary = json.loads((finished[1] / "summary.json").read_text())
        scores = {}
        for unit in UNITS:
            metrics = json.loads((finished[1] / "units" / unit / "test" / "metrics.json").read_text())
            scores[unit] = metrics["scores"]["pose/PCK@0.2"]
        (comparison,) = summary["comparisons"]
        differences = [scores[f"concat/seed-{seed}"] - scores[f"sum/seed-{seed}"] for seed in (0, 1)]
        assert comparison["difference"]["mean"] == pytest.approx(sum(differences) / 2)
        assert comparison["difference"]["seeds"] == 2
        arms = {arm["name"]: arm for arm in summary["arms"]}
        assert arms["again"]["score"]["mean"] == pytest.approx((scores["again/seed-0"] + scores["again/seed-1"]) / 2)


class TestUnits:
    def test_the_ledger_knows_them(self, finished):
        records = [json.loads(path.read_text()) for path in (finished[1] / "ledger").glob("*.json")]
        assert {record["unit"]: record["status"] for record in records} == dict.fromkeys(UNITS, "done")
        words = ["densezoo", "compare", str(finished[0]), "--work-dir", str(finished[1]), "--unit"]
        assert {record["command"] for record in records} == {shlex.join([*words, unit]) for unit in UNITS}

    def test_a_done_one_is_not_run_again(self, finished, capsys):
        study, work_dir = finished
        before = (work_dir / "units/sum/seed-0/result.json").stat().st_mtime_ns
        assert main(["compare", str(study), "--work-dir", str(work_dir), "--unit", "sum/seed-0"]) == 0
        assert "is done already" in capsys.readouterr().out
        assert (work_dir / "units/sum/seed-0/result.json").stat().st_mtime_ns == before

    def test_arms_of_a_pair_start_alike_and_the_repetition_does_not(self, finished):
        logs = {}
        for unit in UNITS:
            lines = (finished[1] / "units" / unit / "config.py").read_text().splitlines()
            logs[unit] = next(line for line in lines if line.startswith("seed = "))
        assert logs["sum/seed-1"] == logs["concat/seed-1"] == "seed = 1"
        assert logs["again/seed-1"] == "seed = 1001"

    def test_more_seeds_are_the_same_study(self, finished, capsys):
        study, work_dir = finished
        options = ["--work-dir", str(work_dir), "--report-only", "--seeds", "3"]
        assert main(["compare", str(study), *options]) == 0
        assert "Only 6 of 9 runs are finished" in capsys.readouterr().out

    def test_fewer_seeds_leave_runs_out(self, finished, capsys):
        study, work_dir = finished
        assert main(["compare", str(study), "--work-dir", str(work_dir), "--report-only", "--seeds", "1"]) == 0
        assert "Finished runs of the seed 1 are left out; --seeds 2 takes them in." in capsys.readouterr().out


class TestRefusals:
    def refused(self, capsys, *words):
        """The message of a command that must fail."""
        assert main(["compare", *map(str, words)]) == 2
        return capsys.readouterr().err

    def test_a_folder_with_this_study(self, finished, capsys):
        assert "continue it with --resume" in self.refused(capsys, finished[0], "--work-dir", finished[1])

    def test_a_folder_with_another_study(self, finished, write_study, tmp_path, capsys):
        other = write_study(tmp_path, STUDY.replace('"concat"})', '"max"})'))
        before = (finished[1] / "study.json").read_text()
        words = self.refused(capsys, other, "--work-dir", finished[1], "--resume")
        assert "is of another study: arms.concat.neck.fusion differ" in words
        assert (finished[1] / "study.json").read_text() == before

    def test_a_metric_that_no_task_gives(self, write_study, tmp_path, capsys):
        study = write_study(tmp_path, STUDY.replace("PCK@0.2", "PCK@0.3"))
        words = self.refused(capsys, study, "--work-dir", tmp_path / "work")
        assert "metric: no score is called 'pose/PCK@0.3'" in words
        assert not (tmp_path / "work").exists()

    def test_a_unit_that_is_none(self, finished, capsys):
        words = self.refused(capsys, finished[0], "--work-dir", finished[1], "--unit", "cat/seed-0")
        assert "concat/seed-0" in words

    def test_a_report_of_nothing(self, finished, tmp_path, capsys):
        words = self.refused(capsys, finished[0], "--work-dir", tmp_path / "new", "--report-only")
        assert "holds no study" in words

    def test_a_report_of_a_unit(self, finished, capsys):
        options = ["--work-dir", finished[1], "--report-only", "--unit", "sum/seed-0"]
        assert "take one of them out" in self.refused(capsys, finished[0], *options)

    @pytest.mark.parametrize("options", [[], ["--unit", "sum/seed-0"], ["--resume"]])
    def test_a_folder_with_something_else(self, write_study, tmp_path, capsys, options):
        study = write_study(tmp_path)  # beside it in the folder
        words = self.refused(capsys, study, "--work-dir", tmp_path, *options)
        assert f"{tmp_path} is not empty and holds no study; choose a new --work-dir" in words
        assert "holds no study to report on" in self.refused(capsys, study, "--work-dir", tmp_path, "--report-only")

    def test_what_it_could_not_run_with(self, write_study, tmp_path, capsys, monkeypatch):
        study, work_dir = write_study(tmp_path), tmp_path / "work"
        assert "--jobs must be at least 1" in self.refused(capsys, study, "--work-dir", work_dir, "--jobs", "0")
        monkeypatch.setitem(sys.modules, "ray", None)
        assert "pip install ray" in self.refused(capsys, study, "--work-dir", work_dir, "--ray")
        assert not work_dir.exists()

    def test_a_width_that_cannot_be_matched(self, write_study, tmp_path, capsys):
        study = write_study(tmp_path, STUDY + 'match = dict(cost="macs")\n')
        words = self.refused(capsys, study, "--work-dir", tmp_path / "work")
        assert "neck.channels" in words


def test_options_survive_the_way_to_a_process():
    options = {"data_root": "/a b", "epochs": 3, "warp.size": [64, 64], "engine.amp": True, "neck": {"type": "FPN"}}
    assert key_values(options) == [
        "data_root=/a b", "epochs=3", "warp.size=[64, 64]", "engine.amp=True", "neck={'type': 'FPN'}",
    ]  # fmt: skip
    options |= {"a": "it's, a (\"", "b": "5", "c": "None", "d": "['x']", "e": "", "f": 1e-05, "g": "'", "h": (1, "b c")}
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["study.py", "--work-dir", "w", "--cfg-options", *key_values(options)]
    assert parser.parse_args(words).cfg_options == options


@pytest.mark.slow
def test_a_whole_study_by_one_command(write_study, tmp_path, capsys):
    study = write_study(tmp_path, STUDY + "learning_rates = [1e-3, 3e-3]\ncluster = r'(\\d)\\.'\n")
    work_dir = tmp_path / "work"
    assert main(["compare", str(study), "--work-dir", str(work_dir), "--jobs", "2", "--cfg-options", "epochs=2"]) == 0
    printed = capsys.readouterr().out
    assert "12 of 12 done" in printed
    summary = json.loads((work_dir / "summary.json").read_text())
    assert {arm["learning_rate"] for arm in summary["arms"]} <= {1e-3, 3e-3}
    assert all(len(arm["tries"]) == 2 for arm in summary["arms"])
