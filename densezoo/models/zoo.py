"""Named models, and building one from a name or a config."""

import copy
from collections.abc import Mapping
from typing import Any

from densezoo.errors import ConfigError, near_names
from densezoo.models.build import build_model
from densezoo.models.model import Model
from densezoo.models.named import MODELS
from densezoo.types import DatasetMeta

PARTS = ("encoder", "neck", "tasks", "detector")


def list_models() -> list[str]:
    """Return the names that `create_model` knows, sorted."""
    return sorted(MODELS)


def create_model(
    name_or_config: str | Mapping[str, Any], meta: DatasetMeta | None = None, **overrides: Mapping[str, Any] | None
) -> Model:
    """Build a model from a name or a config.

    Example:
        `create_model("newell_hourglass_s2", neck=dict(num_stages=3), tasks=dict(pose=dict(num_keypoints=17)))`

    Args:
        name_or_config: a name from `list_models()`, or a mapping whose `encoder`, `neck`, `tasks` and `detector`
            are read.
        meta: what the data set's annotations mean; without it the model gives maps and losses, but no metrics.
        overrides: `encoder`, `neck`, `tasks` or `detector`. Keys replace the config's one by one, except in a dict that
            names another `type`, which replaces the whole part; None takes a part out, or one of the tasks. Without
            tasks the model gives feature pyramids, and the neck no feedback; a detector goes with them.

    Raises:
        ConfigError: an unknown name, override or key, or a value that a part refuses.
    """
    if isinstance(name_or_config, str):
        if name_or_config not in MODELS:
            raise ConfigError(f"no model is called {name_or_config!r}; {near_names(name_or_config, MODELS)}")
        config: Mapping[str, Any] = MODELS[name_or_config].config
    else:
        config = name_or_config
    parts = {part: copy.deepcopy(config[part]) for part in PARTS if part in config}
    for part, override in overrides.items():
        if part not in PARTS:
            raise ConfigError(f"create_model has no argument {part!r}; {near_names(part, (*PARTS, 'meta'))}")
        parts[part] = _override(parts.get(part), override)
    if isinstance(parts.get("tasks"), Mapping):
        parts["tasks"] = {name: task for name, task in parts["tasks"].items() if task is not None}
    if "tasks" in overrides:
        parts["neck"] = _without_feedback_of_others(parts.get("neck"), overrides.get("neck"), parts["tasks"])
        if not parts["tasks"]:
            parts.pop("detector", None)
    if parts.get("encoder") is None:
        raise ConfigError("the config has no 'encoder'; a model needs one")
    return build_model(**parts, meta=meta)


def _without_feedback_of_others(neck: Any, override: Any, tasks: Any) -> Any:
    """Return the neck's config without maps of tasks that are gone; what the caller wrote is left to be checked."""
    if not isinstance(neck, Mapping) or not neck.get("feedback") or (tasks and "feedback" in (override or {})):
        return neck
    if not tasks:
        return {**neck, "feedback": []}
    return {**neck, "feedback": [fed for fed in neck["feedback"] if fed.split(".")[0] in tasks]}


def _override(value: Any, by: Any) -> Any:
    """Return `value` with the keys of `by` in place of its own, level by level."""
    if (
        not isinstance(value, Mapping)
        or not isinstance(by, Mapping)
        or by.get("type", value.get("type")) != value.get("type")
    ):
        return by
    return {**value, **{key: _override(value.get(key), item) for key, item in by.items()}}
