"""A study made ready to run: widths matched, costs measured, and both kept in `study.json` for every machine."""

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from densezoo.comparison.circumstances import code_words, device_words
from densezoo.comparison.costs import cost_of, image_size, latencies, measure
from densezoo.comparison.matching import match_width
from densezoo.comparison.shared_start import same_start
from densezoo.comparison.study import AGAIN, Arm, Study, fingerprint, spelled_out
from densezoo.comparison.study_results import Cost
from densezoo.engine.build import build_dataset, build_dense_model
from densezoo.engine.config import RunConfig, config_from_text, differing_keys, differing_values
from densezoo.engine.eval_sets import unmixed
from densezoo.engine.evaluate import choose_best
from densezoo.errors import ConfigError
from densezoo.types import DatasetMeta

FILE = "study.json"


@dataclass(frozen=True)
class Prepared:
    """What the runs of a study have in common.

    Attributes:
        configs: arm to its config, matched, without a chosen learning rate.
        costs: arm to the cost of its network.
        higher_is_better: of the study's metric.
        meta: of the training set.
        images: `'train_data'`, `'val_data'` and `'test_data'` of the base to their numbers of samples.
        measured: what latencies were measured on, and in what precision.
        code: densezoo's, when the study began.
    """

    configs: dict[str, RunConfig]
    costs: dict[str, Cost]
    higher_is_better: bool
    meta: DatasetMeta
    images: dict[str, int] = field(default_factory=dict)
    measured: str = ""
    code: str = ""


def prepare(study: Study, work_dir: str | Path, say: Callable[[str], None]) -> Prepared:
    """Match every arm's width and measure it, or read what was found when the study began.

    Args:
        study: the study.
        work_dir: of the study; `study.json` is written there, once.
        say: called with a line on each arm.

    Raises:
        ConfigError: the folder holds another study, or something that is none, an arm cannot be matched, two arms are
            the same network once they are, or no task gives the metric.
    """
    path = Path(work_dir) / FILE
    _check_free(path)
    base = study.base.config
    data = build_dataset(base.train_data, base.data_root)
    meta = data.meta
    if not path.is_file():
        images = {"train_data": len(data)}
        for name, values in (("val_data", base.val_data), ("test_data", base.test_data)):
            assert values is not None
            images[name] = sum(len(build_dataset(each, base.data_root)) for each in unmixed(values, name))
        about = {"images": images, "measured": _measured_on(base), "code": code_words()}
        _write_new(path, {"higher_is_better": _direction(study, meta)} | _matched(study, meta, say) | about)
    return _read(path, study, meta)


def check_same(study: Study, work_dir: str | Path) -> bool:
    """Check that a folder holds no other study; changes nothing.

    Returns:
        Whether it holds this one.

    Raises:
        ConfigError: it holds another, or something that is none.
    """
    path = Path(work_dir) / FILE
    if not path.is_file():
        return False
    content = _content(path)
    changed = differing_values(content["fingerprint"], fingerprint(study))
    if changed:
        code, now = content.get("code", "older code"), code_words()
        why = "" if code == now else f" (densezoo was {code} when it was begun and is {now}, which may be the reason)"
        raise ConfigError(
            f"{path} is of another study: {', '.join(changed[:8])} differ(s){why}; go on with that one, or choose "
            "another --work-dir"
        )
    return True


def _check_free(path: Path) -> None:
    """Check that a folder without a study has nothing else in it, but for files that another process is writing."""
    folder = path.parent
    try:
        others = folder.is_dir() and any(not each.name.startswith(".") for each in folder.iterdir())
    except OSError as error:
        raise ConfigError(f"--work-dir {folder} cannot be read: {error}") from error
    if others and not path.is_file():  # looked for last: what else a study has comes after its file
        raise ConfigError(f"{folder} is not empty and holds no study; choose a new --work-dir")


def _direction(study: Study, meta: DatasetMeta) -> bool:
    model = build_dense_model(study.base.config, meta, torch.device("cpu"))
    try:
        return choose_best(model.tasks, study.metric)[1]
    except ConfigError as error:
        raise ConfigError(f"{study.path}: metric: {str(error).removeprefix('engine.best: ')}") from error


def _matched(study: Study, meta: DatasetMeta, say: Callable[[str], None]) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    configs: dict[str, RunConfig] = {}
    costs: dict[str, Cost] = {}
    for arm in study.arms:
        if arm.name == AGAIN:
            continue
        config, width, ratio, words = arm.config, None, None, ""
        if arm.match is not None:
            target = cost_of(study.base.config, meta, arm.match.cost)
            found = match_width(arm.name, config, meta, target, arm.match, study.base.config)
            config, width, ratio = found.config, found.width, found.ratio
            words = f", width {width}, {ratio:.3f} of the base's {arm.match.cost}"
        _check_new(study, arm, config, configs)
        configs[arm.name] = config
        same = same_start(list(configs.values()), meta, len(configs) - 1, study.seeds[0]) if len(configs) > 1 else None
        costs[arm.name] = replace(
            measure(config, meta), width=width, ratio=ratio, image=list(image_size(config, meta)), same_start=same
        )
        parameters, macs = _short(costs[arm.name].parameters), _short(costs[arm.name].macs)
        say(f"{arm.name}: {parameters} parameters, {macs} MACs{words}")
    # once more, in turns: what else the machine does falls on all arms alike
    for name, milliseconds in zip(configs, latencies(list(configs.values()), meta), strict=True):
        cost = replace(costs[name], milliseconds=milliseconds)
        arms[name] = {"options": study.arm(name).options, "config": configs[name].to_text(), "cost": asdict(cost)}
    return {"fingerprint": fingerprint(study), "name": study.name, "arms": arms}


def _measured_on(config: RunConfig) -> str:
    precision = "mixed bfloat16" if config.engine.amp else "float32"
    return f"{device_words(config)}, {precision}"


def _short(count: int) -> str:
    """Return a count of parts of a network by the unit that fits it, such as `6.213 M`."""
    name, unit = next((each for each in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if count >= each[1]), ("", 1))
    return f"{count / unit:.4g} {name}".strip()


def _check_new(study: Study, arm: Arm, config: RunConfig, others: Mapping[str, RunConfig]) -> None:
    """Check that an arm, once matched, is no network that is there already under another name.

    Raises:
        ConfigError: it is.
    """
    own = spelled_out(config, arm.name)
    for name, other in others.items():
        match = arm.match or study.arm(name).match
        if match is not None and not differing_keys(own, spelled_out(other, name)):
            raise ConfigError(
                f"{study.path}: the arms {name!r} and {arm.name!r} become the same network once {match.width} is "
                "matched; give one of them match=None, or take it out"
            )


def _write_new(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file unless another process was quicker: then that one's stays.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.partial")
        try:
            with partial.open("w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--work-dir {path.parent} cannot be written: {error}") from error


def _content(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = {"fingerprint", "higher_is_better", "arms"} - content.keys()
        if missing:
            raise ValueError(f"no {' and no '.join(sorted(missing))} in it")
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is not what densezoo compare writes: {error}; choose another --work-dir") from error
    return content


def _read(path: Path, study: Study, meta: DatasetMeta) -> Prepared:
    check_same(study, path.parent)
    content = _content(path)
    configs, costs = {}, {}
    for arm in study.arms:
        stored = content["arms"][study.base.name if arm.name == AGAIN else arm.name]
        read = config_from_text(stored["config"], f"{path}, arm {arm.name!r}")
        engine = read.engine
        ours = arm.config.engine
        # what changes no number is this machine's
        configs[arm.name] = replace(
            read,
            data_root=arm.config.data_root,
            engine=replace(engine, workers=ours.workers, device=ours.device, max_bad_images=ours.max_bad_images),
        )
        costs[arm.name] = Cost(**stored["cost"])
    about = {key: content[key] for key in ("images", "measured", "code") if key in content}
    return Prepared(configs, costs, content["higher_is_better"], meta, **about)
