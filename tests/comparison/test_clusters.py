from types import SimpleNamespace

import pytest

from densezoo.comparison.clusters import clusters_of
from densezoo.engine.evaluate import AnnotatedFile
from densezoo.errors import DataError


def found(paths, unsampled=()):
    rows = {image_id: {} for image_id in [*range(len(paths)), *unsampled]}
    files = {image_id: AnnotatedFile(path, {}) for image_id, path in enumerate(paths)}
    return SimpleNamespace(per_image=lambda: rows, files=files)


def test_a_cluster_is_what_the_first_group_finds_below_the_data_root():
    paths = ["/data7/set/seq1_003.png", "/data7/set/seq12_004.png", "/data7/set/seq1_005.png", "elsewhere/seq3_1.png"]
    assert clusters_of(found(paths), r"([a-z]+\d+)_", "/data7") == {0: "seq1", 1: "seq12", 2: "seq1", 3: "seq3"}
    assert clusters_of(found(paths[:3]), r"(\w+\d?)", "/data7") == {0: "set", 1: "set", 2: "set"}


def test_an_image_without_a_cluster_is_named():
    with pytest.raises(DataError, match=r"set/b\.png: cluster r'seq\(.d\)' finds nothing there"):
        clusters_of(found(["/data/set/seq1.png", "/data/set/b.png"]), r"seq(\d)", "/data")
    with pytest.raises(DataError, match="finds nothing there"):
        clusters_of(found(["/data/set/b.png"]), r"seq(\d)|b", "/data")
    with pytest.raises(DataError, match="image 7 has no sample"):
        clusters_of(found(["/data/set/seq1.png"], unsampled=[7]), r"seq(\d)", "/data")
