# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that can't be decrypted yet, on disk as they came, until their key does. Nothing readable is kept."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridges.matrix.crypto.errors import StoreFailed
from bridges.matrix.plain import scrub
from bridges.matrix.wire import mapping, read_json, text
from gateway.model import NEVER_SET_MS

MAX_PARKED = 1_000
"""Past it the sender with the most loses their oldest: a flood is its sender's alone."""
MAX_AGE_MS = 7 * 86_400_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS parked (
  event_id TEXT PRIMARY KEY, room_id TEXT NOT NULL, sender TEXT NOT NULL, session_id TEXT NOT NULL,
  received_ms INTEGER NOT NULL, was_closed INTEGER NOT NULL, told INTEGER NOT NULL DEFAULT 0, event TEXT NOT NULL
) STRICT
"""
_OLDEST_OF_MOST = """
DELETE FROM parked WHERE rowid = (
  SELECT rowid FROM parked WHERE sender =
    (SELECT sender FROM parked GROUP BY sender ORDER BY count(*) DESC, sender LIMIT 1)
  ORDER BY received_ms, rowid LIMIT 1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """One event, and when it came."""

    room_id: str
    received_ms: int
    was_closed: bool
    """Whether nothing was to be carried from the room then."""
    event: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """Events of one sender in one room that nobody was told of."""

    room_id: str
    sender: str
    number: int


class Parking:
    """See the module. `lost` is called once for each event that is given up."""

    def __init__(self, file: Path, lost: Callable[[], None]) -> None:
        self._file = file
        self._lost = lost
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file if it isn't open, made anew where it can't be read. StoreFailed, OSError."""
        if self._database is not None:
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._connect()
        except sqlite3.OperationalError as error:
            raise StoreFailed(f"{self._file.name} can't be opened: {error}") from error
        except sqlite3.DatabaseError:
            self._file.replace(self._file.with_suffix(".unreadable"))
            self._lost()
            self._connect()

    def close(self) -> None:
        """Close the file."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def park(self, event: Mapping[str, Any], room_id: str, now_ms: int, *, is_closed: bool = False) -> bool:
        """Keep the event; False if it is kept already. On disk when this returns.

        Raises StoreFailed, as all here do; RecursionError for what is nested too deep.
        """
        event_id, sender = text(event.get("event_id")), text(event.get("sender"))
        session_id = scrub(text(mapping(event.get("content")).get("session_id")))
        row = (event_id, room_id, sender, session_id, now_ms, is_closed, json.dumps(event))
        with self._step() as database:
            added = database.execute(
                "INSERT OR IGNORE INTO parked (event_id, room_id, sender, session_id, received_ms, was_closed, event)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            ).rowcount
            (number,) = database.execute("SELECT count(*) FROM parked").fetchone()
            for _ in range(max(0, number - MAX_PARKED)):
                database.execute(_OLDEST_OF_MOST)
                self._lost()
        return added > 0

    def waiting(self, sessions: Collection[str] | None, senders: Collection[str] = ()) -> list[Parked]:
        """Return what may be readable now that keys or devices became known, oldest first; None: all."""
        query = (
            "SELECT room_id, received_ms, was_closed, event FROM parked WHERE ?1 IS NULL"
            " OR session_id IN (SELECT value FROM json_each(?1))"
            " OR sender IN (SELECT value FROM json_each(?2)) ORDER BY received_ms, rowid"
        )
        keys = None if sessions is None else json.dumps(list(sessions))
        with self._step() as database:
            rows = database.execute(query, (keys, json.dumps(list(senders)))).fetchall()
        return [
            Parked(room_id=room, received_ms=ms, was_closed=bool(closed), event=mapping(read_json(event.encode())))
            for room, ms, closed, event in rows
        ]

    def withdraw(self, event_id: str, room_id: str) -> bool:
        """Forget an event that was taken back in its room; whether it was kept."""
        with self._step() as database:
            query = "DELETE FROM parked WHERE event_id = ? AND room_id = ?"
            return database.execute(query, (event_id, room_id)).rowcount > 0

    def remove(self, event_ids: Sequence[str]) -> None:
        """Forget these: they were taken."""
        if event_ids:
            with self._step() as database:
                database.executemany("DELETE FROM parked WHERE event_id = ?", [(event_id,) for event_id in event_ids])

    def expire(self, now_ms: int) -> None:
        """Give up what is older than `MAX_AGE_MS`; what came before the clock was set counts from now."""
        if now_ms < NEVER_SET_MS:
            return
        with self._step() as database:
            database.execute("UPDATE parked SET received_ms = ? WHERE received_ms < ?", (now_ms, NEVER_SET_MS))
            gone = database.execute("DELETE FROM parked WHERE received_ms < ?", (now_ms - MAX_AGE_MS,)).rowcount
        for _ in range(gone):
            self._lost()

    def overdue(self, before_ms: int) -> list[Overdue]:
        """Return of whom something waits since then that nobody was told of."""
        query = (
            "SELECT room_id, sender, count(*) FROM parked WHERE told = 0 AND received_ms <= ?"
            " GROUP BY room_id, sender ORDER BY min(received_ms)"
        )
        with self._step() as database:
            rows = database.execute(query, (before_ms,)).fetchall()
        return [Overdue(room_id=room, sender=sender, number=number) for room, sender, number in rows]

    def told(self, overdue: Overdue, before_ms: int) -> None:
        """Note that the room was told."""
        with self._step() as database:
            database.execute(
                "UPDATE parked SET told = 1 WHERE room_id = ? AND sender = ? AND received_ms <= ?",
                (overdue.room_id, overdue.sender, before_ms),
            )

    def count(self) -> int:
        """Return how many wait, as far as the file can be read."""
        try:
            with self._step() as database:
                return int(database.execute("SELECT count(*) FROM parked").fetchone()[0])
        except StoreFailed:
            return 0

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        if self._database is None:
            raise StoreFailed(f"{self._file.name} isn't open")
        try:
            with self._database:
                yield self._database
        except sqlite3.Error as error:
            raise StoreFailed(f"{self._file.name} can't be written: {error}") from error

    def _connect(self) -> None:
        os.close(os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600))
        self._database = sqlite3.connect(self._file)
        self._database.execute("PRAGMA synchronous = FULL")
        with self._database:
            self._database.execute(_SCHEMA)
