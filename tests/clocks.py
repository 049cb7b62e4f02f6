# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks that are set, or put forward, by tests."""

from __future__ import annotations

import asyncio
import time

from gateway.clock import SystemClock
from gateway.health import SteppingClock


def followed(clock: SteppingClock) -> int:
    """Measure a step and adopt it at once; return it, in milliseconds."""
    step_ms = clock.measure()
    clock.adopt(step_ms)
    return step_ms


class HurryingClock(SystemClock):
    """A clock that a test puts forward, by days while an outage lasts; between that it goes as fast as any.

    A time scale of ten thousand would do the same, but make a lease of a quarter of a minute last a millisecond.
    """

    def __init__(self) -> None:
        self.ahead_s = 0.0
        super().__init__(
            wall_ms=lambda: time.time_ns() // 1_000_000 + round(self.ahead_s * 1000),
            monotonic=lambda: time.monotonic() + self.ahead_s,
        )

    async def sleep(self, seconds: float) -> None:
        """Sleep so long by this clock."""
        until_s = self.monotonic() + max(0.0, seconds)
        while (left_s := until_s - self.monotonic()) > 0:
            await asyncio.sleep(min(left_s, 0.02))


class StandingClock(SystemClock):
    """A clock that stands, for what has to happen at once though the machine takes its time; sleepers sleep."""

    def now_ms(self) -> int:
        return self._started_ms

    def monotonic(self) -> float:
        return 0.0
