"""What a run says: a live progress bar on a terminal, plain lines elsewhere, JSON lines and TensorBoard on disk."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from densezoo.engine.files import finite, write_text
from densezoo.errors import ConfigError

_PLAIN_SECONDS = 30.0  # between two plain lines within an epoch
_LIVE_SECONDS = 0.5  # between two refreshes of the live figures


class ProgressReport:
    """Progress of a loop over batches; says nothing in processes other than the first."""

    def __init__(self, console: Console, enabled: bool) -> None:
        """Choose live or plain from what `console` is."""
        self.console, self.enabled = console, enabled
        self._live: Progress | None = None
        if enabled and console.is_terminal:
            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=console,
            )
        self._bar: TaskID | None = None
        self._title, self._total, self._done = "", 0, 0
        self._next = 0.0

    def __enter__(self) -> "ProgressReport":
        """Start the live display."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()

    def start(self, title: str, total: int) -> None:
        """Begin a loop of `total` steps."""
        self._title, self._total, self._done = title, total, 0
        self._started = time.monotonic()
        self._next = self._started + (_LIVE_SECONDS if self._live is not None else _PLAIN_SECONDS)
        if self._live is not None:
            if self._bar is not None:
                self._live.remove_task(self._bar)
            self._bar = self._live.add_task(title, total=total, figures="")

    def due(self) -> bool:
        """Whether it is time for new figures; asked before computing them, as they may cost a device sync."""
        return self.enabled and time.monotonic() >= self._next

    def advance(self, steps: int = 1, figures: str | None = None) -> None:
        """Count steps, and show `figures` where given."""
        self._done += steps
        if self._live is not None and self._bar is not None:
            self._live.advance(self._bar, steps)
            if figures is not None:
                self._live.update(self._bar, figures=figures)
                self._next = time.monotonic() + _LIVE_SECONDS
        elif self.enabled and figures is not None:
            left = (time.monotonic() - self._started) / max(self._done, 1) * (self._total - self._done)
            self.say(f"{self._title}  {self._done}/{self._total}  {left:.0f} s left  {figures}")
            self._next = time.monotonic() + _PLAIN_SECONDS

    def say(self, line: str) -> None:
        """Print one line that stays."""
        if self.enabled:
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)


class RunLog:
    """metrics.jsonl and TensorBoard events of a run."""

    def __init__(self, metrics: Path, tensorboard: Path, from_epoch: int) -> None:
        """Open both; lines of `from_epoch` and later, of a run that is resumed before them, are taken out.

        Raises:
            ConfigError: the files cannot be written; so do the other methods.
        """
        with _named(metrics):
            kept = [line for line in _read_lines(metrics) if line["epoch"] < from_epoch]
            write_text(metrics, "".join(json.dumps(line) + "\n" for line in kept))
        self._metrics, self._tensorboard = metrics, tensorboard
        # Imported here: TensorBoard takes a second that no other command should pay.
        from torch.utils.tensorboard import SummaryWriter

        step = kept[-1]["step"] + 1 if kept else 0
        with _named(tensorboard):
            self._board = SummaryWriter(str(tensorboard), purge_step=step)

    def write(self, kind: str, epoch: int, step: int, values: Mapping[str, Any]) -> None:
        """Write one line of `kind` `train` or `eval`; numbers, and dicts of numbers, become TensorBoard scalars."""
        line = {"kind": kind, "epoch": epoch, "step": step, **finite(values)}
        with _named(self._metrics), self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        with _named(self._tensorboard):
            for name, value in values.items():
                for key, number in value.items() if isinstance(value, Mapping) else [(name, value)]:
                    self._board.add_scalar(f"{kind}/{key}", number, step)
            self._board.flush()

    def close(self) -> None:
        """Close the event file."""
        with _named(self._tensorboard):
            self._board.close()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn a failed write, as on a full disk, into an error that names the path."""
    try:
        yield
    except ConfigError as error:  # of `write_text`, which names the path
        raise ConfigError(f"{error}; mend that, then go on with --resume") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}; mend that, then go on with --resume") from error


def _read_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:  # the last line of a killed run may be cut off; its epoch is run again
            continue
    return lines
