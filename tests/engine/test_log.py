import io
import json

import pytest
from rich.console import Console

from densezoo.engine import log
from densezoo.engine.log import ProgressReport, RunLog
from densezoo.errors import ConfigError


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_json_and_what_is_not_a_number_is_null(tmp_path):
    run = RunLog(tmp_path / "metrics.jsonl", tmp_path / "board", 1)
    run.write("train", 1, 10, {"loss": 0.5, "losses": {"pose/heatmap": 0.5}})
    run.write("eval", 1, 10, {"scores": {"pose/AP": float("nan")}})
    run.close()
    first, second = read(tmp_path / "metrics.jsonl")
    assert first == {"kind": "train", "epoch": 1, "step": 10, "loss": 0.5, "losses": {"pose/heatmap": 0.5}}
    assert second["scores"] == {"pose/AP": None}
    assert list((tmp_path / "board").glob("events*"))


def test_a_resumed_log_drops_epochs_that_run_again_and_half_a_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [{"kind": "train", "epoch": epoch, "step": epoch * 5} for epoch in (1, 2, 3)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "ev')
    run = RunLog(path, tmp_path / "board", from_epoch=3)
    run.write("train", 3, 15, {"loss": 1.0})
    run.close()
    assert [line["epoch"] for line in read(path)] == [1, 2, 3]
    assert read(path)[2]["loss"] == 1.0


def test_files_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/metrics\.jsonl cannot be written: .*--resume"):
        RunLog(tmp_path / "file" / "metrics.jsonl", tmp_path / "board", 1)
    with pytest.raises(ConfigError, match=r"file/board cannot be written"):
        RunLog(tmp_path / "metrics.jsonl", tmp_path / "file" / "board", 1)
    run = RunLog(tmp_path / "metrics.jsonl", tmp_path / "board", 1)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"metrics\.jsonl cannot be written"):
        run.write("train", 1, 10, {"loss": 0.5})
    run.close()


def test_an_event_file_on_a_full_disk_is_named(tmp_path, monkeypatch):
    run = RunLog(tmp_path / "metrics.jsonl", tmp_path / "board", 1)

    def fill(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run._board, "flush", fill)
    with pytest.raises(ConfigError, match=r"board cannot be written: .*No space"):
        run.write("train", 1, 10, {"loss": 0.5})
    monkeypatch.setattr(run._board, "close", fill)
    with pytest.raises(ConfigError, match=r"board cannot be written: .*No space"):
        run.close()


def report_of(terminal, monkeypatch, enabled=True):
    monkeypatch.setattr(log, "_PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(log, "_LIVE_SECONDS", 0.0)
    text = io.StringIO()
    with ProgressReport(Console(file=text, force_terminal=terminal, width=100), enabled) as report:
        report.start("epoch 1/2", 4)
        for step in range(4):
            report.advance(figures=f"loss {step}" if report.due() else None)
        report.say("epoch 1/2 done [best]")
    return text.getvalue()


def test_elsewhere_than_on_a_terminal_lines_are_plain(monkeypatch):
    text = report_of(False, monkeypatch)
    assert "\x1b" not in text
    assert "epoch 1/2  1/4" in text
    assert "loss 3" in text
    assert "done [best]" in text


def test_a_terminal_gets_a_live_bar(monkeypatch):
    text = report_of(True, monkeypatch)
    assert "\x1b" in text
    assert "4/4" in text
    assert "loss 3" in text


def test_other_processes_say_nothing(monkeypatch):
    assert report_of(True, monkeypatch, enabled=False) == ""
