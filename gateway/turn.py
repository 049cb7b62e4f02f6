# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is, where several boxes hold one bridge: one connects it, the others stand by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from gateway.journal import Journal
from gateway.model import Bridge, Clock, JournalError, OutboxError, Resumable, ResumePoint
from gateway.outbox.outbox import Holder, Outbox

log = structlog.get_logger()

ASK_EVERY_S = 1.0


class Superseded(Exception):
    """Another box has taken the bridge."""


class Turn:
    """One bridge's. Without other boxes on the queue it is always ours.

    While the queue can't be asked a box goes on as it is: one that has just started connects, for a radio
    tells nothing twice, and what two boxes receive of the same comes out once. One that stood by goes on
    standing by.
    """

    def __init__(
        self, bridge: Bridge, journal: Journal, outbox: Outbox, clock: Clock, *, owner: str, shared: bool
    ) -> None:
        self._bridge = bridge
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._owner = owner
        self._shared = shared
        self._stands_by = False
        self._marked: tuple[str, ResumePoint] | None = None
        self._cut: asyncio.Timeout | None = None

    async def wait(self, stand_by: Callable[[str], None]) -> None:
        """Wait until nobody else holds the bridge; `stand_by` is told who does."""
        while self._shared:
            holder = await self._ask()
            if holder is None and not self._stands_by:
                return
            if holder is not None and holder.owner not in {"", self._owner}:
                self._stands_by = True
                stand_by(f"{box_of(holder.owner)} has it")
            elif holder is not None and await self._go_on(holder):
                self._stands_by = False
                return
            await self._clock.sleep(ASK_EVERY_S)

    async def _ask(self) -> Holder | None:
        try:
            return await self._outbox.holder(self._bridge.name, now_ms=self._clock.now_ms())
        except OutboxError as error:
            log.debug("holder_unknown", bridge=self._bridge.name, reason=str(error))
            return None

    async def _go_on(self, holder: Holder) -> bool:
        """Go on where the last holder was, if that was another box; our own journal knows more of ourselves.

        False: the journal can't note it now.
        """
        if holder.resume is None or holder.marked_by == self._owner or not isinstance(self._bridge, Resumable):
            return True
        if self._marked != (holder.marked_by, holder.resume):
            try:
                await self._journal.set_resume(self._bridge.name, holder.resume)
            except JournalError as error:
                log.debug("takeover_postponed", bridge=self._bridge.name, reason=str(error))
                return False
            self._marked = (holder.marked_by, holder.resume)
            self._bridge.go_on_from(holder.resume)
            log.info("goes_on_from", bridge=self._bridge.name, box=box_of(holder.marked_by))
        return True

    @asynccontextmanager
    async def ours(self) -> AsyncIterator[None]:
        """Do something until it is done, or cut it short: Superseded."""
        try:
            async with asyncio.timeout(None) as cut:
                self._cut = cut
                yield
        except TimeoutError:
            if cut.expired():
                raise Superseded from None
            raise
        finally:
            self._cut = None

    def lost(self) -> None:
        """Say that another box has the bridge: what is done with it must end. It may be said while it does."""
        cut, self._cut = self._cut, None  # one that has run out can't be set again
        if cut is not None:
            cut.reschedule(asyncio.get_running_loop().time())


def owner_of(box: str, source: str) -> str:
    """Return the name under which a box holds leases: two with one name by mistake must not share them."""
    return f"{box}#{source[:8]}"


def box_of(owner: str) -> str:
    """Return the box's name as people know it."""
    return owner.partition("#")[0]
