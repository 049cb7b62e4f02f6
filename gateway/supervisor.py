# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps one bridge connected, and takes in what it yields. One dead radio never stops Matrix."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing

import structlog

from gateway.backoff import LONGEST_WAIT_S, delays
from gateway.intake import Intake
from gateway.link import Link, LinkState
from gateway.model import (
    Bridge,
    BridgeError,
    Clock,
    JournalError,
    Message,
    PermanentError,
    Report,
    TransientError,
)
from gateway.patience import until_answered
from gateway.turn import Superseded, Turn

log = structlog.get_logger()

STEADY_S = 30.0
"""A link that stayed up this long was a good one: the pauses start over."""


class Supervisor:
    """Connects, receives, and connects again, for ever; ends when the login is refused.

    Where several boxes hold the bridge: only while it is our turn.
    """

    def __init__(
        self,
        *,
        bridge: Bridge,
        link: Link,
        intake: Intake,
        clock: Clock,
        random: random.Random,
        report: Callable[[Report], None],
        came_up: Callable[[], Awaitable[None]],
        changed: Callable[[Link], None],
        turn: Turn,
    ) -> None:
        self._bridge = bridge
        self._link = link
        self._intake = intake
        self._clock = clock
        self._random = random
        self._report = report
        self._came_up = came_up
        self._changed = changed
        self._turn = turn

    async def run(self) -> None:
        """Keep the bridge connected; return only when its network refused our login."""
        pauses = self._pauses()
        while True:
            await self._turn.wait(lambda who: self._say(LinkState.STANDBY, who))
            began = self._clock.monotonic()
            wish_s = 0.0
            try:
                async with self._turn.ours():
                    await self._session()
            except Superseded:
                self._say(LinkState.STANDBY, "another gateway has taken it over")
                continue
            except PermanentError as error:
                self._say(LinkState.STOPPED, str(error))
                return
            except BridgeError as error:
                wish_s = (error.retry_after_s if isinstance(error, TransientError) else None) or 0.0
                self._say(LinkState.DOWN, str(error))
            if self._clock.monotonic() - began > STEADY_S:
                pauses = self._pauses()
            await self._clock.sleep(max(next(pauses), min(wish_s, LONGEST_WAIT_S)))

    def _pauses(self) -> Iterator[float]:
        return delays(self._random, first_s=0.5, longest_s=self._bridge.capabilities.reconnect_within_s)

    async def _session(self) -> None:
        async with self._bridge as bridge:
            self._say(LinkState.UP, "")
            await self._came_up()
            async with aclosing(bridge.receive()) as items:
                async for item in items:
                    if not isinstance(item, Message):
                        self._report(item)
                    elif self._intake.wants(item):
                        await self._store(item)

    async def _store(self, message: Message) -> None:
        """Return when the message is on the disk; until then the source is neither answered nor asked."""
        await until_answered(
            lambda: self._intake.accept(message),
            away=JournalError,
            clock=self._clock,
            pauses=delays(self._random, first_s=0.1, longest_s=5.0),
            postponed=lambda error: log.debug("accept_postponed", bridge=self._bridge.name, reason=str(error)),
        )

    def _say(self, state: LinkState, reason: str) -> None:
        if self._link.set(state, reason, self._clock.now_ms()):
            tell = log.info if state in {LinkState.UP, LinkState.STANDBY} else log.warning
            tell(f"bridge_{state.value}", bridge=self._bridge.name, reason=reason)
            self._changed(self._link)
