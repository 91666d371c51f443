"""The results: one SQLite file, written by one coordinator at a time, read by whoever likes."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from .metrics import renamed

VERSION = 2
"""Version of the tables; another one is refused."""

COLUMNS = ("key", "point", "recipe", "board", "seed", "status", "value", "error", "seconds", "finished", "settings", "versions")
PATIENCE = 30
"""Seconds to wait for another command's reading or writing."""
LOG = 2
"""Value of bytes 18 and 19 of a SQLite file with a write-ahead log, as stores once had: it cannot be read without writing."""


class StoreError(ValueError):
    """A store that cannot be used; the message names the file and the remedy."""


class Store:
    """Rows of results by their key.

    A row is a dict of ``key`` (SHA-256 of what was computed), ``point`` (the settings), ``recipe`` (its fields, None if there is none),
    ``board``, ``seed``, ``status`` (``ok``, ``failed`` or ``invalid``), ``value`` (the metrics), ``error``, ``seconds`` (its share of
    the work), ``finished`` (seconds since 1970), ``settings`` (how it was measured) and ``versions``. Each `put` is one transaction: what
    it took is there after any kill.

    Whoever opens a store for writing holds SQLite's reserved lock on it until it is closed, or its process ends in any way: others
    read meanwhile, and a second writer is refused.

    Parameters
    ----------
    path : path
        Made if it does not exist.
    reading : bool
        Only read: the file must be there, and neither it nor its folder is changed.

    Raises
    ------
    StoreError
        If it is no store, another command writes to it, or its place cannot be written.
    """

    def __init__(self, path: str | Path, reading: bool = False):
        self.path, self._copy = Path(path), contextlib.ExitStack()
        try:
            self._db = self._opened() if reading else self._taken()
        except (OSError, sqlite3.DatabaseError) as error:
            raise StoreError(f"{path}: {_remedy(error)}") from None

    def _opened(self) -> sqlite3.Connection:
        """A connection for reading; to a copy, where SQLite would have to write."""
        if not self.path.is_file():
            raise StoreError(f"{self.path}: no such store; name the .db file of a sweep, or run one first")
        with open(self.path, "rb") as file:
            head = file.read(20)
        if not head:
            raise StoreError(f"{self.path}: empty, no results yet; name the .db file of a sweep, or run one into it first")
        if LOG not in head[18:20]:
            found = _connected(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
            try:
                return self._checked(found)
            except sqlite3.OperationalError as error:  # a journal that a kill left, to be rolled back
                found.close()
                if _kind(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                    raise
        folder = Path(self._copy.enter_context(tempfile.TemporaryDirectory(prefix="crossdyad-")))
        for suffix in ("", "-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{self.path}{suffix}", folder / f"copy.db{suffix}")
        return self._checked(_connected(folder / "copy.db"))

    def _taken(self) -> sqlite3.Connection:
        """A connection for writing, with the lock and the tables."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made, found = not self.path.exists(), _connected(self.path)
        try:
            if found.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._checked(found)
            found.execute("PRAGMA busy_timeout = 0")
            found.execute("PRAGMA journal_mode = DELETE")  # one file; and the other kind fails on network file systems
            found.execute("BEGIN IMMEDIATE")
            found.execute(f"PRAGMA busy_timeout = {1000 * PATIENCE}")
            found.execute(f"CREATE TABLE IF NOT EXISTS result ({', '.join(COLUMNS)}, PRIMARY KEY (key))")
            found.execute("CREATE TABLE IF NOT EXISTS spec (name PRIMARY KEY, text, recipe, settings, started)")
            found.execute(f"PRAGMA user_version = {VERSION}")
            _commit(found)
        except BaseException:
            found.close()
            if made and self.path.exists() and not self.path.stat().st_size:
                self.path.unlink()
            raise
        return found

    def _checked(self, db: sqlite3.Connection) -> sqlite3.Connection:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not tables >= {"result", "spec"}:
            raise StoreError(f"{self.path}: a database of something else; name the .db file of a sweep, or a new one")
        if version != VERSION:
            raise StoreError(
                f"{self.path}: a store of version {version}, this is version {VERSION}; name another file, "
                "or use the crossdyad that made it"
            )
        return db

    def put(self, rows: Iterable[dict]) -> None:
        """Add rows, or replace those of the same keys, all or none."""
        values = [tuple(json.dumps(row[c], sort_keys=True) if isinstance(row[c], dict) else row[c] for c in COLUMNS) for row in rows]
        self._write(f"INSERT OR REPLACE INTO result VALUES ({', '.join('?' * len(COLUMNS))})", values)

    def _write(self, command: str, values) -> None:
        try:
            self._db.executemany(command, values)
            _commit(self._db)
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):  # what is there already stays, and so does the lock
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._db.execute("BEGIN IMMEDIATE")
            if not isinstance(error, sqlite3.DatabaseError):
                raise
            raise StoreError(f"{self.path}: {_remedy(error)}; then run the same command again: what is there is kept") from None

    def remember(self, name: str, text: str, recipe: str, settings: dict) -> None:
        """Keep the text of a specification, its base recipe and how its points are measured beside the results."""
        self._write("INSERT OR REPLACE INTO spec VALUES (?, ?, ?, ?, ?)", [(name, text, recipe, json.dumps(settings), time.time())])

    def spec(self) -> tuple[str, str, str, dict]:
        """Name, text, base recipe and settings of the specification that was run last."""
        found = self._db.execute("SELECT name, text, recipe, settings FROM spec ORDER BY started DESC").fetchone()
        if found is None:
            raise StoreError(f"{self.path}: holds no specification; run a sweep with it first")
        return *found[:3], json.loads(found[3])

    def status(self) -> dict[str, str]:
        """Key to status."""
        return dict(self._db.execute("SELECT key, status FROM result"))

    def rows(self) -> list[dict]:
        """All rows, in the order of settings and seeds."""
        query = f"SELECT {', '.join(COLUMNS)} FROM result ORDER BY point, seed"
        found = [dict(zip(COLUMNS, row, strict=True)) for row in self._db.execute(query)]
        for row in found:
            for name in ("point", "recipe", "value", "settings", "versions"):
                row[name] = json.loads(row[name]) if row[name] else None
            row["value"] = row["value"] and {renamed(name): value for name, value in row["value"].items()}
        return found

    def close(self) -> None:
        """Let go of the file and the lock."""
        self._db.close()
        self._copy.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _connected(path, **options) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, **options)


def _commit(db: sqlite3.Connection) -> None:
    """End a transaction and begin the next: the lock is let go for a moment only."""
    db.execute("COMMIT")
    db.execute("BEGIN IMMEDIATE")


def _kind(error: Exception) -> int:
    """The primary code of SQLite's error, 0 of another one."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _remedy(error: Exception) -> str:
    """Say what is wrong, and what helps."""
    told = getattr(error, "strerror", None) or str(error)
    match _kind(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another sweep or search is computing into it; wait for that one to end, or name another file with --store"
        case sqlite3.SQLITE_NOTADB:
            return f"no store ({told}); name another file"
        case sqlite3.SQLITE_CORRUPT:
            return f"a damaged store ({told}); name another file, or go on from a copy of it"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return f"cannot be written ({told}); free some space"
    return f"cannot be used ({told}); name a file in a folder that you may write to, or change its permissions"
