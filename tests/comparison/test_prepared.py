"""What a study has in common is written once, whoever comes first."""

import json
import os

import pytest

from densezoo.comparison.prepared import FILE, _write_new
from densezoo.errors import ConfigError


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
