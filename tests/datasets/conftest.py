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
    # the default folder may be there without them, with the set that the demo draws
    missing = [name for name in ("coco_multi", "coco_person", "lspet", "bccd") if not (folder / name).is_dir()]
    if missing:
        pytest.skip(f"no {', '.join(missing)} in {folder}; name the folder of the real data in DENSEZOO_DATA")
    return folder
