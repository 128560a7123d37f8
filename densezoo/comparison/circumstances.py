"""What a run's numbers hang on besides its config: the device and its threads, and densezoo's own code."""

import hashlib
from pathlib import Path

import torch

from densezoo.engine.config import RunConfig
from densezoo.engine.distributed import choose_device


def device_words(config: RunConfig) -> str:
    """Return what a config computes on: the GPU, or the CPU and how many threads add up numbers in what order.

    Raises:
        ConfigError: there is no such device.
    """
    device = choose_device(config.engine.device)
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' if threads > 1 else ''}"


def _digest() -> str:
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


_CODE = _digest()  # when this is loaded: files may change while a run goes on


def code_words() -> str:
    """Return a digest of densezoo's source files, which tells versions between releases apart."""
    return f"code {_CODE}"
