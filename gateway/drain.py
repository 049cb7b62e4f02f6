# SPDX-License-Identifier: GPL-3.0-or-later
"""Hop 3: what is journalled for one destination moves into its queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from gateway.fresh import Fresh
from gateway.journal import Batch, Change, Journal
from gateway.lookahead import LookAhead
from gateway.model import PENDING, BridgeName, Clock, Delivery, DeliveryId, JournalError, Lane, OutboxError, State
from gateway.outbox.outbox import Full, Gap, Outbox, Stored
from gateway.steps import of_this_time

log = structlog.get_logger()

BATCH = 256
MOST_HANDED = 2048
"""Messages a drain may be told of ahead; one that is further behind reads the journal."""
CHECK_EVERY_S = 5.0
"""How often an idle drain asks whether the queue still knows what it was given."""
AGAIN_S = (0.1, 2.0)
"""First and longest pause while the queue or the journal is away."""
CUT_OFF = "the box was cut off before it noted what became of it: it may have been sent"


class Handed:
    """What was journalled lately, without a gap, so that a drain that keeps up reads nothing back."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, Sequence[Delivery]]] = deque()

    def add(self, seq: int, deliveries: Sequence[Delivery]) -> None:
        """Add what comes next; after a gap, or past the limit, only what follows counts."""
        if self._entries and (seq != self._entries[-1][0] + 1 or len(self._entries) >= MOST_HANDED):
            self._entries.clear()
        self._entries.append((seq, deliveries))

    def take(self, cursor: int, limit: int) -> Batch | None:
        """Return what directly follows `cursor`, about `limit` deliveries; None: look into the journal."""
        while self._entries and self._entries[0][0] <= cursor:
            self._entries.popleft()
        if not self._entries or self._entries[0][0] != cursor + 1:
            return None
        taken: list[Delivery] = []
        upto = cursor
        while self._entries and len(taken) < limit:
            upto, deliveries = self._entries.popleft()
            taken += deliveries
        return Batch(upto=upto, deliveries=tuple(taken))


class Drain:
    """Moves one destination's deliveries from the journal into the queue, exactly once and in order."""

    def __init__(
        self,
        destination: BridgeName,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        *,
        ready: Callable[[], None],
        fresh: Fresh | None = None,
        urgent: Callable[[], None] = lambda: None,
        was_cut_off: bool = False,
    ) -> None:
        """`ready` is called when something was queued; `fresh` is told what nobody can know of yet.

        `urgent` is called when an emergency was queued. `was_cut_off`: the last run ended without closing the
        journal, and no other box can say what became of what it queued.
        """
        self.destination = destination
        self.trouble = ""
        """Why nothing is moving, in words; empty while it moves."""
        self.refused: OutboxError | None = None
        """What the queue's server answered when it was last given something, or asked; None: it took it."""
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._ready = ready
        self._fresh = fresh or Fresh()
        self._urgent = urgent
        self._was_cut_off = was_cut_off
        self._ahead = LookAhead(destination, journal, outbox, clock, urgent=urgent)
        self._woken = asyncio.Event()
        self._cursor: int | None = None
        self._limit = BATCH
        self._refill = False
        self._handed = Handed()
        self._news_are_old = False
        """Whether what is on its way to the queue may have been changed since it was handed over."""
        self.lock = asyncio.Lock()
        """Held while a batch moves; whoever moves the time of everything takes it."""

    @property
    def upto(self) -> int:
        """Up to which sequence everything is in the queue."""
        return self._cursor or 0

    def hand_over(self, seq: int, deliveries: Sequence[Delivery]) -> None:
        """Learn what was journalled under this sequence: it need not be read back if nothing is missing."""
        mine = [delivery for delivery in deliveries if delivery.to.bridge == self.destination]
        self._handed.add(seq, mine)
        if mine:
            self._woken.set()

    def wake(self) -> None:
        """Say that there is something new in the journal, or that the queue came back."""
        self._woken.set()

    def read_back(self, *, all_of_it: bool = False) -> None:
        """Go by the journal from now on; `all_of_it`: the queue lost entries, give it what it doesn't know."""
        self._handed = Handed()
        self._fresh.clear()
        self._news_are_old = True
        self._refill |= all_of_it
        self.wake()

    async def run(self) -> None:
        """Drain for ever."""
        pause_s = AGAIN_S[0]
        while True:
            try:
                async with self.lock:
                    moved = await self.step()
            except (OutboxError, JournalError) as error:
                self.refused = error if isinstance(error, OutboxError) else None
                self._say(str(error))
                await self._rest(pause_s)
                pause_s = min(pause_s * 2, AGAIN_S[1])
                continue
            pause_s, self.refused = AGAIN_S[0], None
            if moved is None:
                await self._rest(1.0)
            elif not moved:
                await self._rest(CHECK_EVERY_S)

    async def step(self) -> bool | None:
        """Move one batch. True: look again at once; False: nothing is left; None: the queue is full."""
        self._woken.clear()
        if self._cursor is None:
            self._cursor = await self._first_cursor()
        if self._refill:
            await self._journal.renew_source()
            self._cursor, self._refill = 0, False
        batch = self._handed.take(self._cursor, self._limit)
        self._news_are_old = batch is None
        if batch is None:
            batch = await self._journal.pending(self.destination, after=self._cursor, limit=self._limit)
            now_ms = self._clock.now_ms()
            batch = replace(batch, deliveries=tuple(of_this_time(each, now_ms) for each in batch.deliveries))
        result = await self._outbox.put(
            self.destination,
            self._journal.source,
            after=self._cursor,
            upto=batch.upto,
            deliveries=batch.deliveries,
            generations=batch.generations,
        )
        match result:
            case Stored():
                if not self._news_are_old and not result.known:
                    # An emergency may have been looked up ahead, and be sent by now.
                    self._fresh.add([one for one in batch.deliveries if one.lane is not Lane.EMERGENCY])
                return await self._stored(batch.upto, batch.deliveries)
            case Gap():
                await self._gap(result.cursor)
                return True
            case Full():
                self._limit = max(1, self._limit // 2)
                self._say(f"the queue for {self.destination} is full")
                if self._limit > 1 and batch.deliveries:
                    return True
                return await self._ahead.step(self._cursor) or None

    async def _first_cursor(self) -> int:
        cursor = await self._outbox.cursor(self.destination, self._journal.source)
        after, upto = -1, 0
        while self._was_cut_off and after < upto < cursor:
            after = upto
            batch = await self._journal.pending(self.destination, after=after, limit=BATCH, last=cursor)
            await self._close_what_left([delivery.id for delivery in batch.deliveries])
            upto = batch.upto
        self._was_cut_off = False
        return cursor

    async def _close_what_left(self, queued: Sequence[DeliveryId]) -> None:
        """Make dead letters of what the queue was given, and has no more, though the journal knows no end of it.

        A power cut takes the last receipts from the journal (they are not synced one by one) and leaves the queue
        without what they were for. Whether it was sent nobody knows: sending it again is for people to decide.
        """
        there = await self._outbox.has(self.destination, queued)
        left = [ident for ident in queued if ident not in there]
        now_ms = self._clock.now_ms()
        made = await self._journal.apply(
            [Change(id=one, state=State.FAILED, reason=CUT_OFF, at_ms=now_ms, only_from=PENDING) for one in left]
        )
        if made:
            log.error("receipts_lost", destination=self.destination, deliveries=len(made))

    async def _stored(self, upto: int, deliveries: tuple[Delivery, ...]) -> bool:
        self._say("")
        more = len(deliveries) >= self._limit
        self._cursor = upto
        self._limit = min(BATCH, self._limit * 2)
        if deliveries:
            now_ms = self._clock.now_ms()
            self._journal.note(
                [Change(id=d.id, state=State.QUEUED, at_ms=now_ms, only_from=State.WAITING) for d in deliveries]
            )
            if any(delivery.lane is Lane.EMERGENCY for delivery in deliveries):
                self._urgent()
            self._ready()
        return more

    async def _gap(self, cursor: int) -> None:
        """Go on from where the queue says it is: behind us after a loss, ahead if an answer to us was lost."""
        expected = self._cursor or 0
        if cursor <= await self._journal.head():
            if cursor < expected:
                log.warning("queue_lost_its_tail", destination=self.destination, expected=expected, found=cursor)
            self._cursor = cursor
            return
        # Only a journal that was restored from an older copy is behind what it has already handed over.
        log.warning("journal_went_back", destination=self.destination, expected=expected, found=cursor)
        await self._journal.renew_source()
        self._cursor = 0

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("drain_held", destination=self.destination, reason=trouble)
        elif self.trouble and not trouble:
            log.info("drain_moving", destination=self.destination)
        self.trouble = trouble

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        if self.trouble:
            # Woken by new messages while the queue is away: do not let a busy source turn this into a spin.
            await asyncio.sleep(min(seconds, AGAIN_S[0]))
