"""What it cost or gained a task to share its network with others: one shared training against one training per task.

Only trainings that differ in nothing but their tasks say so. Differences come with intervals where both tests drew the
same images (`densezoo test --intervals N`): each draw then gives a pair of scores, and the interval is that of their
differences. It says what chance there is in the choice of test images; another seed of the training moves scores, too.
Of a shared run's list of evaluation sets only the one that scores the task counts: the entry that its single run has.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densezoo.datasets.mixed import source_configs
from densezoo.engine.config import check_config, differing_keys
from densezoo.engine.files import finite
from densezoo.engine.intervals import Draws, interval, read_draws
from densezoo.errors import ConfigError, near_names

_OF_SEVERAL = ("loss_weights", "engine.best")  # keys that mean something else, or nothing, for a single task


@dataclass(frozen=True)
class ScoredRun:
    """What the test command wrote of one model.

    Attributes:
        folder: where.
        scores: `task/score` to value; NaN for those that are none.
        training: see `densezoo.engine.training_record`.
        tested_config: of the test.
        draws: of `--intervals`, by data set.
    """

    folder: Path
    scores: dict[str, float]
    training: dict[str, Any]
    tested_config: dict[str, Any]
    draws: list[Draws]

    def drawn(self, score: str) -> Draws | None:
        """Return the draws that have a score."""
        return next((draws for draws in self.draws if score in draws.scores), None)


@dataclass(frozen=True)
class Change:
    """One score of a task on its own and in the shared network; `ends` of the difference's interval, where known."""

    single: float
    shared: float
    ends: tuple[float, float] | None

    @property
    def difference(self) -> float:
        """What sharing added."""
        return self.shared - self.single


@dataclass(frozen=True)
class Comparison:
    """A shared training beside the single ones.

    Attributes:
        changes: task to score name to its change.
        trainings: `'shared'` and each task to parameters, images and seconds.
        differences: what else differs between the runs, in words.
        notes: why there are no intervals, where there are none.
    """

    changes: dict[str, dict[str, Change]]
    trainings: dict[str, dict[str, Any]]
    differences: list[str]
    notes: list[str]


def read_test(folder: str | Path) -> ScoredRun:
    """Read what the test command wrote into a folder.

    Raises:
        ConfigError: it wrote nothing there, or of a checkpoint that no training wrote.
    """
    path = Path(folder) / "metrics.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        training, tested = content["training"], content["tested_config"]
        scores = {name: math.nan if value is None else float(value) for name, value in content["scores"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not what densezoo test writes ({error}); test the model again") from error
    if not training:
        raise ConfigError(
            f"{path} is of a checkpoint without its run's config, or with one that this version does not "
            "read; test one that densezoo train wrote"
        )
    return ScoredRun(Path(folder), scores, training, tested, read_draws(path.with_name("draws.json")))


def compare(shared: ScoredRun, singles: Mapping[str, ScoredRun]) -> Comparison:
    """Compare the test of a shared network with those of single tasks.

    Args:
        shared: of several tasks.
        singles: task name to the test of a network for it alone.

    Raises:
        ConfigError: the shared or a single network does not have the task.
    """
    changes: dict[str, dict[str, Change]] = {}
    differences: list[str] = []
    notes: list[str] = []
    for task, single in singles.items():
        for record in (shared, single):
            known = record.training["config"]["tasks"]
            if task not in known:
                raise ConfigError(f"{record.folder} has no task {task!r}; {near_names(task, known)}")
        if len(single.training["config"]["tasks"]) > 1:
            raise ConfigError(f"{single.folder} is of several tasks; give the test of a network for {task!r} alone")
        differences += [f"{task}: {key}" for key in _differing(shared, single, task)]
        images = [record.training["images"] for record in (shared, single)]
        if _learns_from_several(shared.training["config"]):
            notes.append(
                f"{task}: {images[0]} training images of all data sets shared, {images[1]} single; how many of them "
                "the task has learned from is not recorded"
            )
        elif images[0] != images[1]:  # one config can stop early
            differences.append(f"{task}: training images ({images[0]} shared, {images[1]} single)")
        names = [name for name in single.scores if name in shared.scores and name.startswith(f"{task}/")]
        ends, note = _paired(shared, single, names)
        notes += [f"{task}: {note}"] if note else []
        changes[task] = {name: Change(single.scores[name], shared.scores[name], ends.get(name)) for name in names}
    trainings = {name: dict(record.training) for name, record in {"shared": shared, **singles}.items()}
    for training in trainings.values():
        del training["config"]
    return Comparison(changes, trainings, differences, notes)


def _differing(shared: ScoredRun, single: ScoredRun, task: str) -> list[str]:
    """Return the config keys, of training and test, in which two runs differ other than by the tasks they have."""
    keys: set[str] = set()
    for whole, other in (
        (shared.training["config"], single.training["config"]),
        (shared.tested_config, single.tested_config),
    ):
        one = _with_sets_of(whole, other)
        keys |= set(differing_keys(check_config(one, str(shared.folder)), check_config(other, str(single.folder))))
    own = f"tasks.{task}."
    return sorted(key for key in keys if key not in _OF_SEVERAL and not _is_part(key, own))


def _with_sets_of(shared: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, Any]:
    """Return a shared run's config with the single one's data sets in place of lists, or mixed ones, that hold them.

    Of a list one set is annotated for a task. That of the single run is, so it is that one.
    """
    held = {}
    for key in ("train_data", "val_data", "test_data"):
        if single.get(key) in source_configs(shared.get(key)):
            held[key] = single[key]
    return {**shared, **held}


def _learns_from_several(config: Mapping[str, Any]) -> bool:
    """Whether a training's images are of data sets that differ: one set several times is one set."""
    sets = source_configs(config.get("train_data"))
    return any(each != sets[0] for each in sets)


def _same_test_set(shared: ScoredRun, single: ScoredRun) -> bool:
    other = single.tested_config
    one = _with_sets_of(shared.tested_config, other)
    return bool((one.get("test_data") or one.get("val_data")) == (other.get("test_data") or other.get("val_data")))


def _is_part(key: str, own: str) -> bool:
    """Whether a key is of tasks other than the one whose keys begin with `own`, or of how their losses are added."""
    return key.startswith("loss_weights.") or (key.startswith("tasks.") and not key.startswith(own))


def _paired(
    shared: ScoredRun, single: ScoredRun, names: Sequence[str]
) -> tuple[dict[str, tuple[float, float]], str | None]:
    """Return the ends of the differences' intervals, or why there are none."""
    ends = {}
    for name in names:
        here, there = shared.drawn(name), single.drawn(name)
        if here is None or there is None:
            return {}, "no intervals; test both with --intervals 1000 to have them"
        if not _same_test_set(shared, single):  # ids may be those of other images
            return {}, "no intervals, since the two tests are of different data sets"
        if (here.image_ids, here.seed, here.clusters) != (there.image_ids, there.seed, there.clusters):
            return {}, "no intervals, since the two tests drew from different images"
        if len(here.scores[name]) != len(there.scores[name]):
            return {}, "no intervals; test both with the same --intervals"
        pairs = zip(here.scores[name], there.scores[name], strict=True)
        ends[name] = interval([one - other for one, other in pairs])
    return ends, None


def to_tables(found: Comparison) -> dict[str, list[list[str]]]:
    """Return title to rows of words, the first of them the heads; scores of classes and joints are left out."""
    tables = {}
    for task, changes in found.changes.items():
        rows = [["", "single", "shared", "difference", "interval of 95 %"]]
        for name, change in changes.items():
            if name.count("/") == 1:
                known = change.ends is not None and not math.isnan(change.ends[0])
                ends = f"{change.ends[0]:+.4f} to {change.ends[1]:+.4f}" if change.ends is not None and known else ""
                rows.append([name, f"{change.single:.4f}", f"{change.shared:.4f}", f"{change.difference:+.4f}", ends])
        tables[task] = rows if any(row[-1] for row in rows[1:]) else [row[:-1] for row in rows]
    rows = [["", "parameters", "training images", "training seconds"]]
    singles = [training for name, training in found.trainings.items() if name != "shared"]
    keys = ("parameters", "images", "seconds")
    sums = {
        key: None if any(each[key] is None for each in singles) else sum(each[key] for each in singles) for key in keys
    }
    for name, training in (*found.trainings.items(), ("all single ones", sums)):
        seconds = "" if training["seconds"] is None else f"{training['seconds']:.0f}"
        rows.append([name, f"{training['parameters'] / 1e6:.2f} M", str(training["images"]), seconds])
    return tables | {"training": rows}


def to_text(found: Comparison) -> str:
    """Return the comparison as aligned text."""
    lines = []
    for title, rows in to_tables(found).items():
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines += [title, *(_aligned(row, widths) for row in rows), ""]
    return "\n".join([*lines, *_remarks(found)])


def to_markdown(found: Comparison) -> str:
    """Return the comparison as Markdown."""
    lines = []
    for title, rows in to_tables(found).items():
        head = ["|" + "|".join(rows[0]) + "|", "|---" + "|---:" * (len(rows[0]) - 1) + "|"]
        lines += [f"## {title}", "", *head, *("|" + "|".join(row) + "|" for row in rows[1:]), ""]
    return "\n".join([*lines, *_remarks(found), ""])


def to_json(found: Comparison) -> dict[str, Any]:
    """Return the comparison as plain values, with every score."""
    tasks = {
        task: {
            name: {
                "single": finite(change.single),
                "shared": finite(change.shared),
                "difference": finite(change.difference),
                "interval": None if change.ends is None else [finite(end) for end in change.ends],
            }
            for name, change in changes.items()
        }
        for task, changes in found.changes.items()
    }
    return {"tasks": tasks, "training": found.trainings, "differences": found.differences, "notes": found.notes}


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([f"{row[0]:{widths[0]}}", *cells]).rstrip()


def _remarks(found: Comparison) -> list[str]:
    remarks = [f"The runs also differ in {', '.join(found.differences)}."] if found.differences else []
    if any(change.ends for changes in found.changes.values() for change in changes.values()):
        remarks.append("Intervals are of other test images, not of other trainings.")
    return remarks + found.notes
