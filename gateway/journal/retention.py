# SPDX-License-Identifier: GPL-3.0-or-later
"""What is forgotten, and when the journal is full. In slices, so that no accept waits long for it."""

from __future__ import annotations

import json
from typing import Any, Final

from gateway.journal import decisions, outages
from gateway.journal.records import Retention
from gateway.journal.reserve import Reserve
from gateway.journal.rows import shifted
from gateway.journal.store import Store
from gateway.model import NEVER_SET_MS

SLICE: Final = 64
"""Messages looked at in one step."""
SHIFT_SLICE: Final = 512
HARD: Final = 2
"""Times what is allowed: past it nothing is accepted."""
DISK_FULL: Final = "the journal's disk is full: nothing is accepted until there is room, what was accepted goes on"
SIZE_EVERY: Final = 64
"""Batches between two looks at the file's size."""

_HELD = """EXISTS (SELECT 1 FROM delivery d WHERE d.no BETWEEN m.seq << 12 AND (m.seq << 12) + 4095
    AND (d.state IN ('waiting', 'queued', 'sending') OR (d.state = 'failed' AND d.changed_ms > ?)))"""
_BY_AGE = f"""SELECT m.seq, m.received_ms, {_HELD} FROM message m
    WHERE (m.received_ms, m.seq) > (?, ?) AND m.received_ms <= ?
    ORDER BY m.received_ms, m.seq LIMIT {SLICE}"""  # noqa: S608 - constants
_BY_ORDER = f"""SELECT m.seq, m.received_ms, {_HELD} FROM message m
    WHERE m.seq > ? ORDER BY m.seq LIMIT {SLICE}"""  # noqa: S608 - constants
_FORGET = (
    "DELETE FROM counterpart WHERE seq IN (SELECT value FROM json_each(?))",
    "DELETE FROM alias WHERE seq IN (SELECT value FROM json_each(?))",
    "DELETE FROM edit WHERE seq IN (SELECT value FROM json_each(?))",
    """DELETE FROM delivery WHERE no IN (SELECT d.no FROM json_each(?) j CROSS JOIN delivery d
        ON d.no BETWEEN j.value << 12 AND (j.value << 12) + 4095)""",
    "DELETE FROM message WHERE seq IN (SELECT value FROM json_each(?))",
)

# Received since the file was opened, or in an earlier run of a box whose clock was never set.
_OURS = "(m.seq > :first OR m.received_ms < :never_set)"
_SHIFT_EXPIRES = f"""UPDATE delivery SET expires_ms = expires_ms + :delta FROM message m WHERE m.seq = no >> 12
    AND expires_ms IS NOT NULL AND no >= (:after + 1) << 12 AND no < (:upto + 1) << 12 AND {_OURS}"""  # noqa: S608
_SHIFT_RECEIVED = f"""UPDATE message AS m SET received_ms = received_ms + :delta
    WHERE m.seq > :after AND m.seq <= :upto AND {_OURS}"""  # noqa: S608

Place = tuple[int, int]
"""Where the next slice by age begins: received_ms and seq."""


class Room:
    """Keeps the journal within its retention. Works inside the writer's transaction, as `Store` does."""

    def __init__(self, store: Store, retention: Retention, reserve: Reserve) -> None:
        self._store = store
        self._retention = retention
        self._reserve = reserve
        self._cursor = 0
        self._until_size = 0
        self._size_bytes = 0

    def is_short(self) -> bool:
        """Whether room must be made before anything may be added."""
        self._until_size -= 1
        if self._until_size <= 0:
            self._look_at_size()
        return self._over(HARD) or not self._reserve.hold()

    def full(self, now_ms: int) -> str:
        """Return why nothing may be added, after trying to make room; empty if it may be."""
        if not self.is_short():
            return ""
        if not self._reserve.hold():
            return DISK_FULL
        for _ in range(4):
            self._cursor = self.forget_beyond(self._cursor, now_ms) or 0
            if not self._over(HARD):
                return ""
        return f"journal is full: {self._store.rows} messages, and the oldest are still to be sent or dead letters"

    def give_way(self) -> bool:
        """The disk is full: give what is kept for this to what must be written now. False if it is given already."""
        return self._reserve.release()

    def forget_old(self, place: Place | None, now_ms: int) -> Place | None:
        """Forget a slice of what is over its age; return where to go on, None at the end."""
        received_ms, seq = place or (-(1 << 62), 0)
        cutoff_ms = now_ms - self._retention.age_s * 1000
        found = self._store.connection.execute(_BY_AGE, (cutoff_ms, received_ms, seq, cutoff_ms)).fetchall()
        self._forget([seq for seq, _, held in found if not held])
        return (found[-1][1], found[-1][0]) if len(found) == SLICE else None

    def forget_beyond(self, after: int, now_ms: int) -> int | None:
        """Forget from the oldest on while there is too much; return where to go on, None at the end."""
        self._look_at_size()
        if not self._over(1):
            return None
        cutoff_ms = now_ms - self._retention.age_s * 1000
        young_ms = now_ms - self._retention.min_age_s * 1000
        hard = self._over(HARD)
        found = self._store.connection.execute(_BY_ORDER, (cutoff_ms, after)).fetchall()
        old = [(seq, held) for seq, received_ms, held in found if hard or received_ms <= young_ms]
        beyond = SLICE if self._size_bytes > self._retention.size_bytes else self._store.rows - self._retention.rows
        self._forget([seq for seq, held in old if not held][:beyond])
        return found[-1][0] if old and len(found) == SLICE else None

    def _over(self, times: int) -> bool:
        limit = self._retention
        return self._store.rows > times * limit.rows or self._size_bytes > times * limit.size_bytes

    def _look_at_size(self) -> None:
        self._until_size = SIZE_EVERY
        pages, free, page_bytes = (self._pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        self._size_bytes = (pages - free) * page_bytes

    def _pragma(self, name: str) -> int:
        (value,) = self._store.connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    def _forget(self, seqs: list[int]) -> None:
        if not seqs:
            return
        self._store.set_meta("head", self._store.head)
        for statement in _FORGET:
            self._store.connection.execute(statement, (json.dumps(seqs),))
        self._store.rows -= len(seqs)


class Shift:
    """Moves what this opening wrote after the wall clock was set, slice by slice."""

    def __init__(self, store: Store, *, first: int, opened_ms: int, now_ms: int, delta_ms: int, era: int) -> None:
        """`first`: the head when the file was opened; `opened_ms`: when, and `now_ms`: now, by the clock as it was.

        `era`: what is of this one or a later one has the new time already.
        """
        self._store = store
        self._first = first
        self._opened_ms = opened_ms
        self._now_ms = now_ms
        self._delta_ms = delta_ms
        self._era = era
        self._after = 0

    def step(self) -> int | None:
        """Move a slice of messages and their deliveries; return up to where, None at the end. Then `go_on`."""
        after, last = self._after, self._store.last_before(self._era)
        upto = min(last, after + SHIFT_SLICE)
        span = {"delta": self._delta_ms, "after": after, "upto": upto, "first": self._first, "never_set": NEVER_SET_MS}
        connection = self._store.connection
        if not after:
            outages.shift(self._store, self._delta_ms)
            decisions.shift(connection, self._delta_ms, first_ms=self._opened_ms, last_ms=self._now_ms)
        connection.execute(_SHIFT_EXPIRES, span)
        connection.execute(_SHIFT_RECEIVED, span)
        changed = connection.execute(
            "SELECT no, history FROM delivery WHERE no >= (:after + 1) << 12 AND no < (:upto + 1) << 12"
            " AND opening = :opening",
            {"after": after, "upto": upto, "opening": self._store.opening},
        ).fetchall()
        connection.executemany(
            "UPDATE delivery SET changed_ms = changed_ms + ?, history = ? WHERE no = ?",
            [self._moved(no, lines) for no, lines in changed],
        )
        return upto if upto < last else None

    def go_on(self, after: int) -> None:
        """That slice is committed."""
        self._after = after

    def _moved(self, no: int, lines: str) -> tuple[Any, ...]:
        return self._delta_ms, shifted(lines, self._opened_ms, self._delta_ms), no
