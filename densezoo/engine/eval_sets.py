"""The data sets that a model is evaluated on: one for all its tasks, or several, each for those it is annotated for.

Sets are scored one by one and never mixed, so that an image is told by its id, and a score is that of one set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from densezoo.contracts import Dataset
from densezoo.engine.build import build_dataset, fields_read, require_same_annotations
from densezoo.engine.config import RunConfig
from densezoo.errors import ConfigError
from densezoo.types import DatasetMeta

DataConfig = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class EvalSet:
    """A data set to evaluate on.

    Attributes:
        name: where the config has it: `'val_data'`, `'val_data[1]'`.
        config: its entry there.
        dataset: built from that.
        tasks: names of the model's tasks that are scored on it.
    """

    name: str
    config: Mapping[str, Any]
    dataset: Dataset
    tasks: list[str]


def build_eval_sets(
    data: DataConfig, data_root: str, trained: DatasetMeta, tasks: Mapping[str, Mapping[str, Any]], which: str
) -> list[EvalSet]:
    """Build the data sets of a config's `val_data` or `test_data`.

    Args:
        data: a data set's config, whose set must be annotated for all tasks; or a list of them.
        data_root: folder of all data.
        trained: what the annotations meant that the model was trained with.
        tasks: configs of the model's tasks. Of several sets, a task is scored on the one that has all annotations that
            it reads (`fields_read`).
        which: the data's key in the config, for messages.

    Raises:
        ConfigError: a set's annotations differ from those of the training; or of several sets, none or more than one is
            annotated for a task, or one for no task.
        DataError: files that are missing or broken.
    """
    configs = unmixed(data, which)
    names = [which] if isinstance(data, Mapping) else [f"{which}[{number}]" for number in range(len(configs))]
    datasets = [build_dataset(config, data_root) for config in configs]
    scored = [list(tasks)]
    if not isinstance(data, Mapping):
        scored = _share_out({name: built.meta for name, built in zip(names, datasets, strict=True)}, trained, tasks)
    for name, built, own in zip(names, datasets, scored, strict=True):
        require_same_annotations(trained, built.meta, {task: tasks[task] for task in own}, name)
    return [EvalSet(*parts) for parts in zip(names, configs, datasets, scored, strict=True)]


def unmixed(data: DataConfig, which: str) -> list[Mapping[str, Any]]:
    """Return the entries of `val_data` or `test_data`: at least one, and none of them several sets as one.

    Raises:
        ConfigError: the list is empty, or an entry is `Mixed`.
    """
    configs = [data] if isinstance(data, Mapping) else list(data)
    if any(config.get("type") == "Mixed" for config in configs):
        raise ConfigError(f"{which}: sets are not mixed in evaluation; give a list, {which} = [dict(…), dict(…)]")
    if not configs:
        raise ConfigError(f"{which} is an empty list; give at least one data set")
    return configs


def parts_of_test(config: RunConfig, trained: DatasetMeta) -> list[tuple[list[str] | None, RunConfig]]:
    """Take a config's test apart by data sets.

    Args:
        config: with `test_data`, or `val_data` in its place.
        trained: what the annotations meant that the model was trained with.

    Returns:
        Of each test set its tasks, None for all where the config gives no list, and the config with it alone.

    Raises:
        ConfigError: see `build_eval_sets`.
    """
    which = "val_data" if config.test_data is None else "test_data"
    data = getattr(config, which)
    if data is not None:
        unmixed(data, which)  # before a folder is made for the results
    if data is None or isinstance(data, Mapping):
        return [(None, config)]
    sets = build_eval_sets(data, config.data_root, trained, config.tasks, which)
    return [(each.tasks, replace(config, test_data=dict(each.config))) for each in sets]


def _share_out(
    metas: Mapping[str, DatasetMeta], trained: DatasetMeta, tasks: Mapping[str, Mapping[str, Any]]
) -> list[list[str]]:
    """Return the tasks that each of several sets is annotated for.

    Raises:
        ConfigError: it is not one set for each task, and one task at least for each set.
    """
    of_set: dict[str, list[str]] = {name: [] for name in metas}
    for task, config in tasks.items():
        read = [field for field in fields_read(config) if getattr(trained, field)]
        fitting = [name for name, meta in metas.items() if all(getattr(meta, field) for field in read)]
        if len(fitting) != 1:
            words = " and ".join(field.replace("_", " ") for field in read)
            found = " and ".join(fitting) if fitting else "none"
            raise ConfigError(
                f"task {task!r} reads {words}; of {', '.join(metas)} {found} has them, and it must be one; say what a "
                "set is there for with only=['keypoints'], say"
            )
        of_set[fitting[0]].append(task)
    for name, own in of_set.items():
        if not own:
            raise ConfigError(f"{name} is annotated for none of the tasks {', '.join(tasks)}; take it out")
    return list(of_set.values())
