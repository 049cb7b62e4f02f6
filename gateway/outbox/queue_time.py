# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue has a time of its own, which only goes on: how our clock differs from it is found out and kept here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

_CATCH_UP_MS: Final = 5000
"""As far behind another gateway we follow its time; what is more is no drift of clocks."""
_DRIFT_MS, _MOST_DRIFT_MS = 250, 60_000
"""Between so much and so much apart from a shared queue's time, our clock has drifted: we follow."""


class QueueTime:
    """One gateway's view of one queue's time."""

    def __init__(
        self,
        now_ms: Callable[[], int] | None,
        *,
        shared: bool,
        anchor: Callable[[], Awaitable[Sequence[bytes | int] | None]],
    ) -> None:
        """`now_ms`: our clock; None: it doesn't differ. `anchor` asks the queue, see `anchor.lua`."""
        self.skew = 0
        """Our clock minus the queue's time."""
        self._now_ms = now_ms
        self._shared = shared
        self._anchor = anchor
        self._agreed = now_ms is None
        self._agreeing = asyncio.Lock()

    def shift(self, delta_ms: int) -> None:
        """Note that our clock was set by so much."""
        self.skew += delta_ms

    def catch_up(self, behind_ms: int) -> None:
        """Follow another gateway that was found to be so much ahead of us."""
        if 0 < behind_ms <= _CATCH_UP_MS:
            self.skew -= behind_ms

    async def agree(self) -> None:
        """Find out, once, what time it is in the queue: our clock may have stood elsewhere when we last ran."""
        if self._agreed:
            return
        async with self._agreeing:
            if not self._agreed:
                apart_ms = await self._apart_ms()
                self.skew += apart_ms  # not in one: our clock may have been set while we asked
                self._agreed = True

    async def keep_step(self) -> None:
        """Follow the queue's time where our clock drifts from it: who holds no lease is told nothing by renewing."""
        if not (self._shared and self._agreed):
            return
        apart_ms = await self._apart_ms()
        if _DRIFT_MS < abs(apart_ms) <= _MOST_DRIFT_MS:
            self.skew += apart_ms

    async def _apart_ms(self) -> int:
        """Return how far our clock is ahead of the queue's time; 0 where nobody has told a time there yet."""
        here = await self._anchor()
        if here is None or self._now_ms is None:
            return 0
        time_here, skew = map(int, here)
        return self._now_ms() - self.skew - skew - time_here
