# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the nicknames of a page are kept: read once, and written by a thread of its own.

Whoever joins waits for no disk; what a power cut takes is chosen again.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

log = structlog.get_logger()

_SCHEMA = """
CREATE TABLE IF NOT EXISTS guest (key TEXT PRIMARY KEY, nick TEXT NOT NULL, seen_s REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS guest_seen ON guest (seen_s);
CREATE TABLE IF NOT EXISTS secret (value BLOB NOT NULL);
"""
_KEEP = "INSERT INTO guest VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET nick = ?2, seen_s = ?3"

Row = tuple[str, str, float]
"""Key, nickname, and when they were seen."""


class Shelf:
    """One file. What is kept or dropped is on disk a little later, and at the latest once it is closed."""

    def __init__(self, path: Path | None) -> None:
        """Open or make it; None: in memory alone. sqlite3.Error or OSError if it can't be."""
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        if path is not None:
            path.chmod(0o600)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        self.secret = self._kept_secret()
        """Of this page, for good."""
        self._waiting: dict[str, Row | None] = {}
        self._is_writing = False
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="page names")

    def read(self) -> Sequence[Row]:
        """Return everybody; who was seen longest ago first."""
        return self._database.execute("SELECT key, nick, seen_s FROM guest ORDER BY seen_s").fetchall()

    def keep(self, row: Row) -> None:
        """Have somebody on it."""
        self._put(row[0], row)

    def drop(self, key: str) -> None:
        """Have somebody on it no longer."""
        self._put(key, None)

    def close(self) -> None:
        """Write what is still to be written, and close the file: that waits for the disk."""
        self._thread.submit(self._write)
        self._thread.shutdown()
        self._database.close()

    def _put(self, key: str, row: Row | None) -> None:
        with self._lock:
            self._waiting[key] = row
            is_idle, self._is_writing = not self._is_writing, True
        if is_idle:
            self._thread.submit(self._write)

    def _write(self) -> None:
        while waiting := self._taken():
            try:
                self._commit(waiting)
            except sqlite3.Error as error:
                # They stay in memory, and are tried again with whoever comes next.
                log.warning("page_names_not_kept", names=len(waiting), reason=str(error))
                with self._lock:
                    self._waiting, self._is_writing = waiting | self._waiting, False
                return

    def _taken(self) -> dict[str, Row | None]:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._is_writing = bool(waiting)
        return waiting

    def _commit(self, waiting: dict[str, Row | None]) -> None:
        self._database.execute("BEGIN")
        try:
            for key, row in waiting.items():
                if row is None:
                    self._database.execute("DELETE FROM guest WHERE key = ?", (key,))
                else:
                    self._database.execute(_KEEP, row)
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    def _kept_secret(self) -> bytes:
        row = self._database.execute("SELECT value FROM secret").fetchone()
        if row is None:
            row = (secrets.token_bytes(32),)
            self._database.execute("INSERT INTO secret VALUES (?)", row)
        return bytes(row[0])
