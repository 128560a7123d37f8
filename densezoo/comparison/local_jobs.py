"""Units as processes of this machine, several at once where asked for, over its GPUs where it has several."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from densezoo.comparison.ledger import FAILED, STOPPED, Ledger
from densezoo.comparison.study import Study
from densezoo.comparison.unit_loop import POLL_SECONDS, CommandOf, Outcome, Say, check_jobs, run_units
from densezoo.comparison.units import Unit
from densezoo.errors import ConfigError

GRACE_SECONDS = 10.0  # between asking a process to end and killing it
_LONGEST = 500  # characters of a log's last line


def run_local(
    study: Study,
    work_dir: str | Path,
    units: Sequence[Unit],
    jobs: int,
    command_of: CommandOf,
    say: Say,
    retry: bool = False,
) -> Outcome:
    """Run units as processes of this machine; what one prints is in `log.txt` in its folder.

    Args:
        study: the study.
        work_dir: of the study; other machines may work on it, too.
        units: in the order to start them.
        jobs: how many run at once. They share the machine's processors and take its GPUs in turn.
        command_of: unit to the command that claims and runs it, and tells the ledger how it ended.
        say: called with a line when something changes.
        retry: run again, once, what has failed before.

    Raises:
        ConfigError: no job, or a broken record in the ledger.
        KeyboardInterrupt: what was started has been stopped.
    """
    check_jobs(jobs)
    ledger = Ledger(work_dir)
    workers = _LocalWorkers(ledger, Path(work_dir), jobs, command_of, visible_gpus())
    return run_units(study, ledger, units, jobs, workers, say, retry)


class UnitProcess:
    """The process of a unit's command."""

    def __init__(
        self, ledger: Ledger, unit: str, command: Sequence[str], folder: Path, environment: Mapping[str, str], cwd: str
    ) -> None:
        """Start it.

        Args:
            ledger: that the command writes into.
            unit: its name.
            command: its words.
            folder: where to write `log.txt`.
            environment: of the process.
            cwd: where it starts.

        Raises:
            ConfigError: the folder cannot be written.
        """
        self.ledger, self.unit, self.log = ledger, unit, folder / "log.txt"
        record = ledger.record(unit)
        self._tries = 0 if record is None else record.tries  # before this one
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                log.write(f"$ {shlex.join(command)}\n".encode())
                log.flush()
                self._begin = log.tell()
                # a session of its own: Ctrl-C reaches this process alone, which then ends it and its data workers
                self._process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise ConfigError(f"{unit} cannot be started: {error}") from error

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def settle(self) -> None:
        """Note one that has ended, and could not say so itself, as failed."""
        record = self.ledger.record(self.unit)
        if record is None or record.status == STOPPED or (record.status, record.tries) == (FAILED, self._tries):
            self.ledger.failed(self.unit, self._last_words(self._process.returncode))

    def send(self, number: int) -> None:
        """Send a signal to it and to the processes that it started, unless it has ended."""
        if not self.gone:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def end(self) -> None:
        """End it by force, unless it has ended, and note what it left undone as stopped."""
        self.send(signal.SIGKILL)
        self._process.wait()
        if self.ledger.status(self.unit) == STOPPED:
            self.ledger.stopped(self.unit, "interrupted")

    def _last_words(self, code: int) -> str:
        with self.log.open("rb") as file:
            file.seek(self._begin)
            lines = file.read().decode("utf-8", errors="replace").split("\n")
        last = next((line.strip()[:_LONGEST] for line in reversed(lines) if line.strip()), "none")
        if code > 0 and last != "none":
            return last
        how = f"killed by signal {-code}" if code < 0 else f"ended with code {code}, without a word in the ledger"
        return f"{how}; its last line: {last}"


def stop_processes(processes: Sequence[UnitProcess]) -> None:
    """Ask processes to end, and end those by force that do not."""
    try:
        for process in processes:
            process.send(signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        while not all(process.gone for process in processes) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
    finally:  # after a second Ctrl-C, too
        for process in processes:
            process.end()


class _LocalWorkers:
    def __init__(self, ledger: Ledger, work_dir: Path, jobs: int, command_of: CommandOf, gpus: Sequence[str]) -> None:
        self.ledger, self.work_dir, self.jobs, self.command_of, self.gpus = ledger, work_dir, jobs, command_of, gpus
        self._running: dict[int, tuple[Unit, UnitProcess]] = {}  # by place, of which there are as many as jobs

    def start(self, unit: Unit) -> None:
        place = next(place for place in range(self.jobs) if place not in self._running)
        environment = job_environment(len(os.sched_getaffinity(0)) // self.jobs if self.jobs > 1 else None)
        if len(self.gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        process = UnitProcess(
            self.ledger, unit.name, self.command_of(unit), unit.folder(self.work_dir), environment, os.getcwd()
        )
        self._running[place] = unit, process

    def ended(self) -> list[Unit]:
        gone = [place for place, (_, process) in self._running.items() if process.gone]
        ended = [self._running.pop(place) for place in gone]
        for _, process in ended:
            process.settle()
        return [unit for unit, _ in ended]

    def stop(self) -> None:
        stop_processes([process for _, process in self._running.values()])
        self._running.clear()


def job_environment(threads: int | None) -> dict[str, str]:
    """Return this process's environment with so many threads for torch, unless it says how many; None leaves it."""
    environment = dict(os.environ)
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, threads)))
    return environment


def visible_gpus() -> list[str]:
    """Return the names that `CUDA_VISIBLE_DEVICES` has for the GPUs that torch sees."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(number) for number in range(count)])[:count]
