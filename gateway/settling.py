# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the journal, then the queue, what became of deliveries, however long either is away."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress

import structlog

from gateway.backoff import delays
from gateway.intake import Observer
from gateway.journal import Change, Journal
from gateway.lookup import Lookup
from gateway.model import (
    Address,
    BridgeName,
    Clock,
    DeliveryId,
    GatewayError,
    JournalError,
    MessageId,
    OutboxError,
    State,
    delivery_id,
)
from gateway.outbox.outbox import Fence, Outbox, Outcome
from gateway.outcomes import Outcomes
from gateway.patience import until_answered
from gateway.steps import epoch_ms, moved, moved_change, set_since

log = structlog.get_logger()


class Settling:
    """The last word on deliveries to one bridge."""

    def __init__(
        self,
        destination: BridgeName,
        journal: Journal,
        outbox: Outbox,
        *,
        clock: Clock,
        random: random.Random,
        observer: Observer,
        outcomes: Outcomes,
        lookup: Lookup,
    ) -> None:
        self._destination = destination
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._observer = observer
        self._outcomes = outcomes
        self._lookup = lookup

    async def record(self, changes: Sequence[Change]) -> None:
        """Journal what became of deliveries, however long the disk makes us wait."""
        epoch, said = epoch_ms(self._clock), False

        async def tell() -> None:
            by_ms = set_since(self._clock, epoch)
            await self._journal.record([moved_change(change, by_ms) for change in changes])

        def postponed(error: GatewayError) -> None:
            nonlocal said
            if not said:
                log.error("receipt_postponed", destination=self._destination, reason=str(error))
            said = True

        pauses = delays(self._random, first_s=0.1, longest_s=5.0)
        await until_answered(tell, away=JournalError, clock=self._clock, pauses=pauses, postponed=postponed)
        for change in changes:
            self._observer.changed(self._destination, change)

    async def settle(self, fence: Fence, outcomes: Sequence[Outcome]) -> None:
        """Tell the queue, however long it is away; LeaseLost when it is another's by then."""
        epoch = epoch_ms(self._clock)

        async def tell() -> None:
            by_ms = set_since(self._clock, epoch)
            told = [moved(outcome, by_ms) for outcome in outcomes]
            await self._outbox.settle(fence, told, now_ms=self._clock.now_ms())

        await until_answered(
            tell,
            away=OutboxError,
            clock=self._clock,
            pauses=delays(self._random, first_s=0.05, longest_s=1.0),
            postponed=lambda error: log.debug("settle_postponed", destination=self._destination, reason=str(error)),
        )

    async def give_up(self, id: DeliveryId, reason: str) -> None:
        """Make what was sent a dead letter, and cancel the parts after it."""
        undelivered = frozenset(State) - {State.DELIVERED}
        change = Change(id=id, state=State.FAILED, reason=reason, at_ms=self._clock.now_ms(), only_from=undelivered)
        await self.record([change])
        found = await self._journal.delivery(id)
        if found is not None and found.record.part < found.record.parts:
            record = found.record
            await self.cancel_later_parts(found.message.id, record.to, record.part, record.parts)

    async def cancel_later_parts(self, message: MessageId, to: Address, part: int, parts: int) -> None:
        """Take the parts after this one off the queue; those leased now are dropped before they are sent."""
        later = [delivery_id(message, to, number) for number in range(part + 1, parts + 1)]
        with self._lookup.changing(later):
            with suppress(OutboxError):
                await self._outbox.cancel(self._destination, later)
            await self.record([self._outcomes.cancelled(ident) for ident in later])
