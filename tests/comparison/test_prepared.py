"""What a study has in common is written once, whoever comes first, and not where something else is."""

import json
import os

import pytest

from densezoo.comparison import prepared as module
from densezoo.comparison.circumstances import code_words, device_words
from densezoo.comparison.prepared import FILE, _check_free, _short, _write_new, prepare
from densezoo.comparison.study import AGAIN
from densezoo.comparison.study_file import load_study
from densezoo.engine.build import build_dataset
from densezoo.errors import ConfigError

STUDY = """
base = "tiny.py"
base_name = "sum"
options = {"neck.channels": 16}
match = dict(cost="macs")
metric = "pose/PCK@0.2"
smallest_difference = 0.05
"""


@pytest.fixture
def write(tmp_path, tiny_text):
    """Return a function that writes a study with such arms and reads it."""

    def write(arms):
        test_data = 'test_data = dict(type="Synthetic", split="test", num_images=6, size=64)\n'
        (tmp_path / "tiny.py").write_text(tiny_text + test_data)
        (tmp_path / "study.py").write_text(STUDY + f"arms = {arms!r}\n")
        return load_study(tmp_path / "study.py")

    return write


@pytest.mark.parametrize(
    ("arms", "names"),
    [
        ({"wide": {"neck.channels": 18}}, "'sum' and 'wide'"),
        (
            {"a": {"neck.fusion": "mean", "neck.channels": 14}, "b": {"neck.fusion": "mean", "neck.channels": 18}},
            "'a' and 'b'",
        ),
        ({"raw": {"neck.fusion": "mean", "match": None}, "mean": {"neck.fusion": "mean"}}, "'raw' and 'mean'"),
    ],
)
def test_arms_that_matching_makes_the_same_are_refused(write, tmp_path, arms, names):
    words = f"the arms {names} become the same network once neck.channels is matched; give one of them match=None"
    with pytest.raises(ConfigError, match=words):
        prepare(write(arms), tmp_path / "work", lambda _: None)
    assert not (tmp_path / "work").exists()


def test_arms_that_stay_different_are_said(write, tmp_path):
    said = []
    prepare(write({"mean": {"neck.fusion": "mean"}}), tmp_path / "work", said.append)
    assert [line.partition(":")[0] for line in said] == ["sum", "mean"]
    assert said[1].endswith(" MACs, width 16, 1.000 of the base's macs")


def test_what_a_study_was_begun_with_is_kept(write, tmp_path, monkeypatch):
    study, turns = write({"mean": {"neck.fusion": "mean"}, "wide": {"encoder.channels": 12}}), []

    def in_turns(configs, meta):
        turns.append(len(configs))
        return [3.0, 2.0, 1.0]

    monkeypatch.setattr(module, "latencies", in_turns)
    found = prepare(study, tmp_path / "work", lambda _: None)
    assert turns == [3]
    assert {name: cost.milliseconds for name, cost in found.costs.items()} == {
        "sum": 3.0, "mean": 2.0, "wide": 1.0, AGAIN: 3.0,
    }  # fmt: skip
    base = study.base.config
    assert found.images == {
        key: len(build_dataset(getattr(base, key), base.data_root)) for key in ("train_data", "val_data", "test_data")
    }
    assert found.measured == f"{device_words(base)}, {'mixed bfloat16' if base.engine.amp else 'float32'}"
    assert found.code == code_words()
    assert found.costs["sum"].image == list(base.warp["size"])
    assert found.costs["mean"].same_start == 1  # a mean has no weights
    assert 0 < found.costs["wide"].same_start < 1
    assert found.costs["sum"].same_start is found.costs[AGAIN].same_start is None


def test_a_study_of_other_code_says_so(write, tmp_path, monkeypatch):
    arms = {"mean": {"neck.fusion": "mean"}}
    prepare(write(arms), tmp_path / "work", lambda _: None)
    other = write({"mean": {"neck.fusion": "max"}})
    with pytest.raises(ConfigError, match=r"of another study: arms\.mean\.neck\.fusion differ\(s\); go on"):
        prepare(other, tmp_path / "work", lambda _: None)
    monkeypatch.setattr(module, "code_words", lambda: "code x")
    words = r"differ\(s\) \(densezoo was code [0-9a-f]{8} when it was begun and is code x, which may be the reason\)"
    with pytest.raises(ConfigError, match=words):
        prepare(other, tmp_path / "work", lambda _: None)


def test_counts_have_a_unit_that_fits():
    assert [_short(count) for count in (0, 999, 1000, 421_932, 6_213_400, 31_000_000_000)] == [
        "0", "999", "1 k", "421.9 k", "6.213 M", "31 G",
    ]  # fmt: skip


def test_a_folder_with_something_else_is_refused(write, tmp_path):
    folder = tmp_path / "work"
    _check_free(folder / FILE)  # it is not there yet
    folder.mkdir()
    (folder / f".{FILE}.host-1.partial").touch()  # by another process, which is about to begin the same study
    _check_free(folder / FILE)
    (folder / "notes.txt").touch()
    with pytest.raises(ConfigError, match="work is not empty and holds no study; choose a new --work-dir"):
        prepare(write({"mean": {"neck.fusion": "mean"}}), folder, lambda _: None)
    (folder / FILE).touch()  # the other was quicker
    _check_free(folder / FILE)


def test_the_first_of_two_writers_stays(tmp_path):
    path = tmp_path / "study" / FILE
    before = os.umask(0o022)
    try:
        for writer in ("first", "second"):
            _write_new(path, {"writer": writer})
    finally:
        os.umask(before)
    assert json.loads(path.read_text()) == {"writer": "first"}
    assert path.stat().st_mode & 0o777 == 0o644  # other users of a shared folder may read it
    assert [each.name for each in path.parent.iterdir()] == [FILE]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        _write_new(tmp_path / "file" / FILE, {})
