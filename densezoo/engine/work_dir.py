"""A run's folder: checked before anything is written, so that no other run is overwritten.

config.py          the config as run
checkpoints/       last.pt, best.pt
metrics.jsonl      one JSON object per epoch and evaluation
tensorboard/       events
curves.png         loss, learning rate and scores
"""

from pathlib import Path

from densezoo.engine.config import RunConfig, differing_keys, load_config
from densezoo.engine.files import write_text
from densezoo.errors import CheckpointError, ConfigError

_MARK = "# written by densezoo train: the config as run\n"


class WorkDir:
    """Paths of one run."""

    def __init__(self, root: str | Path) -> None:
        """Name the folder; nothing is made yet."""
        self.root = Path(root)
        self.config = self.root / "config.py"
        self.last = self.root / "checkpoints" / "last.pt"
        self.best = self.root / "checkpoints" / "best.pt"
        self.metrics = self.root / "metrics.jsonl"
        self.tensorboard = self.root / "tensorboard"
        self.curves = self.root / "curves.png"

    def check(self, config: RunConfig, resume: bool) -> bool:
        """Check that a run may write here; changes nothing.

        Args:
            config: what will run.
            resume: go on with the run that is there.

        Returns:
            Whether there is a checkpoint to go on from.

        Raises:
            ConfigError: the folder holds another run and `resume` is off.
            CheckpointError: the run there was made with a config that differs in something that changes results.
        """
        if not any(path.exists() for path in (self.last, self.best, self.metrics)):
            if self.config.exists() and not self.config.read_text(encoding="utf-8").startswith(_MARK):
                raise ConfigError(f"{self.config} is not a run's; choose another --work-dir, nothing is overwritten")
            return False
        if not resume:
            raise ConfigError(
                f"{self.root} already holds a run; choose another --work-dir, or continue it with --resume"
            )
        if not self.config.is_file():
            raise ConfigError(f"{self.root} holds files of a run but no config.py; choose another --work-dir")
        differing = differing_keys(config, load_config(self.config))
        if differing:
            raise CheckpointError(
                f"{self.root} was run with another config: {', '.join(differing)} differ(s) from {self.config}; "
                "resume with the same config, or start in another --work-dir"
            )
        if self.best.is_file() and not self.last.is_file():
            raise CheckpointError(f"{self.best} is there, but not {self.last}; start in another --work-dir")
        return self.last.is_file()

    def begin(self, config: RunConfig) -> None:
        """Make the folder and write `config.py`.

        Raises:
            ConfigError: the folder cannot be written.
        """
        write_text(self.config, _MARK + config.to_text())
