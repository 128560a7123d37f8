"""From a config's `encoder`, `neck`, `tasks` and `detector` to a model; widths and strides flow forward."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

import densezoo.encoders
import densezoo.heads
import densezoo.layers
import densezoo.metrics
import densezoo.necks
import densezoo.tasks  # noqa: F401  # imported, like those above, so that their parts are registered
from densezoo.contracts import Encoder, Neck, Task
from densezoo.errors import ConfigError, near_names
from densezoo.models.dense_model import DenseModel
from densezoo.models.detector import Detector
from densezoo.models.detector_parts import DETECTORS
from densezoo.models.loss_weights import LOSS, GradNormWeights, build_loss_weights
from densezoo.models.model import Model
from densezoo.registry import ENCODERS, HEADS, NECKS, TASKS, check_kinds
from densezoo.tasks.boxes import Boxes
from densezoo.types import DatasetMeta


def build_model(
    encoder: Mapping[str, Any],
    neck: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Mapping[str, Any]] | None = None,
    meta: DatasetMeta | None = None,
    detector: Mapping[str, Any] | None = None,
    loss_weights: Mapping[str, Any] | None = None,
) -> Model:
    """Build a model.

    Args:
        encoder: config of the encoder.
        neck: config of the neck; its `feedback` names the maps that go back between stages, as `'task.map'`. None lets
            the heads read the encoder.
        tasks: task name to the task's config; its `head` is the config of the head; without one it has the task's own
            (`Corner` of Corners, `Center` of Centers), else a plain ConvHead.
        meta: what the data set's annotations mean.
        detector: one of torchvision's detectors in place of heads, for a single task of type `Boxes`: its `type`, the
            `levels` that it reads (counted on the neck's, None for all), the `channels` that they are brought to, and
            numbers of torchvision's own constructor.
        loss_weights: how the losses of several tasks are added, see `densezoo.models.loss_weights`; None = their sum.

    Returns:
        The model on the CPU, with torch's default weights (which Newell's network starts from, too); a `DenseModel`, or
        with `detector` a `Detector`.

    Raises:
        ConfigError: an unknown part, key or fed-back map, or a value that a part refuses.
    """
    _check_parts({"encoder": encoder, "neck": neck, "detector": detector}, tasks)
    check_kinds({"loss_weights": dict | None}, {"loss_weights": loss_weights}, "")
    built_encoder = ENCODERS.build(encoder)
    if detector is not None:
        if loss_weights is not None:
            raise ConfigError("a detector has one task, and its losses are torchvision's; take loss_weights out")
        return _build_detector(detector, encoder, built_encoder, neck, tasks or {}, meta)
    configs = {name: dict(config) for name, config in (tasks or {}).items()}
    heads = {name: config.pop("head", None) or _default_head(config) for name, config in configs.items()}
    built_tasks: dict[str, Task] = {name: TASKS.build(config, meta=meta) for name, config in configs.items()}
    for name, task in built_tasks.items():
        if isinstance(task, Boxes):
            raise ConfigError(
                f"task {name!r}: one of torchvision's detectors answers Boxes; give detector=dict(type='FCOS'), or "
                "take another task, such as dict(type='Corners')"
            )
    read_by = {name: _levels_read({name: head}) for name, head in heads.items()}
    channels, strides, origins = built_encoder.channels, built_encoder.strides, [built_encoder.origins]
    built_neck: Neck | None = None
    feedback: list[tuple[str, str]] = []
    if neck is not None:
        neck_config = dict(neck)
        feedback = _find_maps(neck_config.pop("feedback", None) or [], built_tasks)
        fed_channels = sum(built_tasks[task].outputs[name] for task, name in feedback)
        from_heads = bool(heads) and "out_levels" not in neck_config
        if from_heads:
            neck_config["out_levels"] = _levels_read(heads)
        readers = "the tasks' heads read" if from_heads else None
        built_neck = _build_neck(neck_config, encoder, built_encoder, fed_channels, readers)
        channels, strides, origins = built_neck.out_channels, built_neck.out_strides, built_neck.out_origins
        heads = {name: _count_given_levels(name, head, built_neck.out_levels) for name, head in heads.items()}
    elif heads:
        read = _levels_read(heads)
        if read is not None and read[-1] + 1 < len(strides):
            raise ConfigError(
                f"no head reads the encoder's strides {strides[read[-1] + 1 :]}; ask it for {strides[: read[-1] + 1]}, "
                "or put a neck in between"
            )
    every = list(range(len(strides))) if built_neck is None else list(built_neck.out_levels)
    read_by = {name: every if levels is None else levels for name, levels in read_by.items()}
    stage_heads = [
        {
            name: HEADS.build(
                heads[name], in_channels=channels, in_strides=strides, in_origins=stage_origins, outputs=task.outputs
            )
            for name, task in built_tasks.items()
        }
        for stage_origins in (origins if built_tasks else ())
    ]
    weights = None if loss_weights is None else build_loss_weights(loss_weights, built_tasks)
    if feedback and isinstance(weights, GradNormWeights):
        raise ConfigError(
            "loss_weights 'gradnorm' cannot tell the gradient of a task's own loss from what comes back by maps that "
            "others read; take 'feedback' out of the neck's config, or take loss_weights=dict(type='uncertainty')"
        )
    if isinstance(weights, GradNormWeights) and len({*map(str, read_by.values())}) > 1:
        raise ConfigError(
            "loss_weights 'gradnorm' compares gradients at the maps that heads read, which must be the same: the heads "
            f"of {', '.join(f'{name} read {levels}' for name, levels in read_by.items())} of the pyramid's levels; "
            "give them one level, or take loss_weights=dict(type='uncertainty')"
        )
    return DenseModel(built_encoder, built_neck, stage_heads, built_tasks, feedback, weights)


def _default_head(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the head that a task has where its config names none."""
    known = TASKS.get(task["type"]) if "type" in task else None  # without, TASKS.build says so
    return {"type": getattr(known, "default_head", "ConvHead")}


def _check_parts(parts: Mapping[str, Any], tasks: Any) -> None:
    """Check that parts are dicts, and tasks dicts under plain names.

    Raises:
        ConfigError: they are not.
    """
    for part, value in parts.items():
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(f"{part} must be a dict with a 'type', not {value!r}")
    if not isinstance(tasks, Mapping | None) or not all(isinstance(task, Mapping) for task in (tasks or {}).values()):
        raise ConfigError(f"tasks must be a dict such as dict(pose=dict(type='Pose', num_keypoints=17)), not {tasks!r}")
    for name in tasks or {}:
        # losses and scores are called 'task/name', fed-back maps 'task.map', and heads lie in a ModuleDict
        if not isinstance(name, str) or not name.isidentifier() or hasattr(nn.ModuleDict(), name) or name == LOSS:
            raise ConfigError(f"a task cannot be called {name!r}; take a plain word, such as 'pose'")


def _build_detector(
    detector: Mapping[str, Any],
    encoder: Mapping[str, Any],
    built_encoder: Encoder,
    neck: Mapping[str, Any] | None,
    tasks: Mapping[str, Mapping[str, Any]],
    meta: DatasetMeta | None,
) -> Detector:
    if "type" not in detector:
        raise ConfigError(f"a detector needs a dict with a 'type'; got {detector!r}; {near_names('', DETECTORS)}")
    built_tasks = {name: TASKS.build(config, meta=meta) for name, config in tasks.items()}
    if len(built_tasks) != 1 or not all(isinstance(task, Boxes) for task in built_tasks.values()):
        kinds = {name: config.get("type") for name, config in tasks.items()}
        raise ConfigError(
            f"a detector answers one task, tasks=dict(boxes=dict(type='Boxes', num_classes=…)), not {kinds}; give "
            "that, or take 'detector' out of the config"
        )
    ((name, task),) = built_tasks.items()
    options = {key: value for key, value in detector.items() if key not in ("type", "levels", "channels")}
    levels, channels = detector.get("levels"), detector.get("channels")
    where = f"detector {detector['type']!r}: "
    check_kinds({"channels": int | None}, {"channels": channels}, where)
    if levels is not None and not (
        isinstance(levels, (list, tuple)) and all(isinstance(level, int) for level in levels)
    ):
        raise ConfigError(f"{where}levels={levels!r} must be a list of numbers, such as [1, 2, 3]")
    if levels is not None and list(levels) != sorted(set(levels)):
        raise ConfigError(f"{where}levels={levels!r} must be ascending")
    built_neck = None
    if neck is not None:
        neck_config = dict(neck)
        if neck_config.pop("feedback", None):
            raise ConfigError("a detector has no maps to feed back; take 'feedback' out of the neck's config")
        readers = None if "out_levels" in neck_config else "the detector reads"
        neck_config.setdefault("out_levels", levels)
        built_neck = _build_neck(neck_config, encoder, built_encoder, 0, readers)
        if levels is not None:
            if not set(levels) <= set(built_neck.out_levels):
                raise ConfigError(f"{where}it reads levels={levels}, but the neck gives only {built_neck.out_levels}")
            levels = [built_neck.out_levels.index(level) for level in levels]
    return Detector(built_encoder, built_neck, name, task, detector["type"], levels, channels, options)


def _build_neck(
    config: Mapping[str, Any], encoder: Mapping[str, Any], built: Encoder, fed_channels: int, readers: str | None
) -> Neck:
    """Build a neck.

    Args:
        config: of the neck, without `feedback`.
        encoder: config of the encoder, for messages.
        built: the encoder.
        fed_channels: total width of the maps that are fed back.
        readers: who has said what `out_levels` are, for messages; None where the user has.
    """
    parameters = inspect.signature(NECKS.get(config.get("type", ""))).parameters
    if fed_channels and "feedback_channels" not in parameters:
        raise ConfigError(f"neck {config['type']!r} takes no feedback; take 'feedback' out of the config")
    if any(built.origins) and "in_origins" not in parameters:
        raise ConfigError(
            f"encoder {encoder['type']!r} has convolutions without padding, and neck {config['type']!r} "
            "cannot tell where its maps lie then; take neck=dict(type='UNet', align='crop'), or padding='same'"
        )
    try:
        neck: Neck = NECKS.build(
            config,
            in_channels=built.channels,
            in_strides=built.strides,
            in_origins=built.origins,
            feedback_channels=fed_channels,
        )
    except ConfigError as error:
        if readers is None or "out_levels" not in str(error):
            raise
        raise ConfigError(f"{error}; out_levels are the levels that {readers}") from error
    return neck


def _levels_read(heads: Mapping[str, Mapping[str, Any]]) -> list[int] | None:
    """Return the neck's levels that heads read, ascending; None where one reads them all."""
    read: set[int] = set()
    for head in heads.values():
        key, levels = _levels_of(head)
        if levels is None:
            return None
        read |= {levels} if key == "level" else set(levels)
    return sorted(read)


def _levels_of(head: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the argument of a head that names what it reads, and its value: given, or the class's default.

    Raises:
        ConfigError: this is no head's config, or its value is no level, or no list of levels.
    """
    if not isinstance(head, Mapping):
        raise ConfigError(f"a head must be a dict, such as head=dict(type='ConvHead'), not {head!r}")
    parameters = inspect.signature(HEADS.get(head.get("type", ""))).parameters
    key = "level" if "level" in parameters else "levels"
    value = head.get(key, parameters[key].default if key in parameters else None)
    if value is not None:
        levels = [value] if key == "level" else value
        if not isinstance(levels, (list, tuple)) or not all(isinstance(level, int) for level in levels):
            raise ConfigError(
                f"head {head['type']!r}: {key}={value!r} must be {'a number' if key == 'level' else 'a list'}"
            )
    return key, value


def _count_given_levels(task: str, head: Mapping[str, Any], given: Sequence[int]) -> dict[str, Any]:
    """Return the head's config with levels counted among those that the neck gives.

    Raises:
        ConfigError: the neck was told to give other levels.
    """
    key, levels = _levels_of(head)
    if levels is None:
        return dict(head)
    wanted = [levels] if key == "level" else list(levels)
    if not set(wanted) <= set(given):
        raise ConfigError(f"the head of task {task!r} reads {key}={levels}, but the neck gives only {list(given)}")
    places = [given.index(level) for level in wanted]
    return {**head, key: places[0] if key == "level" else places}


def _find_maps(names: Sequence[str], tasks: Mapping[str, Task]) -> list[tuple[str, str]]:
    """Split `'task.map'` names.

    Raises:
        ConfigError: `names` is not a list of names, or there is no such map; near names are listed.
    """
    if isinstance(names, str):
        raise ConfigError(f"feedback must be a list of names; write feedback=[{names!r}]")
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"feedback must be a list of names such as ['pose.heatmap'], not {names!r}")
    known = {f"{task}.{name}": (task, name) for task, built in tasks.items() for name in built.outputs}
    for name in names:
        if name not in known:
            raise ConfigError(f"feedback: no task has the map {name!r}; {near_names(str(name), known)}")
    return [known[name] for name in names]
