# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding a destination: one gateway works it at a time, for as long as its lease lasts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import structlog

from gateway.backoff import delays
from gateway.link import Link, LinkState
from gateway.model import BridgeName, Clock, LeaseLost, OutboxError
from gateway.outbox.outbox import Fence, Outbox

log = structlog.get_logger()

LEASE_MS = 15_000
LET_GO_MS = 10_000
"""A box that hasn't reached its network for so long lets another try."""
EXPIRE_EVERY_S = 30.0
"""How often what waits for a link that is down is looked through for what is too old."""


class Holding:
    """The lease on one destination. On a shared queue other boxes want it, too."""

    def __init__(
        self,
        destination: BridgeName,
        link: Link,
        outbox: Outbox,
        *,
        clock: Clock,
        owner: str,
        random: random.Random,
        begun: Callable[[], None],
        shared: bool,
    ) -> None:
        """`begun` is called whenever the destination became ours, anew or again."""
        self.taken_by_another: Callable[[], None] = lambda: None
        self._destination = destination
        self._link = link
        self._outbox = outbox
        self._clock = clock
        self._owner = owner
        self._random = random
        self._begun = begun
        self._shared = shared
        self._sure_until = 0.0

    async def acquire(self) -> Fence:
        """Wait until this destination is ours, anew if it was: what was leased before is due at once.

        On a shared queue a box that doesn't reach the network takes it only when nobody else does, so that
        what waits there expires in time.
        """
        pauses = delays(self._random, first_s=0.1, longest_s=2.0)
        while True:
            ttl_ms = await self._wait_reached()
            asked = self._clock.monotonic()
            try:
                fence = await self._outbox.acquire(
                    self._destination, self._owner, now_ms=self._clock.now_ms(), ttl_ms=ttl_ms
                )
            except OutboxError as error:
                log.debug("acquire_postponed", destination=self._destination, reason=str(error))
            else:
                if fence is not None:
                    self._sure_until = asked + ttl_ms / 1000
                    self._begun()
                    return fence
                if ttl_ms:
                    self.taken_by_another()
            await self._clock.sleep(next(pauses))

    async def _wait_reached(self) -> int:
        """Wait a while for the network; return for how long to hold the lease, 0 if it isn't reached."""
        if not self._shared:
            return LEASE_MS
        with suppress(TimeoutError):
            async with asyncio.timeout(EXPIRE_EVERY_S):
                await self._link.wait_up()
        return LEASE_MS if self._link.is_up else 0

    async def renew(self, fence: Fence) -> None:
        """Hold the destination longer; LeaseLost when another has it.

        On a shared queue, and with the network out of reach for a while: only until another box wants it.
        """
        asked, ttl_ms = self._clock.monotonic(), self._ttl_ms()
        try:
            await self._outbox.renew(fence, now_ms=self._clock.now_ms(), ttl_ms=ttl_ms)
        except LeaseLost:
            raise
        except OutboxError as error:
            log.debug("renew_postponed", destination=self._destination, reason=str(error))
        else:
            self._sure_until = asked + ttl_ms / 1000

    def _ttl_ms(self) -> int:
        if not self._shared or self._link.is_up:
            return LEASE_MS
        is_over = self._link.state is LinkState.STOPPED
        return 0 if is_over or self._clock.now_ms() - self._link.since_ms > LET_GO_MS else LEASE_MS

    async def assure(self, fence: Fence) -> None:
        """Return while the lease is surely ours; after that ask the queue, however long it is away. LeaseLost.

        A box that was frozen, or cut off from the queue, for longer than its lease must send nothing more.
        """
        pauses = delays(self._random, first_s=0.1, longest_s=1.0)
        while self._shared and self._clock.monotonic() >= self._sure_until:
            await self.renew(fence)
            if self._clock.monotonic() >= self._sure_until:
                await self._clock.sleep(next(pauses))

    async def resign(self, fence: Fence) -> None:
        """Give the destination up, so that a standby need not wait."""
        with suppress(OutboxError):
            await self._outbox.resign(fence)
