"""Configuration of a run: read from a Python file, checked key by key, written back as it was run.

A config is a Python file read by mmengine's `Config` (one optional `_base_`). YAML and JSON are refused: mmengine lets
a YAML config run a shell command, and a config that runs code should look like code.
"""

import ast
import math
import pprint
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from densezoo.engine.config_file import read_config_file
from densezoo.errors import ConfigError, near_names
from densezoo.registry import check_kinds
from densezoo.types import InferenceViews


@dataclass(frozen=True)
class EngineOptions:
    """How to run, not what: none of these names a part of the model.

    Attributes:
        amp: bfloat16 autocast, on a CPU and on a GPU.
        ema: decay of the averaged weights that evaluation and `model` of a checkpoint then use; None = off.
        accumulate: batches per optimizer step; gradients equal those of one batch of all their samples.
        clip: largest gradient norm; None = off.
        compile: `torch.compile` the training step.
        workers: data-loading processes; 0 = in this process. Changes no number.
        flip_test: evaluate on the image and its mirror image.
        scales: factors on the image's sides to evaluate at, together.
        window: (height, width) of windows to evaluate through, see `InferenceViews`; None = images are seen whole.
        window_overlap: share of a window that the next one sees again.
        eval_every: evaluate after every so many epochs, and after the last.
        best: score that `best.pt` follows, such as `'pose/AP'`, or a list of scores, whose mean it follows; None = the
            first metric of the first task. Until that is a number, `best.pt` has the newest weights.
        max_bad_images: stop once more images than this could not be read.
        device: `'cpu'`, `'cuda'`, `'cuda:1'`; None = a GPU where there is one.
    """

    amp: bool = False
    ema: float | None = None
    accumulate: int = 1
    clip: float | None = None
    compile: bool = False
    workers: int = 2
    flip_test: bool = False
    scales: Sequence[float] = (1.0,)
    window: Sequence[int] | None = None
    window_overlap: float = 0.5
    eval_every: int = 1
    best: str | Sequence[str] | None = None
    max_bad_images: int = 10
    device: str | None = None

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a number that cannot be.
        """
        if min(self.accumulate, self.eval_every) < 1:
            raise ConfigError("engine.accumulate and engine.eval_every must be at least 1")
        if self.workers < 0 or self.max_bad_images < 0:
            raise ConfigError("engine.workers and engine.max_bad_images cannot be negative")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(f"engine.ema must lie between 0 and 1, not {self.ema}")
        if self.clip is not None and self.clip <= 0:
            raise ConfigError(f"engine.clip must be above 0, not {self.clip}")
        numbers = [scale for scale in self.scales if isinstance(scale, (int, float)) and 0 < scale < math.inf]
        if not numbers or len(numbers) < len(self.scales):
            raise ConfigError(f"engine.scales must be factors above 0, such as [0.5, 1, 1.5], not {self.scales}")
        if self.window is not None and (len(self.window) != 2 or min(self.window) < 1):
            raise ConfigError(f"engine.window must be (height, width) in pixels, not {self.window}")
        if not 0 <= self.window_overlap < 1:
            raise ConfigError(f"engine.window_overlap must be from 0 to below 1, not {self.window_overlap}")

    @property
    def views(self) -> InferenceViews:
        """How often to look at an image."""
        window = None if self.window is None else (self.window[0], self.window[1])
        return InferenceViews(self.flip_test, tuple(self.scales), window, self.window_overlap)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A checked config: the parts of the model, the data, and how to train.

    Attributes:
        encoder: what `ENCODERS` builds.
        neck: what `NECKS` builds, and `feedback`, the maps fed back between stages; None = the encoder is read.
        tasks: task name to what `TASKS` builds, and its `head`.
        detector: one of torchvision's in place of heads, see `build_model`; for a single task `Boxes`.
        warp: arguments of `densezoo.transforms.Warp`.
        train_data: what `DATASETS` builds; `subset` carves a part out of it, `only` names the annotations to take. A
            list of several is mixed, see `densezoo.datasets.mixed`.
        val_data: evaluated while training; None = no evaluation. Of a list, each is for the tasks that it is annotated
            for.
        test_data: what the test command evaluates; None = `val_data`.
        loss_weights: how the losses of several tasks are added, see `densezoo.models.loss_weights`; None = their sum.
        photometric: arguments of `densezoo.transforms.Photometric`.
        data_root: folder that relative paths of data sets start from.
        optimizer: `type`, `lr` and what else timm's factory takes.
        schedule: `type` (`one_cycle` or a name of timm's factory) and its arguments.
        epochs: passes over the training set.
        batch_size: samples per step over all processes, before accumulation.
        seed: of weights, order and augmentation.
        init_from: checkpoint to start from; what does not fit, and learned loss weights, are left out and reported.
        engine: see `EngineOptions`.
        custom_imports: `dict(imports=['my_fusion'])`: modules of yours that register parts, installed or beside the
            config.
    """

    encoder: dict[str, Any]
    neck: dict[str, Any] | None = None
    tasks: dict[str, Any]
    detector: dict[str, Any] | None = None
    warp: dict[str, Any]
    train_data: dict[str, Any] | list[dict[str, Any]]
    val_data: dict[str, Any] | list[dict[str, Any]] | None = None
    test_data: dict[str, Any] | list[dict[str, Any]] | None = None
    loss_weights: dict[str, Any] | None = None
    photometric: dict[str, Any] = field(default_factory=dict)
    data_root: str = "data"
    optimizer: dict[str, Any] = field(default_factory=lambda: {"type": "adamw", "lr": 1e-3})
    schedule: dict[str, Any] = field(default_factory=lambda: {"type": "one_cycle"})
    epochs: int = 1
    batch_size: int = 32
    seed: int = 0
    init_from: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    custom_imports: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a number that cannot be.
        """
        if self.epochs < 1 or self.batch_size < 1:
            raise ConfigError(f"epochs and batch_size must be at least 1, not {self.epochs} and {self.batch_size}")
        if self.seed < 0:
            raise ConfigError(f"seed cannot be negative, as {self.seed} is")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the engine's options that differ from their defaults included."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        default = EngineOptions()
        values["engine"] = {
            item.name: getattr(self.engine, item.name)
            for item in fields(EngineOptions)
            if getattr(self.engine, item.name) != getattr(default, item.name)
        }
        return values

    def to_text(self) -> str:
        """Return a Python config that reads back as this one."""
        lines = [
            f"{key} = {pprint.pformat(value, sort_dicts=False, width=110)}"
            for key, value in self.to_dict().items()
            if value is not None
        ]
        return "\n".join(lines) + "\n"

    def with_engine(self, **options: Any) -> "RunConfig":
        """Return a copy with other engine options."""
        return replace(self, engine=replace(self.engine, **options))


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> RunConfig:
    """Read and check a config file.

    Args:
        path: a Python file.
        options: dotted keys to new values (`{'optimizer.lr': 1e-3}`), as `--cfg-options` gives them.

    Raises:
        ConfigError: the file is missing, is not Python, raises, or has a key that nothing reads.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no config file {path}; check the path")
    if path.suffix != ".py":
        raise ConfigError(f"{path}: a config must be a Python file (.py)")
    config = read_config_file(path)
    for key in options or {}:
        # mmengine would make any new key; a mistyped part of the model must not pass in silence.
        top = key.split(".")[0]
        if top not in _top_keys():
            raise ConfigError(f"--cfg-options {key}: no config key {top!r}; {near_names(top, _top_keys())}")
    if options:
        try:
            config.merge_from_dict(dict(options))
        except (TypeError, KeyError, AssertionError, IndexError) as error:
            raise ConfigError(f"--cfg-options {dict(options)} does not fit {path}: {error}") from error
    # a name with a leading underscore is the file's own, to say something once that several keys share
    values = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
    return check_config(values, where=str(path))


def config_from_text(text: str, where: str) -> RunConfig:
    """Read what `RunConfig.to_text` wrote, as data: nothing in it is run.

    Args:
        text: assignments of plain values.
        where: for error messages.

    Raises:
        ConfigError: anything but assignments of plain values, or a config that this version does not read.
    """
    values: dict[str, Any] = {}
    try:
        for statement in ast.parse(text).body:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
                raise ConfigError(f"{where}: its config holds more than assignments")
            values[statement.targets[0].id] = ast.literal_eval(statement.value)
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{where}: its config cannot be read: {error}") from error
    return check_config(values, where)


def check_config(values: Mapping[str, Any], where: str = "config") -> RunConfig:
    """Turn plain values into a `RunConfig`.

    Raises:
        ConfigError: an unknown or missing key, or a value of the wrong kind; the message begins with `where`.
    """
    known = _top_keys()
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; {near_names(key, known)}")
    missing = [key for key in ("encoder", "tasks", "warp", "train_data") if values.get(key) is None]
    if missing:
        raise ConfigError(f"{where}: {', '.join(map(repr, missing))} must be given")
    check_kinds({"engine": dict | None}, {"engine": values.get("engine")}, f"{where}: ")
    engine = dict(values.get("engine") or {})
    options = {item.name for item in fields(EngineOptions)}
    for key in engine:
        if key not in options:
            raise ConfigError(f"{where}: engine has no option {key!r}; {near_names(key, options)}")
    check_kinds(get_type_hints(EngineOptions), engine, f"{where}: engine.")
    rest = {key: value for key, value in values.items() if key != "engine"}
    check_kinds(get_type_hints(RunConfig), rest, f"{where}: ")
    try:
        config = RunConfig(**rest, engine=EngineOptions(**engine))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if not config.tasks:
        raise ConfigError(
            f"{where}: tasks is empty; name at least one, such as tasks = dict(pose=dict(type='Pose', …))"
        )
    check_kinds(dict.fromkeys(config.tasks, dict), config.tasks, f"{where}: tasks.")
    return config


def differing_keys(one: RunConfig, other: RunConfig) -> list[str]:
    """Return the dotted keys in which two configs differ, other than those that change no number."""
    free = {"data_root", "engine.workers", "engine.device", "engine.max_bad_images"}
    spelled = [config.to_dict() | {"engine": asdict(config.engine)} for config in (one, other)]
    return [key for key in differing_values(*spelled) if key not in free]


def differing_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys in which two nested dicts differ, in order."""
    flat_one, flat_other = flatten(one), flatten(other)
    return [key for key in sorted({*flat_one, *flat_other}) if flat_one.get(key) != flat_other.get(key)]


def _top_keys() -> set[str]:
    return {item.name for item in fields(RunConfig)}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested dict as one of dotted keys; sequences become lists."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = (
                list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            )
    return flat
