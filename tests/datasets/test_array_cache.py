import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

from densezoo.datasets import array_cache
from densezoo.datasets.array_cache import open_columns
from densezoo.datasets.coco_parser import program
from densezoo.errors import DataError


@pytest.fixture
def detections(tmp_path):
    """Return a function that writes a small detection file with one score, and gives its path."""

    def write(score):
        path = tmp_path / "found.json"
        path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": score}]))
        return path

    return write


@pytest.fixture
def parses(monkeypatch):
    """Count the parser's runs."""
    runs = []
    run = subprocess.run

    def counted(*arguments, **options):
        runs.append(arguments)
        return run(*arguments, **options)

    monkeypatch.setattr(array_cache.subprocess, "run", counted)
    return runs


def score_of(path):
    return open_columns(path, "detections")[0]["scores"].tolist()


def folders(cache):
    return [path for path in (cache / "detections").iterdir() if path.is_dir()]


def test_a_file_is_parsed_once_and_mapped_read_only(detections, parses):
    path = detections(0.5)
    assert score_of(path) == score_of(path) == [0.5]
    assert len(parses) == 1
    scores = open_columns(path, "detections")[0]["scores"]
    assert isinstance(scores.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        scores[0] = 1


def test_a_changed_file_is_parsed_again_and_its_old_cache_removed(detections, own_cache, parses):
    assert score_of(detections(0.5)) == [0.5]
    path = detections(0.7)
    os.utime(path, ns=(1, 1))  # the same size, only the time differs
    assert score_of(path) == [0.7]
    assert len(parses) == 2
    assert len(folders(own_cache)) == 1


@pytest.mark.parametrize("damage", ["cut", "gone", "facts", "other", "empty"])
def test_a_broken_cache_is_rebuilt(detections, own_cache, damage):
    path = detections(0.5)
    score_of(path)
    folder = folders(own_cache)[0]
    if damage == "cut":
        data = (folder / "scores.npy").read_bytes()
        (folder / "scores.npy").write_bytes(data[:-3])
    elif damage == "gone":
        (folder / "boxes.npy").unlink()
    elif damage == "facts":
        (folder / "facts.json").write_text('{"columns": ')
    elif damage == "other":
        np.save(folder / "scores.npy", np.zeros(4))
    else:
        (folder / "scores.npy").write_bytes(b"")
    assert score_of(path) == [0.5]
    assert [each.name for each in folders(own_cache)] == [folder.name]


def test_a_cache_that_cannot_be_written_says_so(detections, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DENSEZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cache folder .* cannot be written .*DENSEZOO_CACHE"):
        score_of(detections(0.5))


def test_a_full_disk_is_a_fault_not_a_crash(detections, tmp_path, capsys):
    code = program.main("detections", str(detections(0.5)), str(tmp_path / "nowhere"))
    assert code == program.FAULT_EXIT_CODE
    assert "nowhere cannot be written" in json.loads(capsys.readouterr().out)["fault"]


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json: No such file"):
        open_columns(tmp_path / "gone.json", "detections")
    with pytest.raises(DataError, match="is a folder"):
        open_columns(tmp_path, "detections")


def test_a_fault_leaves_nothing_behind(tmp_path, own_cache):
    (tmp_path / "bad.json").write_text("[1, 2")
    with pytest.raises(DataError, match=r"bad\.json: broken JSON at line 1, column 6"):
        open_columns(tmp_path / "bad.json", "detections")
    assert folders(own_cache) == []


def test_a_killed_parser_is_reported(detections, monkeypatch):
    monkeypatch.setattr(array_cache, "_CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(DataError, match=r"found\.json: its parser was killed by signal 9"):
        score_of(detections(0.5))


def test_a_bug_of_the_parser_keeps_its_traceback(detections, monkeypatch):
    monkeypatch.setattr(array_cache, "_CHILD", "1 / 0")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        score_of(detections(0.5))


def test_the_parser_does_not_load_torch(detections, monkeypatch):
    report = "; import sys; assert not {'torch', 'cv2', 'densezoo'} & set(sys.modules), sorted(sys.modules)"
    child = array_cache._CHILD.replace("sys.exit(main(*sys.argv[2:]))", "main(*sys.argv[2:])") + report
    monkeypatch.setattr(array_cache, "_CHILD", child)
    assert score_of(detections(0.5)) == [0.5]


def test_processes_that_open_a_file_together_share_one_cache(detections, own_cache):
    path = detections(0.5)
    code = (
        "import sys, pathlib; from densezoo.datasets.array_cache import open_columns; "
        "print(open_columns(pathlib.Path(sys.argv[1]), 'detections')[0]['scores'].tolist())"
    )
    command = [sys.executable, "-c", code, str(path)]
    together = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in together] == ["[0.5]"] * 2
    assert len(folders(own_cache)) == 1


def test_works_from_a_spawned_process(detections):
    path = detections(0.25)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(open_columns, (path, "detections"))[0]["scores"].tolist() == [0.25]
