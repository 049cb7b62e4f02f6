# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes next to one destination: by its bridge's choice, or by lane and age; and what fell out on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.choosing import POLL_S, Choosing
from gateway.fresh import Fresh
from gateway.intake import Observer
from gateway.journal import Change, Journal
from gateway.model import PENDING, BridgeName, Clock, Delivery, State
from gateway.outbox.outbox import Claimed, Fence, Lease, Outbox

VISIBLE_MS = 10 * 60_000
"""Longer than a run may take; a dead holder's leases are due at once when its fence is taken over."""


class Claims:
    """One destination's."""

    def __init__(
        self,
        name: BridgeName,
        outbox: Outbox,
        journal: Journal,
        *,
        clock: Clock,
        observer: Observer,
        fresh: Fresh,
        choosing: Choosing | None,
    ) -> None:
        self.is_hurried = False
        """Whether an emergency was queued since the last claim: runs give way, so that it is claimed."""
        self.lost_entries: Callable[[], None] = lambda: None
        """Called when the queue had something that can't be read."""
        self._name = name
        self._outbox = outbox
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self._fresh = fresh
        self._choosing = choosing

    async def next(self, fence: Fence, room: int, *, run: int) -> tuple[Sequence[Lease], float]:
        """Lease what goes next, as the bridge has it where it chooses, else as `claim` does."""
        if self._choosing is None:
            return await self.claim(fence, room, run=run)
        self.is_hurried = False  # an emergency is among what it is shown now
        claimed, rest_s = await self._choosing.claim(fence)
        await self._fell_out(claimed, self._clock.now_ms())
        return claimed.leases, rest_s

    async def claim(self, fence: Fence, room: int, *, run: int) -> tuple[Sequence[Lease], float]:
        """Lease what is due for up to `room` conversations; return also seconds until more is due."""
        self.is_hurried = False  # an emergency comes first in what is claimed now
        now_ms = self._clock.now_ms()
        claimed = await self._outbox.claim(
            fence, now_ms=now_ms, visible_ms=VISIBLE_MS, limit=room * run, run=run, at_hand=self._fresh.at_hand
        )
        await self._fell_out(claimed, now_ms)
        rest_s = POLL_S if claimed.next_ms is None else min(POLL_S, max(0.01, (claimed.next_ms - now_ms) / 1000))
        return claimed.leases, rest_s

    async def _fell_out(self, claimed: Claimed, now_ms: int) -> None:
        if claimed.unreadable:
            self.lost_entries()
        if claimed.expired:
            await self._expire(claimed.expired, now_ms)

    async def _expire(self, deliveries: Sequence[Delivery], now_ms: int) -> None:
        reason = "too old for this network"
        # A queue that lost its tail, or kept what was folded, gives out what the journal knows the end of.
        changes = [
            Change(id=one.id, state=State.EXPIRED, reason=reason, at_ms=now_ms, only_from=PENDING) for one in deliveries
        ]
        made = frozenset(await self._journal.apply(changes))
        for change in changes:
            if change.id in made:
                self._observer.changed(self._name, change)
