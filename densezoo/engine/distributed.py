"""Processes that train together: started by `torchrun`, joined with `--launcher pytorch`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from densezoo.errors import ConfigError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: this process's number; 0 writes files and prints.
        count: how many there are.
        device: where this one computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes, a tensor of the same shape."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, value: Value) -> list[Value]:
        """Return every process's value, in rank order, in the first process, and an empty list in the others."""
        if self.count == 1:
            return [value]
        gathered: list[Value | None] | None = [None] * self.count if self.first else None
        dist.gather_object(value, gathered)
        return [item for item in gathered if item is not None] if gathered else []

    def union(self, values: set[str]) -> set[str]:
        """Return the union of every process's set, in every process."""
        if self.count == 1:
            return values
        gathered: list[set[str]] = [set() for _ in range(self.count)]
        dist.all_gather_object(gathered, values)
        return set().union(*gathered)

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the first one's buffers, such as the running statistics of a BatchNorm."""
        if self.count > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def share(self, value: Value) -> Value:
        """Return the first process's value in every process."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]


@contextmanager
def join_processes(launcher: str | None, device: str | None) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, or stand alone; leave them at the end of the block.

    Args:
        launcher: `'pytorch'` under torchrun, None for a single process.
        device: the config's `engine.device`; None takes a GPU where there is one.

    Raises:
        ConfigError: `launcher='pytorch'` outside torchrun, an unknown device, or one that is not there.
    """
    if launcher is None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError("torchrun started several processes: add --launcher pytorch, so that they train together")
        yield Processes(0, 1, choose_device(device, 0))
        return
    try:
        rank, count, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    except KeyError as error:
        raise ConfigError(
            f"--launcher pytorch needs torchrun (no {error} in the environment): "
            "torchrun --nproc_per_node 2 tools/train.py CONFIG --work-dir DIR --launcher pytorch"
        ) from error
    if count > 1 and device != "cpu" and 0 < torch.cuda.device_count() <= local_rank:
        raise ConfigError(f"{count} processes, but torch sees {torch.cuda.device_count()} GPUs; start fewer processes")
    chosen = choose_device(device, local_rank)
    if count == 1:
        yield Processes(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, chosen)
    finally:
        dist.destroy_process_group()


def choose_device(name: str | None, local_rank: int = 0) -> torch.device:
    """Return the named device, or GPU `local_rank` where there is one, else the CPU.

    Raises:
        ConfigError: no such device.
    """
    if name is None or name == "cuda":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank % torch.cuda.device_count())
        if name is None:
            return torch.device("cpu")
    try:
        device = torch.device(str(name))
    except RuntimeError as error:
        raise ConfigError(f"engine.device {name!r} is not a device; use 'cpu', 'cuda' or 'cuda:0'") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"engine.device {name!r} is not there: torch sees {torch.cuda.device_count()} GPUs")
    return device
