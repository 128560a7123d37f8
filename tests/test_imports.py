"""Imports point one way. The rows are those of docs/architecture.md; this test is what holds them."""

import ast
from pathlib import Path

import pytest

import densezoo.registry

PACKAGE = Path(densezoo.registry.__file__).parent
ROWS = [
    {"errors"},
    {"types"},
    {"contracts"},
    {"registry"},
    {"layers", "functional"},
    {"encoders", "necks", "heads", "tasks", "metrics", "transforms", "datasets", "visualization"},
    {"models"},
    {"engine"},
    {"interop", "comparison"},
    {"cli"},
]
ROW_OF = {part: row for row, parts in enumerate(ROWS) for part in parts}


def part_of(module):
    """`densezoo.necks.pathway` is of the part `necks`; None for what is not the zoo's or is the package itself."""
    names = module.split(".")
    return names[1] if names[0] == "densezoo" and len(names) > 1 else None


def absolute(node, path):
    """The module that a relative import names."""
    package = ("densezoo", *path.relative_to(PACKAGE).parent.parts)
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def imported(path):
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, path) if node.level else node.module
            yield module
            yield from (f"{module}.{name.name}" for name in node.names if module == "densezoo")


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in ROW_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in ROW_OF, f"{path}: {own} has no row; add it to ROWS and to docs/architecture.md"
    for module in imported(path):
        assert module != "densezoo", f"{path} imports the public API; import the module that defines the name"
        part = part_of(module)
        if part is not None and part != own:
            assert ROW_OF[part] < ROW_OF[own], f"{path}: {own} must not import {part}"


def test_the_test_sees_wrong_imports(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from densezoo.engine.train import x\n    import densezoo.models\n")
    assert [part_of(module) for module in imported(wrong)] == ["engine", "models"]
    assert len(FILES) > 20
