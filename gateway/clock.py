# SPDX-License-Identifier: GPL-3.0-or-later
"""Time, injected. Wall time never jumps by itself: a step is noticed by `measure`, and followed by `adopt`.

Boxes without a real-time clock start years off and are set right by the network minutes later. Who
keeps times (queue, journal) measures now and then, and shifts what is scheduled as it adopts a step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush

STEP_MS = 1000
"""A smaller difference is drift, or the network's time daemon at work: followed when it has added up."""


class SystemClock:
    """This box's clock. `time_scale` clock seconds pass per real second; tests and the demo only."""

    def __init__(
        self,
        *,
        time_scale: float = 1.0,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.time_scale = time_scale
        self._wall_ms = wall_ms
        self._real_monotonic = monotonic
        self._started = monotonic()
        self._started_ms = wall_ms()
        self._stepped_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since the epoch: the wall time at the start, the steps adopted since, and what passed."""
        return self._started_ms + self._stepped_ms + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        """Clock seconds since this clock was made."""
        return self._real_s() * self.time_scale

    async def sleep(self, seconds: float) -> None:
        """Sleep so many clock seconds."""
        await asyncio.sleep(max(0.0, seconds) / self.time_scale)

    def measure(self) -> int:
        """Return by how many milliseconds the wall clock was set since it was last followed; 0 if under a second."""
        expected_ms = self._started_ms + self._stepped_ms + round(self._real_s() * 1000)
        step_ms = self._wall_ms() - expected_ms
        return step_ms if abs(step_ms) > STEP_MS else 0

    def adopt(self, step_ms: int) -> None:
        """Follow a step that was measured."""
        self._stepped_ms += step_ms

    def _real_s(self) -> float:
        return self._real_monotonic() - self._started


@dataclass(order=True, slots=True)
class _Sleeper:
    until: float
    order: int
    woken: asyncio.Future[None] = field(compare=False)


class ManualClock:
    """A clock that a test moves."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = start_ms
        self._elapsed = 0.0
        self._unseen_ms = 0
        self._sleepers: list[_Sleeper] = []
        self._count = 0

    def now_ms(self) -> int:
        """Milliseconds since the epoch: the start, what was advanced, and the steps adopted."""
        return self._start_ms + round(self._elapsed * 1000)

    def monotonic(self) -> float:
        """Seconds advanced."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Sleep until the test has advanced so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heappush(self._sleepers, _Sleeper(self._elapsed + seconds, self._count, woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Let time pass; who sleeps until then or earlier wakes, the earliest first."""
        self._elapsed += max(0.0, seconds)
        while self._sleepers and self._sleepers[0].until <= self._elapsed:
            sleeper = heappop(self._sleepers)
            with suppress(asyncio.InvalidStateError):  # it was cancelled meanwhile
                sleeper.woken.set_result(None)

    def step(self, ms: int) -> None:
        """Set the wall clock under it; seen when it is measured."""
        self._unseen_ms += ms

    def measure(self) -> int:
        """Return by how many milliseconds the wall clock was set since it was last followed; 0 if under a second."""
        return self._unseen_ms if abs(self._unseen_ms) > STEP_MS else 0

    def adopt(self, step_ms: int) -> None:
        """Follow a step that was measured."""
        self._unseen_ms -= step_ms
        self._start_ms += step_ms
