import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from densezoo.comparison import local_jobs, unit_loop
from densezoo.comparison.ledger import Ledger
from densezoo.comparison.local_jobs import run_local
from densezoo.comparison.study import Arm, Study
from densezoo.comparison.unit_loop import sort_units
from densezoo.comparison.units import Unit, units_of
from densezoo.engine.config import RunConfig
from densezoo.errors import ConfigError

CLAIM = """
import os, sys, time
from densezoo.comparison.ledger import Ledger
ledger, unit = Ledger(sys.argv[1]), sys.argv[2]
if not ledger.claim(unit, "the command"):
    sys.exit(0)
"""
DONE = CLAIM + "print(unit, os.environ.get('OMP_NUM_THREADS'), os.environ.get('CUDA_VISIBLE_DEVICES'))\n"
DONE += "ledger.done(unit, 4.0)"


def study_of(rates=(0.1, 0.2), seeds=(0, 1)):
    config = RunConfig(encoder={}, tasks={}, warp={}, train_data={})
    arms = [Arm(name, {}, config, None) for name in ("base", "concat", "again")]
    return Study("fusion", "fusion.py", arms, list(seeds), "pose/AP", 0.01, list(rates))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(unit_loop, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(unit_loop, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(local_jobs, "POLL_SECONDS", 0.01)


@pytest.fixture
def run(tmp_path):
    """Run a study's units by code, and return what came out and what was said; arguments go to `run_local`."""

    def run(study, code_of, jobs=1, **options):
        said = []
        command_of = lambda unit: [sys.executable, "-c", code_of(unit), str(tmp_path), unit.name]  # noqa: E731
        return run_local(study, tmp_path, units_of(study), jobs, command_of, said.append, **options), said

    return run


def test_everything_runs_in_order_and_only_once(run, tmp_path):
    study = study_of()
    outcome, said = run(study, lambda unit: DONE)
    assert outcome.done == [unit.name for unit in units_of(study)]
    assert outcome.failed == outcome.skipped == {}
    started = [line.split()[0] for line in said if line.endswith("started")]
    assert started == [
        "base/lr-0.1", "base/lr-0.2", "concat/lr-0.1", "concat/lr-0.2", "again/lr-0.1", "again/lr-0.2",
        "base/seed-0", "concat/seed-0", "again/seed-0", "base/seed-1", "concat/seed-1", "again/seed-1",
    ]  # fmt: skip
    assert "base/lr-0.1 done in 4 s; 1 of 12 done" in said
    assert "base/seed-0 done in 4 s; 7 of 12 done, about 20 s left" in said
    assert said[-1] == "again/seed-1 done in 4 s; 12 of 12 done"
    log = (tmp_path / "units" / "concat" / "seed-0" / "log.txt").read_text()
    assert log.startswith(f"$ {sys.executable} -c ")
    assert log.splitlines()[-1].startswith("concat/seed-0 ")
    outcome, said = run(study, lambda unit: "raise SystemExit('again?')")
    assert (len(outcome.done), said) == (12, ["12 of 12 units are done"])


def test_what_needs_a_failed_unit_is_skipped_and_the_rest_goes_on(run, tmp_path):
    def code_of(unit):
        if unit.name == "base/lr-0.2":
            return CLAIM + "ledger.failed(unit, 'the loss is nan')\nprint('some words')\nsys.exit(2)"
        return CLAIM + "raise ValueError(unit)" if unit.name == "concat/seed-1" else DONE

    outcome, said = run(study_of(), code_of)
    assert outcome.failed == {"base/lr-0.2": "the loss is nan", "concat/seed-1": "ValueError: concat/seed-1"}
    assert outcome.skipped == dict.fromkeys(["base/seed-0", "base/seed-1"], "base/lr-0.2")
    assert outcome.done == [
        "base/lr-0.1", "concat/lr-0.1", "concat/lr-0.2", "again/lr-0.1", "again/lr-0.2", "concat/seed-0",
        "again/seed-0", "again/seed-1",
    ]  # fmt: skip
    assert "base/lr-0.2 failed: the loss is nan" in said
    assert "concat/seed-1 failed: ValueError: concat/seed-1" in said
    assert said[-1] == "skipped, since base/lr-0.2 is not done: base/seed-0, base/seed-1"
    outcome, said = run(study_of(), lambda unit: DONE)
    assert len(outcome.failed) == 2  # nobody asked
    assert not any(line.endswith("started") for line in said)
    outcome, said = run(study_of(), lambda unit: DONE, retry=True)
    assert (len(outcome.done), outcome.failed) == (12, {})
    assert Ledger(tmp_path).record("base/lr-0.2").tries == 2
    assert not any("failed" in line for line in said)


def test_a_unit_is_retried_once_in_a_call(run, tmp_path):
    study = study_of(rates=[0.1], seeds=[0])
    fails = lambda unit: CLAIM + "sys.exit('no: ' + unit)" if unit.arm == "base" else DONE  # noqa: E731
    for tries in (1, 2, 3):
        outcome, _ = run(study, fails, retry=True)
        assert outcome.failed == {"base/seed-0": "no: base/seed-0"}
        assert Ledger(tmp_path).record("base/seed-0").tries == tries


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "import os\nprint('epoch 3', flush=True)\nos.kill(os.getpid(), 9)",
            "killed by signal 9; its last line: epoch 3",
        ),
        (CLAIM + "os.kill(os.getpid(), 9)", "killed by signal 9; its last line: none"),
        ("print('hello')", "ended with code 0, without a word in the ledger; its last line: hello"),
        ("import sys\nsys.exit(3)", "ended with code 3, without a word in the ledger; its last line: none"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_process_that_could_not_say_why_it_failed(run, code, why):
    outcome, _ = run(study_of(rates=[0.1], seeds=[0]), lambda unit: code if unit.arm == "base" else DONE)
    assert outcome.failed == {"base/seed-0": why}
    assert outcome.done == ["concat/seed-0", "again/seed-0"]
    again, _ = run(study_of(rates=[0.1], seeds=[0]), lambda unit: "raise KeyError('other')", retry=True)
    assert again.failed == {"base/seed-0": "KeyError: 'other'"}


def test_jobs_run_at_once_and_share_processors_and_gpus(run, monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    monkeypatch.setattr(local_jobs, "visible_gpus", lambda: ["4", "7"])
    # each waits until all three run
    meet = "open(os.path.join(sys.argv[1], unit.partition('/')[0]), 'w').close()\n"
    meet += "while not all(os.path.exists(os.path.join(sys.argv[1], arm)) for arm in ('base', 'concat', 'again')):\n"
    meet += "    time.sleep(0.01)\n"
    code = DONE.replace("print(", meet + "print(")
    outcome, _ = run(study_of(rates=[0.1], seeds=[0]), lambda unit: code, jobs=3)
    assert len(outcome.done) == 3
    words = [
        (tmp_path / "units" / arm / "seed-0" / "log.txt").read_text().split()[-2:]
        for arm in ("base", "concat", "again")
    ]
    assert words == [["2", "4"], ["2", "7"], ["2", "4"]]
    with pytest.raises(ConfigError, match="--jobs must be at least 1"):
        run(study_of(), lambda unit: DONE, jobs=0)


def test_gpus_keep_the_names_that_they_were_given(monkeypatch):
    monkeypatch.setattr(local_jobs.torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local_jobs.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a")
    assert local_jobs.visible_gpus() == ["3", "GPU-5a"]


def test_units_of_others_are_waited_for(run, tmp_path):
    study = study_of()
    words = [sys.executable, "-c", CLAIM + "print('claimed', flush=True)\nsys.stdin.read()\nledger.done(unit, 7.0)"]
    pipe = subprocess.PIPE
    other = subprocess.Popen([*words, str(tmp_path), "base/lr-0.1"], stdin=pipe, stdout=pipe, text=True)
    assert other.stdout.readline() == "claimed\n"
    release = threading.Timer(0.0, other.stdin.close)
    seen = []

    def code_of(unit):
        seen.append(unit.name)
        if unit.name == "again/seed-1":  # the last that does not need the other's unit
            release.start()
        return DONE

    outcome, said = run(study, code_of)
    assert len(outcome.done) == 12
    assert seen[:9] == [
        "base/lr-0.2", "concat/lr-0.1", "concat/lr-0.2", "again/lr-0.1", "again/lr-0.2",
        "concat/seed-0", "again/seed-0", "concat/seed-1", "again/seed-1",
    ]  # fmt: skip
    assert "base/lr-0.1" not in seen
    told = [line for line in said if line.startswith("base/lr-0.1 is run by")]
    assert len(told) == 1
    assert f"process {other.pid}, since" in told[0]
    assert any(line.startswith("base/lr-0.1 done in 7 s") for line in said)
    other.wait()


def test_what_a_dead_process_left_is_taken_over(run, tmp_path):
    dead = CLAIM + "os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", dead, str(tmp_path), "base/seed-0"])
    outcome, _ = run(study_of(rates=[0.1]), lambda unit: DONE)
    assert len(outcome.done) == 6
    assert Ledger(tmp_path).record("base/seed-0").tries == 2


@pytest.fixture
def interruptible():
    """Take SIGINT as a terminal's process does; a shell's background process ignores it, and so would the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_every_process(run, tmp_path, monkeypatch, number, stubborn):
    if stubborn:
        monkeypatch.setattr(local_jobs, "GRACE_SECONDS", 0.1)
    ignore = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    code = CLAIM + ignore + "open(os.path.join(sys.argv[1], unit.partition('/')[0]), 'w').close()\ntime.sleep(100)"
    before = signal.getsignal(signal.SIGTERM)

    def interrupt():
        while not all((tmp_path / arm).exists() for arm in ("base", "concat")):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(study_of(rates=[0.1]), lambda unit: code, jobs=2)
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    records = Ledger(tmp_path).records()
    assert {name: (record.status, record.error) for name, record in records.items()} == dict.fromkeys(
        ["base/seed-0", "concat/seed-0"], ("stopped", "interrupted")
    )
    for record in records.values():
        with pytest.raises(ProcessLookupError):
            os.kill(record.pid, 0)
    outcome, _ = run(study_of(rates=[0.1]), lambda unit: DONE)
    assert len(outcome.done) == 6


def test_what_is_ready_follows_from_what_is_done():
    study = study_of(rates=[0.1, 0.2], seeds=[0])
    units = units_of(study)
    statuses = dict.fromkeys(units, "new")
    assert sort_units(study, units, statuses).ready == units[:6]
    statuses |= {Unit("base", "lr", 0.1): "done", Unit("base", "lr", 0.2): "running"}
    found = sort_units(study, units, statuses)
    assert (found.ready, found.running, found.blocked) == (units[2:6], [Unit("base", "lr", 0.2)], {})
    statuses[Unit("base", "lr", 0.2)] = "stopped"
    assert sort_units(study, units, statuses).ready == units[1:6]
    statuses[Unit("base", "lr", 0.2)] = "failed"
    blocked = sort_units(study, units, statuses).blocked
    assert blocked == {Unit("base", "seed", 0): Unit("base", "lr", 0.2)}
    statuses[Unit("base", "lr", 0.2)] = "done"
    assert Unit("base", "seed", 0) in sort_units(study, units, statuses).ready
    assert Unit("concat", "seed", 0) not in sort_units(study, units, statuses).ready
