"""The results: one SQLite file, written by the coordinator alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path

VERSION = 2
"""Of the tables; another one is refused."""

COLUMNS = ("key", "point", "recipe", "board", "seed", "status", "value", "error", "seconds", "finished", "settings",
           "versions")


class StoreError(ValueError):
    """A store that cannot be used; the message names the file and the remedy."""


class Store:
    """Rows of results by their key.

    A row is a dict of ``key`` (SHA-256 of what was computed), ``point`` (the settings), ``recipe`` (its fields, None if there is none),
    ``board``, ``seed``, ``status`` (``ok``, ``failed`` or ``invalid``), ``value`` (the metrics), ``error``, ``seconds`` (its share of
    the work), ``finished`` (seconds since 1970), ``settings`` (how it was measured) and ``versions``. Each `put` is one transaction: what
    it took is there after any kill.

    Parameters
    ----------
    path : path
        Made if it does not exist.
    must_exist : bool
        Refuse to make it.
    """

    def __init__(self, path: str | Path, must_exist: bool = False):
        self.path = Path(path)
        if must_exist and not self.path.is_file():
            raise StoreError(f"{path}: no such store; name the .db file of a sweep, or run one first")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and found != VERSION:
                raise StoreError(f"{path}: a store of version {found}, this is version {VERSION}; name another file, "
                                 "or use the crossdyad that made it")
            with self._db:
                self._db.execute(f"CREATE TABLE IF NOT EXISTS result ({', '.join(COLUMNS)}, PRIMARY KEY (key))")
                self._db.execute("CREATE TABLE IF NOT EXISTS spec (name PRIMARY KEY, text, recipe, settings, started)")
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        except (OSError, sqlite3.DatabaseError) as error:
            remedy = "free some space" if "full" in str(error) else "name another file, or delete it if it is none"
            raise StoreError(f"{path}: cannot be used as a store ({error}); {remedy}") from None

    def put(self, rows) -> None:
        """Add rows, or replace those of the same keys, all or none."""
        values = [tuple(json.dumps(row[c], sort_keys=True) if isinstance(row[c], dict) else row[c] for c in COLUMNS) for row in rows]
        self._write(f"INSERT OR REPLACE INTO result VALUES ({', '.join('?' * len(COLUMNS))})", values)

    def _write(self, command: str, values) -> None:
        try:
            with self._db:
                self._db.executemany(command, values)
        except sqlite3.OperationalError as error:
            remedy = "another command is writing to it; wait for that one" if "locked" in str(error) else "free some space"
            raise StoreError(f"{self.path}: cannot be written ({error}); {remedy} and run the same command again: "
                             "what is there is kept") from None

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
        return found

    def close(self) -> None:
        """Fold the write-ahead log into the one file, and let go of it."""
        with contextlib.suppress(sqlite3.OperationalError):             # a full disk: the log stays beside the file, nothing is lost
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
