"""The log of a run is read with care and drawn whole."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from densezoo.errors import DataError
from densezoo.visualization.curves import draw_curves, main_scores, read_log


def train_line(epoch, loss=0.1, **more):
    return {"kind": "train", "epoch": epoch, "step": 10 * (epoch + 1), "loss": loss, "lr": 1e-3, **more}


def eval_line(epoch, **scores):
    return {"kind": "eval", "epoch": epoch, "step": 10 * (epoch + 1), "scores": scores}


def write(path, records, tail=""):
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail, encoding="utf-8")
    return path


@pytest.fixture
def log(tmp_path):
    records = [train_line(0), eval_line(0, PCK=0.2), train_line(1, 0.05), eval_line(1, PCK=0.4)]
    return write(tmp_path / "metrics.jsonl", records)


def ink(path, rows):
    """Share of coloured pixels in a part of the picture's height."""
    image = cv2.imread(str(path)).astype(int)
    part = image[int(rows[0] * len(image)) : int(rows[1] * len(image))]
    return (np.ptp(part, axis=2) > 60).mean()


def test_records_come_in_step_order_and_a_repeated_step_counts_once(tmp_path):
    path = write(tmp_path / "log", [train_line(1, 0.5), train_line(0), train_line(1, 0.4), eval_line(1, AP=0.1)])
    assert [(record["kind"], record.get("loss")) for record in read_log(path)] == [
        ("train", 0.1),
        ("train", 0.4),
        ("eval", None),
    ]


def test_a_last_line_that_was_cut_off_is_passed_over(tmp_path):
    path = write(tmp_path / "log", [train_line(0)], tail='{"kind": "tra')
    assert len(read_log(path)) == 1


@pytest.mark.parametrize("broken", ['{"kind": "tra\n', '{"loss": 1}\n', "[1, 2]\n", "3\n"])
def test_a_broken_line_is_named(tmp_path, broken):
    path = tmp_path / "log"
    path.write_text(json.dumps(train_line(0)) + "\n" + broken + json.dumps(train_line(1)) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="log, line 2"):
        read_log(path)


def test_a_missing_and_an_empty_log_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jsonl: no such log"):
        read_log(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="no record yet"):
        read_log(write(tmp_path / "empty.jsonl", []))


def test_the_picture_shows_loss_and_scores(log, tmp_path):
    out = tmp_path / "curves.png"
    draw_curves(log, out)
    assert cv2.imread(str(out)).shape[0] > 600
    assert ink(out, (0, 0.4)) > 1e-3
    assert ink(out, (0.6, 1)) > 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "metrics.jsonl"]
    without = write(tmp_path / "short.jsonl", [train_line(0), train_line(1, 0.05)])
    draw_curves(without, out)
    assert ink(out, (0.6, 1)) == 0


@pytest.mark.parametrize("losses", [[0.1, None, 0.2], [0.1, 0.0, -0.1], [None, None, None]])
def test_losses_that_no_logarithm_likes(tmp_path, losses):
    log = write(tmp_path / "log", [train_line(epoch, loss) for epoch, loss in enumerate(losses)])
    draw_curves(log, tmp_path / "curves.png")
    expected = any(loss is not None for loss in losses)
    assert bool(ink(tmp_path / "curves.png", (0, 0.4)) > 0) == expected


def test_parts_of_the_loss_are_drawn_beside_it(log, tmp_path):
    draw_curves(log, tmp_path / "one.png")
    parts = [train_line(epoch, 0.1, losses={"first": 0.06, "second": 0.03}) for epoch in range(2)]
    draw_curves(write(tmp_path / "parts.jsonl", parts), tmp_path / "parts.png")
    assert ink(tmp_path / "parts.png", (0, 0.4)) > 1.5 * ink(tmp_path / "one.png", (0, 0.4))


def test_scores_of_a_family_are_left_out():
    assert main_scores(["AP", "PCK/nose", "PCK", "PCK/knee"]) == ["AP", "PCK"]
    assert main_scores(["PCK/nose", "PCK/knee"]) == ["PCK/nose", "PCK/knee"]
    assert len(main_scores([f"score{index}" for index in range(20)])) == 8


def test_matplotlib_is_not_imported_before_it_is_needed():
    code = "import sys, densezoo.visualization.curves; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
