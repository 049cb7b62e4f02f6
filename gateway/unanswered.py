# SPDX-License-Identifier: GPL-3.0-or-later
"""What was sent and never got its last word: it is given up, so that somebody is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from gateway.journal import Journal
from gateway.model import PENDING, Address, Bridge, Clock, DeliveryId, JournalError, State
from gateway.outbox.outbox import Fence, Outbox

log = structlog.get_logger()

UNANSWERED_S = 15 * 60.0
"""Longer than any network takes for its last word on a direct message: the queue has lost that it waits for one."""
UNANSWERED_EVERY_S = 60.0
UNANSWERED_LIMIT = 256
UNACKNOWLEDGED = "the node itself did not acknowledge in time"
RELAYED_ONLY = f"a neighbour relayed it, but {UNACKNOWLEDGED}"


class Unanswered:
    """Direct messages to one bridge that wait for the far node's answer."""

    def __init__(
        self,
        bridge: Bridge,
        journal: Journal,
        outbox: Outbox,
        *,
        clock: Clock,
        is_direct: Callable[[Address], bool],
        give_up: Callable[[DeliveryId, str], Awaitable[None]],
    ) -> None:
        """`give_up` makes a delivery a dead letter, and cancels the parts after it."""
        self._bridge = bridge
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._is_direct = is_direct
        self._give_up = give_up
        self._ahead: dict[DeliveryId, float] = {}
        """Unanswered ones that are of a time to come, the clock having been set back: since when we know of them."""

    async def overdue(self, fence: Fence) -> None:
        """Close the deliveries whose reports did not come in time."""
        keep = self._bridge.capabilities.awaiting
        late = await self._outbox.overdue(fence, now_ms=self._clock.now_ms(), keep=keep)
        if not late:
            return
        standings = await self._journal.standings([delivery.id for delivery in late])
        for delivery in late:
            standing = standings.get(delivery.id)
            if standing is None:
                continue
            if standing.state.is_pending:
                # It was refused and should have been queued again when we died. The queue forgets it first.
                await self._outbox.drop(self._bridge.name, [delivery.id])
                await self._journal.requeue([standing.revised or delivery], only_from=PENDING)
            elif delivery.direct and standing.state in {State.SENT, State.HEARD}:
                reason = RELAYED_ONLY if standing.state is State.HEARD else UNACKNOWLEDGED
                await self._give_up(delivery.id, reason)

    async def watch(self) -> None:
        """Give up, now and then, what has waited for a last word longer than any network takes."""
        while True:
            try:
                await self.give_up_lost()
            except JournalError as error:
                log.debug("unanswered_postponed", destination=self._bridge.name, reason=str(error))
            await self._clock.sleep(UNANSWERED_EVERY_S)

    async def give_up_lost(self) -> None:
        """Make dead letters of direct messages whose wait for a last word the queue has lost with its tail.

        The journal has them as sent, so nobody would send them again, nor ever say what became of them.
        """
        now_ms, now, name = self._clock.now_ms(), self._clock.monotonic(), self._bridge.name
        found = await self._journal.unanswered(
            name,
            lambda conversation: self._is_direct(Address(name, conversation)),
            span=(now_ms - round(UNANSWERED_S * 1000), now_ms),
            limit=UNANSWERED_LIMIT,
        )
        self._ahead = {ident: self._ahead.get(ident, now) for ident, at_ms in found.items() if at_ms > now_ms}
        due = [ident for ident in found if now - self._ahead.get(ident, now - UNANSWERED_S) >= UNANSWERED_S]
        for ident in due:
            await self._give_up(ident, UNACKNOWLEDGED)
