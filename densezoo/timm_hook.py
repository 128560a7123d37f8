"""Registers the zoo's models with timm as soon as both are imported, whichever comes first.

Importing timm takes seconds and brings torch, so `import densezoo`, which parsers and child processes do, must not do
it. A finder on `sys.meta_path` therefore waits for timm; it finds the same timm as without it, and runs
`densezoo.interop.timm`, which is quick, after it.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

TIMM = "timm"
REGISTERS = "densezoo.interop.timm"


def register_with_timm() -> None:
    """Register now if timm is there already, else when it is imported."""
    if TIMM in sys.modules:
        import_module(REGISTERS)
    elif not any(_is_ours(finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, TimmFinder())


class TimmFinder:
    """Finds timm by the finders behind it; every other module is left to them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return timm's spec, with a loader that registers the models at the end."""
        if name != TIMM:
            return None
        others = [finder for finder in sys.meta_path if not _is_ours(finder) and hasattr(finder, "find_spec")]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            import_module(REGISTERS)

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def _is_ours(finder: object) -> bool:
    """Whether a finder waits for timm, be it from an earlier import of this module."""
    return type(finder).__name__ == TimmFinder.__name__
