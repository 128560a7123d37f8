"""The loop that runs a study's units, whoever starts their processes: this machine or a Ray cluster.

A unit is a plain command that writes into the ledger itself, so that other machines may work on the same study. The
loop starts what is ready, waits for what others run, and goes on without what failed.
"""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from densezoo.comparison.ledger import DONE, FAILED, NEW, RUNNING, STOPPED, Ledger, Record
from densezoo.comparison.study import Study
from densezoo.comparison.units import Unit, needs, units_of
from densezoo.errors import ConfigError

CommandOf = Callable[[Unit], list[str]]
Say = Callable[[str], None]

POLL_SECONDS = 0.2  # between two looks at own processes
LOOK_SECONDS = 5.0  # between two looks at what others do


class Workers(Protocol):
    """Who starts the processes of units."""

    def start(self, unit: Unit) -> None:
        """Start a unit's command."""
        ...

    def ended(self) -> list[Unit]:
        """Return the units whose commands have ended since the last call; the ledger says how."""
        ...

    def stop(self) -> None:
        """End every command that was started and runs still; the ledger says so."""
        ...


@dataclass(frozen=True)
class Sorted:
    """What can be done now.

    Attributes:
        ready: can be started, in order.
        running: somebody runs them.
        blocked: what can never be started, to the failed unit that it needs.
    """

    ready: list[Unit] = field(default_factory=list)
    running: list[Unit] = field(default_factory=list)
    blocked: dict[Unit, Unit] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How the units of one call stand at its end; all by their names.

    Attributes:
        done: finished, now or before.
        failed: to why.
        skipped: not run, to the unit that they need.
    """

    done: list[str]
    failed: dict[str, str]
    skipped: dict[str, str]


def check_jobs(jobs: int) -> None:
    """Check how many units are to run at once.

    Raises:
        ConfigError: not one.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {jobs}")


def sort_units(study: Study, units: Sequence[Unit], statuses: Mapping[Unit, str]) -> Sorted:
    """Say which units can be started.

    Args:
        study: the study.
        units: to be run.
        statuses: of all units of the study, as of `Ledger.status`.
    """
    found = Sorted()
    for unit in units:
        if statuses[unit] == RUNNING:
            found.running.append(unit)
        if statuses[unit] not in (NEW, STOPPED):
            continue
        first = needs(unit, study)
        failed = [each for each in first if statuses[each] == FAILED]
        if failed:
            found.blocked[unit] = failed[0]
        elif all(statuses[each] == DONE for each in first):
            found.ready.append(unit)
    return found


def run_units(
    study: Study, ledger: Ledger, units: Sequence[Unit], jobs: int, workers: Workers, say: Say, retry: bool = False
) -> Outcome:
    """Run the units that are not done, and wait for those that others run.

    Args:
        study: the study.
        ledger: of its work dir.
        units: in the order to start them.
        jobs: how many of this call's run at once.
        workers: who start them.
        say: called with a line when something changes.
        retry: run again, once, what has failed before.

    Raises:
        ConfigError: a broken record in the ledger.
        KeyboardInterrupt: what was started has been stopped.
    """
    every = units_of(study)
    again = {unit for unit in units if retry and ledger.status(unit.name) == FAILED}
    mine: set[Unit] = set()
    told: dict[Unit, str] = {}
    next_look = 0.0
    with _ended_like_an_interrupt():
        try:
            while True:
                ended = workers.ended()
                mine -= {*ended}
                if ended or time.monotonic() >= next_look:
                    records = {unit: ledger.record(unit.name) for unit in every}
                    statuses = {unit: NEW if unit in again else _status(records[unit]) for unit in every}
                    statuses.update(dict.fromkeys(mine, RUNNING))  # whether it has written so or not
                    found = sort_units(study, units, statuses)
                    _tell(units, mine, records, statuses, told, jobs, say)
                    if not found.ready and not found.running:
                        return _outcome(study, units, records, found, say)
                    for unit in found.ready[: jobs - len(mine)]:
                        say(f"{unit.name} started")
                        again.discard(unit)
                        workers.start(unit)
                        mine.add(unit)
                    next_look = time.monotonic() + LOOK_SECONDS
                time.sleep(POLL_SECONDS)
        finally:
            workers.stop()


def _status(record: Record | None) -> str:
    return NEW if record is None else record.status


def _tell(
    units: Sequence[Unit],
    mine: set[Unit],
    records: Mapping[Unit, Record | None],
    statuses: Mapping[Unit, str],
    told: dict[Unit, str],
    jobs: int,
    say: Say,
) -> None:
    """Say what has changed since the last look, which `told` remembers."""
    first = not told
    done = [unit for unit in units if statuses[unit] == DONE]
    if first and done:
        say(f"{len(done)} of {len(units)} units are done")
    for unit in units:
        record, status = records[unit], statuses[unit]
        if record is None or told.get(unit) == status or (first and status == DONE):
            continue
        elsewhere = "" if record.host == socket.gethostname() else f" on {record.host}"
        if status == RUNNING and unit not in mine and record.started:
            say(f"{unit.name} is run by {record.host}, process {record.pid}, since {record.started}")
        elif status == FAILED:
            say(f"{unit.name} failed{elsewhere}: {record.error}")
        elif status == DONE:
            say(
                f"{unit.name} done in {_duration(record.seconds or 0.0)}{elsewhere}; "
                f"{len(done)} of {len(units)} done{_left(units, records, statuses, jobs)}"
            )
    told.update((unit, statuses[unit]) for unit in units)


def _left(units: Sequence[Unit], records: Mapping[Unit, Record | None], statuses: Mapping[Unit, str], jobs: int) -> str:
    """Return how long the rest will take, from what units of the same kind took; empty where none is done."""
    taken: dict[str, list[float]] = {}
    for unit, record in records.items():
        if record is not None and record.status == DONE and record.seconds is not None:
            taken.setdefault(unit.kind, []).append(record.seconds)
    rest = [unit for unit in units if statuses[unit] not in (DONE, FAILED)]
    if not rest or any(unit.kind not in taken for unit in rest):
        return ""
    seconds = sum(sum(taken[unit.kind]) / len(taken[unit.kind]) for unit in rest)
    return f", about {_duration(seconds / min(jobs, len(rest)))} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _outcome(
    study: Study, units: Sequence[Unit], records: Mapping[Unit, Record | None], found: Sorted, say: Say
) -> Outcome:
    done, failed, skipped = [], {}, {}
    for unit in units:
        record = records[unit]
        if _status(record) == DONE:
            done.append(unit.name)
        elif record is not None and record.status == FAILED:
            failed[unit.name] = record.error or ""
        else:
            skipped[unit.name] = found.blocked.get(unit, next(iter(_missing(study, unit, records)), unit)).name
    for need in dict.fromkeys(skipped.values()):
        names = ", ".join(name for name, own in skipped.items() if own == need)
        say(f"skipped, since {need} is not done: {names}")
    return Outcome(done, failed, skipped)


def _missing(study: Study, unit: Unit, records: Mapping[Unit, Record | None]) -> list[Unit]:
    return [each for each in needs(unit, study) if _status(records[each]) != DONE]


@contextmanager
def _ended_like_an_interrupt() -> Iterator[None]:
    """Take SIGTERM, which batch systems send, and the loss of the terminal as Ctrl-C: no process is left behind."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    # what is ignored, as nohup has it, stays so
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
