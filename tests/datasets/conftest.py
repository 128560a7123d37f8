import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep parsed annotations out of the user's cache."""
    monkeypatch.setenv("DENSEZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of the real data sets; skip where there is none."""
    folder = Path(os.environ.get("DENSEZOO_DATA", Path(__file__).parents[2] / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; name its folder in DENSEZOO_DATA")
    return folder
