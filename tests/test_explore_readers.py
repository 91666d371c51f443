"""Commands that read a store change no file, and results are whole or not there."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sweeps import content
from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.explore import choose, report
from crossdyad.explore.store import Store, StoreError

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
    if kind == "another database":  # who writes does not take it for a store either
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
        code = {
            "with a log": "db.execute('PRAGMA journal_mode=WAL'); db.execute('UPDATE result SET seconds = 7')",
            "half-written": "db.execute('PRAGMA cache_size = 1'); db.execute('BEGIN'); db.execute('DELETE FROM result')",
        }[made]
        subprocess.run(
            [
                sys.executable,
                "-c",
                f"import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);{code}; os._exit(0)",
                str(own),
            ],
            check=True,
        )
        files = [own, *(p for p in tmp_path.iterdir() if p != own and not p.name.endswith("-shm"))]
        assert len(files) == 2
    with Store(frozen(*files), reading=True) as kept:
        assert content(kept) == expected and choose.pick(kept, {}).recipe == picked.recipe and report.page(kept) == page
        assert choose.table(kept) == table if made != "with a log" else {row["seconds"] for row in kept.rows()} == {7}
