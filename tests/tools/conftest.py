import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def load_tool():
    """Return a function that imports a script of tools/ by its name."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "tools" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", ["", *sys.path])  # a tool puts the repository in the first place
            spec.loader.exec_module(module)
        return module

    return load
