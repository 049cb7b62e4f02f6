# SPDX-License-Identifier: GPL-3.0-or-later
"""The one thread that writes: whatever has gathered since the last commit becomes the next one.

A commit that accepts something is on the disk before anyone is told (synchronous=FULL); one that only
notes what became of deliveries survives the process, and the next FULL one puts it on the disk too.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import structlog

from gateway.journal.database import in_words, is_damage, is_full, is_of_the_store
from gateway.journal.notes import Notes
from gateway.journal.retention import Room
from gateway.journal.rows import ALSO, NewMessage, Row
from gateway.journal.store import Known, Store
from gateway.journal.transactions import Op, Transactions, take_in
from gateway.model import DeliveryId, JournalError
from gateway.pace import Pace

log = structlog.get_logger()

T = TypeVar("T")

MOST_OPS: Final = 512
"""In one transaction."""
MOST_QUEUED: Final = 4096
"""Calls that may wait to be written; past it callers wait before they are queued."""
MOST_NOTED: Final = 32_768
"""Noted changes that may wait; past it they are dropped, and said so: the disk has been stuck for long."""
NOTES_WITHIN_S: Final = 0.05
"""Noted changes go with the next ones of the same deliveries, or by themselves after this."""
CHECKPOINT_COMMITS: Final = 256
"""After so many commits the log is copied into the database, as soon as nobody writes."""
IDLE_S: Final = 0.25


class Writer:
    """Owns the writing connection; every method but the private ones belongs to the event loop's thread."""

    def __init__(self, store: Store, room: Room, now_ms: Callable[[], int], damaged: Callable[[], None]) -> None:
        """`damaged` is called, on the writer's thread, when the file is found to contradict itself."""
        self.lost = 0
        """Noted changes that were dropped."""
        self.head = store.head
        """The last sequence that is committed."""
        self.pace = Pace("a commit")
        self._store = store
        self._room = room
        self._damaged = damaged
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Op | None] = SimpleQueue()
        self._slots = asyncio.Semaphore(MOST_QUEUED)
        self._noted = 0
        self._notes = Notes()
        self._now_ms = now_ms
        self._transactions = Transactions(store, room, now_ms)
        self._notes_due: asyncio.TimerHandle | None = None
        self._closed = False
        self._commits = 0
        self._again: deque[Op] = deque()
        self._thread = threading.Thread(target=self._run, name="journal writer", daemon=True)
        self._thread.start()

    async def accept(self, new: NewMessage) -> Any:
        """Write a message; return when it is on the disk."""
        answer = await self._ask(Op(new=new, durable=True))
        if not isinstance(answer, Known):
            return answer
        # What becomes of a copy is decided by where the deliveries are: a task, so that it finds what was noted.
        answer = await self.task(lambda store, room: take_in(store, new, room.full(self._now_ms())), durable=True)
        if isinstance(answer, JournalError):
            raise answer
        return answer

    async def change(self, rows: Sequence[Row]) -> None:
        """Write changes; return when they are committed."""

        def with_notes(op: Op) -> None:
            op.changes, op.noted = self._notes.into(rows)

        await self._ask(Op(), with_notes)

    async def change_and_tell(self, rows: Sequence[Row]) -> tuple[DeliveryId, ...]:
        """Write changes; return, when they are committed, the deliveries of those that were made."""
        made: tuple[DeliveryId, ...] = await self._ask(Op(changes=rows, tell=True), self._after_notes)
        return made

    async def task(self, task: Callable[[Store, Room], T], *, durable: bool = False) -> T:
        """Run something inside a transaction: it finds what was noted until now. After a rollback it may run again."""
        result: T = await self._ask(Op(task=task, durable=durable), self._after_notes)
        return result

    def note(self, rows: Sequence[Row]) -> None:
        """Write changes soon, or with the next ones of the same deliveries; nobody waits."""
        if self._closed or self._noted + len(self._notes) + len(rows) > MOST_NOTED:
            self.lost += len(rows)
            log.error("journal_notes_dropped", changes=len(rows), in_all=self.lost)
            return
        at_once = [row for row in rows if row[ALSO] is not None]
        self._hand(self._notes.hold([row for row in rows if row[ALSO] is None]))
        self._hand(self._notes.into(at_once)[0])  # what hears us may be a packet behind
        if len(self._notes) >= MOST_OPS:
            self._hand_notes()
        elif self._notes_due is None:
            self._notes_due = self._loop.call_later(NOTES_WITHIN_S, self._hand_notes)

    def _hand_notes(self) -> None:
        """Hand what was noted to the thread: together, so that it costs one transaction."""
        if self._notes_due is not None:
            self._notes_due.cancel()
            self._notes_due = None
        self._hand(self._notes.take())

    def _hand(self, rows: Sequence[Row]) -> None:
        if rows:
            self._noted += len(rows)
            self._queue.put(Op(changes=rows))

    def stop(self) -> None:
        """Write what is queued, then close the connection. Later calls raise JournalError."""
        self._closed = True
        self._hand_notes()
        self._queue.put(None)

    async def stopped(self) -> None:
        """Wait for that."""
        await asyncio.to_thread(self._thread.join)

    def _after_notes(self, _: Op) -> None:
        """Hand over what was noted before what decides by it: the thread could not take it in time by itself."""
        self._hand_notes()

    async def _ask(self, op: Op, first: Callable[[Op], None] = lambda _: None) -> Any:
        """Queue an op; return its answer. `first` is done right before, when nothing can come between any more."""
        await self._slots.acquire()
        if self._closed:
            self._slots.release()
            raise JournalError("the journal is closed")
        first(op)
        op.future = self._loop.create_future()
        self._queue.put(op)
        return await op.future

    def _told(self, batch: Sequence[Op], reasons: Sequence[str] | None) -> None:
        """Answer everyone who still waits, on the loop. `reasons`: why not, of each; empty where it went well."""
        for n, op in enumerate(batch):
            if op.future is None:
                self._noted -= len(op.changes)
                continue
            self._slots.release()
            if op.future.done():  # whoever asked was cancelled; it is written all the same
                continue
            if reasons is not None and reasons[n]:
                op.future.set_exception(JournalError(reasons[n]))
            elif isinstance(op.answer, JournalError):
                op.future.set_exception(op.answer)
            else:
                op.future.set_result(op.answer)

    # From here on: the writer's thread.

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._gather()
            if batch:
                self._write(batch)
        if self._again:
            log.error("journal_notes_dropped", changes=sum(len(op.changes) for op in self._again))
        self._store.connection.close()

    def _gather(self) -> tuple[list[Op], bool]:
        """Wait for the first, take what else is there. False: that was all, for good."""
        batch = list(self._again)
        self._again.clear()
        try:
            op = self._first(soon=bool(batch))
            while op is not None:
                batch.append(op)
                if len(batch) >= MOST_OPS:
                    return batch, True
                op = self._queue.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _first(self, *, soon: bool) -> Op | None:
        if self._commits < CHECKPOINT_COMMITS and not soon:
            return self._queue.get()
        try:
            return self._queue.get(timeout=IDLE_S)
        except Empty:
            if not soon:
                self._checkpoint()
            raise

    def _checkpoint(self) -> None:
        self._commits = 0
        with suppress(sqlite3.Error):  # it is tried again, and commits do it too when the log is long
            self._store.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _write(self, batch: list[Op]) -> None:
        self.pace.begin(time.monotonic())
        try:
            self._transactions.commit(batch)
            self._commits += 1
            self.head = self._store.head
        except Exception as error:  # noqa: BLE001 - whatever it was, everyone must be answered
            self.pace.end(time.monotonic())
            self._failed(batch, error)
        else:
            self.pace.end(time.monotonic())
            self._answer(batch, None)

    def _failed(self, batch: list[Op], error: Exception) -> None:
        self._transactions.roll_back()
        if is_damage(error):
            self._damaged()
        if is_full(error) and self._room.give_way():
            self._checkpoint()
            self._write(batch)
        elif is_of_the_store(error):
            reason = in_words(error)
            # Notes have nobody who would try again.
            self._again.extend(op for op in batch if op.future is None)
            told = [op for op in batch if op.future is not None]
            self._owe([row for op in told for row in op.noted])
            self._answer(told, [reason] * len(told))
        elif len(batch) > 1:
            for op in batch:
                self._write([op])
        else:
            log.error("journal_refused", exc_info=error)
            self._answer(batch, [f"the journal can't store this: {error}"])

    def _owe(self, noted: Sequence[Row]) -> None:
        """Write later what went with changes that couldn't be written."""
        if noted:
            with suppress(RuntimeError):  # the loop is closed: nobody counts any more
                self._loop.call_soon_threadsafe(self._count_noted, len(noted))
            self._again.append(Op(changes=noted))

    def _count_noted(self, number: int) -> None:
        self._noted += number

    def _answer(self, batch: Sequence[Op], reasons: Sequence[str] | None) -> None:
        if batch:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._told, batch, reasons)
