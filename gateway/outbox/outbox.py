# SPDX-License-Identifier: GPL-3.0-or-later
"""What every outbox promises; `memory` and `redis` keep it, `tests/contract` checks both.

A *destination* is a bridge's name. Below it deliveries wait in strict order per (lane, conversation).
Only the head of a conversation is ever claimed before the head is acknowledged, retried, buried or
cancelled, except as one *run*: up to `run` consecutive deliveries of one conversation claimed together.
A failed head holds back only its own conversation and lane.

All times are arguments: milliseconds of the caller's clock. Nothing here reads a clock. When the
wall clock steps, `shift` moves everything scheduled at once, in O(1).

Every call may raise StoreUnavailable (nothing is known to have happened: every call is idempotent,
call it again) and, where a fence is an argument, LeaseLost (nothing happened, stop).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from gateway.model import BridgeName, Delivery, DeliveryId, RemoteId, ResumePoint, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """The right to work one destination. `epoch` only grows; a call with an older one is refused."""

    destination: BridgeName
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The batch is in the queue: `new` deliveries were put, `known` were there already."""

    new: int
    known: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Nothing was put: the queue's cursor for this source is `cursor` (0: it knows nothing of it).

    Lower than expected: the queue lost its tail, rewind to `cursor`. Higher, up to the source's own
    last sequence: an earlier put arrived whose answer was lost, go on from `cursor`. Higher than the
    source's last sequence: the source itself went back in time (a restored image) and needs a new
    source id.
    """

    cursor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """Nothing was put: the destination's quota is used up. Keep it in the journal, try again later."""

    deliveries: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A delivery claimed by the holder of the fence until `until_ms`."""

    id: DeliveryId
    """The delivery's, here because computing it costs more than reading it."""
    delivery: Delivery
    """Its times by the caller's clock of now: `shift` has moved what was put before it."""
    attempt: int
    """1 for the first try."""
    generation: int
    """Of the key; goes up only when the network asked for a fresh one."""
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Leases in the order they must be sent per conversation, and what fell out on the way."""

    leases: tuple[Lease, ...] = ()
    expired: tuple[Delivery, ...] = ()
    """Taken off the queue, because their time had passed.

    Given out again until the same fence claims or resigns after it: a crash between this answer and
    its record in the journal hides nothing.
    """
    unreadable: int = 0
    """How many were taken off because the queue's copy couldn't be read: the journal has them still."""
    next_ms: int | None = None
    """When (caller's clock) the next one becomes due; None: nothing is scheduled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What waits first in one conversation and lane, and is due. It is leased by nobody."""

    id: DeliveryId
    delivery: Delivery
    """As a lease's."""
    attempt: int
    """Which one the next would be."""
    queue: int
    """Which of the queue's own lanes it waits in: for `take`, opaque to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """What may be taken next, emergency lane first, and what fell out on the way, as of a claim."""

    heads: tuple[Head, ...] = ()
    due: int = 0
    """In how many conversations something is due; more than `heads` where there was no room for all."""
    expired: tuple[Delivery, ...] = ()
    unreadable: int = 0
    next_ms: int | None = None
    """When (caller's clock) the next conversation becomes due besides; None: none is scheduled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Give a lease back, to be tried again not before `at_ms`; what follows in its conversation waits."""

    id: DeliveryId
    at_ms: int
    counted: bool = True
    """False: the network was down or asked for patience; costs no attempt."""
    fresh_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A lease that was sent. `awaiting_until_ms`: keep it in the awaiting set, a report may come."""

    id: DeliveryId
    awaiting_until_ms: int | None = None
    remote_id: RemoteId | None = None
    """For the box that accepted it, if that is another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried:
    """A lease that becomes a dead letter."""

    id: DeliveryId
    reason: str


Outcome = Done | Retry | Buried


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much waits for one conversation in one lane."""

    destination: BridgeName
    lane: str
    conversation: str
    waiting: int
    oldest_ms: int | None
    """When its head was received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a destination, and where its bridge's source goes on."""

    owner: str = ""
    """Empty: nobody, or one whose lease has run out."""
    resume: ResumePoint | None = None
    marked_by: str = ""
    """Who held it when `resume` was noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a delivery that left a shared queue."""

    state: State
    detail: str = ""
    """Of a failed one: why; else the far network's id, if it gave one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much may wait for one destination; with the emergency lane 10 % more.

    What is awaiting a report, and dead letters, have limits of their own and don't count.
    """

    deliveries: int = 100_000
    size_bytes: int = 64 * 1024 * 1024
    """Of envelopes; the server needs about twice that."""
    dead_letters: int = 10_000
    """The oldest beyond fall out of the queue's copy; the journal keeps its own."""


NONE_AT_HAND: Final[Mapping[DeliveryId, Delivery]] = MappingProxyType({})
NONE_AGAIN: Final[Mapping[DeliveryId, int]] = MappingProxyType({})

EXPIRED_PER_CLAIM: Final = 500
"""So that a claim after a long outage doesn't block the queue for everyone else."""


class Outbox(Protocol):
    """A durable queue of deliveries."""

    async def cursor(self, destination: BridgeName, source: str) -> int:
        """Return the last sequence accepted from this source for this destination; 0 if none."""
        ...

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
        """Append what one source journalled in (after, upto], all or nothing, in one atomic step.

        `after` must be the cursor; the cursor becomes `upto`. If it is `upto` already, this call was
        made before and its answer lost: all are `known`. Deliveries already in the queue (by id:
        waiting, leased, awaiting or dead) are left where they are, and those whose fate is remembered
        add nothing. An empty batch moves or checks the cursor. A batch larger than the whole quota is
        Full too: halve it. `generations`: of the keys of those that were sent before, so that whoever claims
        one, on whichever box, sends it under the same.
        """
        ...

    async def acquire(self, destination: BridgeName, owner: str, *, now_ms: int, ttl_ms: int) -> Fence | None:
        """Take or take over the lease on a destination; None while another owner's has not run out.

        A new epoch each time it is taken (also by the same owner: its earlier process is dead), and
        what the former holder had leased is due at once. Boundary: at `until` exactly it is over.
        `ttl_ms` 0 asks for what nobody has: it isn't taken from a holder who was heard of in the last minute.
        """
        ...

    async def renew(self, fence: Fence, *, now_ms: int, ttl_ms: int) -> None:
        """Hold it longer; LeaseLost if another has it. `ttl_ms` 0: as long as nobody else takes it."""
        ...

    async def holder(self, destination: BridgeName, *, now_ms: int) -> Holder:
        """Return who holds it; takes nothing."""
        ...

    async def mark(self, fence: Fence, resume: ResumePoint) -> None:
        """Note where the bridge's source goes on: all before it must be in the queue, or have left it."""
        ...

    async def fates(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> dict[DeliveryId, Fate]:
        """Return what became of those that left a shared queue lately, for good.

        A queue of one box remembers nothing: the box's journal does. A shared one remembers each for
        seven days, or 50,000 deliveries of its destination, and twice that at most; `put` takes none of them.
        """
        ...

    async def resign(self, fence: Fence) -> None:
        """Give it up at once, so that a standby need not wait; no error if it was lost already."""
        ...

    async def claim(
        self,
        fence: Fence,
        *,
        now_ms: int,
        visible_ms: int,
        limit: int,
        run: int,
        at_hand: Mapping[DeliveryId, Delivery] = NONE_AT_HAND,
    ) -> Claimed:
        """Lease up to `limit` due deliveries: `run` at most of one conversation, and of no more than limit / run.

        `at_hand`: what the caller put and no shift has moved since; of these its own copy may be returned.

        Emergency lane first, then normal, then guest; within a lane direct chats before channels, and of
        these the conversation due longest first.
        A conversation with leases out is not claimed again before they are settled or, for a dead
        holder, `visible_ms` have passed. At most 500 expired ones are taken off per call. Emergency
        deliveries never expire. After StoreUnavailable `acquire` anew: what this call may have leased
        is then due at once.
        """
        ...

    async def heads(self, fence: Fence, *, now_ms: int, limit: int, turn: int = 0) -> Heads:
        """Show what waits first in each due conversation, in the order `claim` would take it; lease nothing.

        What has expired or can't be read is taken off, told and confirmed as by `claim`; so a conversation
        may show nothing until the next look.

        With more than `limit` due, each lane that needs them has an eighth of the places, the earlier lanes
        the rest. Of a lane that still has too few, half go to those due longest and half to the others in
        turn: `turn` counts up from look to look, and so comes by all of them.
        """
        ...

    async def take(self, fence: Fence, head: Head, *, now_ms: int, visible_ms: int) -> Lease | None:
        """Lease exactly this one. None: it is not what is due first there any more, or leased; look again."""
        ...

    async def settle(self, fence: Fence, outcomes: Sequence[Outcome], *, now_ms: int) -> None:
        """Acknowledge, retry or bury leases, all in one atomic step. Unknown ids are ignored.

        Retry of a lease gives back the later leases of its run too: outcomes of theirs that come
        after it are ignored. Its conversation goes on when the earlier ones are settled as well.
        Done with `awaiting_until_ms` takes it off its lane into the awaiting set.
        """
        ...

    async def report(self, fence: Fence, id: DeliveryId, state: State = State.SENT) -> bool:
        """Take a delivery out of the awaiting set: its last report came, it ended so. False: it wasn't there."""
        ...

    async def requeue(self, fence: Fence, id: DeliveryId, *, at_ms: int, fresh_key: bool) -> bool:
        """Put an awaiting delivery back at the head of its lane, counting an attempt. False: not there.

        Not before `at_ms`, and behind what is leased of its conversation just now.
        """
        ...

    async def overdue(self, fence: Fence, *, now_ms: int, keep: int) -> tuple[Delivery, ...]:
        """Take out of the awaiting set whose time is over, and the oldest beyond `keep`; 500 at most.

        Given out again until the same fence asks or resigns after it.
        """
        ...

    async def cancel(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Take waiting deliveries off the queue; return those that were taken (not leased ones)."""
        ...

    async def redrive(
        self, destination: BridgeName, ids: Sequence[DeliveryId], *, now_ms: int
    ) -> tuple[DeliveryId, ...]:
        """Put dead letters back at the tail of their lanes with attempts at zero; return those it had.

        Their generation stays. An expiry already past is dropped: someone wants it sent.
        """
        ...

    async def drop(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Forget dead letters and overdue ones; return those it had. What is put under these ids next is news."""
        ...

    async def due_now(self, destination: BridgeName, conversation: str | None = None, *, now_ms: int) -> None:
        """Make backed-off conversations due at once: the bridge is back, or someone pressed retry."""
        ...

    async def has(self, destination: BridgeName, ids: Sequence[DeliveryId]) -> frozenset[DeliveryId]:
        """Return those of these that it knows of: waiting, leased, awaiting a report or dead."""
        ...

    async def depth(self, destinations: Sequence[BridgeName], *, limit: int = 1000) -> tuple[Depth, ...]:
        """Return what waits, leased ones included, deepest first, at most `limit` rows."""
        ...

    def shift(self, delta_ms: int) -> None:
        """Follow our wall clock, which was set by this much: what is scheduled keeps its distance from now.

        Takes effect at once, with the server away too: times are the queue's own, ours only differ by more now.
        """
        ...

    async def ping(self) -> None:
        """Raise StoreUnavailable or StoreRefused unless the queue can be used."""
        ...
