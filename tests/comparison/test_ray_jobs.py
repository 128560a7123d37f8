import os
import sys

import pytest

from densezoo.comparison import ray_jobs
from densezoo.comparison.ledger import Ledger
from densezoo.comparison.ray_jobs import _share, run_ray
from densezoo.comparison.study import Arm, Study
from densezoo.comparison.units import units_of
from densezoo.engine.config import RunConfig
from densezoo.errors import ConfigError

CLAIM = """
import os, sys, time
from densezoo.comparison.ledger import Ledger
ledger, unit = Ledger(sys.argv[1]), sys.argv[2]
assert ledger.claim(unit, "the command")
"""
DONE = CLAIM + "print(os.environ['OMP_NUM_THREADS'], os.getcwd())\nledger.done(unit, 4.0)"


def study_of(rates):
    config = RunConfig(encoder={}, tasks={}, warp={}, train_data={})
    arms = [Arm(name, {}, config, None) for name in ("base", "concat", "again")]
    return Study("fusion", "fusion.py", arms, [0], "pose/AP", 0.01, list(rates))


def run(study, work_dir, code_of, **options):
    said = []
    command_of = lambda unit: [sys.executable, "-c", code_of(unit), str(work_dir), unit.name]  # noqa: E731
    return run_ray(study, work_dir, units_of(study), 2, command_of, said.append, **options), said


def test_without_ray_a_word_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="--ray needs Ray, which is not installed: pip install ray"):
        run(study_of([0.1]), tmp_path, lambda unit: DONE)


@pytest.mark.parametrize(
    ("nodes", "jobs", "share"),
    [
        ([{"CPU": 8.0}], 1, (8, 0)),
        ([{"CPU": 8.0}], 3, (2, 0)),
        ([{"CPU": 8.0}], 20, (1, 0)),
        ([{"CPU": 8.0}, {"CPU": 4.0}, {"memory": 1.0}], 2, (4, 0)),
        ([{"CPU": 8.0}, {"CPU": 4.0}], 3, (2, 0)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 4.0}], 9, (4, 1)),
        ([{"CPU": 2.0, "GPU": 4.0}], 4, (1, 1)),
    ],
)
def test_every_machine_can_have_its_part_of_the_jobs(nodes, jobs, share):
    assert _share(nodes, jobs) == share


def test_a_cluster_without_processors_is_refused():
    with pytest.raises(ConfigError, match="no processors"):
        _share([{"memory": 1.0}], 1)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of this machine with two processors."""
    ray = pytest.importorskip("ray", reason="Ray is optional and not installed")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_a_cluster_runs_what_is_ready_and_goes_on_without_what_failed(cluster, tmp_path):
    def code_of(unit):
        if unit.name == "concat/lr-0.2":
            return CLAIM + "os.kill(os.getpid(), 9)"
        return DONE

    study = study_of([0.1, 0.2])
    outcome, said = run(study, tmp_path, code_of)
    assert outcome.done == [
        "base/lr-0.1", "base/lr-0.2", "concat/lr-0.1", "again/lr-0.1", "again/lr-0.2", "base/seed-0", "again/seed-0",
    ]  # fmt: skip
    assert outcome.failed == {"concat/lr-0.2": "killed by signal 9; its last line: none"}
    assert outcome.skipped == {"concat/seed-0": "concat/lr-0.2"}
    assert "skipped, since concat/lr-0.2 is not done: concat/seed-0" in said
    log = (tmp_path / "units" / "base" / "seed-0" / "log.txt").read_text()
    assert log.splitlines()[-1] == f"1 {os.getcwd()}"
    outcome, _ = run(study, tmp_path, lambda unit: DONE, retry=True)
    assert (len(outcome.done), outcome.failed) == (9, {})
    assert cluster.is_initialized()  # it was there before


@pytest.mark.slow
def test_what_a_cluster_cannot_start_has_failed(cluster, tmp_path):
    (tmp_path / "units" / "base").mkdir(parents=True)
    (tmp_path / "units" / "base" / "seed-0").touch()
    outcome, _ = run(study_of([0.1]), tmp_path, lambda unit: DONE)
    assert outcome.done == ["concat/seed-0", "again/seed-0"]
    assert "base/seed-0 cannot be started" in outcome.failed["base/seed-0"]


@pytest.mark.slow
def test_an_interrupt_reaches_the_cluster(cluster, tmp_path, monkeypatch):
    def interrupt(workers):
        if all((tmp_path / arm).exists() for arm in ("base", "concat")):
            raise KeyboardInterrupt
        return ended(workers)

    ended = ray_jobs._RayWorkers.ended
    monkeypatch.setattr(ray_jobs._RayWorkers, "ended", interrupt)
    code = CLAIM + "open(os.path.join(sys.argv[1], unit.partition('/')[0]), 'w').close()\ntime.sleep(100)"
    with pytest.raises(KeyboardInterrupt):
        run(study_of([0.1]), tmp_path, lambda unit: code)
    records = Ledger(tmp_path).records()
    assert {name: record.status for name, record in records.items()} == {
        "base/seed-0": "stopped", "concat/seed-0": "stopped",
    }  # fmt: skip
    for record in records.values():
        with pytest.raises(ProcessLookupError):
            os.kill(record.pid, 0)
