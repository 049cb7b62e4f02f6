# SPDX-License-Identifier: GPL-3.0-or-later
"""Which link is which file: a bounded table on disk."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bridges.matrix.files.attached import Attached, Cipher

MOST_FILES = 10_000
"""Links that are kept; past it the one that nobody made or used for longest goes."""
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's: nothing in it is mistaken for another when it is typed."""
ID_CHARS = 12
"""60 bits: at a thousand guesses a second, a year finds one of 10,000 files with a chance of one in 3,600."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, event TEXT NOT NULL UNIQUE, server TEXT NOT NULL, media TEXT NOT NULL,
    mimetype TEXT NOT NULL, size INTEGER NOT NULL, key BLOB, iv BLOB, sha256 BLOB,
    until_ms INTEGER NOT NULL, used INTEGER NOT NULL
)"""
_USED = "(SELECT coalesce(max(used), 0) + 1 FROM files)"


class FileTable:
    """Calls block, each for one small transaction, and may be made from any thread. Raises sqlite3.Error."""

    def __init__(self, path: Path, *, limit: int = MOST_FILES) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()

    def keep(self, file: Attached, *, until_ms: int, now_ms: int) -> str:
        """Return the id of a file's link, the same for the same event; on disk when this returns."""
        cipher = file.cipher
        with self._open() as database:
            database.execute("DELETE FROM files WHERE until_ms <= ?", (now_ms,))
            database.execute(
                f"INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {_USED})"  # noqa: S608 - our own constant
                " ON CONFLICT (event) DO NOTHING",
                (
                    "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARS)),
                    *(file.event_id, file.server, file.media_id, file.mimetype, file.size),
                    *((cipher.key, cipher.iv, cipher.sha256) if cipher else (None, None, None)),
                    until_ms,
                ),
            )
            database.execute(
                "DELETE FROM files WHERE id IN (SELECT id FROM files ORDER BY used DESC LIMIT -1 OFFSET ?)",
                (self._limit,),
            )
            (ident,) = database.execute("SELECT id FROM files WHERE event = ?", (file.event_id,)).fetchone()
        return str(ident)

    def find(self, ident: str, *, now_ms: int) -> Attached | None:
        """Return the file of a link, which counts as used; None if there is none, or no longer."""
        with self._open() as database:
            row = database.execute(
                "SELECT event, server, media, mimetype, size, key, iv, sha256 FROM files WHERE id = ? AND until_ms > ?",
                (ident, now_ms),
            ).fetchone()
            database.execute(f"UPDATE files SET used = {_USED} WHERE id = ?", (ident,))  # noqa: S608 - the same
        if row is None:
            return None
        event, server, media, mimetype, size, key, iv, sha256 = row
        return Attached(
            event_id=event,
            server=server,
            media_id=media,
            mimetype=mimetype,
            size=size,
            cipher=None if key is None else Cipher(key=key, iv=iv, sha256=sha256),
        )

    def forget(self, event_id: str) -> None:
        """Let a link be good no more: its event was taken back."""
        if self._path.exists():
            with self._open() as database:
                database.execute("DELETE FROM files WHERE event = ?", (event_id,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            # There are keys in it: nobody else's, whatever the umask.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self._path)) as database, database:
                database.execute("PRAGMA secure_delete = ON")
                database.execute(_SCHEMA)
                yield database
