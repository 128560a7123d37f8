from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from densezoo.datasets.matlab import field, items, number, read_variable
from densezoo.errors import DataError


def test_structs_come_as_items_however_many(tmp_path: Path, struct_array: Callable[..., np.ndarray]) -> None:
    record = {"a": 1, "b": "x"}
    for count in (1, 3):
        savemat(tmp_path / "file.mat", {"s": struct_array([record] * count)})
        found = items(read_variable(tmp_path / "file.mat", "s"))
        assert [number(item, "a") for item in found] == [1.0] * count
        assert [field(item, "b") for item in found] == ["x"] * count
    savemat(tmp_path / "file.mat", {"s": np.zeros((0, 0))})
    assert items(read_variable(tmp_path / "file.mat", "s")) == []


def test_numbers_of_every_type_and_none(tmp_path: Path) -> None:
    values = {
        "double": 2.5, "integer": np.uint8(1), "logical": True, "text": "1", "word": "yes", "blank": "",
        "empty": np.zeros((0, 0)), "nan": np.nan,
    }  # fmt: skip
    savemat(tmp_path / "file.mat", {"s": values})
    struct = read_variable(tmp_path / "file.mat", "s")
    found = {name: number(struct, name) for name in [*values, "missing"]}
    assert found == {
        "double": 2.5, "integer": 1.0, "logical": 1.0, "text": 1.0, "word": None, "blank": None,
        "empty": None, "nan": None, "missing": None,
    }  # fmt: skip


def test_errors_say_what_the_file_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_variable(tmp_path / "none.mat", "joints")
    savemat(tmp_path / "other.mat", {"poses": 1, "names": "a"})
    with pytest.raises(DataError, match=r"no variable 'joints'; it holds 'poses', 'names'"):
        read_variable(tmp_path / "other.mat", "joints")
    (tmp_path / "text.mat").write_text("this is a page that says: log in to download\n" * 20)
    with pytest.raises(DataError, match=r"text\.mat is not a readable MATLAB file"):
        read_variable(tmp_path / "text.mat", "joints")
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "hdf.mat").write_bytes(header + bytes(400))
    with pytest.raises(DataError, match="save it again in MATLAB with -v7"):
        read_variable(tmp_path / "hdf.mat", "joints")
    (tmp_path / "cut.mat").write_bytes((tmp_path / "other.mat").read_bytes()[:150])
    with pytest.raises(DataError, match=r"cut\.mat"):
        read_variable(tmp_path / "cut.mat", "poses")
    savemat(tmp_path / "packed.mat", {"poses": np.arange(999.0)}, do_compression=True)
    content = (tmp_path / "packed.mat").read_bytes()
    for place in range(150, len(content), 37):
        damaged = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        (tmp_path / "packed.mat").write_bytes(damaged)
        with pytest.raises(DataError, match=r"packed\.mat"):
            read_variable(tmp_path / "packed.mat", "poses")
    (tmp_path / "empty.mat").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.mat"):
        read_variable(tmp_path / "empty.mat", "poses")
