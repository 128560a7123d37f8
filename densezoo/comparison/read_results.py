"""From a study's work dir to what it has measured so far."""

import csv
import json
import math
from pathlib import Path

import numpy as np

from densezoo.comparison.ledger import FAILED, LEDGER_FILES, Ledger
from densezoo.comparison.prepared import Prepared
from densezoo.comparison.study import Study
from densezoo.comparison.study_results import ArmResults, SeedResult
from densezoo.comparison.units import LR, Unit, UnitResult, chosen_rate, read_result, units_of
from densezoo.engine.intervals import read_draws
from densezoo.engine.work_dir import WorkDir
from densezoo.errors import ConfigError
from densezoo.visualization.curves import read_log

_AGAIN_WORDS = f"delete its folder, and its {LEDGER_FILES}, and the unit runs again"


def read_results(study: Study, prepared: Prepared, work_dir: str | Path) -> list[ArmResults]:
    """Read what the units of a study have left, in the order of its arms.

    Args:
        study: that they are of.
        prepared: with its arms' costs.
        work_dir: of the study. Runs of seeds that the study does not ask for are left out.

    Raises:
        ConfigError: a file of a finished unit is missing or broken.
    """
    records = Ledger(work_dir).records()
    found: dict[str, ArmResults] = {}
    for arm in study.arms:
        found[arm.name] = ArmResults(
            arm.name, arm.options, prepared.costs[arm.name], _rate(study, arm.name, work_dir), {}
        )
    for unit in units_of(study):
        own, record, result = found[unit.arm], records.get(unit.name), read_result(unit, work_dir)
        if result is None:
            if record is not None and record.status == FAILED:
                own.failed[unit.name] = record.error or "no reason known"
        elif unit.kind == LR:
            own.tries[unit.value] = result.score
        else:
            command = "" if record is None else record.command
            own.runs[int(unit.value)] = _read_run(study, unit, result, command, work_dir)
    return list(found.values())


def _rate(study: Study, arm: str, work_dir: str | Path) -> float | None:
    try:
        return chosen_rate(study, arm, work_dir)
    except ConfigError:  # not one of its tries has a score, as its units say
        return None


def _read_run(study: Study, unit: Unit, result: UnitResult, command: str, work_dir: str | Path) -> SeedResult:
    folder = unit.folder(work_dir)
    drawn = [draws for draws in read_draws(folder / "test" / "draws.json") if study.metric in draws.scores]
    if not drawn:
        raise ConfigError(f"{folder / 'test' / 'draws.json'} has no draws of {study.metric}; {_AGAIN_WORDS}")
    (draws,) = drawn
    return SeedResult(
        seed=int(unit.value),
        folder=folder,
        scores=_read_scores(folder / "test" / "metrics.json"),
        draws=np.array(draws.scores[study.metric], np.float64),
        clusters=len(draws.image_ids) if draws.clusters is None else draws.clusters,
        per_image=_read_per_image(folder / "test" / "per_image.csv"),
        log=read_log(WorkDir(folder).metrics),
        seconds=math.nan if result.seconds is None else result.seconds,
        command=command,
    )


def _read_scores(path: Path) -> dict[str, float]:
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
        return {name: math.nan if value is None else float(value) for name, value in scores.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not what densezoo compare writes: {error}; {_AGAIN_WORDS}") from error


def _read_per_image(path: Path) -> dict[int, dict[str, float]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            int(row["image_id"]): {
                name: float(value) if value else math.nan for name, value in row.items() if name != "image_id"
            }
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not what densezoo compare writes: {error}; {_AGAIN_WORDS}") from error
