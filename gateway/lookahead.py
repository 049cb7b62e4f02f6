# SPDX-License-Identifier: GPL-3.0-or-later
"""Past what a full queue has no room for: emergencies may exceed its quota, so they need not wait behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.journal import Change, Journal
from gateway.model import BridgeName, Clock, Lane, State
from gateway.outbox.outbox import Outbox, Stored

PAGE: Final = 256
"""Deliveries read from the journal in one step."""


class LookAhead:
    """Queues one destination's emergencies ahead of a drain that is held up.

    It keeps a cursor of its own in the queue. When the drain gets to them they are known there, or
    are over by then, which the journal tells before they would be sent.
    """

    def __init__(
        self, destination: BridgeName, journal: Journal, outbox: Outbox, clock: Clock, *, urgent: Callable[[], None]
    ) -> None:
        """`urgent` is called when an emergency was queued."""
        self._destination = destination
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._urgent = urgent

    async def step(self, cursor: int) -> bool:
        """Look through a page beyond `cursor`, where the drain stands; True: there is more to look through."""
        source = f"{self._journal.source}:urgent"
        seen = await self._outbox.cursor(self._destination, source)
        page = await self._journal.pending(self._destination, after=max(seen, cursor), limit=PAGE)
        if page.upto <= seen:
            return False
        urgent = [delivery for delivery in page.deliveries if delivery.lane is Lane.EMERGENCY]
        result = await self._outbox.put(
            self._destination,
            source,
            after=seen,
            upto=page.upto,
            deliveries=urgent,
            generations={one.id: page.generations[one.id] for one in urgent if one.id in page.generations},
        )
        if not isinstance(result, Stored):
            return False  # the emergencies' own margin is used up: the drain comes by again
        if urgent:
            now_ms = self._clock.now_ms()
            self._journal.note(
                [Change(id=d.id, state=State.QUEUED, at_ms=now_ms, only_from=State.WAITING) for d in urgent]
            )
            self._urgent()
        return len(page.deliveries) >= PAGE
