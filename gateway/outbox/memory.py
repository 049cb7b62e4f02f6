# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox in memory: for tests, and the measure of what the scripts must do."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from gateway.model import BridgeName, Delivery, DeliveryId, LeaseLost, ResumePoint, State
from gateway.outbox.lanes import EMERGENCY, Destination, Entry, delivery_of, entry_of
from gateway.outbox.looking import heads, take
from gateway.outbox.outbox import (
    NONE_AGAIN,
    NONE_AT_HAND,
    Claimed,
    Depth,
    Fate,
    Fence,
    Full,
    Gap,
    Head,
    Heads,
    Holder,
    Lease,
    Outcome,
    Quota,
    Stored,
)
from gateway.outbox.records import LANES


@dataclass(slots=True)
class Snapshot:
    """All a memory outbox held at one moment; for `MemoryOutbox.restore`."""

    destinations: dict[str, Destination] = field(default_factory=dict)


class MemoryOutbox:
    """An `Outbox` that dies with its process."""

    def __init__(self, quota: Quota | None = None, *, shared: bool = False) -> None:
        self._shared = shared
        self._quota = quota or Quota()
        self._state = Snapshot()
        self._skew = 0
        self._expired: dict[Fence, list[DeliveryId]] = {}
        self._overdue: dict[Fence, list[DeliveryId]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None

    def snapshot(self) -> Snapshot:
        """Return a copy of all it holds."""
        return copy.deepcopy(self._state)

    def restore(self, snapshot: Snapshot | None = None) -> None:
        """Go back to a snapshot, as a server does that lost its tail; to nothing without one."""
        self._state = copy.deepcopy(snapshot) if snapshot else Snapshot()

    async def cursor(self, destination: BridgeName, source: str) -> int:
        """See `Outbox.cursor`."""
        return self._at(destination).cursors.get(source, 0)

    async def put(
        self,
        destination: BridgeName,
        source: str,
        *,
        after: int,
        upto: int,
        deliveries: Sequence[Delivery],
        generations: Mapping[DeliveryId, int] = NONE_AGAIN,
    ) -> Stored | Gap | Full:
        """See `Outbox.put`."""
        here = self._at(destination)
        cursor = here.cursors.get(source, 0)
        if cursor != after:
            return Stored(new=0, known=len(deliveries)) if cursor == upto else Gap(cursor=cursor)
        wanted = {delivery.id: delivery for delivery in reversed(deliveries)}
        new = [
            entry_of(wanted.pop(id_), self._skew, generations.get(id_, 0))
            for id_ in [delivery.id for delivery in deliveries]
            if id_ in wanted and id_ not in here.entries and not (self._shared and id_ in here.fates)
        ]
        if new and self._is_over(here, new):
            return Full(deliveries=here.count, size_bytes=here.size)
        here.append(new)
        here.cursors[source] = upto
        return Stored(new=len(new), known=len(deliveries) - len(new))

    def _is_over(self, here: Destination, new: Iterable[Entry]) -> bool:
        sizes = [entry.size for entry in new if entry.queue[0] != EMERGENCY]
        urgent = [entry.size for entry in new if entry.queue[0] == EMERGENCY]

        def over(have: int, more: int, urgent: int, quota: int) -> bool:
            return (more > 0 and have + more > quota) or have + more + urgent > quota + quota // 10

        quota = self._quota
        return over(here.count, len(sizes), len(urgent), quota.deliveries) or over(
            here.size, sum(sizes), sum(urgent), quota.size_bytes
        )

    async def acquire(self, destination: BridgeName, owner: str, *, now_ms: int, ttl_ms: int) -> Fence | None:
        """See `Outbox.acquire`."""
        here, now = self._at(destination), now_ms - self._skew
        is_others = here.owner not in {"", owner}
        if is_others and (now < here.until <= now + 10 * ttl_ms or (ttl_ms == 0 and here.seen > now - 60_000)):
            return None
        here.owner, here.epoch, here.until, here.seen = owner, max(here.epoch + 1, now), now + ttl_ms, now
        here.land(now)
        return Fence(destination=destination, owner=owner, epoch=here.epoch)

    async def renew(self, fence: Fence, *, now_ms: int, ttl_ms: int) -> None:
        """See `Outbox.renew`."""
        here, now = self._held(fence), now_ms - self._skew
        here.until, here.seen = now + ttl_ms, now

    async def holder(self, destination: BridgeName, *, now_ms: int) -> Holder:
        """See `Outbox.holder`."""
        here = self._at(destination)
        owner = here.owner if here.until > now_ms - self._skew else ""
        return Holder(owner=owner, resume=here.resume, marked_by=here.marked_by)

    async def mark(self, fence: Fence, resume: ResumePoint) -> None:
        """See `Outbox.mark`."""
        here = self._held(fence)
        here.resume, here.marked_by = resume, fence.owner

    async def fates(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> dict[DeliveryId, Fate]:
        """See `Outbox.fates`."""
        known = self._at(destination).fates if self._shared else {}
        return {id_: known[id_] for id_ in ids if id_ in known}

    async def resign(self, fence: Fence) -> None:
        """See `Outbox.resign`."""
        try:
            here = self._held(fence)
        except LeaseLost:
            return
        here.owner, here.until = "", 0
        self._confirm(fence, here)

    async def claim(
        self,
        fence: Fence,
        *,
        now_ms: int,
        visible_ms: int,
        limit: int,
        run: int,
        at_hand: Mapping[DeliveryId, Delivery] = NONE_AT_HAND,  # noqa: ARG002 - this one keeps deliveries themselves
    ) -> Claimed:
        """See `Outbox.claim`."""
        here, skew = self._held(fence), self._skew
        here.confirm(self._expired.pop(fence, ()), here.gone)
        entries = here.claim(now_ms - skew, visible_ms, limit, run)
        self._expired[fence] = list(here.gone)
        return Claimed(
            leases=tuple(_lease(entry, skew, now_ms + visible_ms) for entry in entries),
            expired=tuple(delivery_of(here.entries[id_], skew) for id_ in here.gone),
            next_ms=min(here.due.values()) + skew if here.due else None,
        )

    async def heads(self, fence: Fence, *, now_ms: int, limit: int, turn: int = 0) -> Heads:
        """See `Outbox.heads`."""
        here, skew = self._held(fence), self._skew
        here.confirm(self._expired.pop(fence, ()), here.gone)
        due, found = heads(here, now_ms - skew, limit, turn)
        self._expired[fence] = list(here.gone)
        later = [at for at in here.due.values() if at > now_ms - skew]
        return Heads(
            heads=tuple(_head(entry, skew) for entry in found),
            due=due,
            expired=tuple(delivery_of(here.entries[id_], skew) for id_ in here.gone),
            next_ms=min(later) + skew if later else None,
        )

    async def take(self, fence: Fence, head: Head, *, now_ms: int, visible_ms: int) -> Lease | None:
        """See `Outbox.take`."""
        here, skew = self._held(fence), self._skew
        queue = (head.queue, head.delivery.to.conversation)
        entry = take(here, queue, head.id, now_ms - skew, visible_ms)
        return None if entry is None else _lease(entry, skew, now_ms + visible_ms)

    async def settle(self, fence: Fence, outcomes: Sequence[Outcome], *, now_ms: int) -> None:
        """See `Outbox.settle`."""
        if outcomes:
            here = self._held(fence)
            here.settle(outcomes, now_ms - self._skew, self._skew)
            here.trim_dead(self._quota.dead_letters)

    async def report(self, fence: Fence, id: DeliveryId, state: State = State.SENT) -> bool:
        """See `Outbox.report`."""
        return self._held(fence).report(id, state)

    async def requeue(self, fence: Fence, id: DeliveryId, *, at_ms: int, fresh_key: bool) -> bool:
        """See `Outbox.requeue`."""
        return self._held(fence).requeue(id, at_ms - self._skew, fresh_key=fresh_key)

    async def overdue(self, fence: Fence, *, now_ms: int, keep: int) -> tuple[Delivery, ...]:
        """See `Outbox.overdue`."""
        here, skew = self._held(fence), self._skew
        here.confirm(self._overdue.pop(fence, ()), here.late)
        here.overdue(now_ms - skew, keep)
        self._overdue[fence] = list(here.late)
        return tuple(delivery_of(here.entries[id_], skew) for id_ in here.late)

    async def cancel(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """See `Outbox.cancel`."""
        here = self._at(destination)
        return tuple(id_ for id_ in ids if here.cancel(id_))

    async def redrive(
        self, destination: BridgeName, ids: Sequence[DeliveryId], *, now_ms: int
    ) -> tuple[DeliveryId, ...]:
        """See `Outbox.redrive`."""
        here, now = self._at(destination), now_ms - self._skew
        return tuple(id_ for id_ in ids if here.redrive(id_, now))

    async def drop(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """See `Outbox.drop`."""
        here = self._at(destination)
        return tuple(id_ for id_ in ids if here.drop(id_))

    async def due_now(self, destination: BridgeName, conversation: str | None = None, *, now_ms: int) -> None:
        """See `Outbox.due_now`."""
        self._at(destination).due_now(conversation, now_ms - self._skew)

    async def has(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> frozenset[DeliveryId]:
        """See `Outbox.has`."""
        return frozenset(ids) & self._at(destination).entries.keys()

    async def depth(self, destinations: Sequence[BridgeName], *, limit: int = 1000) -> tuple[Depth, ...]:
        """See `Outbox.depth`."""
        rows = [row for destination in destinations for row in self._depths(destination)]
        rows.sort(key=lambda row: -row.waiting)
        return tuple(rows[:limit])

    def _depths(self, destination: BridgeName) -> list[Depth]:
        here = self._at(destination)
        waiting = sorted(here.queues.items(), key=lambda item: (-len(item[1]), item[0]))
        return [
            Depth(
                destination=destination,
                lane=LANES[lane].value,
                conversation=conversation,
                waiting=len(ids),
                oldest_ms=here.entries[ids[0]].received + self._skew,
            )
            for (lane, conversation), ids in waiting
        ]

    def shift(self, delta_ms: int) -> None:
        """See `Outbox.shift`."""
        self._skew += delta_ms

    async def ping(self) -> None:
        """Do nothing: memory is always there."""

    def _at(self, destination: str) -> Destination:
        return self._state.destinations.setdefault(destination, Destination())

    def _held(self, fence: Fence) -> Destination:
        here = self._at(fence.destination)
        if (here.owner, here.epoch) != (fence.owner, fence.epoch):
            raise LeaseLost("another holder has this destination")
        return here

    def _confirm(self, fence: Fence, here: Destination) -> None:
        here.confirm(self._expired.pop(fence, ()), here.gone)
        here.confirm(self._overdue.pop(fence, ()), here.late)


def _lease(entry: Entry, skew: int, until_ms: int) -> Lease:
    return Lease(
        id=entry.id,
        delivery=delivery_of(entry, skew),
        attempt=entry.attempts + 1,
        generation=entry.generation,
        until_ms=until_ms,
    )


def _head(entry: Entry, skew: int) -> Head:
    lane, _ = entry.queue
    return Head(id=entry.id, delivery=delivery_of(entry, skew), attempt=entry.attempts + 1, queue=lane)
