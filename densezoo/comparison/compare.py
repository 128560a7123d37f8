"""A whole study by one call, in this process.

    import densezoo

    study = densezoo.load_study("configs/compare/fusion_synthetic.py")
    found = densezoo.compare(study, "runs/fusion")
    for comparison in found.conclusions.comparisons:
        print(comparison.arm, comparison.difference.mean, comparison.verdict)

The command `densezoo compare` does the same with a process for each unit, and can run several at once.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from densezoo.comparison.findings import Findings, judge
from densezoo.comparison.ledger import DONE, FAILED, RUNNING, Ledger
from densezoo.comparison.prepared import Prepared, check_same, prepare
from densezoo.comparison.read_results import read_results
from densezoo.comparison.report import write_report
from densezoo.comparison.study import Study
from densezoo.comparison.units import Unit, needs, run_unit, units_of
from densezoo.errors import ConfigError, DenseZooError


class TakenError(ConfigError):
    """Another process runs the unit."""


def compare(study: Study, work_dir: str | Path, resume: bool = False, say: Callable[[str], None] = print) -> Findings:
    """Run what is left of a study, unit after unit, and write its report.

    Args:
        study: from `load_study`.
        work_dir: where everything is written; must be new, or `resume`.
        resume: go on with the study that is there. What failed is run again.
        say: called with a line on what is done.

    Returns:
        What was found; also for a study of which some units failed, or are run by other processes.

    Raises:
        DenseZooError: anything that the user can mend, but for what is wrong with single units.
    """
    prepared = open_study(study, work_dir, resume, say)
    ledger = Ledger(work_dir)
    for unit in units_of(study):
        status = ledger.status(unit.name)
        if status == DONE:
            continue
        if any(ledger.status(each.name) != DONE for each in needs(unit, study)):
            say(f"{unit.name} is left out, since what it needs is not done")
            continue
        if status != RUNNING:
            say(f"{unit.name} started")
        try:
            run_claimed(study, prepared, unit, work_dir, f"densezoo.compare({study.path!r}, {str(work_dir)!r})")
        except TakenError as error:
            say(f"{unit.name} is left out: {error}")
        except (DenseZooError, torch.OutOfMemoryError) as error:
            if ledger.status(unit.name) != FAILED:  # the ledger itself is broken
                raise
            say(f"{unit.name} failed: {error}")
    return report_study(study, prepared, work_dir)[0]


def open_study(study: Study, work_dir: str | Path, resume: bool, say: Callable[[str], None]) -> Prepared:
    """Prepare a study, or read what is prepared.

    Raises:
        ConfigError: the folder holds another study, or this one and `resume` is off.
    """
    if check_same(study, work_dir) and not resume:
        raise ConfigError(f"{work_dir} already holds this study; continue it with --resume")
    return prepare(study, work_dir, say)


def report_study(study: Study, prepared: Prepared, work_dir: str | Path) -> tuple[Findings, dict[str, Path]]:
    """Judge what is there of a study and write its report; returns what was found, and the files of `write_report`.

    Raises:
        ConfigError: a file of the study is broken, or the report cannot be written.
        DataError: runs were not scored on the same images.
    """
    found = judge(study, prepared, read_results(study, prepared, work_dir), work_dir)
    return found, write_report(found, work_dir)


def run_claimed(study: Study, prepared: Prepared, unit: Unit, work_dir: str | Path, command: str) -> bool:
    """Claim a unit and run it in this process; the ledger gets to know how it ended.

    Args:
        study: that the unit is of.
        prepared: its arms' configs.
        unit: to run.
        work_dir: of the study.
        command: that runs it, for the record.

    Returns:
        Whether there was something to run; not if it is done.

    Raises:
        TakenError: another process runs it.
        DenseZooError: anything else that the user can mend.
    """
    ledger, started = Ledger(work_dir), time.monotonic()
    if not ledger.claim(unit.name, command):
        record = ledger.record(unit.name)
        assert record is not None, "what cannot be claimed has a record"
        if record.status == DONE:
            return False
        raise TakenError(f"{unit.name} is run by {record.host}, process {record.pid}; wait for it")
    try:
        run_unit(study, prepared, unit, work_dir)
    except KeyboardInterrupt:
        ledger.stopped(unit.name, "interrupted")
        raise
    except DenseZooError as error:
        ledger.failed(unit.name, str(error))
        raise
    except BaseException as error:  # such as a want of memory: nobody should wait for this process
        ledger.failed(unit.name, f"{type(error).__name__}: {error}")
        raise
    ledger.done(unit.name, time.monotonic() - started)
    return True
