"""From a config's `encoder`, `neck` and `tasks` to a model; widths and strides flow forward."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import densezoo.encoders
import densezoo.heads
import densezoo.layers
import densezoo.metrics
import densezoo.necks
import densezoo.tasks  # noqa: F401  # imported, like those above, so that their parts are registered
from densezoo.contracts import Neck, Task
from densezoo.errors import ConfigError, near_names
from densezoo.models.dense_model import DenseModel
from densezoo.registry import ENCODERS, HEADS, NECKS, TASKS
from densezoo.types import DatasetMeta


def build_model(
    encoder: Mapping[str, Any],
    neck: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Mapping[str, Any]] | None = None,
    meta: DatasetMeta | None = None,
) -> DenseModel:
    """Build a model.

    Args:
        encoder: config of the encoder.
        neck: config of the neck; its `feedback` names the maps that go back between stages, as `'task.map'`. None lets
            the heads read the encoder.
        tasks: task name to the task's config; its `head` is the config of the head, a plain ConvHead if absent.
        meta: what the data set's annotations mean.

    Returns:
        The model on the CPU, with torch's default weights (which Newell's network starts from, too).

    Raises:
        ConfigError: an unknown part, key or fed-back map, or a value that a part refuses.
    """
    built_encoder = ENCODERS.build(encoder)
    configs = {name: dict(config) for name, config in (tasks or {}).items()}
    heads = {name: config.pop("head", {"type": "ConvHead"}) for name, config in configs.items()}
    built_tasks: dict[str, Task] = {name: TASKS.build(config, meta=meta) for name, config in configs.items()}
    channels, strides, origins = built_encoder.channels, built_encoder.strides, [built_encoder.origins]
    built_neck: Neck | None = None
    feedback: list[tuple[str, str]] = []
    if neck is not None:
        neck_config = dict(neck)
        feedback = _find_maps(neck_config.pop("feedback", None) or [], built_tasks)
        fed_channels = sum(built_tasks[task].outputs[name] for task, name in feedback)
        neck_class = NECKS.get(neck_config.get("type", ""))
        if feedback and "feedback_channels" not in inspect.signature(neck_class).parameters:
            raise ConfigError(f"neck {neck_config['type']!r} takes no feedback; take 'feedback' out of the config")
        if any(built_encoder.origins) and "in_origins" not in inspect.signature(neck_class).parameters:
            raise ConfigError(
                f"encoder {encoder['type']!r} has convolutions without padding, and neck {neck_config['type']!r} "
                "cannot tell where its maps lie then; take neck=dict(type='UNet', align='crop'), or padding='same'"
            )
        from_heads = bool(heads) and "out_levels" not in neck_config
        if from_heads:
            neck_config["out_levels"] = _levels_read(heads)
        try:
            built_neck = NECKS.build(
                neck_config,
                in_channels=channels,
                in_strides=strides,
                in_origins=built_encoder.origins,
                feedback_channels=fed_channels,
            )
        except ConfigError as error:
            if not from_heads or "out_levels" not in str(error):
                raise
            raise ConfigError(f"{error}; out_levels are the levels that the tasks' heads read") from error
        channels, strides, origins = built_neck.out_channels, built_neck.out_strides, built_neck.out_origins
        heads = {name: _count_given_levels(name, head, built_neck.out_levels) for name, head in heads.items()}
    elif heads:
        read = _levels_read(heads)
        if read is not None and read[-1] + 1 < len(strides):
            raise ConfigError(
                f"no head reads the encoder's strides {strides[read[-1] + 1 :]}; ask it for {strides[: read[-1] + 1]}, "
                "or put a neck in between"
            )
    stage_heads = [
        {
            name: HEADS.build(
                heads[name], in_channels=channels, in_strides=strides, in_origins=stage_origins, outputs=task.outputs
            )
            for name, task in built_tasks.items()
        }
        for stage_origins in (origins if built_tasks else ())
    ]
    return DenseModel(built_encoder, built_neck, stage_heads, built_tasks, feedback)


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
    known = {f"{task}.{name}": (task, name) for task, built in tasks.items() for name in built.outputs}
    for name in names:
        if name not in known:
            raise ConfigError(f"feedback: no task has the map {name!r}; {near_names(str(name), known)}")
    return [known[name] for name in names]
