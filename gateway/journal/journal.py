# SPDX-License-Identifier: GPL-3.0-or-later
"""The box's own record of what came in and what became of it: SQLite, one writing and one reading thread."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from gateway.journal import queries, reasons, relations
from gateway.journal.again import again
from gateway.journal.aging import Aging
from gateway.journal.database import is_full, open_journal, open_reader, suspect
from gateway.journal.decisions import Decisions
from gateway.journal.outage_log import OutageLog
from gateway.journal.overview import Overview
from gateway.journal.reader import Reader
from gateway.journal.records import (
    Accepted,
    Batch,
    Change,
    DeadLetter,
    DeadLetters,
    Kept,
    MessageRecord,
    Messages,
    Origin,
    Retention,
    Seen,
    Standing,
)
from gateway.journal.reserve import Reserve
from gateway.journal.retention import Room
from gateway.journal.revisions import Revisions
from gateway.journal.rows import PLACES, change_row, new_delivery, new_message
from gateway.journal.store import THERE_ALREADY, Store
from gateway.journal.upkeep import Upkeep
from gateway.journal.writer import Writer
from gateway.model import (
    Address,
    BridgeName,
    Clock,
    Delivery,
    DeliveryId,
    JournalError,
    Message,
    MessageId,
    RemoteId,
    ResumePoint,
    State,
)

log = structlog.get_logger()

SENT_AGAIN: Final = "sent again by hand"


class Journal:
    """The journal in one file. Every call raises JournalError when the disk or the file can't be used.

    What an awaited write wrote is committed when it returns; `accept`, `set_resume` and `requeue` are
    on the disk by then. A caller that is cancelled changes nothing for the others, and what it asked
    for may be written all the same. Later calls work again when the disk does.
    """

    def __init__(self, path: Path, *, clock: Clock, retention: Retention) -> None:
        self._path = path
        self._clock = clock
        self._retention = retention
        self.was_cut_off = False
        """Whether it was not closed when it was last used: what was noted last may be missing."""
        self._reserve = Reserve(path.with_name(f"{path.name}.reserve"))
        self._store: Store
        self._writer: Writer
        self._reader: Reader
        self.overview: Overview
        """What people ask that takes a longer look."""
        self.outages: OutageLog
        """What was away, when and why."""
        self.decisions: Decisions
        """What people decided in chats."""
        self.revisions: Revisions
        """What changes deliveries that have not left."""
        self.upkeep: Upkeep
        """What forgets the old, and follows a clock that was set."""

    async def __aenter__(self) -> Self:
        """Open it; a damaged file is moved aside, never deleted, and a new one begun."""
        self.was_cut_off = await asyncio.to_thread(self._path.with_name(f"{self._path.name}-wal").exists)
        self._store, reading = await asyncio.to_thread(self._open)
        opened_ms = self._clock.now_ms()
        aging = Aging(self._clock, self._store.pruned_ms)
        room = Room(self._store, self._retention, self._reserve)
        self._writer = Writer(self._store, room, aging.now_ms, partial(suspect, self._path))
        self._reader = Reader(reading)
        self.overview = Overview(self._reader, lambda: self._writer.head, self._clock.monotonic)
        self.outages = OutageLog(self._writer, self._reader, self._clock)
        self.decisions = Decisions(self._writer, self._reader)
        self.upkeep = Upkeep(self._store, self._writer, aging, self._clock, opened_ms=opened_ms)
        self.revisions = Revisions(self._writer, self._reader, self._clock, lambda: self.upkeep.era)
        return self

    def _open(self) -> tuple[Store, sqlite3.Connection]:
        connection = self._connect()
        try:
            store = Store(connection)
            store.reload()
            return store, open_reader(self._path)
        except BaseException:
            connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        try:
            return open_journal(self._path, self._clock.now_ms)
        except JournalError as error:
            if not (is_full(error.__cause__) and self._reserve.release()):
                raise
            return open_journal(self._path, self._clock.now_ms)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Write what is queued, noted changes too, and close."""
        self._reader.stop()
        self._writer.stop()
        await self._reader.stopped()
        await self._writer.stopped()

    @property
    def source(self) -> str:
        """This journal's name in the queue: 32 hexadecimal digits, kept in the file."""
        return self._store.source

    async def renew_source(self) -> str:
        """Take a new name: this file went back in time, and the queue knows more of the old name than it does."""
        return await self._writer.task(lambda store, _: store.renew_source(), durable=True)

    @property
    def lost(self) -> int:
        """How many noted changes were dropped since it was opened: the disk was stuck for long."""
        return self._writer.lost

    def slow(self) -> str:
        """Return in words why what is written takes long; empty while it doesn't."""
        return self._writer.pace.slow(time.monotonic())

    async def head(self) -> int:
        """Return the last sequence that was given out."""
        return self._writer.head

    # What comes in.

    async def accept(
        self, message: Message, deliveries: Sequence[Delivery], ended: Sequence[tuple[Delivery, State, str]] = ()
    ) -> Accepted | Seen:
        """Store a message, its resume point, its deliveries and those that end before they begin, in one transaction.

        A known id, or one under which a known message was sent (`Change.also`), adds nothing but its resume
        point and where else it came from: what was waiting or queued to go there is cancelled.
        """
        if len(deliveries) + len(ended) > PLACES:
            raise JournalError(f"a message may have {PLACES} deliveries, this one has {len(deliveries) + len(ended)}")
        new = new_message(message, deliveries, ended, self._clock.now_ms(), self.upkeep.era)
        answer: Accepted | Seen = await self._writer.accept(new)
        return answer

    async def set_resume(self, bridge: BridgeName, point: ResumePoint) -> None:
        """Store where a source goes on."""
        await self._writer.task(lambda store, _: store.set_resume({bridge: point}), durable=True)

    async def resume_point(self, bridge: BridgeName) -> ResumePoint | None:
        """Return where a source goes on; None at its very beginning."""
        return await self._reader.ask(lambda connection: queries.resume_point(connection, bridge))

    # What becomes of it.

    async def record(self, changes: Sequence[Change]) -> None:
        """Store changes in their order.

        Unknown ids are ignored; HEARD and DELIVERED never become SENT or HEARD; `only_from` may ask for more.
        """
        if changes:
            await self._writer.change([change_row(change) for change in changes])

    async def apply(self, changes: Sequence[Change]) -> tuple[DeliveryId, ...]:
        """Store changes as `record` does; return the ids of those that were made, in their order."""
        return await self._writer.change_and_tell([change_row(change) for change in changes]) if changes else ()

    def note(self, changes: Sequence[Change]) -> None:
        """Store changes soon, before whatever is recorded of the same deliveries after this.

        What is accepted or asked for by a task finds them stored: a copy that comes in, a `requeue`.
        """
        if changes:
            self._writer.note([change_row(change) for change in changes])

    async def requeue(
        self, deliveries: Sequence[Delivery], *, only_from: frozenset[State], fresh_key: bool = True
    ) -> tuple[DeliveryId, ...]:
        """Let `pending` find these once more, as they are now, at its end: WAITING, and under a fresh key.

        Only those in one of these states, and, under their first key, those their message didn't have; the others
        stay as they are. Return the ones it finds. `fresh_key` False: under the key they had.
        """
        now_ms = self._clock.now_ms()
        news = [(one.message.id, new_delivery(one, State.WAITING, SENT_AGAIN, now_ms)) for one in deliveries]
        if not news:
            return ()
        return await self._writer.task(
            lambda store, _: again(store, news, only_from, fresh_key=fresh_key), durable=True
        )

    async def end_what_came_in(self, deliveries: Sequence[Delivery]) -> None:
        """Cancel those that still wait though their message was received at the very address they are bound for."""
        if deliveries:
            there = await self._reader.ask(lambda connection: queries.came_in(connection, deliveries))
            end = partial(Change, state=State.CANCELLED, reason=THERE_ALREADY, only_from=State.WAITING)
            await self.record([end(id=ident, at_ms=self._clock.now_ms()) for ident in there])

    # What still has to leave.

    async def pending(self, destination: BridgeName, *, after: int, limit: int, last: int | None = None) -> Batch:
        """Return what waits for a bridge after a sequence, in order; never some parts of a message only.

        About `limit` deliveries, none beyond `last`. `upto` is the sequence everything is covered to: the head,
        or `last`, if that was all.
        """
        head = self._writer.head if last is None else min(last, self._writer.head)
        waiting = await self._reader.ask(
            lambda connection: queries.pending(connection, destination, after, limit, head)
        )
        if waiting.unreadable:
            log.error("journal_unreadable_deliveries", destination=destination, count=len(waiting.unreadable))
            reason = "what it says can't be read any more"
            now_ms = self._clock.now_ms()
            self.note(
                [Change(id=ident, state=State.FAILED, reason=reason, at_ms=now_ms) for ident in waiting.unreadable]
            )
        upto = max(after, waiting.upto)
        return Batch(upto=upto, deliveries=waiting.deliveries, generations=waiting.generations)

    async def standings(self, ids: Sequence[DeliveryId]) -> dict[DeliveryId, Standing]:
        """Return where these deliveries are; unknown ones are left out."""
        return await self._reader.ask(lambda connection: queries.standings(connection, ids))

    async def reasons(self, ids: Sequence[DeliveryId]) -> dict[DeliveryId, str]:
        """Return why these deliveries are where they are, in words; those of which none was written are left out."""
        return await self._reader.ask(lambda connection: reasons.reasons(connection, ids))

    async def unanswered(
        self, bridge: BridgeName, is_direct: Callable[[str], bool], *, span: tuple[int, int], limit: int
    ) -> dict[DeliveryId, int]:
        """Return what was sent to one person and is neither delivered nor failed, with the time of its last change.

        `span`: only what changed last before its beginning, or after its end (the clock was set back since).
        """
        places = await self._reader.ask(lambda connection: queries.places(connection, bridge))
        direct = [place for place in places if is_direct(place)]
        if not direct:
            return {}
        return await self._reader.ask(lambda c: queries.unanswered(c, bridge, direct, span, limit))

    # Who is called what where.

    async def counterpart(self, at: Address, remote_id: RemoteId, to: Address) -> RemoteId | None:
        """Return what the message known as `remote_id` at one address is called at another: its first part."""
        return await self._reader.ask(lambda connection: queries.counterpart(connection, at, remote_id, to))

    async def find(self, at: Address, remote_id: RemoteId) -> Origin | None:
        """Return where the message known as `remote_id` at this address came from."""
        return await self._reader.ask(lambda connection: relations.find(connection, at, remote_id))

    async def last_chat(self, person: Address, chats: Sequence[Address]) -> Address | None:
        """Return in which of these chats somebody was spoken with last; what only waits for them doesn't count."""
        return await self._reader.ask(lambda connection: relations.last_chat(connection, person, chats))

    # For people.

    async def message(self, id: MessageId) -> MessageRecord | None:
        """Return a message and what became of it."""
        return await self._reader.ask(lambda connection: queries.message(connection, id))

    async def messages_of(self, ids: Sequence[DeliveryId]) -> tuple[MessageRecord, ...]:
        """Return the messages of these deliveries, each once, in ascending order; unknown ones are left out."""
        return await self._reader.ask(lambda connection: queries.messages_of(connection, ids))

    async def messages(
        self, *, after: int = 0, address: Address | None = None, limit: int = 100, latest: bool = False
    ) -> tuple[MessageRecord, ...]:
        """Return messages in ascending order: the first after a sequence, or with `latest` the last of all.

        `address`: only those that came from there or were bound for there.
        """
        which = Messages(address=address)
        found = await self.overview.messages(which, after=None if latest else after, limit=limit)
        return found.messages

    async def failed(self, *, limit: int, after: int = 0) -> tuple[DeadLetter, ...]:
        """Return dead letters of messages after a sequence, in order; never some of a message only."""
        return (await self.overview.letters(DeadLetters(), after=after, limit=limit)).letters

    async def delivery(self, id: DeliveryId) -> Kept | None:
        """Return one delivery with its message, as it would be sent again."""
        return await self._reader.ask(lambda connection: queries.delivery(connection, id))

    async def tally(self) -> dict[tuple[BridgeName, State], int]:
        """Return how many deliveries are in which state."""
        return await self._reader.ask(queries.tally)

    async def oldest_pending(self) -> dict[BridgeName, int]:
        """Return when the oldest message that still has to go to a bridge was received."""
        return await self._reader.ask(queries.oldest_pending)

    # For who goes on where a run ended.

    async def remember(self, name: str, what: str) -> None:
        """Keep a short text; empty: forget it."""
        await self._writer.task(lambda store, _: store.set_meta(f"note:{name}", what))

    async def recalled(self, name: str) -> str:
        """Return the text kept under this name; empty if there is none."""
        ask = "SELECT value FROM meta WHERE name = ?"
        row = await self._reader.ask(lambda connection: connection.execute(ask, (f"note:{name}",)).fetchone())
        return row[0] if row else ""
