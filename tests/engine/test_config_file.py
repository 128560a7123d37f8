"""Config files that go wrong: one line, which says where."""

import sys

import pytest

from densezoo.engine.config import load_config
from densezoo.errors import ConfigError

FUSIONS = "from densezoo.registry import FUSIONS\n"


def load(folder, name, text, **files):
    """Load the config `child.py`, on top of the tiny one, which imports a file of that name and text."""
    for other, content in {name: text, **files}.items():
        (folder / f"{other}.py").write_text(content)
    child = folder / "child.py"
    child.write_text(f'_base_ = "tiny.py"\ncustom_imports = dict(imports=["{name}"])\n')
    return load_config(child)


@pytest.fixture
def folder(tiny_config, monkeypatch):
    """The folder of the tiny config; modules that a test has imported are forgotten."""
    before = set(sys.modules)
    yield tiny_config.parent
    for name in set(sys.modules) - before:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef (:\n", r"^{file}, line 2: invalid syntax$"),
        ("x = 1\n\ny = undefined_thing\n", r"NameError: name 'undefined_thing' is not defined \({file}, line 3\)$"),
        ("import not_there_inside\n", r"ModuleNotFoundError: No module named 'not_there_inside' \({file}, line 1\)$"),
        (FUSIONS + "@FUSIONS.register()\ndef f(maps):\n    pass\n", r"must be a class, .* \({file}, line 2\)$"),
        (FUSIONS + "@FUSIONS.register\nclass F:\n    pass\n", r"write @FUSIONS.register\(\), .* \({file}, line 2\)$"),
        ("from torch import nn\nnn.Conv2d(3, 4)\n", r"missing 1 required .* \({file}, line 2\)$"),
    ],
)
def test_an_error_in_an_imported_module_is_placed_there(folder, text, message):
    with pytest.raises(ConfigError, match=message.format(file=folder / "wrong_in_a_test.py")) as error:
        load(folder, "wrong_in_a_test", text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("x = 1\ny = (\n", r"^{file}, line 2: "), ("\nx = 1 / 0\n", r"division by zero \({file}, line 2\)$")],
)
def test_an_error_in_a_base_is_placed_there(folder, text, message):
    (folder / "base.py").write_text(text)
    (folder / "child.py").write_text('_base_ = "base.py"\n')
    with pytest.raises(ConfigError, match=message.format(file=folder / "base.py")):
        load_config(folder / "child.py")


def test_an_error_in_the_config_itself_is_placed_there(folder):
    path = folder / "child.py"
    path.write_text("\n\nx = undefined_name\n")
    with pytest.raises(ConfigError, match=rf"NameError: .* \({path}, line 3\)$"):
        load_config(path)
    path.write_text("x = 1\ny = )\n")
    with pytest.raises(ConfigError, match=rf"^{path}, line 2: "):
        load_config(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dict(imports=['not_there'])", "custom_imports: 'not_there' is neither beside the config nor installed"),
        ("dict(imports='not_there.deeper')", "custom_imports: 'not_there.deeper' is neither beside"),
        ("['mine']", r"custom_imports must be dict\(imports=\['my_module'\]\), not \['mine'\]"),
        ("dict(import_=['mine'])", "custom_imports has no argument 'import_'; did you mean 'imports'"),
        ("dict(imports=3)", "must be a list"),
    ],
)
def test_imports_that_cannot_be_are_one_line(folder, line, message):
    path = folder / "child.py"
    path.write_text(f'_base_ = "tiny.py"\ncustom_imports = {line}\n')
    with pytest.raises(ConfigError, match=f"child.py cannot be read as a config: .*{message}") as error:
        load_config(path)
    assert "\n" not in str(error.value)


def test_a_module_that_may_fail_may(folder):
    path = folder / "child.py"
    path.write_text('_base_ = "tiny.py"\ncustom_imports = dict(imports=["not_there"], allow_failed_imports=True)\n')
    with pytest.warns(UserWarning, match="not_there failed to import"):
        assert load_config(path).epochs == 2
