"""Arguments that several commands share, and the config they lead to."""

import argparse
import ast
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmengine.config import DictAction

from densezoo.engine.config import RunConfig, load_config


class KeyValues(DictAction):  # type: ignore[misc]  # mmengine ships no annotations
    """`KEY=VALUE` pairs; a value in brackets or quotes is a Python literal, so that dicts can be given, too.

    A word that cannot be read is an error of the command line, not a traceback.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Take the words after the option."""
        options = dict(getattr(namespace, self.dest) or {})
        for word in values:
            key, sign, value = word.partition("=")
            if not sign:
                parser.error(f"{option_string} {word!r}: write KEY=VALUE, and other arguments before {option_string}")
            try:
                options[key] = _read(value)
            except (AssertionError, RecursionError):
                parser.error(
                    f"{option_string} {word!r}: the value cannot be read; write it as Python would, but without calls: "
                    '{"type": "CamVid"}'
                )
        setattr(namespace, self.dest, options)


def key_values(options: Mapping[str, Any]) -> list[str]:
    """Return the words that `KeyValues` reads as these options."""
    return [f"{key}={_write(value)}" for key, value in options.items()]


def _read(word: str) -> Any:
    if word[:1] in ("(", "[", "{", "'", '"'):
        with contextlib.suppress(ValueError, SyntaxError):  # mmengine reads words without quotes
            return ast.literal_eval(word)
    if not any(mark in word for mark in "([,"):
        return DictAction._parse_int_float_bool(word)  # _parse_iterable would take the blanks out of a path
    return DictAction._parse_iterable(word)


def _write(value: Any) -> str:
    if isinstance(value, str):
        with contextlib.suppress(AssertionError, RecursionError):
            if _read(value) == value:
                return value
    return repr(value)  # of a text that reads as something else, such as '5' or 'a,b', with its quotes


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG and --cfg-options."""
    parser.add_argument("config", metavar="CONFIG", help="a Python config file")
    add_options(parser, "override config keys, e.g. optimizer.lr=1e-3 neck.num_stages=4 data_root=/data")


def add_options(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --cfg-options, which `text` explains."""
    parser.add_argument("--cfg-options", nargs="+", action=KeyValues, default={}, metavar="KEY=VALUE", help=text)


def add_inference(parser: argparse.ArgumentParser) -> None:
    """Add what commands share that run a checkpoint."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="e.g. WORK_DIR/checkpoints/best.pt")
    parser.add_argument("--flip-test", action="store_true", help="look at the mirrored image, too")
    parser.add_argument(
        "--scales", nargs="+", type=float, metavar="FACTOR", help="look at the image at several sizes, e.g. 0.75 1 1.25"
    )
    parser.add_argument(
        "--window",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="look at the image through such windows",
    )
    parser.add_argument("--window-overlap", type=float, metavar="SHARE", help="of a window that the next sees again")


def read_config(options: argparse.Namespace) -> RunConfig:
    """Return the config with what the command line says on top."""
    config = load_config(options.config, options.cfg_options)
    if getattr(options, "seed", None) is not None:
        config = replace(config, seed=options.seed)
    if getattr(options, "amp", False):
        config = config.with_engine(amp=True)
    if getattr(options, "flip_test", False):
        config = config.with_engine(flip_test=True)
    if getattr(options, "scales", None):
        config = config.with_engine(scales=tuple(options.scales))
    if getattr(options, "window", None):
        config = config.with_engine(window=tuple(options.window))
    if getattr(options, "window_overlap", None) is not None:
        config = config.with_engine(window_overlap=options.window_overlap)
    return config
