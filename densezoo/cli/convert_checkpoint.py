"""Turn the weights of another implementation into a checkpoint of densezoo's.

What tensors do not show is assumed and said; --options says otherwise. The checkpoint will do for init_from. With
--config, whose data set must be there, it holds that config around the converted network, and the config is written
beside it: then test, predict and load_model read the two as they read those of a run.

Example:
  densezoo convert_checkpoint hg_s8_b1.pth bearpaw --out hg8.pt --config configs/pose/newell_s8_mpii.py
  densezoo test hg8.py hg8.pt --flip-test
  densezoo convert_checkpoint CornerNet_500000.pkl cornernet --out hourglass104.pt --options rgb=True
"""

import argparse
import pprint
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from densezoo.cli.arguments import KeyValues

if TYPE_CHECKING:
    from densezoo.engine.config import RunConfig

SHOWN = 5  # of the places that do not fit; there may be hundreds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a checkpoint or state dict that torch.save wrote")
    parser.add_argument("source", metavar="SOURCE", help="whose it is, such as bearpaw, mmpose or smp")
    parser.add_argument("--out", required=True, metavar="OUT.pt", help="a new file")
    parser.add_argument("--config", metavar="CONFIG", help="whose data and task settings go into the checkpoint")
    parser.add_argument(
        "--options",
        nargs="+",
        action=KeyValues,
        default={},
        metavar="KEY=VALUE",
        help="of the source, as mean=0.5,0.5,0.5",
    )


def run(options: argparse.Namespace) -> int:
    """Convert."""
    from pathlib import Path

    from densezoo.engine.build import build_dataset
    from densezoo.engine.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, state_dict_of
    from densezoo.engine.config import load_config
    from densezoo.engine.files import write_text
    from densezoo.errors import ConfigError, DataError
    from densezoo.interop import convert_state_dict
    from densezoo.models import build_model

    out = Path(options.out)
    beside = out.with_suffix(".py")
    for path in (out, beside) if options.config else (out,):
        if path.exists():
            raise ConfigError(f"--out: {path} is there already; choose another name, nothing is overwritten")
    if out.suffix != ".pt":
        raise ConfigError(f"--out {out} must end in .pt")
    state = state_dict_of(load_checkpoint(options.file), options.file)
    try:
        converted, weights = convert_state_dict(state, options.source, **options.options)
    except DataError as error:
        what, *places = [line.strip() for line in str(error).splitlines()]
        more = [f"and {len(places) - SHOWN} more"] if len(places) > SHOWN else []
        raise DataError(" ".join([f"{options.file}:", what, "; ".join([*places[:SHOWN], *more])]).rstrip()) from error
    if "type" in converted:  # a neck alone; in a model its weights have this name
        converted, weights = {"neck": converted}, {f"neck.{key}": value for key, value in weights.items()}
    checkpoint: Checkpoint = {"model": weights}
    if options.config:
        config = _around(load_config(options.config), converted, options.source)
        meta = build_dataset(config.test_data or config.val_data or config.train_data, config.data_root).meta
        build_model(config.encoder, config.neck, config.tasks, meta)
        checkpoint |= {"config": config.to_text(), "meta": meta.to_dict()}
        save_checkpoint(out, checkpoint)
        try:
            write_text(beside, config.to_text())
        except ConfigError:
            out.unlink()
            raise
        print(f"{len(weights)} tensors: {out}, with the config {beside}")
    else:
        save_checkpoint(out, checkpoint)
        neck = converted["neck"] if list(converted) == ["neck"] else {}
        given = {key: neck.pop(key) for key in ("in_channels", "in_strides") if key in neck}
        for part, value in converted.items():
            print(f"{part} = {pprint.pformat(value, sort_dicts=False, width=110)}")
        print(
            f"{len(weights)} tensors: {out}, for init_from; give --config for a checkpoint to test and to predict with"
        )
        if given:
            print(f"a neck alone: its encoder must give widths {given['in_channels']} at strides {given['in_strides']}")
    return 0


def _around(config: "RunConfig", converted: Mapping[str, Any], source: str) -> "RunConfig":
    """Return `config` with the converted network in place of its own.

    Raises:
        ConfigError: they do not have the same tasks, or not as many keypoints or classes.
    """
    from dataclasses import replace

    from densezoo.errors import ConfigError

    tasks = converted.get("tasks", {})
    kinds = {name: task["type"] for name, task in tasks.items()}
    wanted = {name: task.get("type") for name, task in config.tasks.items()}
    if kinds != wanted or "encoder" not in converted:
        raise ConfigError(
            f"--config has the tasks {wanted}, the weights of {source} {kinds or 'no head'}; "
            "convert without --config and start a training from the checkpoint with init_from"
        )
    for name, task in tasks.items():
        for key, value in task.items():
            said = config.tasks[name].get(key, value)
            if key.startswith("num_") and said != value:
                raise ConfigError(
                    f"--config's task {name!r} has {key}={said}, the weights of {source} {value}; take a config of "
                    "such data, or convert without --config"
                )
    merged = {
        name: {**{key: value for key, value in config.tasks[name].items() if key != "head"}, **task}
        for name, task in tasks.items()
    }
    return replace(config, encoder=converted["encoder"], neck=converted["neck"], tasks=merged, init_from=None)
