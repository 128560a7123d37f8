"""Units on a Ray cluster: the same commands, handed to its machines, which share the study's work dir by the same path.

Ray (https://docs.ray.io) places and runs them; it is optional. What a unit's state is stays in the ledger, so that a
study may go on with or without Ray at any time.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from densezoo.comparison.ledger import NEW, STOPPED, Ledger
from densezoo.comparison.local_jobs import GRACE_SECONDS, UnitProcess, job_environment, stop_processes
from densezoo.comparison.study import Study
from densezoo.comparison.unit_loop import POLL_SECONDS, CommandOf, Outcome, Say, check_jobs, run_units
from densezoo.comparison.units import Unit
from densezoo.errors import ConfigError

_LOSSES = 3  # of a unit's machine, after which it is the unit's fault


def run_ray(
    study: Study,
    work_dir: str | Path,
    units: Sequence[Unit],
    jobs: int,
    command_of: CommandOf,
    say: Say,
    retry: bool = False,
    address: str | None = None,
) -> Outcome:
    """Run units on a Ray cluster, as `run_local` does here.

    A unit has one GPU where the cluster has any, and a share of a machine's processors.

    Args:
        study: the study.
        work_dir: of the study, on a file system that all machines share.
        units: in the order to start them.
        jobs: how many run at once, over all machines.
        command_of: unit to the command that claims and runs it, and tells the ledger how it ended.
        say: called with a line when something changes.
        retry: run again, once, what has failed before.
        address: of the cluster; None is the one that RAY_ADDRESS names, or a new one of this machine alone.

    Raises:
        ConfigError: no job, no Ray, no such cluster, or a broken record in the ledger.
        KeyboardInterrupt: what was started has been stopped.
    """
    check_jobs(jobs)
    ray = import_ray()
    joined = not ray.is_initialized()
    if joined:
        _join(ray, address)
    try:
        cpus, gpus = _share([node["Resources"] for node in ray.nodes() if node["Alive"]], jobs)
        ledger = Ledger(Path(work_dir).resolve())
        workers = _RayWorkers(ray, ledger, Path(work_dir).resolve(), command_of, cpus, gpus)
        return run_units(study, ledger, units, jobs, workers, say, retry)
    finally:
        if joined:
            ray.shutdown()


def import_ray() -> Any:
    """Return the module of Ray.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise ConfigError("--ray needs Ray, which is not installed: pip install ray") from error


def _join(ray: Any, address: str | None) -> None:
    new = {"include_dashboard": False} if address is None and "RAY_ADDRESS" not in os.environ else {}
    where = address or os.environ.get("RAY_ADDRESS", "(a new cluster)")
    try:
        ray.init(address=address, log_to_driver=False, **new)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--ray {where}: no Ray cluster answers there: {error}") from error


def _share(nodes: Sequence[dict[str, float]], jobs: int) -> tuple[int, int]:
    """Return the processors and GPUs of one job, so that every machine can have its part of the jobs.

    Raises:
        ConfigError: there is no processor.
    """
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if with_gpus:
        return max(1, int(min(node.get("CPU", 1) // node["GPU"] for node in with_gpus))), 1
    with_cpus = [node for node in nodes if node.get("CPU", 0) >= 1]
    if not with_cpus:
        raise ConfigError("the Ray cluster has no processors")
    return max(1, int(min(node["CPU"] for node in with_cpus)) // math.ceil(jobs / len(with_cpus))), 0


class _RayWorkers:
    def __init__(self, ray: Any, ledger: Ledger, work_dir: Path, command_of: CommandOf, cpus: int, gpus: int) -> None:
        self.ray, self.ledger, self.work_dir, self.command_of, self.cpus = ray, ledger, work_dir, command_of, cpus
        # the ledger knows whether a lost unit may be run again; Ray does not
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_run_there)
        self._running: dict[Any, Unit] = {}
        self._lost: Counter[Unit] = Counter()
        self._given_up: list[Unit] = []

    def start(self, unit: Unit) -> None:
        if self._lost[unit] >= _LOSSES:
            self.ledger.failed(unit.name, f"its Ray task was lost {_LOSSES} times")
            self._given_up.append(unit)
            return
        folder = str(unit.folder(self.work_dir))
        task = self._task.remote(str(self.work_dir), unit.name, self.command_of(unit), folder, os.getcwd(), self.cpus)
        self._running[task] = unit

    def ended(self) -> list[Unit]:
        gone = self.ray.wait([*self._running], num_returns=len(self._running), timeout=0)[0] if self._running else []
        ended, self._given_up = self._given_up, []
        for task in gone:
            unit = self._running.pop(task)
            ended.append(unit)
            try:
                self.ray.get(task)
            except self.ray.exceptions.RayError as error:
                self._lost[unit] += 1
                if self.ledger.status(unit.name) in (NEW, STOPPED):  # else its machine may be gone: time will tell
                    self.ledger.failed(unit.name, str(error).strip().split("\n")[-1])
        return ended

    def stop(self) -> None:
        for task in self._running:
            self.ray.cancel(task)
        if self._running:
            self.ray.wait([*self._running], num_returns=len(self._running), timeout=2 * GRACE_SECONDS)
        self._running.clear()


def _run_there(work_dir: str, unit: str, command: list[str], folder: str, cwd: str, threads: int) -> None:
    """Run a unit's command on a machine of the cluster, until it has ended or its task is cancelled."""
    process = UnitProcess(Ledger(work_dir), unit, command, Path(folder), job_environment(threads), cwd)
    try:
        while not process.gone:
            time.sleep(POLL_SECONDS)
        process.settle()
    finally:
        stop_processes([process])
