"""Reading a config file: mmengine runs it, the modules that it names are imported, and errors say where they are."""

import sys
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from densezoo.errors import ConfigError
from densezoo.registry import check_arguments


def read_config_file(path: Path) -> Config:
    """Run a Python config, and import the modules that its `custom_imports` names.

    Raises:
        ConfigError: it is not Python, its own code or that of a module raises, or a module is not there.
    """
    paths = list(sys.path)
    sys.path.append(str(path.resolve().parent))  # where custom_imports may lie; last, so that nothing else is shadowed
    try:
        config = Config.fromfile(str(path), import_custom_modules=False)
        _import_modules(config.get("custom_imports"))
    except SyntaxError as error:
        raise ConfigError(f"{_file_of(error, path)}, line {error.lineno}: {error.msg}") from error
    except Exception as error:  # whatever the config's own code raises
        kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
        raise ConfigError(f"{path} cannot be read as a config: {kind}{error}{_place_of(error)}") from error
    finally:
        sys.path[:] = paths
    return config


def _import_modules(custom_imports: object) -> None:
    """Import modules, so that their parts are registered.

    Raises:
        ConfigError: they are not named as they must be, or one is not there.
        Exception: what their own code raises.
    """
    if custom_imports is None:
        return
    if not isinstance(custom_imports, Mapping):
        raise ConfigError(f"custom_imports must be dict(imports=['my_module']), not {custom_imports!r}")
    check_arguments(import_modules_from_strings, custom_imports, {}, "custom_imports")
    try:
        import_modules_from_strings(**custom_imports)
    except ImportError as error:
        cause = error.__context__ or error  # mmengine's own error says nothing of it
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        names = custom_imports["imports"]
        for name in [names] if isinstance(names, str) else names:
            if missing and f"{name}.".startswith(f"{missing}."):
                raise ConfigError(f"custom_imports: {name!r} is neither beside the config nor installed") from error
        raise cause from None


def _file_of(error: SyntaxError, path: Path) -> str:
    """Return the file that has the error: the config at `path`, one that it bases on, or one that it imports."""
    if error.filename and Path(error.filename).is_file():
        return error.filename
    found = str(path)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "mmengine" in frame.f_code.co_filename:  # it parses texts without their name, but has that in a variable
            found = frame.f_locals.get("filename", found)
    return found


def _place_of(error: Exception) -> str:
    """Return `' (file, line 3)'`: the last line of the user's own that the error came through, if any."""
    others = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    others.append(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_file() and not any(file.is_relative_to(folder) for folder in others):
            return f" ({file}, line {frame.lineno})"
    return ""
