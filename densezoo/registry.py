"""Registries of the zoo's parts, and the one function that builds a part from its config.

The seven kinds are mmengine registries without a parent. Two things differ from mmengine 0.10: a lookup never imports
a dotted path (`type='os.system'` must not run), and a wrong name or argument raises with the names that come near.
Every `torch.nn.Module` part is mirrored in `MODELS`, a child of mmengine's root with the scope `densezoo`, so that
`type='densezoo.StackedHourglass'` resolves from an OpenMMLab config.
"""

import importlib
import inspect
import pkgutil
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import Registry
from torch import nn

from densezoo.errors import ConfigError, near_names

MODELS = Registry("model", parent=ROOT_MODELS, scope="densezoo")
_KIND_OF_NAME: dict[str, str] = {}


class PartRegistry(Registry):  # type: ignore[misc]  # mmengine ships no annotations
    """A registry of one kind of part (`'encoder'`, `'neck'`, …); names are unique across kinds."""

    def __init__(self, kind: str, package: str | None = None) -> None:
        """Make an empty registry of `kind`; the modules of `package` fill it when it is first asked."""
        super().__init__(kind, scope="densezoo")
        self._package = package

    def register(self, name: str | None = None) -> Callable[[type], type]:
        """Return a class decorator that registers under `name`, or under the class's own name.

        Raises:
            ConfigError: the name is taken, here or by another kind.
        """

        def decorate(cls: type) -> type:
            key = name or cls.__name__
            known = self._module_dict.get(key)
            if known is not None and (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__):
                del self._module_dict[key], _KIND_OF_NAME[key]  # its module was run again
                MODELS._module_dict.pop(key, None)
            if key in _KIND_OF_NAME:
                raise ConfigError(f"{key!r} is already registered as a {_KIND_OF_NAME[key]}; choose another name")
            _KIND_OF_NAME[key] = self.name
            self._register_module(module=cls, module_name=key)
            if issubclass(cls, nn.Module):
                MODELS.register_module(name=key, module=cls)
            return cls

        return decorate

    def get(self, key: str) -> type:
        """Return the class registered as `key` (a leading `densezoo.` is dropped).

        Raises:
            ConfigError: nothing is registered under `key`; near names are listed.
        """
        if not isinstance(key, str):
            raise ConfigError(f"the type of a {self.name} must be a name, not {key!r}")
        self._fill()
        cls = self._module_dict.get(key.removeprefix("densezoo."))
        if cls is None:
            raise ConfigError(f"no {self.name} is called {key!r}; {near_names(key, self._module_dict)}")
        found: type = cls
        return found

    def _fill(self) -> None:
        if self._package is not None:
            importlib.import_module(self._package)

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        self._fill()
        return sorted(self._module_dict)

    def build(self, cfg: Mapping[str, Any], **given: Any) -> Any:
        """Call the class that `cfg['type']` names with the rest of `cfg` and what the program itself has `given`.

        Raises:
            ConfigError: no type, an unknown type, an unknown key, a missing key, a key that the program gives
                itself, or a value that the constructor refuses with a ConfigError of its own.
        """
        if not isinstance(cfg, Mapping) or "type" not in cfg:
            raise ConfigError(f"a {self.name} needs a dict with a 'type'; got {cfg!r}; {near_names('', self.names())}")
        arguments = {key: value for key, value in cfg.items() if key != "type"}
        cls = self.get(cfg["type"])
        where = f"{self.name} {cfg['type']!r}"
        accepted = check_arguments(cls, arguments, given, where)
        check_kinds(get_type_hints(inspect.getattr_static(cls, "__init__")), arguments, f"{where}: ")
        return cls(**arguments, **accepted)


def check_arguments(
    function: Callable[..., Any], arguments: Mapping[str, Any], given: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Check config `arguments` against the signature of `function`.

    Returns:
        What of `given` the function accepts; the rest is what it does not ask for.

    Raises:
        ConfigError: an unknown, a missing or a doubly given key; the message begins with `where`.
    """
    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name not in given]
    for key in arguments:
        if key in given:
            raise ConfigError(f"{where}: {key!r} is worked out by the program; take it out of the config")
        if key not in parameters:
            raise ConfigError(f"{where} has no argument {key!r}; {near_names(key, known)}")
    for name, parameter in parameters.items():
        optional = parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if not optional and name not in arguments and name not in given:
            raise ConfigError(f"{where} needs the argument {name!r}")
    return {name: value for name, value in given.items() if name in parameters}


def check_kinds(hints: Mapping[str, Any], values: Mapping[str, Any], where: str) -> None:
    """Check that values are of the kinds that annotations say; what an annotation says of their items is not looked at.

    Args:
        hints: name to annotation; names and annotations that say nothing checkable pass.
        values: name to value.
        where: what the message begins with.

    Raises:
        ConfigError: a value of another kind. An int will do for a float; a bool is no number, a string no sequence.
    """
    for name, value in values.items():
        hint = hints.get(name, Any)
        options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        kinds = tuple(get_origin(option) or option for option in options)
        if Any in kinds or not all(isinstance(kind, type) for kind in kinds):
            continue
        if float in kinds and isinstance(value, int) and not isinstance(value, bool):
            continue
        wrong_bool = isinstance(value, bool) and bool not in kinds
        wrong_text = isinstance(value, str) and str not in kinds
        if wrong_bool or wrong_text or not isinstance(value, kinds):
            names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
            raise ConfigError(f"{where}{name} must be {names}, not {value!r}")


def import_submodules(package: str) -> None:
    """Import every module of `package`, so that its parts register themselves: adding a part is adding a file."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


ENCODERS = PartRegistry("encoder", "densezoo.encoders")
NECKS = PartRegistry("neck", "densezoo.necks")
FUSIONS = PartRegistry("fusion", "densezoo.layers")
HEADS = PartRegistry("head", "densezoo.heads")
TASKS = PartRegistry("task", "densezoo.tasks")
DATASETS = PartRegistry("dataset", "densezoo.datasets")
METRICS = PartRegistry("metric", "densezoo.metrics")
