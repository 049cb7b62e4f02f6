# SPDX-License-Identifier: GPL-3.0-or-later
"""What other boxes on the same queue do with what this one accepted, and this one with theirs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from gateway.drain import Drain
from gateway.journal import Change, Journal, Seen, Standing
from gateway.model import (
    PENDING,
    BridgeName,
    Clock,
    DeliveryId,
    JournalError,
    LeaseLost,
    OutboxError,
    RemoteId,
    Resumable,
    ResumePoint,
    State,
)
from gateway.outbox.outbox import Fate, Fence, Lease, Outbox

log = structlog.get_logger()

LOOK_EVERY_S = 2.0
PAGE = 256
MARK_EVERY_S = 1.0
MOST_MARKS = 600


class Elsewhere:
    """Tells the journal what became of deliveries that another box sent."""

    def __init__(
        self,
        destination: BridgeName,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        *,
        changed: Callable[[BridgeName, Change], None],
    ) -> None:
        self._destination = destination
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._changed = changed

    async def run(self) -> None:
        """Look for ever, a page of what is pending at a time."""
        after = 0
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                after = await self.look(after)
            except (OutboxError, JournalError) as error:
                log.debug("fates_unknown", destination=self._destination, reason=str(error))

    async def look(self, after: int) -> int:
        """Ask about what is pending after this sequence; return after which to look next."""
        batch = await self._journal.pending(self._destination, after=after, limit=PAGE)
        ids = [delivery.id for delivery in batch.deliveries]
        fates = await self._outbox.fates(self._destination, ids) if ids else {}
        changes = [_change(ident, fate, self._clock.now_ms()) for ident, fate in fates.items()]
        made = set(await self._journal.apply(changes))
        for change in changes:
            if change.id in made:
                self._changed(self._destination, change)
        return batch.upto if len(ids) >= PAGE else 0


def _change(ident: DeliveryId, fate: Fate, now_ms: int) -> Change:
    reason = "by another gateway"
    if fate.state is State.FAILED:
        return Change(id=ident, state=fate.state, reason=fate.detail or reason, at_ms=now_ms, only_from=PENDING)
    remote_id = RemoteId(fate.detail) if fate.detail else None
    return Change(id=ident, state=fate.state, reason=reason, remote_id=remote_id, at_ms=now_ms, only_from=PENDING)


async def adopt(journal: Journal, leases: Sequence[Lease], known: dict[DeliveryId, Standing]) -> None:
    """Journal what another box accepted and this one is about to send, so that it has its story here too.

    One that failed here and is in the queue was sent again by hand elsewhere, or we were killed before the queue was
    told: the key it goes under is the queue's, as on any box. One that this box read from the same source just now is
    left as it is: the other box may have sent it. One that came in here at the very address it is bound for, as two
    radios on one mesh hear the same, is there already.
    """
    foreign = [lease for lease in leases if _is_foreign(known.get(lease.id))]
    answers = await asyncio.gather(*(journal.accept(one.delivery.message, [one.delivery]) for one in foreign))
    seen = [lease for lease, answer in zip(foreign, answers, strict=True) if isinstance(answer, Seen)]
    await journal.requeue([lease.delivery for lease in seen], only_from=frozenset({State.FAILED}), fresh_key=False)
    await journal.end_what_came_in([lease.delivery for lease in seen])
    known.update(await journal.standings([lease.id for lease in seen]))


def _is_foreign(standing: Standing | None) -> bool:
    return standing is None or standing.state is State.FAILED


class Bookmark:
    """Tells the queue where a bridge's source goes on, as far as all that came before is in the queue."""

    def __init__(self, bridge: Resumable, journal: Journal, outbox: Outbox, drains: Sequence[Drain]) -> None:
        self._bridge = bridge
        self._journal = journal
        self._outbox = outbox
        self._drains = drains
        self._waiting: deque[tuple[int, ResumePoint]] = deque()
        self._seen: ResumePoint | None = None

    async def run(self, fence: Callable[[], Fence]) -> None:
        """Mark for ever; ends only by LeaseLost or cancellation."""
        while True:
            try:
                await self.step(fence())
            except LeaseLost:
                raise
            except (OutboxError, JournalError) as error:
                log.debug("mark_postponed", bridge=fence().destination, reason=str(error))
            await asyncio.sleep(MARK_EVERY_S)

    async def step(self, fence: Fence) -> None:
        """Note where the source is, and mark the last place whose messages have all left the journal."""
        position = self._bridge.position
        head = await self._journal.head()  # asked after: all that came before the position is in it
        if position is not None and position != self._seen:
            self._seen = position
            self._waiting.append((head, position))
            if len(self._waiting) > MOST_MARKS:
                self._waiting = deque(list(self._waiting)[::2])
        covered = min((drain.upto for drain in self._drains), default=head)
        reached = [place for upto, place in self._waiting if upto <= covered]
        if reached:
            await self._outbox.mark(fence, reached[-1])
            self._waiting = deque(list(self._waiting)[len(reached) :])
        for drain in self._drains:
            if self._waiting and drain.upto < self._waiting[0][0]:
                drain.wake()
