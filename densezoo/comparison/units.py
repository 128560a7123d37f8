"""The units of a study: one training each, which any process of any machine that shares the work dir may run.

A *try* (`ARM/lr-0.002`) is a short training with one learning rate, scored on `val_data` alone. A *seed*
(`ARM/seed-0`) is a training with the rate that the arm's tries chose, whose last weights are scored on `test_data`. No
epoch is chosen by a score: that would be one more choice, and not the same for all arms.
"""

import json
import math
import os
import shutil
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from densezoo.comparison.circumstances import code_words, device_words
from densezoo.comparison.clusters import clusters_of
from densezoo.comparison.ledger import LEDGER_FILES
from densezoo.comparison.prepared import Prepared
from densezoo.comparison.shared_start import shared_start
from densezoo.comparison.study import AGAIN, Study
from densezoo.engine.config import RunConfig
from densezoo.engine.eval_sets import parts_of_test
from densezoo.engine.files import finite, write_text
from densezoo.engine.intervals import draw_scores, score_intervals, write_draws
from densezoo.engine.load import checkpoint_meta
from densezoo.engine.score import describe_test, score_checkpoint, write_results
from densezoo.engine.train import train
from densezoo.engine.training_record import training_record
from densezoo.engine.work_dir import WorkDir
from densezoo.errors import ConfigError, DataError, DivergedError, near_names
from densezoo.visualization.curves import read_log

LR: Literal["lr"] = "lr"
SEED: Literal["seed"] = "seed"


@dataclass(frozen=True)
class Unit:
    """One training of a study.

    Attributes:
        arm: its name.
        kind: `'lr'` of a try, `'seed'` of a run.
        value: the learning rate, or the number of the pair.
    """

    arm: str
    kind: Literal["lr", "seed"]
    value: float

    @property
    def name(self) -> str:
        """Such as `concat/lr-0.002` and `concat/seed-0`."""
        return f"{self.arm}/{self.kind}-{self.value}"

    def folder(self, work_dir: str | Path) -> Path:
        """Return the work dir of its run."""
        return Path(work_dir) / "units" / self.arm / f"{self.kind}-{self.value}"


@dataclass(frozen=True)
class UnitResult:
    """What a finished unit leaves in `result.json`.

    Attributes:
        unit: its name.
        metric: of the study.
        score: by that metric, of a try on `val_data`, of a seed on `test_data`; NaN if it is none.
        higher_is_better: of the metric.
        learning_rate: of the training.
        seconds: of training, without evaluations; None for one that diverged in its first epoch.
        host: name of the machine that finished it.
        torch: version there.
        device: that it computed on, with the number of threads of a CPU.
        error: why a try has no score, where its training diverged.
        code: what tells densezoo's code there from others; empty where older code did not say.
    """

    unit: str
    metric: str
    score: float
    higher_is_better: bool
    learning_rate: float
    seconds: float | None
    host: str
    torch: str
    device: str
    error: str | None = None
    code: str = ""


def units_of(study: Study) -> list[Unit]:
    """Return a study's units in the order to run them: the tries, then pair by pair, so that pairs are complete early.

    With one learning rate there is nothing to try. The repetition of the base has tries of its own, so that how far it
    is from the base holds the chance in that choice, too.
    """
    rates = study.learning_rates if len(study.learning_rates) > 1 else []
    tries = [Unit(arm.name, LR, rate) for arm in study.arms for rate in rates]
    return tries + [Unit(arm.name, SEED, seed) for seed in study.seeds for arm in study.arms]


def parse_unit(name: str, study: Study) -> Unit:
    """Return the unit of a name.

    Raises:
        ConfigError: the study has none of that name.
    """
    units = {unit.name: unit for unit in units_of(study)}
    if name not in units:
        raise ConfigError(f"{study.path} has no unit {name!r}; {near_names(name, units)}")
    return units[name]


def needs(unit: Unit, study: Study) -> list[Unit]:
    """Return the units that must be done first: for a seed the tries of its arm."""
    return [] if unit.kind == LR else [each for each in units_of(study) if (each.arm, each.kind) == (unit.arm, LR)]


def chosen_rate(study: Study, arm: str, work_dir: str | Path) -> float | None:
    """Return the learning rate with the best score on `val_data`, of equal ones the first; None before all are tried.

    Raises:
        ConfigError: no such arm, or not one of its tries has a score.
    """
    study.arm(arm)
    if len(study.learning_rates) == 1:
        return study.learning_rates[0]
    results = [read_result(Unit(arm, LR, rate), work_dir) for rate in study.learning_rates]
    known = [result for result in results if result is not None]
    if len(known) < len(results):
        return None
    scored = [result for result in known if not math.isnan(result.score)]
    if not scored:
        why = next((f" ({result.error})" for result in known if result.error), "")
        raise ConfigError(
            f"{study.path}: no learning rate gave arm {arm!r} a score{why}; begin a study with lower learning_rates"
        )
    return max(scored, key=lambda result: result.score if result.higher_is_better else -result.score).learning_rate


def read_result(unit: Unit, work_dir: str | Path) -> UnitResult | None:
    """Return what a unit scored; None for one that is not finished.

    Raises:
        ConfigError: its result.json is broken.
    """
    path = unit.folder(work_dir) / "result.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return UnitResult(**{**content, "score": math.nan if content["score"] is None else float(content["score"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{path} is not what densezoo compare writes: {error}; delete it and the unit's {LEDGER_FILES}, "
            "and --resume"
        ) from error


def with_rate(config: RunConfig, rate: float) -> RunConfig:
    """Return a config with another learning rate."""
    return replace(config, optimizer={**config.optimizer, "lr": rate})


def run_unit(study: Study, prepared: Prepared, unit: Unit, work_dir: str | Path) -> UnitResult:
    """Run a unit in this process, from where it was left, and write its `result.json`.

    Args:
        study: the study.
        prepared: its arms' configs.
        unit: one of its units; the ledger is the caller's affair.
        work_dir: of the study.

    Raises:
        DenseZooError: anything that the user can mend.
    """
    result = read_result(unit, work_dir)
    if result is None:
        result = (_run_try if unit.kind == LR else _run_seed)(study, prepared, unit, Path(work_dir))
        write_text(unit.folder(work_dir) / "result.json", json.dumps(finite(asdict(result)), indent=1) + "\n")
    return result


def _run_try(study: Study, prepared: Prepared, unit: Unit, work_dir: Path) -> UnitResult:
    whole = prepared.configs[unit.arm]
    epochs = study.epochs_of_try(whole.epochs)
    seed = study.seed_of(unit.arm, study.seeds[0])
    config = replace(with_rate(whole, unit.value), epochs=epochs, test_data=None, seed=seed)
    config = config.with_engine(eval_every=epochs, best=study.metric)
    score, error = math.nan, None
    try:
        score = _train(study, prepared, unit, config, work_dir)[study.metric]
    except DivergedError as diverged:  # it was tried, and it lost
        error = str(diverged)
    return _result(study, prepared, unit, config, score, work_dir, error)


def _run_seed(study: Study, prepared: Prepared, unit: Unit, work_dir: Path) -> UnitResult:
    rate = chosen_rate(study, unit.arm, work_dir)
    if rate is None:
        missing = [each.name for each in needs(unit, study) if read_result(each, work_dir) is None]
        raise ConfigError(f"{unit.name} needs {', '.join(missing)} first: --unit {missing[0]}")
    seed = study.seed_of(unit.arm, int(unit.value))
    config = replace(with_rate(prepared.configs[unit.arm], rate), seed=seed)
    folder = unit.folder(work_dir)
    if not (folder / "test").is_dir():
        _train(study, prepared, unit, config, work_dir)
        _test(study, config, WorkDir(folder).last, folder / "test")
    path = folder / "test" / "metrics.json"
    try:
        score = json.loads(path.read_text(encoding="utf-8"))["scores"][study.metric]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not what densezoo compare writes: {error}; delete its folder, and --resume"
        ) from error
    return _result(study, prepared, unit, config, math.nan if score is None else score, work_dir, None)


def _train(study: Study, prepared: Prepared, unit: Unit, config: RunConfig, work_dir: Path) -> dict[str, float]:
    """Train, or go on, or find that all is trained; return the scores of the last evaluation."""
    folder = unit.folder(work_dir)
    start, record = None, WorkDir(folder)
    if not record.last.is_file():
        record.best.unlink(missing_ok=True)  # of a run that was killed before its first last.pt, and begins anew
        arms = [arm.name for arm in study.arms if arm.name != AGAIN]
        configs = [prepared.configs[name] for name in arms]
        which = 0 if unit.arm == AGAIN else arms.index(unit.arm)
        start = shared_start(configs, prepared.meta, which, config.seed)
    return train(config, folder, resume=True, start=start)


def _test(study: Study, config: RunConfig, checkpoint: Path, folder: Path) -> None:
    """Score a checkpoint on the test set, and leave all of its files in `folder` or none."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    task = study.metric.partition("/")[0]
    parts = parts_of_test(config, checkpoint_meta(checkpoint))
    tasks, part = next((own, part) for own, part in parts if own is None or task in own)
    found, compared = score_checkpoint(part, checkpoint, tasks=tasks)
    groups = None if study.cluster is None else clusters_of(found, study.cluster, config.data_root)
    draws = draw_scores(found, study.draws, groups=groups, only=study.metric)
    about = describe_test(part, study.path, checkpoint, training_record(checkpoint))
    about["intervals"] = {name: list(ends) for name, ends in score_intervals(draws).items()}
    write_results(partial, found, compared, about)
    write_draws(partial / "draws.json", [draws])
    os.replace(partial, folder)


def _result(
    study: Study, prepared: Prepared, unit: Unit, config: RunConfig, score: float, work_dir: Path, error: str | None
) -> UnitResult:
    return UnitResult(
        unit=unit.name,
        metric=study.metric,
        score=score,
        higher_is_better=prepared.higher_is_better,
        learning_rate=float(config.optimizer["lr"]),
        seconds=_seconds_of(WorkDir(unit.folder(work_dir)).metrics),
        host=socket.gethostname(),
        torch=torch.__version__,
        device=device_words(config),
        error=error,
        code=code_words(),
    )


def _seconds_of(log: Path) -> float | None:
    try:
        seconds: float = sum(record["seconds"] for record in read_log(log) if record["kind"] == "train")
    except DataError:  # nothing was logged before it diverged
        return None
    return seconds
