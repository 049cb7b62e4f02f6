# SPDX-License-Identifier: GPL-3.0-or-later
"""One try to hand a packet to the radio, and what came back while it was waited for."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from bridges.meshtastic.refusals import Refusal
from gateway.model import Certainty, Clock

T = TypeVar("T")


class Attempt:
    """`taken` is done when the radio said anything of the packet; `refused` when it said no."""

    def __init__(self, id: int) -> None:
        loop = asyncio.get_running_loop()
        self.id = id
        self.certainty = Certainty.SENT
        self.taken: asyncio.Future[None] = loop.create_future()
        self.refused: asyncio.Future[Refusal] = loop.create_future()

    def take(self, outcome: Certainty | Refusal) -> None:
        """Note what the radio said."""
        if isinstance(outcome, Certainty):
            if outcome is not Certainty.SENT:
                self.certainty = outcome
        elif not self.refused.done():
            self.refused.set_result(outcome)
        if not self.taken.done():
            self.taken.set_result(None)

    def check(self) -> None:
        """Raise the refusal, if there is one."""
        if self.refused.done():
            raise self.refused.result()


async def within(clock: Clock, seconds: float, awaited: asyncio.Future[T]) -> bool:
    """Wait until something is done, or `seconds` of the clock have passed; tell whether it is done."""
    if not awaited.done():
        timer = asyncio.create_task(_pass(clock, seconds), name="radio's answer is waited for")
        waited: set[asyncio.Future[Any]] = {awaited, timer}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
    return awaited.done()


async def _pass(clock: Clock, seconds: float) -> None:
    await clock.sleep(seconds)
