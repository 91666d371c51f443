"""Sweeps: specifications, rows that depend on nothing but their key, kills, search, and what is made of the rows."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdyad import emulator
from crossdyad.cli import app
from crossdyad.data import load as load_data
from crossdyad.emulator import link
from crossdyad.explore import axes, choose, files, metrics, pool, rate, report, search, statistics, sweep
from crossdyad.explore import spec as specs
from crossdyad.explore.jobs import Job, Settings, Under, batches, evaluate, key
from crossdyad.explore.statistics import Summary
from crossdyad.explore.store import Store, StoreError
from crossdyad.recipe import Recipe, load, programs

SPEC = """
name = "small"
recipe = "xor"
seeds = 2
epochs = 3
samples = 4
[axes]
bits.weight = [6, 10]
beta = [0.5, 1.0]
devices.read_noise = [0, 0.1]
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SPEC)
    return path


def swept(path, store, workers=1, executor=None):
    told, base = specs.read(path)
    settings = sweep.settings_of(told)
    with Store(store) as kept:
        kept.remember(told.name, path.read_text(), base.to_toml(), sweep.measured(settings))
        made = sweep.plan(specs.points(told, base), told.seed_list, settings, kept)
        counts = sweep.run(made, settings, kept, executor or (lambda: ThreadPoolExecutor(workers)), workers)
        return counts, content(kept)


def content(store):
    """What must not depend on how it was computed."""
    return {r["key"]: (r["point"], r["recipe"], r["seed"], r["status"], r["value"], r["error"], r["board"]) for r in store.rows()}


# Specifications ---------------------------------------------------------------------------------------------


def test_all_mistakes_of_a_specification_are_told_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('name = "x"\nepoch = 3\n[axes]\nbeta = []\nbits.weigth = [8]\ndevices.read_noise = {from = 1, to = 0, step = 1}\n')
    with pytest.raises(specs.SpecError) as error:
        specs.read(path)
    text = str(error.value)
    for told in ("did you mean 'epochs'", "steps of 1 do not lead from 1 to 0", "did you mean 'bits.weight'", "beta: no values"):
        assert told in text


@pytest.mark.parametrize(("line", "told"), [
    ("seeds = -2", "seeds: -2; allowed is how many"), ("seeds = [1, 1]", "different whole numbers"),
    ('metrics = ["acuracy"]', "did you mean 'accuracy'"), ('board = "ulx4s"', "did you mean 'ulx3s'"),
    ('axes.board = ["ulx3s-85g"]', "did you mean 'ulx3s-85f'"), ("axes.beta = 1.0", "beta: 1.0 is no list; write [1.0]"),
    ("axes.beta = [1.0, 1.0]", "1.0 is there twice"), ("axes.beta = { form = 1, to = 2, step = 1 }", "did you mean 'from'"),
    ("axes.read_noise = [0]", "did you mean 'devices.read_noise'"), ("axes.seed = [1]", "seed: no axis; write seeds ="),
    ("axes.beta = { from = 0, to = 1e9, step = 1 }", "1000000001 values; allowed are at most"),
    ("axes.beta = { from = nan, to = 1, step = 1 }", "allowed is a finite number"), ("axes = 3", "not a table; write [axes]"),
    ('metrics = ["lut"]\nsearch = {objectives = ["accuracy"]}', "accuracy are not among the metrics"),
])
def test_a_mistake_of_a_specification_is_told_in_words(line, told, tmp_path):
    axes = "" if "axes" in line else "axes.alpha = [0]"
    (tmp_path / "bad.toml").write_text(f'name = "x"\n{line}\n{axes}\n')
    with pytest.raises(specs.SpecError) as error:
        specs.read(tmp_path / "bad.toml")
    assert told in str(error.value) and str(error.value).startswith(str(tmp_path / "bad.toml"))


def test_too_many_combinations_are_refused_before_they_are_made():
    many = {f"formats.{p}.width": {"from": 2, "to": 60, "step": 1} for p in ("weight", "state", "delta")}
    with pytest.raises(specs.SpecError, match=r"205379 combinations; .* \[search\]"):
        specs.points(specs.Spec(name="x", axes=many), load("digits"))


@pytest.mark.parametrize(("given", "values"), [
    ({"from": 4, "to": 8, "step": 2}, [4, 6, 8]), ({"from": 0.25, "to": 4, "factor": 4}, [0.25, 1, 4]),
    ({"from": 0, "to": 0.3, "step": 0.1}, [0, 0.1, 0.2, 0.3]), ({"from": 8, "to": 1, "factor": 0.5}, [8, 4, 2, 1]),
])
def test_ranges_include_both_ends(given, values):
    assert axes.Range.model_validate(given).values() == pytest.approx(values)


def test_bits_keep_the_range_and_width_does_not():
    base = load("digits")
    made, wide = (specs.apply(base, {name: 10}).recipe.formats.weight for name in ("bits.weight", "formats.weight.width"))
    assert abs(made.high - base.formats.weight.high) <= made.step and made.width == wide.width == 10
    assert wide.frac == base.formats.weight.frac


def test_every_field_of_a_recipe_can_be_an_axis():
    base = load("digits")
    for field in axes.fields():
        if field.startswith(("bits.", "lsb.")) or field == "board":
            continue
        value = base.model_dump()
        for part in field.split("."):
            value = value[part]
        assert specs.apply(base, {field: value}).recipe == base


def test_a_point_that_is_no_recipe_is_marked_and_the_rest_runs(tmp_path):
    path = tmp_path / "part.toml"
    path.write_text(SPEC.replace("devices.read_noise = [0, 0.1]", "epsilon = [0.125, 4096.0]"))
    counts, rows = swept(path, tmp_path / "part.db")
    assert counts == {"ok": 8, "failed": 0, "invalid": 4}
    marked = [r for r in rows.values() if r[3] == "invalid"]
    assert len(marked) == 4 and all("epsilon" in r[5] and "powers of two" in r[5] for r in marked)


@pytest.mark.parametrize(("settings", "told"), [
    ({"bits.weight": "a"}, "whole numbers of bits"), ({"bits.weight": 8.5}, "whole numbers of bits"),
    ({"sizes": [5, 4, 2]}, "no data set has 5 inputs"), ({"sizes": [64, 4, 2], "lanes": [1, 1]}, "digits has 10 classes"),
])
def test_a_point_that_no_data_fit_is_no_point(settings, told):
    point = specs.apply(load("xor"), settings)
    assert point.recipe is None and told in point.error


def test_a_board_is_an_axis_and_what_no_metric_needs_is_not_measured(spec, tmp_path):
    text = SPEC.replace("beta = [0.5, 1.0]", 'board = ["ulx3s", "ulx3s-85f"]')
    spec.write_text(text.replace("epochs = 3", 'epochs = 3\nmetrics = ["lut", "fill"]'))
    counts, rows = swept(spec, tmp_path / "a.db")
    assert counts == {"ok": 16, "failed": 0, "invalid": 0}
    small, large = ({json.dumps(r[1]): r[4] for r in rows.values() if r[6] == board} for board in ("ulx3s", "ulx3s-85f"))
    for recipe, value in small.items():
        assert value["accuracy"] is None and value["lut"] == large[recipe]["lut"] and value["fill"] > 2 * large[recipe]["fill"] > 0
    assert sweep.settings_of(specs.read(spec)[0])[:3] == (None, 0, "model")
    spec.write_text(text.replace("epochs = 3", 'epochs = 3\nmetrics = ["accuracy"]'))
    assert sweep.settings_of(specs.read(spec)[0])[:3] == (3, 0, "none")


# Rows -------------------------------------------------------------------------------------------------------


def test_a_row_is_what_the_emulator_does_alone():
    recipe = Recipe.model_validate(load("digits").model_dump() | {"devices": {"read_noise": 0.1}})
    jobs = [Job(recipe, 3), Job(specs.apply(recipe, {"bits.weight": 8, "beta": 0.5}).recipe, 7)]
    settings = Settings(1, 8, "model")
    rows = evaluate(batches(jobs, 8)[0], settings)
    for job, row in zip(jobs, rows, strict=True):
        alone = emulator.train(job.recipe, *load_data("digits"), epochs=1, engine="jax", seeds=[job.seed])
        assert row["accuracy"] == float(alone.epochs[-1]["accuracy"][0])
        assert row["loss"] == pytest.approx(float(alone.epochs[-1]["loss"][0]))
        assert len(row["accuracy_by_epoch"]) == 1
        for name in metrics.GRADIENT:
            assert len(row[f"{name}_by_epoch"]) == 2 and row[f"{name}_by_epoch"][-1] == row[name]


def test_chips_with_arrays_are_points_like_others():
    base = specs.apply(load("xor"), {"bits.weight": 10}).recipe
    points = [specs.apply(base, {"arrays.on": on, "arrays.output_bits": bits}) for on, bits in ((True, 0), (True, 4), (False, 0))]
    jobs = [Job(p.recipe, seed) for p in points for seed in (1, 2)]
    settings, rows = Settings(2, 4, "none"), {}
    for batch in batches(jobs, 64):
        rows |= dict(zip(batch.jobs, evaluate(batch, settings), strict=True))
    rows = [{k: v for k, v in rows[job].items() if k != "seconds"} for job in jobs]
    assert rows[:2] == rows[4:]                     # ideal arrays make the chip's bits
    assert rows[2]["cosine"] < rows[0]["cosine"] and len(rows[2]["cosine_by_epoch"]) == 3 and len(rows[2]["accuracy_by_epoch"]) == 2
    (alone,) = evaluate(batches(jobs[3:4], 64)[0], settings)
    assert {k: v for k, v in alone.items() if k != "seconds"} == rows[3]


@pytest.mark.slow
def test_slopes_of_probing_chips_are_judged_alone_as_among_others():
    settings = Settings(2, 8, "none")
    noisy = specs.apply(load("xor-spsa"), {"devices.read_noise": 0.01}).recipe
    jobs = [Job(r, s) for r in (load("xor-spsa"), noisy) for s in (1, 2)]
    (batch,) = batches(jobs, 64)
    rows = evaluate(batch, settings)
    assert all(len(row["sign_by_epoch"]) == 3 for row in rows) and rows[0]["cosine"] > 0.99 > rows[2]["cosine"]
    (alone,) = evaluate(batches(jobs[2:3], 64)[0], settings)
    assert {k: v for k, v in alone.items() if k != "seconds"} == {k: v for k, v in rows[2].items() if k != "seconds"}


def test_a_key_changes_with_everything_that_a_row_depends_on():
    job, settings = Job(load("xor"), 1), Settings(3, 4, "model")
    others = [(job._replace(seed=2), settings), (job, settings._replace(epochs=2)), (job, settings._replace(samples=8)),
              (job, settings._replace(cost="none")), (job._replace(board="ulx3s-85f"), settings),
              (job, settings._replace(under=Under((1,)))), (job, settings._replace(under=Under(subsets=2))),
              (job._replace(recipe=specs.apply(load("xor"), {"beta": 0.25}).recipe), settings)]
    keys = {key(*other) for other in others}
    assert len(keys | {key(job, settings)}) == 9
    renamed = job._replace(recipe=job.recipe.model_copy(update={"name": "other"}))
    assert key(renamed, settings) == key(job, settings)


@pytest.mark.slow
def test_rows_do_not_depend_on_workers_batches_or_executor(spec, tmp_path, monkeypatch):
    _, threads = swept(spec, tmp_path / "a.db", 1)
    monkeypatch.setattr(sweep, "WIDEST", 3)
    counts, processes = swept(spec, tmp_path / "b.db", 2, lambda: pool.processes(2))
    assert counts == {"ok": 16, "failed": 0, "invalid": 0} and threads == processes
    counts, again = swept(spec, tmp_path / "b.db", 2, lambda: pytest.fail("nothing is missing"))
    assert again == threads


def test_a_cluster_makes_the_same_rows(spec, tmp_path):
    distributed = pytest.importorskip("distributed")
    _, here = swept(spec, tmp_path / "a.db")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        counts, there = swept(spec, tmp_path / "b.db", 1, lambda: pool.cluster(cluster.scheduler_address))
    assert counts["ok"] == 16 and here == there


def test_a_scheduler_that_goes_away_is_told_and_what_was_finished_is_kept(spec, tmp_path, monkeypatch):
    executor = ThreadPoolExecutor(1)
    real, asked = sweep.evaluate, []

    def then_gone(batch, settings):
        if asked:
            executor._client.status = "closed"
            time.sleep(1)
        asked.append(batch)
        return real(batch, settings)

    executor._client = type("Client", (), {"status": "running", "nthreads": lambda self: {"a worker": 1}})()
    monkeypatch.setattr(sweep, "WIDEST", 8)
    monkeypatch.setattr(sweep, "LOOK", 0.1)
    monkeypatch.setattr(sweep, "evaluate", then_gone)
    with pytest.raises(ConnectionError, match="scheduler went away"):
        swept(spec, tmp_path / "a.db", 1, lambda: executor)
    with Store(tmp_path / "a.db") as kept:
        assert len(kept.rows()) == 8


def test_a_chip_that_fails_does_not_take_others_with_it(spec, tmp_path, monkeypatch):
    def fragile(batch, settings):
        if any(j.seed == 2 and j.recipe.formats.weight.width == 6 for j in batch.jobs):
            raise RuntimeError("this one")
        return [{"accuracy": 1.0, "seconds": 0.0} for _ in batch.jobs]

    monkeypatch.setattr(sweep, "evaluate", fragile)
    counts, rows = swept(spec, tmp_path / "a.db")
    assert counts == {"ok": 12, "failed": 4, "invalid": 0}
    assert all("this one" in r[5] and r[2] == 2 for r in rows.values() if r[3] == "failed")
    monkeypatch.undo()
    assert swept(spec, tmp_path / "a.db")[0]["failed"] == 4          # kept, until one asks for them again


# Rates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("recipe", "there", "back"), [
    (load("digits"), 8 + 1 + 64, 8 + 10 + 5 + 7), (load("xor"), 8 + 1 + 3, 8 + 2 + 5 + 7), (load("mnist"), 8 + 1 + 784 + 3, 8 + 10 + 6 + 7),
    (Recipe(name="wide", sizes=[2, 2, 8], lanes=[1, 1]), 8 + 1 + 2, 8 + 8 + 5 + 7),
    (Recipe(name="fixed", sizes=[2, 2, 2], lanes=[1, 1], rule="inference"), 8 + 2, 8 + 2 + 5 + 7),
], ids=lambda v: getattr(v, "name", None))
def test_the_board_learns_from_as_many_samples_as_its_clock_and_its_line_allow(recipe, there, back):
    """Frames counted by hand from contract section 10, at 3 * 10**6 bits per second, of which a byte takes ten.

    The next step is launched in the cycle after the last one of a program (section 9).
    """
    found, slow = rate.rates(recipe, "ulx3s", 120), rate.rates(recipe, "ulx3s", 24)
    assert found.line == pytest.approx(3e5 / max(there, back)) == pytest.approx(found.both)
    assert found.chip == pytest.approx(25e6 / (programs(recipe)[1].length + 1)) and found.limit == "line"
    assert (slow.chip, slow.both, slow.limit) == (0, 0, "clock") and "does not run there" in rate.told(slow, "ulx3s")


def test_a_row_has_the_rates_of_its_board(spec, tmp_path):
    spec.write_text(SPEC.replace("epochs = 3", 'epochs = 3\nmetrics = ["samples_per_second", "chip_rate", "line_rate"]'))
    _, rows = swept(spec, tmp_path / "a.db")
    for row in rows.values():
        value, found = row[4], rate.rates(Recipe.model_validate(row[1]), row[6], 120)
        assert (value["samples_per_second"], value["chip_rate"], value["line_rate"]) == (found.line, found.chip, found.line)


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
        with pytest.raises(StoreError, match="another sweep or search"):           # the lock is still held
            Store(tmp_path / "a.db")
        kept._db.execute("PRAGMA max_page_count = 1000000")
        kept.put([row])
        assert len(kept.rows()) == len(before) + 1


def test_a_store_that_cannot_be_begun_leaves_no_file_and_nobody_is_told_to_delete_one(tmp_path):
    """A limit on a file's size is to SQLite what a full disk is."""
    code = ("import resource, sys; from crossdyad.explore.store import Store; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
            "Store(sys.argv[1])")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db")], capture_output=True, text=True)
    assert "free some space" in done.stderr and "delete" not in done.stderr and not list(tmp_path.iterdir())


# Who reads does not write ------------------------------------------------------------------------------------


READERS = (["report"], ["pick"], ["export", "-o", "{}/rows.csv"])


def seen(folder: Path) -> dict:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r[0])
@pytest.mark.parametrize("kind", ["empty", "another database", "not a database"])
def test_a_command_that_reads_changes_no_file(reader, kind, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "a.db"
    if kind == "another database":
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE letters (text)")
    else:
        path.write_text("" if kind == "empty" else "words " * 100)
    before = seen(folder)
    command, *options = reader
    done = CliRunner().invoke(app, [command, str(path), *(o.format(tmp_path) for o in options)])
    assert done.exit_code == 2 and str(path) in done.stderr and "delete" not in done.stderr
    assert seen(folder) == before
    if kind == "another database":                  # who writes does not take it for a store either
        with pytest.raises(StoreError, match="a database of something else"):
            Store(path)
        assert seen(folder) == before


@pytest.mark.parametrize("command", [["report", "{}"], ["report", "{}", "-o", "{}"], ["pick", "{}", "-o", "{}"]])
def test_a_result_does_not_replace_the_store_that_it_is_of(command, store, tmp_path):
    own = tmp_path / ("a.html" if "-o" not in command else "a.db")
    shutil.copyfile(store, own)
    before = seen(tmp_path)
    done = CliRunner().invoke(app, [part.format(own) for part in command])
    assert done.exit_code == 2 and "is the store itself" in done.stderr and seen(tmp_path) == before


@pytest.mark.parametrize(("command", "name"), [("report", "a.html"), ("pick", "a.toml"), ("export", "a.csv"), ("export", "a.parquet")])
def test_a_result_is_whole_or_not_there(command, name, store, tmp_path, monkeypatch):
    """A full disk leaves what was there, and is told with the file's name; a place that cannot be is told before anything is computed."""
    pytest.importorskip("duckdb")
    (tmp_path / name).write_text("before")

    def full(self, *_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        done = CliRunner().invoke(app, [command, str(store), "-o", str(tmp_path / name)])
    assert done.exit_code == 2 and f"{tmp_path / name}: No space left" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "before"
    for part in (report, choose):
        monkeypatch.setattr(part, "results", lambda store: pytest.fail("computed"))
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, [command, str(store), "-o", str(tmp_path / "file" / name)])
    assert done.exit_code == 2 and "file" in done.stderr


@pytest.fixture
def frozen(tmp_path):
    """Makes of a store's files a folder that nobody may write to, the superuser included."""
    folder, me = Path(tempfile.mkdtemp()), os.geteuid()

    def make(*files):
        for file in files:
            shutil.copyfile(file, folder / file.name)
            (folder / file.name).chmod(0o444)
        folder.chmod(0o555)
        if me == 0:
            os.seteuid(65534)
        with pytest.raises(OSError):
            (folder / "new").touch()
        return folder / files[0].name

    yield make
    os.seteuid(me)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("made", ["now", "with a log", "half-written"])
def test_a_store_on_a_read_only_disk_is_read(made, store, frozen, tmp_path):
    own = tmp_path / store.name
    shutil.copyfile(store, own)
    with Store(store, reading=True) as kept:
        expected = content(kept)
        table, picked, page = choose.table(kept), choose.pick(kept, {}), report.page(kept)
    files = [own]
    if made != "now":
        code = {"with a log": "db.execute('PRAGMA journal_mode=WAL'); db.execute('UPDATE result SET seconds = 7')",
                "half-written": "db.execute('PRAGMA cache_size = 1'); db.execute('BEGIN'); db.execute('DELETE FROM result')"}[made]
        subprocess.run([sys.executable, "-c", "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
                        f"{code}; os._exit(0)", str(own)], check=True)
        files = [own, *(p for p in tmp_path.iterdir() if p != own and not p.name.endswith("-shm"))]
        assert len(files) == 2
    with Store(frozen(*files), reading=True) as kept:
        assert content(kept) == expected and choose.pick(kept, {}).recipe == picked.recipe and report.page(kept) == page
        assert choose.table(kept) == table if made != "with a log" else {row["seconds"] for row in kept.rows()} == {7}


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
    run.kill()                                                       # its lock ends with it, and whom it set to work
    run.wait()
    Store(store).close()
    assert ended([tool])


def test_ctrl_c_while_workers_start_is_no_concern_of_theirs(tmp_path):
    """It comes when the task has been handed in, and does not reach the workers."""
    code = ("import os, signal, time; from crossdyad.explore import pool\n"
            "if __name__ == '__main__':\n"
            "    executor = pool.processes(2)\n"
            "    asked = [executor.submit(pool.ready) for _ in range(2)]\n"
            "    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "    for _ in range(20):\n"
            "        os.killpg(0, signal.SIGINT); time.sleep(0.02)\n"
            "    print([a.result(60) for a in asked])\n")
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
        if not asked:                                               # a second one would come at once
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


# Search, and what is made of the rows -----------------------------------------------------------------------


def test_what_computes_nothing_and_what_computes_a_batch_are_not_asked_for_together(tmp_path):
    (tmp_path / "s.toml").write_text(SPEC)
    done = CliRunner().invoke(app, ["sweep", str(tmp_path / "s.toml"), "--dry-run", "--estimate"])
    assert done.exit_code == 2 and "--dry-run, --estimate: give one of them" in done.output and not list(tmp_path.glob("*.db"))


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_neighbouring_searches_share_no_generation(name, monkeypatch):
    optuna, told = pytest.importorskip("optuna"), []
    for sampler in ("NSGAIISampler", "TPESampler"):
        monkeypatch.setattr(optuna.samplers, sampler, lambda seed, **options: told.append(seed))
    for seed in range(4):
        for generation in range(4):
            search.sampler(specs.Search(objectives=["accuracy"], sampler=name, seed=seed), generation)
    assert len(set(told)) == 16 and all(0 <= seed < 1 << 32 for seed in told)


def test_a_search_asks_for_the_same_points_again_and_finds_them_in_the_store(spec, tmp_path):
    pytest.importorskip("optuna")
    path = tmp_path / "search.toml"
    path.write_text(SPEC + '[search]\nobjectives = ["accuracy", "lut"]\ngenerations = 3\npopulation = 4\n')
    told, base = specs.read(path)
    with Store(tmp_path / "a.db") as kept:
        first = search.search(told, base, kept, lambda: ThreadPoolExecutor(1), 1)
        rows = content(kept)
        again = search.search(told, base, kept, lambda: pytest.fail("all is in the store"), 1)
        assert first == again and content(kept) == rows and 1 < len(first) <= 8
    with pytest.raises(ValueError, match="search: missing"):
        search.search(*specs.read(spec), None, None, 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    (folder / "small.toml").write_text(SPEC.replace("seeds = 2", "seeds = 5"))
    swept(folder / "small.toml", folder / "small.db")
    return folder / "small.db"


def test_the_report_is_one_page_that_needs_nothing_else(store):
    with Store(store) as kept:
        html = report.page(kept)
        assert html == report.page(kept)                       # the same bytes from the same rows
    assert len(html.encode()) < 2_000_000
    assert html.count("<svg") >= 4 and "knee" in html and "crossdyad pick small.db" in html
    for outside in ("<link", "src=", "@import", "<img"):
        assert outside not in html
    assert all(s in html for s in ("bits.weight", "beta", "[formats]"))


def test_the_page_opens_in_a_browser_without_errors_and_without_the_network(store, tmp_path):
    browser = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
    if browser is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with Store(store) as kept:
        files.write(tmp_path / "page.html", report.page(kept))
    shot = tmp_path / "page.png"
    done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
                           f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", f"--screenshot={shot}",
                           "--window-size=1000,2000", (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=600)
    assert "CONSOLE" not in done.stderr
    from matplotlib.image import imread

    picture = imread(shot)
    assert picture.shape[:2] == (2000, 1000)
    # text and figures, from top to bottom: no quarter of the page is blank
    assert all(quarter[..., :3].std() > 0.05 for quarter in picture.reshape(4, 500, *picture.shape[1:]))


def test_a_picked_recipe_is_within_its_limits_and_best_there(store, tmp_path):
    run = CliRunner()
    done = run.invoke(app, ["pick", str(store), "--max-lut", "1e9", "--min-accuracy=0.2", "-o", str(tmp_path / "best.toml"), "--json"])
    told = json.loads(done.stdout)
    assert load(tmp_path / "best.toml") == Recipe.model_validate(told["recipe"])
    with Store(store) as kept:
        means = {}
        for row in kept.rows():
            means.setdefault(json.dumps(row["recipe"]), []).append(row["value"]["accuracy"])
    assert told["metrics"]["accuracy"] == pytest.approx(max(sum(v) / len(v) for v in means.values()))
    with Store(store) as kept:
        found = choose.pick(kept, {"lut": (None, 1e9), "accuracy": (0.2, None)})
        made = statistics.front(statistics.summaries(sweep.results(kept)[1]), ("accuracy", "lut"))
        share = next(s for p, s in zip(made.points, made.surely, strict=True) if p.settings == found.chosen.settings)
    assert 0 < share == told["on_front"]
    assert f"on the front of accuracy, lut in {100 * share:.0f} % of draws" in choose.told(found, "accuracy")
    refused = run.invoke(app, ["pick", str(store), "--min-accuracy", "1.1"])
    assert refused.exit_code == 2 and "accuracy reaches" in refused.stderr
    assert "did you mean 'lut'" in run.invoke(app, ["pick", str(store), "--max-luts", "1"]).stderr


def test_a_picked_recipe_is_as_it_was_measured_under_a_name_of_its_own(store, tmp_path):
    """Not for the preset's 20 epochs under figures of 3, and not in the way of the preset's files or of another pick's."""
    with Store(store, reading=True) as kept:
        luts = sorted({row["value"]["lut"] for row in kept.rows()})
        picks = [choose.pick(kept, {"lut": limit}) for limit in ((luts[-1], None), (None, luts[0]), (None, luts[0]))]
        page = report.page(kept)
    assert load("xor").training.epochs != 3 and all(p.recipe.training.epochs == 3 for p in picks)
    names = [p.recipe.name for p in picks]
    assert names[0] != names[1] == names[2] and all(n.startswith("small-") and n != "xor" for n in names)
    for p in picks:
        assert p.recipe.model_dump(exclude={"name", "training"}) == Recipe.model_validate(p.chosen.recipe).model_dump(
            exclude={"name", "training"})
    assert page.count("name = &#34;small-") > 0 and "name = &#34;xor" not in page and "epochs = 20" not in page


def test_a_pick_tells_the_error_of_the_cost_model_and_a_sure_one_reckons_with_it(store):
    with Store(store, reading=True) as kept:
        picked = choose.pick(kept, {}, "lut")
        lut = picked.chosen.values["lut"][0]
        told = choose.told(picked, "lut")
        assert "after 3 epochs of training" in told and "up to 52 % of all fail" in told
        assert f"# lut: {lut:,.0f} by the cost model; {0.9529 * lut:,.0f} to {1.0524 * lut:,.0f} by its worst errors" in told
        assert rate.told(rate.rates(picked.recipe, "ulx3s", 120), "ulx3s") in told
        assert "MHz, its serial line 13,636; the line limits" in told
        choose.pick(kept, {"lut": (None, 1.01 * lut)})
        with pytest.raises(ValueError, match="lut reaches .* at its surest"):
            choose.pick(kept, {"lut": (None, 1.01 * lut)}, sure=True)
        assert choose.pick(kept, {"lut": (None, 1.06 * lut)}, sure=True)
        with pytest.raises(ValueError, match="5 leave it open that up to 52 % of all fail, and .* at least 0.9 can be sure from 36"):
            choose.pick(kept, {"accuracy": (0.9, None)}, sure=True)


def test_a_pick_beyond_the_builds_of_the_cost_model_says_so(store):
    with Store(store, reading=True) as kept:
        picked = choose.pick(kept, {}, "lut")
    assert "not calibrated" not in choose.told(picked, "lut")
    wide = Recipe.model_validate(picked.recipe.model_dump() | {"formats": {"weight": {"width": 24, "frac": 20}}})
    beyond = picked._replace(recipe=wide)
    assert "# The cost model was not calibrated for this, its errors may be larger: bits of a weight 24 (calibrated on 4 to 18)\n" in (
        choose.told(beyond, "lut") + "\n")
    built = beyond._replace(chosen=beyond.chosen._replace(measured=beyond.chosen.measured | {"cost": "build"}))
    assert "not calibrated" not in choose.told(built, "lut")


@pytest.mark.parametrize("length", [1, 253, 254, 255, 507, 508, 509])
def test_a_frame_takes_as_many_bytes_of_the_line_as_its_stuffing_makes(length):
    """Without a zero in it, which is the most; a frame of 254 has a block for itself and an empty one behind it."""
    assert rate.on_the_line(length) == len(link.stuffed(bytes([1]) * length)) + 1


def test_a_chip_runs_at_the_very_clock_of_its_board():
    assert rate.rates(load("digits"), "ulx3s", 25.0).chip > 0 == rate.rates(load("digits"), "ulx3s", 24.99).chip


def test_a_place_that_was_looked_at_is_as_it_was(tmp_path):
    (tmp_path / "a.db").touch()
    files.check(tmp_path / "page.html", tmp_path / "a.db")
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]


def made_up(name, accuracy, lut):
    """A point of five seeds."""
    values = {"accuracy": np.array(accuracy), "lut": np.full(5, float(lut))}
    return Summary({"beta": name}, load("digits").model_dump(), values, [1, 2, 3, 4, 5], {}, {}, "ulx3s", {"epochs": 3, "cost": "model"})


def test_of_equal_points_the_smallest_is_picked_and_cheaper_rivals_are_told(monkeypatch, store):
    """Points that the seeds cannot tell apart are rivals, the smallest of which is named; those that they can are none."""
    near, far = [0.91, 0.93, 0.92, 0.94, 0.90], [0.51, 0.53, 0.52, 0.54, 0.50]
    points = [made_up("large", [0.92] * 5, 9000), made_up("best", [0.92] * 5, 8000), made_up("rival", near, 7990),
              made_up("small", near, 5000), made_up("far", far, 4000)]
    points[2].values["accuracy"] -= 0.001
    points[3].values["accuracy"] -= 0.001
    monkeypatch.setattr(choose, "summaries", lambda *_: points)
    with Store(store, reading=True) as kept:
        picked = choose.pick(kept, {})
        assert picked.chosen.settings == {"beta": "best"} and picked.cheapest.settings == {"beta": "small"}
        assert {s.settings["beta"] for s in picked.rivals} == {"large", "rival", "small"}
        told = choose.told(picked, "accuracy")
        assert "The smallest of them, 5000 LUTs" in told
        lines = {line.split(":")[0]: line for line in told.splitlines()}
        assert lines["# lut"].endswith("(smaller is better)") and "smaller" not in lines["# accuracy"]
        points.pop(3)
        assert "The smallest of them (by less than the cost model may be off), 7990 LUTs" in choose.told(choose.pick(kept, {}), "accuracy")
        with pytest.raises(ValueError, match="accuracy reaches 0.92, not at least 0.99"):
            choose.pick(kept, {"accuracy": (0.99, None)})


def test_export_has_every_row(store, tmp_path):
    import csv

    with Store(store) as kept:
        choose.to_csv(kept, tmp_path / "a.csv")
        rows = kept.rows()
    read = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [float(r["accuracy"]) for r in read] == [r["value"]["accuracy"] for r in rows] and len(read) == 40
    duckdb = pytest.importorskip("duckdb")
    with Store(store) as kept:
        choose.to_parquet(kept, tmp_path / "a.parquet")
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path / 'a.parquet'}'").fetchall() == [(40,)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.parquet"]


def test_the_commands_say_what_to_do(spec, tmp_path):
    run = CliRunner()
    dry = run.invoke(app, ["sweep", str(spec), "--store", str(tmp_path / "d.db"), "--dry-run", "--json"])
    assert json.loads(dry.stdout) == {"rows": 16, "there": 0, "missing": 16, "invalid": 0, "seconds_left": None}
    assert not (tmp_path / "d.db").exists()
    assert run.invoke(app, ["sweep", str(tmp_path / "no.toml")]).exit_code == 2
    empty = run.invoke(app, ["report", str(tmp_path / "none.db")])
    assert empty.exit_code == 2 and "no such store" in empty.stderr
    gone = run.invoke(app, ["sweep", str(spec), "--store", str(tmp_path / "e.db"), "--scheduler", "tcp://127.0.0.1:9"])
    assert gone.exit_code == 2 and ("does not answer" in gone.stderr or "needs dask" in gone.stderr)


RULES_SPEC = """
name = "rules"
recipe = "digits"
metrics = ["cycles"]
[axes]
rule = ["backprop", "equilibrium", "spsa"]
bits.weight = [8, 16]
lsb.epsilon = [1, 256]
[rules]
equilibrium = "digits-equilibrium"
spsa = { initial = 0.25, formats.state.frac = 7 }
"""


def test_points_of_a_rule_start_from_its_own_settings_and_axes_come_on_top(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES_SPEC)
    made = {tuple(p.settings.values()): p for p in specs.points(*specs.read(path))}
    assert len(made) == 12 and all(set(p.settings) == {"rule", "bits.weight", "lsb.epsilon"} for p in made.values())
    base, settled = load("digits"), made["equilibrium", 8, 1].recipe
    assert settled.activation == "hard_sigmoid" and settled.formats.state.frac == 7 and settled.formats.weight.width == 8
    assert made["backprop", 16, 1].recipe.formats.state == base.formats.state and made["backprop", 16, 1].recipe.initial == base.initial
    raised = made["spsa", 8, 1].recipe
    assert (raised.initial, raised.formats.state.frac) == (0.25, 7)
    # one LSB of 8-bit weights with 5 bits after the point, and of 16-bit ones with 13
    assert raised.epsilon == 2.0**-5 and made["spsa", 16, 1].recipe.epsilon == 2.0**-13 and raised.probe == 1


def test_noise_in_lsbs_is_of_the_states_and_found_again(tmp_path):
    path = tmp_path / "rules.toml"
    text = RULES_SPEC.replace("lsb.epsilon = [1, 256]", "lsb.sigma = [1, 4]").replace("bits.weight", "bits.state")
    path.write_text(text.replace('"spsa"]', '"spsa", "node-perturbation"]'))
    told, base = specs.read(path)
    made = {tuple(p.settings.values()): p for p in specs.points(told, base)}
    shaken = {key[1:]: p.recipe for key, p in made.items() if key[0] == "node-perturbation"}
    # 8-bit states of `digits` have 5 bits after the point, 16-bit ones of the same range 13
    assert {key: r.sigma for key, r in shaken.items()} == {(8, 1): 2.0**-5, (8, 4): 2.0**-3, (16, 1): 2.0**-13, (16, 4): 2.0**-11}
    row = {"recipe": shaken[16, 4].model_dump(mode="json"), "board": "ulx3s"}
    assert sweep._at(row, "lsb.sigma") == 4


def test_a_rule_that_cannot_take_a_value_is_told_and_the_rest_runs(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES_SPEC.replace("lsb.epsilon = [1, 256]", "epsilon = [0.0001220703125]"))
    wrong = [p for p in specs.points(*specs.read(path)) if p.recipe is None]
    assert [p.settings["rule"] for p in wrong] == ["spsa"] and wrong[0].settings["bits.weight"] == 8
    assert "epsilon" in wrong[0].error and "weight LSBs" in wrong[0].error


@pytest.mark.parametrize(("old", "new", "said"), [
    ('spsa = {', 'coupled = {', "coupled not among the values of the axis rule"),
    ("initial = 0.25", "inital = 0.25", "rules.spsa.inital: no such field of a recipe; did you mean 'initial'"),
])
def test_settings_of_rules_that_lead_nowhere_are_refused(tmp_path, old, new, said):
    path = tmp_path / "rules.toml"
    path.write_text(RULES_SPEC.replace(old, new))
    with pytest.raises(specs.SpecError, match=said):
        specs.read(path)


def test_rows_of_rules_are_found_again(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES_SPEC)
    told, base = specs.read(path)
    with Store(tmp_path / "rules.db") as store:
        settings = sweep.settings_of(told)
        store.remember(told.name, RULES_SPEC, base.to_toml(), sweep.measured(settings))
        made = sweep.plan(specs.points(told, base), [1], settings, store)
        rows = [sweep._row(k, {}, j.recipe, j.board, j.seed, settings, "ok", {"cycles": 1, "seconds": 0.0})
                for k, (_, j) in made.missing.items()]
        store.put(rows)
        found = sweep.results(store)[1]
    assert len(found) == len(rows)


# Names ------------------------------------------------------------------------------------------------------


def test_no_metric_has_the_name_of_an_axis():
    fields = {*Recipe.model_fields, "board", "seed", "status", "seconds", "error", "key", "recipe", "measured", "versions"}
    assert not fields & set(metrics.METRICS)


def test_a_sweep_over_biases_exports_each_name_once(tmp_path):
    path, store = tmp_path / "b.toml", tmp_path / "b.db"
    path.write_text('name = "b"\nrecipe = "xor"\nseeds = 1\nepochs = 1\nsamples = 4\nmetrics = ["gradient_bias"]\n'
                    '[axes]\nbias = [false, true]\n')
    swept(path, store)
    with Store(store) as kept:
        header, rows = choose.table(kept)
        values = [row["value"] for row in kept.rows()]
    assert len(header) == len(set(header))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    assert columns["bias"] == (False, True) and all(0 <= v < 10 for v in columns["gradient_bias"])
    assert columns["gradient_bias"] == tuple(v["gradient_bias"] for v in values)

    # a store and a specification from before
    with sqlite3.connect(store) as db:
        db.execute("UPDATE result SET value = replace(value, 'gradient_bias', 'bias')")
    with Store(store) as kept:
        assert choose.table(kept) == (header, rows) and [row["value"] for row in kept.rows()] == values
    path.write_text(path.read_text().replace('["gradient_bias"]', '["bias"]'))
    assert specs.read(path)[0].metrics == ["gradient_bias"]
