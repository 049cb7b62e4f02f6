# SPDX-License-Identifier: GPL-3.0-or-later
"""One destination of the in-memory outbox: what the Lua scripts do, in Python. Pure.

Times are the caller's minus the skew, as in the store, so that a shift touches nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import assert_never

from gateway.model import Delivery, DeliveryId, RemoteId, ResumePoint, State
from gateway.outbox.codec import encode
from gateway.outbox.outbox import EXPIRED_PER_CLAIM, Buried, Done, Fate, Outcome, Retry
from gateway.outbox.records import SERVED, digit_of

Queue = tuple[int, str]
"""A lane, by its digit, of one conversation."""
EMERGENCY = 0


@dataclass(slots=True)
class Entry:
    """A delivery in the queue, wherever in it."""

    delivery: Delivery
    id: DeliveryId
    expires: int | None
    received: int
    size: int
    attempts: int = 0
    generation: int = 0

    @property
    def queue(self) -> Queue:
        """Where it waits, or waited."""
        return digit_of(self.delivery), self.delivery.to.conversation


@dataclass(slots=True)
class Flight:
    """So many at the head of a queue are leased; after them it holds back until `hold`."""

    leases: int
    hold: int = 0


@dataclass(slots=True)
class Destination:
    """All that is kept for one destination."""

    cursors: dict[str, int] = field(default_factory=dict)
    owner: str = ""
    epoch: int = 0
    until: int = 0
    seen: int = 0
    entries: dict[DeliveryId, Entry] = field(default_factory=dict)
    queues: dict[Queue, list[DeliveryId]] = field(default_factory=dict)
    due: dict[Queue, int] = field(default_factory=dict)
    flights: dict[Queue, Flight] = field(default_factory=dict)
    awaiting: dict[DeliveryId, int] = field(default_factory=dict)
    dead: dict[DeliveryId, int] = field(default_factory=dict)
    gone: list[DeliveryId] = field(default_factory=list)
    late: list[DeliveryId] = field(default_factory=list)
    fates: dict[DeliveryId, Fate] = field(default_factory=dict)
    """Kept without end: tests are short."""
    remote: dict[DeliveryId, RemoteId | None] = field(default_factory=dict)
    """What an awaiting one is called."""
    resume: ResumePoint | None = None
    marked_by: str = ""
    count: int = 0
    size: int = 0

    def append(self, new: Iterable[Entry]) -> None:
        """Put entries at the tail of their queues."""
        for entry in new:
            self.entries[entry.id] = entry
            self._count(entry, 1)
            self.queues.setdefault(entry.queue, []).append(entry.id)
            self.due.setdefault(entry.queue, min(entry.received, self.seen))

    def land(self, now: int) -> None:
        """Make due what a former holder had leased."""
        for queue, flight in self.flights.items():
            self.due[queue] = max(now, flight.hold)
        self.flights.clear()

    def claim(self, now: int, visible: int, limit: int, run: int) -> list[Entry]:
        """Lease what is due; what has expired goes to `gone`."""
        leased: list[Entry] = []
        wide = -(-limit // run)
        for lane in SERVED:
            for queue in self.due_in(lane, now)[: max(limit - len(leased), 0)]:
                most = min(run, limit - len(leased))
                if most <= 0 or wide <= 0 or len(self.gone) >= EXPIRED_PER_CLAIM:
                    break
                taken = self.look(queue, now, most)
                leased += taken
                if taken:
                    wide -= 1
                    self.due[queue] = now + visible
                    self.flights[queue] = Flight(len(taken))
        self.seen = now
        return leased

    def due_in(self, lane: int, now: int) -> list[Queue]:
        """Return the conversations of a lane that are due, the one due longest first."""
        ready = [(at, queue) for queue, at in self.due.items() if queue[0] == lane and at <= now]
        ready.sort(key=lambda item: (item[0], item[1][1].encode("utf-8", "replace")))
        return [queue for _, queue in ready]

    def look(self, queue: Queue, now: int, most: int) -> list[Entry]:
        """Return the first of a conversation that can be sent; what has expired goes to `gone`."""
        taken: list[Entry] = []
        while len(taken) < most and len(self.queues.get(queue, ())) > len(taken):
            entry = self.entries[self.queues[queue][len(taken)]]
            if entry.expires is None or entry.expires > now or queue[0] == EMERGENCY:
                taken.append(entry)
            elif len(self.gone) < EXPIRED_PER_CLAIM:
                self._take_off(entry)
                self.gone.append(entry.id)
            else:
                break
        return taken

    def settle(self, outcomes: Sequence[Outcome], now: int, skew: int) -> None:
        """Acknowledge, retry or bury leases."""
        touched: dict[Queue, None] = {}
        for outcome in outcomes:
            entry = self.entries.get(outcome.id)
            if entry is not None and self._settle(entry, outcome, now, skew):
                touched[entry.queue] = None
        for queue in touched:
            self._touched(queue, now)

    def trim_dead(self, most: int) -> None:
        """Forget the oldest dead letters beyond `most`."""
        oldest_first = sorted(self.dead, key=lambda id_: (self.dead[id_], id_))
        for id_ in oldest_first[: max(len(self.dead) - most, 0)]:
            del self.dead[id_], self.entries[id_]

    def _settle(self, entry: Entry, outcome: Outcome, now: int, skew: int) -> bool:
        flight = self.flights.get(entry.queue)
        if flight is None or entry.id not in self.queues.get(entry.queue, [])[: flight.leases]:
            return False
        if isinstance(outcome, Retry):
            flight.leases = self.queues[entry.queue].index(entry.id)
            flight.hold = max(flight.hold, outcome.at_ms - skew)
            entry.attempts += outcome.counted
            entry.generation += outcome.fresh_key
            return True
        flight.leases -= 1
        self._take_off(entry, keep_queue=True)
        match outcome:
            case Buried():
                self.dead[entry.id] = now
                self.fates[entry.id] = Fate(state=State.FAILED, detail=outcome.reason)
            case Done(awaiting_until_ms=None):
                del self.entries[entry.id]
                self.fates[entry.id] = Fate(state=State.SENT, detail=outcome.remote_id or "")
            case Done(awaiting_until_ms=until_ms):
                self.awaiting[entry.id] = (until_ms or 0) - skew
                self.remote[entry.id] = outcome.remote_id
            case _:
                assert_never(outcome)
        return True

    def _touched(self, queue: Queue, now: int) -> None:
        flight = self.flights[queue]
        if flight.leases > 0:
            return
        del self.flights[queue]
        if self.queues[queue]:
            self.due[queue] = max(now, flight.hold)
        else:
            del self.queues[queue], self.due[queue]

    def report(self, id_: DeliveryId, state: State) -> bool:
        """Forget an awaiting delivery; False if it wasn't one."""
        if self.awaiting.pop(id_, None) is None:
            return False
        self.fates[id_] = Fate(state=state, detail=self.remote.pop(id_, None) or "")
        del self.entries[id_]
        return True

    def requeue(self, id_: DeliveryId, at: int, *, fresh_key: bool) -> bool:
        """Put an awaiting delivery back, behind what is leased."""
        if self.awaiting.pop(id_, None) is None:
            return False
        entry = self.entries[id_]
        entry.attempts += 1
        entry.generation += fresh_key
        self._count(entry, 1)
        flight = self.flights.get(entry.queue)
        self.queues.setdefault(entry.queue, []).insert(flight.leases if flight else 0, id_)
        if flight:
            flight.hold = max(flight.hold, at)
        else:
            self.due[entry.queue] = max(self.due.get(entry.queue, at), at)
        return True

    def overdue(self, now: int, keep: int) -> None:
        """Move to `late` whose time is over, and the oldest beyond `keep`."""
        oldest_first = sorted(self.awaiting, key=lambda id_: (self.awaiting[id_], id_))
        over = max(sum(at <= now for at in self.awaiting.values()), len(oldest_first) - keep)
        for id_ in islice(oldest_first, min(max(over, 0), EXPIRED_PER_CLAIM - len(self.late))):
            del self.awaiting[id_]
            self.late.append(id_)
            self.fates[id_] = Fate(state=State.SENT, detail=self.remote.pop(id_, None) or "")

    def confirm(self, ids: Iterable[DeliveryId], of: list[DeliveryId]) -> None:
        """Forget entries that were given out from `gone` or `late`."""
        for id_ in [id_ for id_ in ids if id_ in of]:
            of.remove(id_)
            del self.entries[id_]
            if of is self.gone:
                self.fates[id_] = Fate(state=State.EXPIRED)

    def cancel(self, id_: DeliveryId) -> bool:
        """Take a waiting delivery off; False if it isn't waiting, or is leased."""
        entry = self.entries.get(id_)
        queue = self.queues.get(entry.queue, []) if entry else []
        if entry is None or id_ not in queue:
            return False
        flight = self.flights.get(entry.queue, Flight(0))
        position = queue.index(id_)
        if position < flight.leases:
            return False
        self._take_off(entry)
        del self.entries[id_]
        self.fates[id_] = Fate(state=State.CANCELLED)
        if position == 0 and entry.queue in self.due:
            self.due[entry.queue] = min(self.due[entry.queue], self.seen)
        return True

    def redrive(self, id_: DeliveryId, now: int) -> bool:
        """Put a dead letter back at the tail; False if it isn't one."""
        if self.dead.pop(id_, None) is None:
            return False
        entry = self.entries[id_]
        past = entry.expires is not None and entry.expires <= now
        entry.attempts, entry.expires = 0, None if past else entry.expires
        self.fates.pop(id_, None)
        self._count(entry, 1)
        self.queues.setdefault(entry.queue, []).append(id_)
        self.due.setdefault(entry.queue, now)
        return True

    def drop(self, id_: DeliveryId) -> bool:
        """Forget a dead letter or an overdue one, and its fate; False if it isn't one."""
        self.fates.pop(id_, None)
        if self.dead.pop(id_, None) is None and id_ not in self.late:
            return False
        self.late = [other for other in self.late if other != id_]
        del self.entries[id_]
        return True

    def due_now(self, conversation: str | None, now: int) -> None:
        """End all backing off."""
        for queue, at in self.due.items():
            if conversation in {None, queue[1]}:
                if queue in self.flights:
                    self.flights[queue].hold = 0
                else:
                    self.due[queue] = min(at, now)

    def _take_off(self, entry: Entry, *, keep_queue: bool = False) -> None:
        self._count(entry, -1)
        self.queues[entry.queue].remove(entry.id)
        if not self.queues[entry.queue] and not keep_queue:
            del self.queues[entry.queue], self.due[entry.queue]
            self.flights.pop(entry.queue, None)

    def _count(self, entry: Entry, sign: int) -> None:
        self.count += sign
        self.size += sign * entry.size


def entry_of(delivery: Delivery, skew: int, generation: int = 0) -> Entry:
    """Return a new entry for a delivery put now."""
    return Entry(
        delivery=delivery,
        id=delivery.id,
        expires=None if delivery.expires_ms is None else delivery.expires_ms - skew,
        received=delivery.message.received_ms - skew,
        size=len(encode(delivery)),
        generation=generation,
    )


def delivery_of(entry: Entry, skew: int) -> Delivery:
    """Return the delivery with its times by the caller's clock of now."""
    message = replace(entry.delivery.message, received_ms=entry.received + skew)
    expires_ms = None if entry.expires is None else entry.expires + skew
    return replace(entry.delivery, message=message, expires_ms=expires_ms)
