import json
import os
import signal
import subprocess
import sys
import time

import pytest

from densezoo.comparison import ledger as ledger_module
from densezoo.comparison.ledger import Ledger
from densezoo.errors import ConfigError


def in_process(code, *words):
    """Start a process with `Ledger`; its words are in `sys.argv`."""
    text = f"import os, sys, time\nfrom densezoo.comparison.ledger import Ledger\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def claim_and_die(work_dir, *units):
    died = in_process("for unit in sys.argv[2:]: assert Ledger(sys.argv[1]).claim(unit, 'x')", work_dir, *units)
    assert died.communicate()[1] == ""


def as_of_another_machine(work_dir, unit, age):
    """Make a running record as another machine would have left it, its lock touched so many seconds ago."""
    path = work_dir / "ledger" / f"{unit.replace('/', '.')}.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "machine": "far away", "host": "far", "pid": os.getpid()}))
    lock = path.with_name(f"{path.stem}.try-{record['tries']}.lock")
    os.utime(lock, (time.time() - age,) * 2)


def test_a_unit_is_claimed_once_and_its_end_is_kept(tmp_path):
    ledger, other = Ledger(tmp_path), Ledger(tmp_path)
    assert ledger.status("a/seed-0") == "new"
    assert ledger.records() == {}
    assert ledger.claim("a/seed-0", "densezoo compare x --unit a/seed-0")
    assert not ledger.claim("a/seed-0", "again")
    assert not other.claim("a/seed-0", "again")
    running = other.record("a/seed-0")
    assert (running.status, running.pid, running.tries, running.seconds) == ("running", os.getpid(), 1, None)
    assert running.heartbeat is not None
    assert running.command == "densezoo compare x --unit a/seed-0"
    ledger.done("a/seed-0", 12.5)
    done = other.record("a/seed-0")
    assert (done.status, done.seconds, done.error) == ("done", 12.5, None)
    assert done.started <= done.ended
    assert not other.claim("a/seed-0", "again")
    other.failed("a/seed-0", "no")
    other.stopped("a/seed-0", "no")
    assert Ledger(tmp_path).records() == {"a/seed-0": done}


def test_what_failed_or_was_stopped_can_be_claimed_again(tmp_path):
    ledger = Ledger(tmp_path)
    for tries, end in enumerate([ledger.failed, ledger.stopped, ledger.failed], start=1):
        assert ledger.claim("a/lr-0.1", "x")
        end("a/lr-0.1", "the loss is nan")
        record = ledger.record("a/lr-0.1")
        assert (record.status, record.tries) == (end.__name__, tries)
        assert record.error == "the loss is nan"
    assert ledger.claim("a/lr-0.1", "x")
    assert ledger.record("a/lr-0.1").error is None


def test_names_with_dots_do_not_meet(tmp_path):
    ledger = Ledger(tmp_path)
    units = ["a/lr-1", "a/lr-1.1", "a.lr-1/lr-1", "a/seed-1", "a.seed-1/seed-1"]
    assert all(ledger.claim(unit, "x") for unit in units)
    assert [ledger.last_try(unit) for unit in units] == [1] * 5
    assert ledger.records().keys() == {*units}


def test_a_killed_process_leaves_a_stopped_unit_and_others_report_for_it(tmp_path):
    claim_and_die(tmp_path, "a/seed-0", "a/seed-1", "a/seed-2")
    ledger = Ledger(tmp_path)
    assert {record.status for record in ledger.records().values()} == {"stopped"}
    assert ledger.claim("a/seed-0", "x")
    assert ledger.record("a/seed-0").tries == 2
    ledger.failed("a/seed-1", "killed by signal 9")
    assert (ledger.record("a/seed-1").status, ledger.record("a/seed-1").tries) == ("failed", 1)
    ledger.failed("a/seed-3", "it never came so far")
    assert (ledger.record("a/seed-3").status, ledger.record("a/seed-3").tries) == ("failed", 0)


def test_another_process_of_the_same_number_is_not_the_owner(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.claim("a/seed-0", "x")
    path = tmp_path / "ledger" / "a.seed-0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "process": "17"}))
    assert ledger.status("a/seed-0") == "stopped"


def test_a_living_process_is_the_owner_however_long_it_is_silent(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.claim("a/seed-0", "x")
    os.utime(tmp_path / "ledger" / "a.seed-0.try-1.lock", (0, 0))
    assert ledger.status("a/seed-0") == "running"


def test_another_machine_is_known_by_its_heartbeat(tmp_path):
    owner, ledger = Ledger(tmp_path), Ledger(tmp_path)
    assert owner.claim("a/seed-0", "x")
    as_of_another_machine(tmp_path, "a/seed-0", 200)
    assert not ledger.claim("a/seed-0", "x")
    ledger.failed("a/seed-0", "not mine to say")
    assert ledger.status("a/seed-0") == "running"
    as_of_another_machine(tmp_path, "a/seed-0", 400)
    assert ledger.status("a/seed-0") == "stopped"
    assert ledger.claim("a/seed-0", "x")
    owner.done("a/seed-0", 1.0)  # it was only silent, but the unit is another's by now
    assert (ledger.record("a/seed-0").status, ledger.record("a/seed-0").tries) == ("running", 2)


def test_the_clock_is_that_of_the_shared_folder(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path)
    ledger.claim("a/seed-0", "x")
    as_of_another_machine(tmp_path, "a/seed-0", 0)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert ledger.status("a/seed-0") == "running"
    assert not [path for path in (tmp_path / "ledger").iterdir() if "clock" in path.name]


def test_a_lock_without_a_record_is_somebodys(tmp_path):
    claim_and_die(tmp_path, "a/seed-0")
    Ledger(tmp_path).failed("a/seed-0", "once")
    lock = tmp_path / "ledger" / "a.seed-0.try-2.lock"
    lock.touch()
    assert Ledger(tmp_path).status("a/seed-0") == "running"
    os.utime(lock, (time.time() - 400,) * 2)
    assert Ledger(tmp_path).claim("a/seed-0", "x")
    assert Ledger(tmp_path).record("a/seed-0").tries == 3


def test_the_lock_is_touched_while_the_unit_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_module, "BEAT_SECONDS", 0.01)
    ledger = Ledger(tmp_path)
    ledger.claim("a/seed-0", "x")
    lock = tmp_path / "ledger" / "a.seed-0.try-1.lock"
    os.utime(lock, (0, 0))
    until = time.monotonic() + 20
    while lock.stat().st_mtime == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert lock.stat().st_mtime > 0
    ledger.done("a/seed-0", 1.0)
    os.utime(lock, (0, 0))
    time.sleep(0.05)
    assert lock.stat().st_mtime == 0


def test_a_process_whose_unit_another_took_over_ends(tmp_path):
    code = (
        "import densezoo.comparison.ledger as module\nmodule.BEAT_SECONDS = 0.01\n"
        "Ledger(sys.argv[1]).claim('a/seed-0', 'x')\nprint('claimed', flush=True)\ntime.sleep(60)"
    )
    silent = in_process(code, tmp_path)
    assert silent.stdout.readline() == "claimed\n"
    (tmp_path / "ledger" / "a.seed-0.try-2.lock").touch()
    assert "another took over" in silent.communicate(timeout=30)[1]
    assert silent.returncode == -signal.SIGTERM


def test_of_many_processes_that_claim_at_once_one_gets_the_unit(tmp_path):
    rounds, dead = 60, [f"a/seed-{number}" for number in range(0, 60, 3)]
    claim_and_die(tmp_path, *dead)
    failed = Ledger(tmp_path)
    for number in range(1, rounds, 3):
        failed.claim(f"a/seed-{number}", "x")
        failed.failed(f"a/seed-{number}", "once")
    code = """
ledger, begin, won = Ledger(sys.argv[1]), float(sys.argv[2]), []
for number in range(int(sys.argv[3])):
    while time.time() < begin + number * 0.02:
        pass
    if ledger.claim(f"a/seed-{number}", "x"):
        won.append(number)
print(*won, flush=True)
sys.stdin.read()
"""
    text = f"import sys, time\nfrom densezoo.comparison.ledger import Ledger\n{code}"
    words = [sys.executable, "-c", text, str(tmp_path), str(time.time() + 1.5), str(rounds)]
    pipe = subprocess.PIPE
    claimers = [subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    won = [claimer.stdout.readline().split() for claimer in claimers]  # all of them live until all have tried
    assert sorted(int(number) for numbers in won for number in numbers) == list(range(rounds))
    tries = {name: record.tries for name, record in Ledger(tmp_path).records().items()}
    assert tries == {f"a/seed-{number}": 1 if number % 3 == 2 else 2 for number in range(rounds)}
    for claimer in claimers:
        claimer.communicate()
    assert {record.status for record in Ledger(tmp_path).records().values()} == {"stopped"}


def test_a_broken_record_is_named_and_not_overwritten(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.claim("a/seed-0", "x")
    path = tmp_path / "ledger" / "a.seed-0.json"
    for text in ("{", "[]", '{"unit": "a/seed-0"}', path.read_text().replace('"running"', '"odd"')):
        path.write_text(text)
        for ask in (ledger.records, lambda: ledger.status("a/seed-0"), lambda: ledger.claim("a/seed-0", "x")):
            with pytest.raises(ConfigError, match=r"a\.seed-0\.json is not a record .* delete it"):
                ask()
        assert path.read_text() == text


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "ledger").touch()
    for work_dir in (tmp_path, tmp_path / "ledger"):
        with pytest.raises(ConfigError, match="cannot be written"):
            Ledger(work_dir).claim("a/seed-0", "x")
