# SPDX-License-Identifier: GPL-3.0-or-later
"""Folds what grew stale in an outage into one digest a conversation, before any of it is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from gateway.digest import Digests, Fold, Stale, choose, is_foldable
from gateway.journal import Change, Held, Journal
from gateway.lookup import Lookup
from gateway.model import Address, BridgeName, Clock, Delivery, DeliveryId, Lane, OutboxError, State
from gateway.outbox.outbox import Lease, Outbox
from gateway.steps import NEAR_MS, epoch_ms

log = structlog.get_logger()

PAGE = 1000
"""Deliveries looked at, or folded, in one step: others read and write in between."""
MOST_FOLDED = 100_000
"""Deliveries in one digest; what is beyond is folded into the next."""
CANCEL_SLICE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What was folded just now, and into what."""

    digest: DeliveryId
    members: tuple[DeliveryId, ...]
    """Besides the one that carries it."""


class Folding:
    """Folds for one destination."""

    def __init__(
        self,
        destination: BridgeName,
        *,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        lookup: Lookup,
        digests: Digests,
        digest_after_s: Callable[[Address, Address], int | None],
        changed: Callable[[Change], None],
        may_be_late: Callable[[Address], bool] = lambda _: False,
    ) -> None:
        """`digest_after_s`: how old what came from one address may be at another before it is folded; None: never.

        `may_be_late`: whether what comes from an address can be old when it comes in. Then its age counts, not how
        long an outage has lasted here.
        """
        self._destination = destination
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._lookup = lookup
        self._digests = digests
        self._digest_after_s = digest_after_s
        self._changed = changed
        self._may_be_late = may_be_late
        self._began = clock.monotonic()

    def begin(self) -> None:
        """Say that the destination can be worked again: how stale its backlog is counts from now.

        So one outage makes one digest, however slowly the rest goes out.
        """
        self._began = self._clock.monotonic()

    async def fold(self, run: Sequence[Lease]) -> Folded | None:
        """Fold the backlog of this run's conversation, if the run shows that there is a stale one; return what was.

        The journal knows then what to send for each of its leases. While that follows a clock that was set,
        nothing in it shows how old it is: what is sent meanwhile is sent as it is. JournalError if it can't be
        done now.
        """
        is_shifting = self._journal.upkeep.is_shifting
        if is_shifting or not any(self._is_stale(lease.delivery) for lease in run if lease.attempt == 1):
            return None
        head, epoch = run[0].delivery, epoch_ms(self._clock)
        fold = choose(await self._foldable(head.to, head.lane))
        was_set = abs(epoch_ms(self._clock) - epoch) > NEAR_MS
        return await self._make(fold) if fold is not None and not was_set else None

    def _is_stale(self, delivery: Delivery) -> bool:
        if delivery.direct or delivery.lane is Lane.EMERGENCY:
            return False
        limit_ms = self._older_than_ms(delivery.message.origin, delivery.to)
        return limit_ms is not None and delivery.message.received_ms < limit_ms

    def _older_than_ms(self, origin: Address, to: Address) -> int | None:
        """Return before when something must have been received to be folded."""
        after_s = self._digest_after_s(origin, to)
        if after_s is None:
            return None
        worked_s = 0.0 if self._may_be_late(origin) else self._clock.monotonic() - self._began
        worked_ms = round(worked_s * 1000)
        return self._clock.now_ms() - worked_ms - after_s * 1000

    async def _foldable(self, to: Address, lane: Lane) -> Sequence[Stale]:
        found: list[Stale] = []
        place, end = (0, 0), None
        while place != end and len(found) < MOST_FOLDED:
            end = place
            place, page = await self._journal.revisions.held(to, after=place, limit=PAGE)
            found += [
                Stale(id=held.id, seq=held.seq, parts=held.parts) for held in page if self._may_fold(held, to, lane)
            ]
        return found

    def _may_fold(self, held: Held, to: Address, lane: Lane) -> bool:
        limit_ms = self._older_than_ms(held.message.origin, to)
        now_ms = self._clock.now_ms()
        return limit_ms is not None and is_foldable(held, lane=lane, older_than_ms=limit_ms, now_ms=now_ms)

    async def _make(self, fold: Fold) -> Folded:
        rewrite = self._digests.rewrite(self._clock.now_ms())
        folded: list[DeliveryId] = []
        with self._lookup.changing((fold.carrier, *fold.members)):
            for start in range(0, len(fold.members), PAGE):
                # Each step leaves a digest that names what was folded so far, and nothing else.
                members = fold.members[start : start + PAGE]
                changes = await self._journal.revisions.fold(fold.carrier, members, rewrite)
                if changes is None:
                    break
                for change in changes:
                    self._changed(change)
                folded += [change.id for change in changes if change.state is State.FOLDED]
        if folded:
            log.info("backlog_folded", destination=self._destination, deliveries=len(folded), digest=fold.carrier)
            await self._take_off(folded)
        return Folded(digest=fold.carrier, members=tuple(folded))

    async def _take_off(self, ids: Sequence[DeliveryId]) -> None:
        """Spare the queue what is folded; what it keeps is found to be over when it is claimed."""
        try:
            for start in range(0, len(ids), CANCEL_SLICE):
                await self._outbox.cancel(self._destination, ids[start : start + CANCEL_SLICE])
        except OutboxError as error:
            log.debug("cancel_postponed", destination=self._destination, reason=str(error))
