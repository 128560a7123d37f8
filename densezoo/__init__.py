"""densezoo: dense prediction with interchangeable encoders, necks, fusions and heads.

The public API is what this module names; nothing else is promised.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from densezoo.timm_hook import register_with_timm

if TYPE_CHECKING:
    from densezoo.comparison.compare import compare
    from densezoo.comparison.study_file import load_study
    from densezoo.engine.config import load_config
    from densezoo.engine.load import load_model
    from densezoo.engine.train import train
    from densezoo.models import create_model, list_models

__version__ = "0.1.0"
__all__ = ["compare", "create_model", "list_models", "load_config", "load_model", "load_study", "train"]

_HOMES = {
    "compare": "densezoo.comparison.compare",
    "create_model": "densezoo.models",
    "list_models": "densezoo.models",
    "load_config": "densezoo.engine.config",
    "load_model": "densezoo.engine.load",
    "load_study": "densezoo.comparison.study_file",
    "train": "densezoo.engine.train",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that parsers and commands start without torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name[:1].isupper():  # a part: OpenMMLab's registries look here for type='densezoo.FPN'
        import_module("densezoo.models")
        part = import_module("densezoo.registry").MODELS.module_dict.get(name)
        if part is not None:
            return part
    raise AttributeError(f"module 'densezoo' has no attribute {name!r}")


register_with_timm()
