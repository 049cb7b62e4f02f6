# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal knows of a lease right before it is sent: over already, revised, or under a newer key.

Asking costs, so it is asked only where it can know something. What may change a delivery says so
before the journal has it (`changing`), and whoever sends waits for that and asks again: between the
answer and the note that it is being sent nothing else runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gateway.fresh import Fresh
from gateway.journal import Journal, Standing
from gateway.model import DeliveryId
from gateway.outbox.outbox import Lease

BEFORE_ALL = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the journal knew of some leases, and how many changes there had been before it was asked."""

    standings: Mapping[DeliveryId, Standing]
    changes: int


class Lookup:
    """Asks the journal about what one sender has claimed."""

    def __init__(
        self,
        journal: Journal,
        fresh: Fresh,
        *,
        learn: Callable[[Sequence[DeliveryId], Mapping[DeliveryId, Standing]], None] = lambda _, __: None,
        adopt: Callable[[Sequence[Lease], dict[DeliveryId, Standing]], Awaitable[None]] | None = None,
    ) -> None:
        """`learn` is told what the journal was asked about when it was claimed, and what it knew.

        `adopt` journals what another box accepted. None: there is no other.
        """
        self.read_back: Callable[[], None] = lambda: None
        """Called where what is on its way to the queue may be changed: from then on the journal says what it is."""
        self._adopt = adopt
        self._journal = journal
        self._fresh = fresh
        self._learn = learn
        self._changes = 0
        self._changing: list[tuple[frozenset[DeliveryId], asyncio.Event]] = []

    @contextmanager
    def changing(self, ids: Iterable[DeliveryId]) -> Iterator[None]:
        """Change deliveries in the journal meanwhile: none of them is sent before that is done, and looked up."""
        mine, done = frozenset(ids), asyncio.Event()
        self._fresh.forget(mine)
        self.read_back()
        self._changes += 1
        self._changing.append((mine, done))
        try:
            yield
        finally:
            self.read_back()  # what was accepted just before may have been handed over meanwhile
            self._changing.remove((mine, done))
            self._changes += 1
            done.set()

    async def claimed(self, leases: Sequence[Lease]) -> Known:
        """Return what the journal knows of them already; nothing of those that were queued just now."""
        # What is being changed right now may be answered as it was: it is asked again.
        changes = self._changes if not self._changing else BEFORE_ALL
        asked = self._fresh.unknown(leases)
        standings = await self._journal.standings(asked) if asked else {}
        self._learn(asked, standings)
        if self._adopt is not None and asked:
            wanted = set(asked)
            await self._adopt([lease for lease in leases if lease.id in wanted], standings)
        return Known(standings=standings, changes=changes)

    async def latest(self, lease: Lease, known: Known) -> Lease | None:
        """Return a lease as it is to be sent, None if it is over; JournalError if that can't be told.

        Nothing has changed it when this returns: begin to send before anything is awaited.
        """
        standing, changes = known.standings.get(lease.id), known.changes
        while changes != self._changes:
            await self._changed(lease.id)
            changes = self._changes
            standing = (await self._journal.standings([lease.id])).get(lease.id)
        return _as_known(lease, standing)

    async def _changed(self, ident: DeliveryId) -> None:
        """Wait until nobody is changing it."""
        while (done := next((done for ids, done in self._changing if ident in ids), None)) is not None:
            await done.wait()


def _as_known(lease: Lease, standing: Standing | None) -> Lease | None:
    """Use the words the journal has, and its generation where that is higher: the queue may have lost its own."""
    if standing is None:
        return lease
    if not standing.state.is_pending:
        return None
    generation = max(standing.generation, lease.generation)
    if standing.revised is None and generation == lease.generation:
        return lease
    return replace(lease, delivery=standing.revised or lease.delivery, generation=generation)
