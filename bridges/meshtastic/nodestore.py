# SPDX-License-Identifier: GPL-3.0-or-later
"""The node directory on disk: a small SQLite file that gets changes only, and that a power cut leaves whole.

A file written anew each time would be a megabyte every ten minutes, on cards that live on few writes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

FILE = "nodes.db"
VERSION = 1
"""Of what is in it: ``PRAGMA user_version``. A change of it comes with an upgrade."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH})


class DamagedError(Exception):
    """What is in the file is not what we wrote; the text says what is wrong."""


class NodeStore:
    """Calls block, each for one small transaction. OSError or sqlite3.Error: not now; DamagedError: never again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[tuple[int, str]]:
        """Return every row; none where there is no file yet."""
        if not self._path.exists():
            return []
        with self._open() as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise DamagedError(str(found))
            rows = database.execute("SELECT number, entry FROM nodes").fetchall()
        return [(number, entry) for number, entry in rows if isinstance(number, int) and isinstance(entry, str)]

    def save(self, entries: Mapping[int, str], forgotten: Collection[int]) -> None:
        """Write and delete rows, all or none; on disk when this returns."""
        with self._open() as database:
            database.executemany("DELETE FROM nodes WHERE number = ?", ((number,) for number in forgotten))
            database.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?)", entries.items())

    def set_aside(self) -> Path:
        """Move the file away, over the one that was moved away before; return where to. OSError if it can't be."""
        aside = self._path.with_name(f"{self._path.name}.damaged")
        self._path.replace(aside)
        # Of a transaction that was cut off: it belongs to the file that is gone.
        self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
        return aside

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # Where people are may be in it: nobody else's, whatever the umask.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            with closing(sqlite3.connect(self._path, timeout=2.0)) as database, database:
                database.execute("PRAGMA secure_delete = ON")  # a place not to be kept is really gone
                _prepare(database)
                yield database
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) in _DAMAGE:
                raise DamagedError(str(error)) from error
            raise


def _prepare(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in (0, VERSION):
        raise DamagedError(f"it is of version {version}, and this is {VERSION}")
    database.execute("CREATE TABLE IF NOT EXISTS nodes (number INTEGER PRIMARY KEY, entry TEXT NOT NULL)")
    if version == 0:
        database.execute(f"PRAGMA user_version = {VERSION}")
