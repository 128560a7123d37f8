"""The ledger of a study: a record on disk of every unit, safe for many processes and machines that share the folder.

ledger/ARM.seed-0.json          the record: status, who has it, since when, how often it was tried
ledger/ARM.seed-0.try-2.lock    an empty file; whoever makes it has the second try

A lock is made with O_EXCL: one process alone can do that, on NFS (from version 3 on), too. Its owner touches it every
20 seconds. The next try may be claimed once the last one is over: its record says so, or its process is gone, or, as
far as another machine can tell, it has been silent for five minutes by the clock of the shared folder. Locks are
neither removed nor used again, so that a slow process that takes an old try for the last one cannot claim what another
has.
"""

import json
import os
import re
import signal
import socket
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from densezoo.engine.files import write_text
from densezoo.errors import ConfigError

LEDGER_FILES = "files in the ledger (record and locks)"  # in advice on what to remove
NEW, RUNNING, STOPPED, DONE, FAILED = "new", "running", "stopped", "done", "failed"
BEAT_SECONDS = 20.0
SILENT_SECONDS = 300.0


@dataclass(frozen=True)
class Record:
    """What is known of a unit that was claimed at least once.

    Attributes:
        unit: its name, `ARM/seed-0`.
        status: `'running'`, `'done'`, `'failed'`, or `'stopped'`: interrupted, killed, or on a machine that went
            silent, and to go on where it was.
        tries: how often it was claimed.
        host: name of the machine of the last try.
        machine: that machine, its boot and its space of process numbers, which tell machines of one name apart.
        pid: of the process there.
        process: when that process was started, as the kernel counts; another one of the same number differs.
        command: that the try was made by.
        started: when, UTC.
        heartbeat: when its lock was last touched, by the clock of the shared folder; of running and stopped ones.
        ended: when, UTC.
        seconds: that a finished unit took.
        error: why it failed or was stopped.
    """

    unit: str
    status: str
    tries: int
    host: str
    machine: str
    pid: int
    process: str
    command: str
    started: str
    heartbeat: str | None = None
    ended: str | None = None
    seconds: float | None = None
    error: str | None = None


class Ledger:
    """The records of a study's units."""

    def __init__(self, work_dir: str | Path) -> None:
        """Name the folder, `ledger` in the study's work dir; it is made when a unit is claimed."""
        self.folder = Path(work_dir) / "ledger"
        self._held: dict[str, _Heartbeat] = {}

    def claim(self, unit: str, command: str) -> bool:
        """Take a unit, so that nobody else does until this process ends or says how the unit ended.

        Args:
            unit: its name.
            command: that runs it, for the record.

        Returns:
            Whether it is this process's now; not if it is done, or runs elsewhere. What failed can be claimed again.

        Raises:
            ConfigError: a broken record, or a folder that cannot be written.
        """
        before = self.record(unit)
        if before is not None and before.status in (DONE, RUNNING):
            return False
        number = 1 if before is None else before.tries + 1
        self._make_folder()
        try:
            os.close(os.open(self._lock(unit, number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            return False
        except OSError as error:
            raise ConfigError(f"--work-dir: {self.folder} cannot be written: {error}") from error
        written = self._read(unit)
        if written is not None and written.status == DONE:  # by a process that was only silent
            return False
        self._write(_own_record(unit, number, command))
        self._held[unit] = _Heartbeat(self, unit, number)
        return True

    def done(self, unit: str, seconds: float) -> None:
        """Say that a unit is finished, and how long it took."""
        self._end(unit, DONE, seconds, None)

    def failed(self, unit: str, why: str) -> None:
        """Say that a unit failed: this process's, or one whose process is gone. Others' stay as they are."""
        self._end(unit, FAILED, None, why)

    def stopped(self, unit: str, why: str) -> None:
        """Say that a unit was interrupted: this process's, or one whose process is gone. Others' stay as they are."""
        self._end(unit, STOPPED, None, why)

    def status(self, unit: str) -> str:
        """Return `'new'`, or the status of the unit's record.

        Raises:
            ConfigError: a broken record.
        """
        record = self.record(unit)
        return NEW if record is None else record.status

    def record(self, unit: str) -> Record | None:
        """Return a unit's record; None for one that nobody claimed.

        Raises:
            ConfigError: it is broken.
        """
        known = self._read(unit)
        if known is not None and known.status == DONE:
            return known
        last = self.last_try(unit)
        if known is None and not last:
            return None
        if known is None or known.tries < last:  # its owner has not written the record yet
            known = Record(unit, RUNNING, last, "another machine", "", 0, "", "", "")
        if known.status != RUNNING:
            return known
        touched = self._touched(unit, known.tries)
        shown = None if touched is None else datetime.fromtimestamp(touched, UTC).isoformat(timespec="seconds")
        return replace(known, status=RUNNING if self._lives(known, touched) else STOPPED, heartbeat=shown)

    def records(self) -> dict[str, Record]:
        """Return name to record of every unit that has one.

        Raises:
            ConfigError: one is broken.
        """
        names = [self._parse(path).unit for path in sorted(self.folder.glob("*.json"))]
        found = {name: self.record(name) for name in names}
        return {name: record for name, record in found.items() if record is not None}

    def last_try(self, unit: str) -> int:
        """Return the number of the last try that was claimed; 0 for none."""
        pattern = re.compile(re.escape(_stem(unit)) + r"\.try-(\d+)\.lock")
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        return max((int(found[1]) for name in names if (found := pattern.fullmatch(name))), default=0)

    def touch(self, unit: str, number: int) -> None:
        """Show that the owner of a try lives."""
        os.utime(self._lock(unit, number))  # the server's time on a network's file system, not this machine's

    def _end(self, unit: str, status: str, seconds: float | None, error: str | None) -> None:
        held = self._held.pop(unit, None)
        if held is not None:
            held.end()
        record = self.record(unit)
        if record is None:
            record = _own_record(unit, 0, "")
        elif record.status == DONE or (record.tries > held.number if held else record.status == RUNNING):
            return
        ended = _now()
        self._write(replace(record, status=status, heartbeat=None, ended=ended, seconds=seconds, error=error))

    def _lives(self, record: Record, touched: float | None) -> bool:
        """Whether the owner of a running record does, whose lock was touched then."""
        if record.machine and record.machine == _machine():
            return _start_of(record.pid) == record.process
        return touched is not None and self._clock() - touched < SILENT_SECONDS

    def _clock(self) -> float:
        """Return the time by the clock of the shared folder: machines' own clocks differ."""
        try:
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".clock-") as file:
                os.utime(file.name)
                return os.stat(file.name).st_mtime
        except OSError as error:
            raise ConfigError(f"--work-dir: {self.folder} cannot be written: {error}") from error

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--work-dir: {self.folder} cannot be written: {error}") from error

    def _touched(self, unit: str, number: int) -> float | None:
        try:
            return self._lock(unit, number).stat().st_mtime
        except FileNotFoundError:
            return None

    def _lock(self, unit: str, number: int) -> Path:
        return self.folder / f"{_stem(unit)}.try-{number}.lock"

    def _path(self, unit: str) -> Path:
        return self.folder / f"{_stem(unit)}.json"

    def _read(self, unit: str) -> Record | None:
        path = self._path(unit)
        return self._parse(path) if path.is_file() else None

    def _parse(self, path: Path) -> Record:
        try:
            record = Record(**json.loads(path.read_text(encoding="utf-8")))
            if record.status not in (RUNNING, STOPPED, DONE, FAILED):
                raise ValueError(f"its status is {record.status!r}")
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{path} is not a record of densezoo compare: {error}; delete it and its unit's "
                "locks beside it, and the unit goes on where it was"
            ) from error
        return record

    def _write(self, record: Record) -> None:
        write_text(self._path(record.unit), json.dumps(asdict(record), indent=1) + "\n")


class _Heartbeat:
    """Touches the lock of a try until the try ends."""

    def __init__(self, ledger: Ledger, unit: str, number: int) -> None:
        self.ledger, self.unit, self.number = ledger, unit, number
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError):  # a network's file system may be away for a while
                self.ledger.touch(self.unit, self.number)
                if self.ledger.last_try(self.unit) > self.number:
                    print(f"{self.unit}: this process was silent for so long that another took over", file=sys.stderr)
                    os.kill(os.getpid(), signal.SIGTERM)  # at once: two must not write into one folder


def _own_record(unit: str, number: int, command: str) -> Record:
    pid = os.getpid()
    return Record(unit, RUNNING, number, socket.gethostname(), _machine(), pid, _start_of(pid), command, _now())


def _stem(unit: str) -> str:
    return unit.replace("/", ".")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _machine() -> str:
    """Return what tells the space of process numbers of this process from all others; empty where nothing does."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """Return when a process of this machine was started, in ticks since the boot; empty where there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    values = line.rpartition(")")[2].split()  # the name before may hold blanks and brackets
    return "" if values[0] in "ZX" else values[19]  # a zombie has ended
