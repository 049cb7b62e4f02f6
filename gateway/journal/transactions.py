# SPDX-License-Identifier: GPL-3.0-or-later
"""What the writer has gathered becomes one transaction. All of it runs on the writer's thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.journal.records import Accepted, Seen
from gateway.journal.retention import Room
from gateway.journal.rows import NewMessage, Row
from gateway.journal.store import Known, Store, applied_of
from gateway.model import JournalError

Future = asyncio.Future[Any]


@dataclass(slots=True, kw_only=True)
class Op:
    """One call, and who waits for it: nobody for a note."""

    future: Future | None = None
    new: NewMessage | None = None
    changes: Sequence[Row] = ()
    noted: Sequence[Row] = ()
    """What is in these changes besides what was asked for: who asked won't ask for it again."""
    task: Callable[[Store, Room], Any] | None = None
    durable: bool = False
    tell: bool = False
    """Whether who waits wants to know which changes were made."""
    answer: Any = None


class Transactions:
    """Writes batches, one transaction each: it is written whole, or `commit` raises and `roll_back` follows."""

    def __init__(self, store: Store, room: Room, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._room = room
        self._now_ms = now_ms
        self._stale = False
        self._full_sync = True

    def commit(self, batch: list[Op]) -> None:
        """Write a batch. Of a message that is known, nothing: its answer says what it is."""
        if self._stale:
            self._store.reload()
            self._stale = False
        connection = self._store.connection
        full_sync = any(op.durable for op in batch)
        if full_sync != self._full_sync:
            connection.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
            self._full_sync = full_sync
        changes = [row for op in batch for row in op.changes]
        if not self._at_once(batch, changes):
            connection.execute("BEGIN IMMEDIATE")
            self._apply(batch, changes)
            connection.execute("COMMIT")

    def _at_once(self, batch: Sequence[Op], changes: Sequence[Row]) -> bool:
        """Write a batch as one statement, if that is all it takes: it gives the interpreter's lock away but once.

        So it is with whatever comes in for the first time, and what becomes of it.
        """
        if any(op.task is not None or op.tell for op in batch):
            return False
        accepts = [(op, op.new) for op in batch if op.new is not None]
        if accepts and self._room.is_short():
            return False
        answers = self._store.write_at_once([new for _, new in accepts], changes)
        if answers is None:
            return False
        for (op, _), answer in zip(accepts, answers, strict=True):
            op.answer = answer
        return True

    def _apply(self, batch: list[Op], changes: Sequence[Row]) -> None:
        """New messages first, then changes in the order they came: a change is never before its delivery.

        Before both, what is sent under another id: the message that has it may be among the new ones.
        """
        self._store.alias(changes)
        accepts = [(op, op.new) for op in batch if op.new is not None]
        if accepts:
            full = self._room.full(self._now_ms())
            for (op, _), answer in zip(accepts, self._store.accept([new for _, new in accepts], full), strict=True):
                op.answer = answer
        self._change(batch, changes)
        self._store.write()
        for op in batch:
            if op.task is not None:
                op.answer = op.task(self._store, self._room)

    def _change(self, batch: Sequence[Op], changes: Sequence[Row]) -> None:
        asked = [op for op in batch if op.tell]
        if not asked:
            self._store.change(changes)
            return
        applied = self._store.change_and_tell(changes)
        for op in asked:
            op.answer = applied_of(op.changes, applied)

    def roll_back(self) -> None:
        """Undo what a commit that raised has done; the store is read anew before the next."""
        self._stale = True
        with suppress(sqlite3.Error):
            if self._store.connection.in_transaction:
                self._store.connection.execute("ROLLBACK")


def take_in(store: Store, new: NewMessage, full: str) -> Accepted | JournalError | Seen:
    """Add one message, or note of a known one where else it came from. `full`: why none may be added."""
    (answer,) = store.accept([new], full)
    store.write()  # whatever follows asks for its rows
    return store.seen(new, answer) if isinstance(answer, Known) else answer
