# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network says of a delivery after it was sent: heard, delivered, refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import structlog

from gateway.backoff import delays
from gateway.journal import Change, Journal
from gateway.model import (
    Address,
    BridgeName,
    Certainty,
    Clock,
    DeliveryId,
    JournalError,
    OutboxError,
    PermanentError,
    Report,
    State,
    TransientError,
    parse_key,
)
from gateway.outbox.outbox import Fence, Outbox
from gateway.patience import until_answered

log = structlog.get_logger()

T = TypeVar("T")

MOST_WAITING = 1000
"""Reports that wait for the queue; past it the newest is dropped, counted and logged."""
AGAIN_AFTER_S = 2.0


class Reports:
    """Late reports for one destination, told to the journal at once and to the queue when it is there."""

    def __init__(
        self,
        destination: BridgeName,
        journal: Journal,
        outbox: Outbox,
        *,
        clock: Clock,
        random: random.Random,
        is_direct: Callable[[Address], bool],
        changed: Callable[[Change], None],
        give_up: Callable[[DeliveryId, str], Awaitable[None]],
        refused: Callable[[DeliveryId, Address, TransientError], None] = lambda _, __, ___: None,
    ) -> None:
        """`give_up` makes a delivery a dead letter, and cancels the parts after it; `refused`: will be tried again."""
        self.dropped = 0
        self._destination = destination
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._is_direct = is_direct
        self._changed = changed
        self._give_up = give_up
        self._refused = refused
        self._in_hand: Report | None = None
        self._queue: asyncio.Queue[Report] = asyncio.Queue(MOST_WAITING)
        self._unsettled: dict[DeliveryId, asyncio.Event | None] = {}
        """An event only where somebody waits."""

    def take(self, report: Report) -> None:
        """Accept a report; never waits, so that receiving goes on while the queue is away."""
        try:
            self._queue.put_nowait(report)
        except asyncio.QueueFull:
            self.dropped += 1
            log.warning("report_dropped", destination=self._destination, dropped=self.dropped)

    def begin(self, ident: DeliveryId) -> None:
        """Note that this one is being sent: its reports wait until its receipt is settled."""
        self._unsettled[ident] = None

    def end(self, idents: Iterable[DeliveryId]) -> None:
        """Note that their receipts are settled."""
        for ident in idents:
            if event := self._unsettled.pop(ident, None):
                event.set()

    def end_all(self) -> None:
        """Forget what was being sent: the fence is lost."""
        self.end(list(self._unsettled))

    async def run(self, fence: Callable[[], Fence]) -> None:
        """Tell journal and queue of each report, in order; ends only by LeaseLost or cancellation.

        A report in hand when that happens is told again under the next fence.
        """
        while True:
            if self._in_hand is None:
                self._in_hand = await self._queue.get()
            await self._tell(fence, self._in_hand)
            self._in_hand = None

    async def _tell(self, fence: Callable[[], Fence], report: Report) -> None:
        try:
            ident, _ = parse_key(report.key)
        except ValueError:
            log.warning("report_unreadable", destination=self._destination)
            return
        if ident in self._unsettled:
            event = self._unsettled[ident] = self._unsettled[ident] or asyncio.Event()
            await event.wait()
        standing = (await self._insist(lambda: self._journal.standings([ident]))).get(ident)
        if standing is None:
            log.info("report_unknown", destination=self._destination, delivery=ident)
            return
        if standing.state is State.DELIVERED and report.outcome is not Certainty.DELIVERED:
            return  # never taken back: what comes then is about another try
        match report.outcome:
            case Certainty() as certainty:
                await self._record(ident, State(certainty.value), report.reason)
                if certainty is not Certainty.HEARD or not self._is_direct(standing.to):
                    await self._insist(lambda: self._outbox.report(fence(), ident, State(certainty.value)))
            case TransientError() as error:
                self._refused(ident, standing.to, error)
                await self._again(fence, ident, standing.generation + error.fresh_key, error)
            case PermanentError() as error:
                await self._insist(lambda: self._give_up(ident, str(error)))
                await self._insist(lambda: self._outbox.report(fence(), ident, State.FAILED))

    async def _again(
        self, fence: Callable[[], Fence], ident: DeliveryId, generation: int, error: TransientError
    ) -> None:
        # Journalled first: whoever claims it must not find that it was sent, nor use the refused key.
        await self._record(ident, State.QUEUED, str(error), generation=generation)
        after_ms = round(1000 * (error.retry_after_s or AGAIN_AFTER_S))
        requeued = await self._insist(
            lambda: self._outbox.requeue(
                fence(), ident, at_ms=self._clock.now_ms() + after_ms, fresh_key=error.fresh_key
            )
        )
        if not requeued:
            await self._insist(lambda: self._give_up(ident, f"{error}; the queue no longer had it"))

    async def _record(self, ident: DeliveryId, state: State, reason: str, *, generation: int | None = None) -> None:
        change = Change(id=ident, state=state, reason=reason, generation=generation, at_ms=self._clock.now_ms())
        await self._insist(lambda: self._journal.record([change]))
        self._changed(change)

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, however long a store is away; LeaseLost ends it."""
        return await until_answered(
            ask,
            away=(OutboxError, JournalError),
            clock=self._clock,
            pauses=delays(self._random, first_s=0.1, longest_s=2.0),
            postponed=lambda error: log.debug("report_postponed", destination=self._destination, reason=str(error)),
        )
