"""Sweeps that are killed or interrupted: nothing finished is lost, nothing is left running."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from sweeps import SPEC, content, swept
from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.explore import pool, sweep
from crossdyad.explore.store import Store, StoreError

# Kills ------------------------------------------------------------------------------------------------------


def workers_of(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]


def ended(processes: list[int]) -> bool:
    """Whether they all end, soon."""
    deadline = time.time() + 60
    while any(os.path.exists(f"/proc/{p}") for p in processes) and time.time() < deadline:
        time.sleep(0.05)
    return not any(os.path.exists(f"/proc/{p}") for p in processes)


@pytest.mark.parametrize("whom", ["coordinator", pytest.param("worker", marks=pytest.mark.slow)])
def test_a_kill_loses_nothing_that_was_finished_and_leaves_no_orphans(whom, spec, tmp_path):
    _, undisturbed = swept(spec, tmp_path / "whole.db")
    store = tmp_path / "killed.db"
    command = [str(Path(sys.executable).with_name("crossdyad")), "sweep", str(spec), "--store", str(store), "--workers", "2"]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline, workers = time.time() + 300, []
    while not workers and run.poll() is None and time.time() < deadline:
        workers = workers_of(run.pid)
        time.sleep(0.02)
    assert workers
    time.sleep(1.0)
    os.kill(run.pid if whom == "coordinator" else workers[0], signal.SIGKILL)
    code = run.wait(600)
    if whom == "coordinator":
        assert ended(workers)
        code = subprocess.run(command, capture_output=True).returncode
    assert code == 0
    with Store(store) as kept:
        assert content(kept) == undisturbed


def test_a_store_of_another_version_or_no_store_is_refused(tmp_path):
    Store(tmp_path / "a.db").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path / "a.db")
    (tmp_path / "b.db").write_text("not a database, but long enough to look at: " * 100)
    for reading in (False, True):
        with pytest.raises(StoreError, match="no store .*name another file"):
            Store(tmp_path / "b.db", reading)
    with pytest.raises(StoreError, match="no such store"):
        Store(tmp_path / "c.db", reading=True)
    assert not (tmp_path / "c.db").exists()


def test_a_full_disk_keeps_what_was_there(spec, tmp_path):
    _, before = swept(spec, tmp_path / "a.db")
    with Store(tmp_path / "a.db") as kept:
        kept._db.execute("PRAGMA max_page_count = 1")
        row = kept.rows()[0] | {"key": "new", "error": "x" * 100_000}
        with pytest.raises(StoreError, match="free some space; then run the same command again"):
            kept.put([row])
        assert content(kept) == before
        with pytest.raises(StoreError, match="another sweep or search"):  # the lock is still held
            Store(tmp_path / "a.db")
        kept._db.execute("PRAGMA max_page_count = 1000000")
        kept.put([row])
        assert len(kept.rows()) == len(before) + 1


def test_a_store_that_cannot_be_begun_leaves_no_file_and_nobody_is_told_to_delete_one(tmp_path):
    """A limit on a file's size is to SQLite what a full disk is."""
    code = (
        "import resource, sys; from crossdyad.explore.store import Store; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "Store(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db")], capture_output=True, text=True)
    assert "free some space" in done.stderr and "delete" not in done.stderr and not list(tmp_path.iterdir())


# Ctrl-C, and two at once --------------------------------------------------------------------------------------


SLEEPER = """
import pathlib, subprocess
from crossdyad.explore import energy

def model(recipe):
    if recipe.beta > 0.5:
        tool = subprocess.Popen(["sleep", "600"])
        pathlib.Path(__file__).with_name("tool").write_text(str(tool.pid))
        tool.wait()
    return energy.Energy(1.0, "sleeper")
"""


@pytest.fixture
def sleeping(tmp_path):
    """A sweep that runs: of its two batches one is finished, the other one waits ten minutes for a tool."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    spec, store = tmp_path / "s.toml", tmp_path / "s.db"
    spec.write_text('name = "s"\nrecipe = "xor"\nseeds = 1\nmetrics = ["energy"]\nenergy = "sleeper:model"\n[axes]\nbeta = [0.5, 1.0]\n')
    narrow = "from crossdyad.explore import sweep; sweep.WIDEST = 1; from crossdyad.cli import main; main()"
    command = [sys.executable, "-c", narrow, "sweep", str(spec), "--store", str(store), "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "CROSSDYAD_IMPORT": "sleeper"}
    options = {"env": environment, "text": True, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    run = subprocess.Popen(command, start_new_session=True, **options)
    deadline = time.time() + 120
    while time.time() < deadline and run.poll() is None and not (finished(store) and (tmp_path / "tool").exists()):
        time.sleep(0.05)
    yield run, command, options, store
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


def finished(store) -> int:
    with contextlib.suppress(StoreError), Store(store, reading=True) as kept:
        return len(kept.rows())
    return 0


@pytest.mark.parametrize("whom", [os.kill, os.killpg], ids=["the coordinator alone", "as from a terminal"])
def test_an_interrupted_sweep_ends_keeps_what_was_finished_and_says_how_to_go_on(whom, sleeping):
    run, command, options, store = sleeping
    workers = [*workers_of(run.pid), int((store.parent / "tool").read_text())]
    whom(run.pid, signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130 and finished(store) == 1
    assert f"1 of 2 rows are in {store}: the same command computes the rest" in told and told.count("crossdyad: interrupted") == 1
    assert not any(word in told for word in ("Traceback", "Warning", "WARNING")) and len(told.splitlines()) < 10
    assert len(workers) == 3 and ended(workers)


def test_a_second_coordinator_is_refused_and_readers_are_not(sleeping, tmp_path):
    run, command, options, store = sleeping
    done = subprocess.run(command, timeout=60, **options)
    assert done.returncode == 2 and "another sweep or search is computing into it; wait" in done.stderr
    table = CliRunner().invoke(app, ["export", str(store), "-o", str(tmp_path / "rows.csv")])
    assert table.exit_code == 0 and len((tmp_path / "rows.csv").read_text().splitlines()) == 2
    assert run.poll() is None
    tool = int((tmp_path / "tool").read_text())
    run.kill()  # its lock ends with it, and whom it set to work
    run.wait()
    Store(store).close()
    assert ended([tool])


def test_ctrl_c_while_workers_start_is_no_concern_of_theirs(tmp_path):
    """It comes when the task has been handed in, and does not reach the workers."""
    code = (
        "import os, signal, time; from crossdyad.explore import pool\n"
        "if __name__ == '__main__':\n"
        "    executor = pool.processes(2)\n"
        "    asked = [executor.submit(pool.ready) for _ in range(2)]\n"
        "    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "    for _ in range(20):\n"
        "        os.killpg(0, signal.SIGINT); time.sleep(0.02)\n"
        "    print([a.result(60) for a in asked])\n"
    )
    (tmp_path / "s.py").write_text(code)
    done = subprocess.run([sys.executable, str(tmp_path / "s.py")], start_new_session=True, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[True, True]\n" and done.stderr == ""


def test_ctrl_c_comes_between_two_steps_a_second_one_at_once_and_to_whom_it_is_for():
    before, seen = signal.getsignal(signal.SIGINT), []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with pool.held_back() as deliver:
            deliver()
            signal.raise_signal(signal.SIGINT)
            assert seen == []
            deliver()
            deliver()
            assert seen == [signal.SIGINT]
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert len(seen) == 2
        signal.raise_signal(signal.SIGINT)
        assert len(seen) == 3
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with pool.held_back() as deliver:
            signal.raise_signal(signal.SIGINT)
            deliver()
        assert len(seen) == 3 and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_batch_that_is_finished_while_ctrl_c_comes_is_kept(spec, tmp_path, monkeypatch):
    real, asked = sweep.evaluate, []

    def then_interrupted(batch, settings):
        values = real(batch, settings)
        if not asked:  # a second one would come at once
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        asked.append(batch)
        return values

    monkeypatch.setattr(sweep, "WIDEST", 4)
    monkeypatch.setattr(sweep, "HEED", 60)
    monkeypatch.setattr(sweep, "evaluate", then_interrupted)
    spec.write_text(SPEC.replace("epochs = 3", 'epochs = 3\nmetrics = ["lut"]'))
    with pytest.raises(KeyboardInterrupt):
        swept(spec, tmp_path / "a.db", 1, lambda: ThreadPoolExecutor(1))
    assert finished(tmp_path / "a.db") in (4, 8)


def test_a_script_without_a_guard_sweeps(spec, tmp_path):
    """Its workers do not run it again."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys
from crossdyad.explore import pool, spec as specs, sweep
from crossdyad.explore.store import Store
print("once")
told, base = specs.read({str(spec)!r})
settings = sweep.settings_of(told)._replace(epochs=None, samples=0)
with Store({str(tmp_path / "a.db")!r}) as kept:
    made = sweep.plan(specs.points(told, base), told.seed_list, settings, kept)
    print(sweep.run(made, settings, kept, lambda: pool.processes(2), 2))
assert sys.modules["__main__"].told is told
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.stdout == "once\n{'ok': 16, 'failed': 0, 'invalid': 0}\n" and not done.stderr


def test_workers_that_cannot_start_are_no_fault_of_the_chips(spec, tmp_path):
    def broken():
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=os._exit, initargs=(1,))

    with pytest.raises(RuntimeError, match="workers end as soon as they start; nothing was computed"):
        swept(spec, tmp_path / "a.db", 1, broken)
    assert finished(tmp_path / "a.db") == 0
