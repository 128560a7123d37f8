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
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import Registry
from torch import nn

from densezoo.errors import ConfigError, near_names

MODELS = Registry("model", parent=ROOT_MODELS, scope="densezoo")
_KIND_OF_NAME: dict[str, str] = {}  # registered name to its kind with the article: 'an encoder'


class PartRegistry(Registry):  # type: ignore[misc]  # mmengine ships no annotations
    """A registry of one kind of part (`'encoder'`, `'neck'`, …); names are unique across kinds."""

    def __init__(self, kind: str, package: str | None = None) -> None:
        """Make an empty registry of `kind`; the modules of `package` fill it when it is first asked."""
        super().__init__(kind, scope="densezoo")
        self._package = package
        self._one = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        self._decorator = f"@{kind.upper()}S.register()"

    def register(self, name: str | None = None) -> Callable[[type], type]:
        """Return a class decorator that registers under `name`, or under the class's own name.

        Raises:
            ConfigError: the name is taken, here or by another kind; what is decorated is no class; or the decorator is
                written without its parentheses.
        """
        if name is not None and not isinstance(name, str):
            raise ConfigError(f"write {self._decorator}, with the parentheses, above {name!r}")

        def decorate(cls: type) -> type:
            if not isinstance(cls, type):
                raise ConfigError(f"{self._one} must be a class, and {cls!r} is none")
            key = name or cls.__name__
            known = self._module_dict.get(key)
            if known is not None and (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__):
                del self._module_dict[key], _KIND_OF_NAME[key]  # its module was run again
                MODELS._module_dict.pop(key, None)
            if key in _KIND_OF_NAME:
                raise ConfigError(f"{key!r} is already registered as {_KIND_OF_NAME[key]}; choose another name")
            _KIND_OF_NAME[key] = self._one
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
            raise ConfigError(f"the type of {self._one} must be a name, not {key!r}")
        self._fill()
        cls = self._module_dict.get(key.removeprefix("densezoo."))
        if cls is None:
            raise ConfigError(
                f"no {self.name} is called {key!r}; {near_names(key, self._module_dict)}; one of your own needs "
                f"{self._decorator} above its class, and its module in custom_imports"
            )
        found: type = cls
        return found

    def _fill(self) -> None:
        if self._package is not None:
            importlib.import_module(self._package)

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        self._fill()
        return sorted(self._module_dict)

    def with_defaults(self, cfg: Mapping[str, Any]) -> dict[str, Any]:
        """Return a config in which the constructor's defaults are spelled out; those of parts inside it are not.

        Raises:
            ConfigError: no type, or an unknown one.
        """
        parameters = inspect.signature(self._class_of(cfg)).parameters.values()
        return {each.name: each.default for each in parameters if each.default is not each.empty} | dict(cfg)

    def build(self, cfg: Mapping[str, Any], **given: Any) -> Any:
        """Call the class that `cfg['type']` names with the rest of `cfg` and what the program itself has `given`.

        Raises:
            ConfigError: no type, an unknown type, an unknown key, a missing key, a key that the program gives
                itself, or a value that the constructor refuses with a ConfigError of its own.
        """
        cls = self._class_of(cfg)
        arguments = {key: value for key, value in cfg.items() if key != "type"}
        where = f"{self.name} {cfg['type']!r}"
        accepted = check_arguments(cls, arguments, given, where)
        check_kinds(_hints(cls), arguments, f"{where}: ")
        return cls(**arguments, **accepted)

    def _class_of(self, cfg: Mapping[str, Any]) -> type:
        if not isinstance(cfg, Mapping) or "type" not in cfg:
            raise ConfigError(f"{self._one} needs a dict with a 'type'; got {cfg!r}; {near_names('', self.names())}")
        return self.get(cfg["type"])


def _hints(cls: type) -> dict[str, Any]:
    """Return the annotations of a constructor; none where they name what was imported for type checkers alone."""
    try:
        return get_type_hints(inspect.getattr_static(cls, "__init__"))
    except NameError:
        return {}


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
    """Check that values, and the items of lists and dicts, are of the kinds that annotations say.

    Args:
        hints: name to annotation; names and annotations that say nothing checkable pass.
        values: name to value.
        where: what the message begins with.

    Raises:
        ConfigError: a value of another kind. An int will do for a float; a bool is no number, a string no sequence.
    """
    for name, value in values.items():
        hint = hints.get(name, Any)
        if not _fits(value, hint):
            raise ConfigError(f"{where}{name} must be {_in_words(hint)}, not {value!r}")


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of the kind that an annotation says; one that says nothing checkable fits every value."""
    kind, items = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        return any(_fits(value, option) for option in items)
    if kind is Any or not isinstance(kind, type):
        return True
    if isinstance(value, (bool, str)):
        return kind is object or (kind in (bool, str) and isinstance(value, kind))
    if kind is float and isinstance(value, int):
        return True
    if not isinstance(value, kind):
        return False
    if items and kind in (list, Sequence) and isinstance(value, Sequence):
        return all(_fits(item, items[0]) for item in value)
    if items and isinstance(value, Mapping):
        return all(_fits(item, items[-1]) for item in value.values())
    return True


def _in_words(hint: Any) -> str:
    """Return an annotation in words, as `'int or Sequence of int or None'`."""
    kind, items = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        return " or ".join(map(_in_words, items))
    if kind is type(None):
        return "None"
    said = [_in_words(item) for item in items if item is not Any]
    name = getattr(kind, "__name__", str(kind))
    return f"{name} of {said[-1]}" if said and len(said) == len(items) else name


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
