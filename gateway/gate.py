# SPDX-License-Identifier: GPL-3.0-or-later
"""What lets messages out to one bridge: its link is up, and its breaker has nothing against it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog

from gateway.breaker import Breaker
from gateway.link import Link
from gateway.model import Address, Bridge, BridgeError, Clock, DeliveryId, RateLimited
from gateway.outbox.outbox import Lease

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
"""How long a wait for the breaker lasts at most before it is looked at again: the link may have closed it."""


class Gate:
    """One destination's breaker, told what the sends say."""

    def __init__(self, bridge: Bridge, link: Link, clock: Clock, random: random.Random) -> None:
        self.breaker = Breaker(random, longest_s=bridge.capabilities.reconnect_within_s, now=clock.monotonic())
        self.opened: Callable[[], None] = lambda: None
        """Called when what was held back may go on."""
        self._name = bridge.name
        self._link = link
        self._clock = clock
        self._answer = asyncio.Event()

    @property
    def is_probing(self) -> bool:
        """Whether no more than one may be let out."""
        return not self.breaker.is_closed

    async def wait_open(self) -> None:
        """Wait until something may be sent."""
        while True:
            await self._link.wait_up()
            wait_s = self.breaker.wait_s(self._clock.monotonic())
            if wait_s is None:
                self._answer.clear()
                await self._answer.wait()
            elif wait_s > 0:
                await self._clock.sleep(min(wait_s, LOOK_EVERY_S))
            else:
                return

    def link_is_up(self) -> None:
        """Note that the bridge connected anew."""
        self.breaker.link_is_up(self._clock.monotonic())
        self._answer.set()

    def admit(self, lease: Lease) -> bool:
        """Whether this one may go out; while the network is down, a run that was claimed goes back unsent."""
        return self.breaker.admit(lease.id, self._clock.monotonic())

    def answered(self, lease: Lease) -> None:
        """Note that the network took it."""
        was_closed = self.breaker.is_closed
        self.breaker.answered(lease.id, self._clock.monotonic())
        self._say(was_closed=was_closed)

    def failed(self, lease: Lease, error: BridgeError) -> bool:
        """Note what went wrong; return whether it is the network's fault, and costs no attempt."""
        return self._failed(lease.id, lease.delivery.to, error)

    def refused_late(self, id: DeliveryId, to: Address, error: BridgeError) -> None:
        """Hold back the destination where a late refusal was meant for all of it."""
        if isinstance(error, RateLimited) and error.for_all:
            self._failed(id, to, error)

    def end(self, ids: Sequence[DeliveryId]) -> None:
        """Note that nothing more will be heard of these, also where they were never sent: another may be the probe."""
        for ident in ids:
            self.breaker.release(ident)
        self._answer.set()

    def end_all(self) -> None:
        """Note that nothing is on its way any more."""
        self.breaker.release_all()
        self._answer.set()

    def _failed(self, id: DeliveryId, to: Address, error: BridgeError) -> bool:
        was_closed = self.breaker.is_closed
        is_down = self.breaker.failed(id, to.conversation, error, self._clock.monotonic())
        self._say(was_closed=was_closed)
        return is_down

    def _say(self, *, was_closed: bool) -> None:
        self._answer.set()
        if was_closed and not self.breaker.is_closed:
            log.info("breaker_open", destination=self._name, reason=self.breaker.reason)
        elif self.breaker.is_closed and not was_closed:
            log.info("breaker_closed", destination=self._name)
            self.opened()
