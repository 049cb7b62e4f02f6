# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of what waits goes next, where a bridge says that itself: look, ask, and lease that one.

A bridge whose answer makes no sense wedges nothing: then the order is that of bridges that have none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from gateway.fresh import Fresh
from gateway.journal import Journal, Standing
from gateway.link import Link
from gateway.model import Airtime, BridgeName, Candidate, Clock, DeliveryId, Go, Hold, Refuse, Schedules
from gateway.outbox.outbox import Claimed, Fence, Head, Heads, Lease, Outbox

log = structlog.get_logger()

LOOK_AT = 256
"""Conversations a bridge is shown at once. Where more are due, each comes by within a few looks: `Outbox.heads`."""
POLL_S = 1.0
"""How long a rest is at most while there may be news that nobody tells us of: another box's, or past `LOOK_AT`."""
LONGEST_HOLD_S = 10.0
"""After so long it is asked anew, whatever it said: what was sent before may have come back meanwhile."""
SAID_AFTER_S = 30.0
"""A hold that has lasted so long is worth a line in the log. A brief one is by then no pause between two messages."""
AGAIN_S = 0.05
"""What was chosen was gone by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How a bridge that chooses fares at this moment."""

    airtime: Airtime
    """`held` is empty unless something that waits is held back just now."""
    held_for_s: float | None
    """How long that has been so; None while nothing is held back."""
    held_s: float
    """In all since the start, as of the last look."""
    refused: int
    """Deliveries it would not carry, since the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    reason: str
    since_s: float
    is_brief: bool
    is_said: bool
    """Whether the log has it."""


class Choosing:
    """One bridge's choices."""

    def __init__(
        self,
        name: BridgeName,
        bridge: Schedules,
        link: Link,
        outbox: Outbox,
        journal: Journal,
        *,
        clock: Clock,
        fresh: Fresh,
        visible_ms: int,
        shared: bool,
    ) -> None:
        """`shared`: other boxes queue things too, and tell us nothing of it."""
        self.defects = 0
        """How often its answer made no sense."""
        self.refused = 0
        self._name = name
        self._bridge = bridge
        self._link = link
        self._outbox = outbox
        self._journal = journal
        self._clock = clock
        self._fresh = fresh
        self._visible_ms = visible_ms
        self._longest_s = POLL_S if shared else LONGEST_HOLD_S
        self._turn = 0
        self._is_sound = True
        self._held: _Held | None = None
        self._held_s = 0.0
        self._rested: tuple[float, float] | None = None
        """Since when we rest held back, and for how long at most."""
        self._refusals: dict[DeliveryId, str] = {}

    @property
    def held(self) -> str:
        """Why all that waits is held back; empty while it isn't, or only for a breath, or the link is what keeps it."""
        held = self._held
        is_told = held is not None and (not held.is_brief or self._clock.monotonic() - held.since_s >= SAID_AFTER_S)
        return held.reason if held is not None and is_told and self._link.is_up else ""

    def look(self) -> Schedule | None:
        """Return how it fares; None if the bridge can't say."""
        try:
            airtime = self._bridge.airtime()
        except Exception:
            if self._is_new_defect():
                log.exception("schedule_defect", destination=self._name)
            return None
        held = self._held if self.held else None
        for_s = None if held is None else self._clock.monotonic() - held.since_s
        return Schedule(
            airtime=replace(airtime, held=self.held),
            held_for_s=for_s,
            held_s=self._held_s,
            refused=self.refused,
        )

    async def claim(self, fence: Fence) -> tuple[Claimed, float]:
        """Lease the one that goes next, if any may; return also for how long to rest otherwise.

        Raises what the stores do. What fell out on the way is to be journalled as of any claim.
        """
        self._count_rest()
        now_ms = self._clock.now_ms()
        found = await self._outbox.heads(fence, now_ms=now_ms, limit=LOOK_AT, turn=self._turn)
        self._turn += 1
        lease, rest_s = await self._next(fence, found, now_ms)
        leases = () if lease is None else (lease,)
        return Claimed(leases=leases, expired=found.expired, unreadable=found.unreadable), rest_s

    async def _next(self, fence: Fence, found: Heads, now_ms: int) -> tuple[Lease | None, float]:
        rest_s = _until_next(found, now_ms, most_s=POLL_S)
        if not found.heads or not self._link.is_up:
            self._let_go()
            return None, AGAIN_S if found.expired or found.unreadable else rest_s
        standings = await self._standings(found.heads)
        over = next((head for head in found.heads if _is_over(standings.get(head.id))), None)
        answer = Go(id=over.id) if over is not None else self._ask([_candidate(one, standings) for one in found.heads])
        if isinstance(answer, Hold):
            return None, self._hold(answer, found, now_ms)
        self._let_go()
        head = next(one for one in found.heads if one.id == answer.id)
        lease = await self._outbox.take(fence, head, now_ms=now_ms, visible_ms=self._visible_ms)
        self._refusals.pop(head.id, None)  # of an earlier answer, whose lease was lost
        if lease is not None and isinstance(answer, Refuse):
            self._refusals[lease.id] = answer.reason
        return lease, AGAIN_S if lease is None else 0.0

    def refusal(self, ident: DeliveryId) -> str | None:
        """Return why the bridge won't carry what was leased; None if it is to be sent."""
        return self._refusals.get(ident)

    def end(self, idents: Iterable[DeliveryId]) -> None:
        """Note that these are settled."""
        for ident in idents:
            self._refusals.pop(ident, None)

    def end_all(self) -> None:
        """Note that the destination isn't ours any more."""
        self._refusals.clear()
        self._let_go()

    async def _standings(self, heads: Sequence[Head]) -> Mapping[DeliveryId, Standing]:
        """Return what the journal knows: new words, a digest, an end the queue has not heard of."""
        asked = [head.id for head in heads if head.attempt > 1 or not self._fresh.has(head.id)]
        return await self._journal.standings(asked) if asked else {}

    def _ask(self, waiting: Sequence[Candidate]) -> Go | Hold | Refuse:
        try:
            answer = self._bridge.choose(waiting)
        except Exception:
            if self._is_new_defect():
                log.exception("schedule_defect", destination=self._name)
            return Go(id=waiting[0].delivery.id)
        known = {one.delivery.id for one in waiting}
        if isinstance(answer, Hold) or (isinstance(answer, Go | Refuse) and answer.id in known):
            self._is_sound = True
            return answer
        if self._is_new_defect():
            log.error("schedule_defect", destination=self._name, reason="it chose what it was not shown")
        return Go(id=waiting[0].delivery.id)

    def _is_new_defect(self) -> bool:
        """Count one; whether it is the first since an answer made sense: the log needs no line for each message."""
        was_sound, self._is_sound = self._is_sound, False
        self.defects += 1
        return was_sound

    def _hold(self, hold: Hold, found: Heads, now_ms: int) -> float:
        now_s = self._clock.monotonic()
        before = self._held
        if before is None or before.is_brief != hold.is_brief:
            self._let_go()
            before = _Held(reason="", since_s=now_s, is_brief=hold.is_brief, is_said=False)
        is_due = now_s - before.since_s >= SAID_AFTER_S
        if is_due and not before.is_said:
            log.info("sending_held", destination=self._name, reason=hold.reason)
        self._held = replace(before, reason=hold.reason, is_said=is_due)
        most_s = POLL_S if found.due > len(found.heads) else self._longest_s
        wish_s = hold.for_s if math.isfinite(hold.for_s) else most_s
        rest_s = max(AGAIN_S, min(wish_s, _until_next(found, now_ms, most_s=most_s)))
        if self.held:
            self._rested = (now_s, rest_s)
        return rest_s

    def _let_go(self) -> None:
        if self._held is not None and self._held.is_said:
            held_s = round(self._clock.monotonic() - self._held.since_s)
            log.info("sending_goes_on", destination=self._name, held_s=held_s)
        self._held = None

    def _count_rest(self) -> None:
        if self._rested is not None:
            since_s, most_s = self._rested
            self._held_s += min(self._clock.monotonic() - since_s, most_s)
        self._rested = None


def _candidate(head: Head, standings: Mapping[DeliveryId, Standing]) -> Candidate:
    standing = standings.get(head.id)
    if standing is None:
        return Candidate(delivery=head.delivery, attempt=head.attempt)
    return Candidate(delivery=standing.revised or head.delivery, attempt=head.attempt, is_digest=standing.is_digest)


def _is_over(standing: Standing | None) -> bool:
    return standing is not None and not standing.state.is_pending


def _until_next(found: Heads, now_ms: int, *, most_s: float) -> float:
    return most_s if found.next_ms is None else min(most_s, max(0.01, (found.next_ms - now_ms) / 1000))
