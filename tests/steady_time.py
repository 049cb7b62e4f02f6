# SPDX-License-Identifier: GPL-3.0-or-later
"""An event loop whose time doesn't run on while the machine lets others work.

On a busy machine a process waits for its turn for a tenth of a second, and now and then for seconds. By the real
clock every patience ends a little earlier then, and a mesh whose time passes twenty times as fast is seconds further,
with a bridge that had no chance to answer. This loop's time passes while it waits for what it asked for, no longer than
it asked, and by the processor's time while it works; of one step of work (an import, say) no more than a moment counts.
What a test and its simulated far sides share is this one time.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from typing import Any

from gateway.clock import SystemClock

STEP_S = 0.005
"""As long as the work between two waits may seem to take."""


class _Selector(selectors.DefaultSelector):
    """Counts the time that passes."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_s = 0.0
        self._worked_s = time.thread_time()
        self._thread = threading.get_ident()

    def now_s(self) -> float:
        """Return the time; in another thread than the loop's, that of the last time it waited."""
        if threading.get_ident() != self._thread:
            return self._passed_s
        return self._passed_s + min(time.thread_time() - self._worked_s, STEP_S)

    def select(self, timeout: float | None = None) -> Any:
        self._passed_s = self.now_s()
        self._thread = threading.get_ident()
        began_s = time.monotonic()
        try:
            return super().select(timeout)
        finally:
            waited_s = time.monotonic() - began_s
            self._passed_s += waited_s if timeout is None else min(waited_s, max(0.0, timeout))
            self._worked_s = time.thread_time()


class SteadyLoop(asyncio.SelectorEventLoop):
    """`time` begins at 0."""

    def __init__(self) -> None:
        self._steady = _Selector()
        super().__init__(self._steady)

    def time(self) -> float:
        return self._steady.now_s()


class SteadyClock(SystemClock):
    """The gateway's clock by the running loop's time; the wall's goes along."""

    def __init__(self, *, time_scale: float = 1.0) -> None:
        loop = asyncio.get_running_loop()  # it is read from other threads, too
        wall_ms, began_s = time.time_ns() // 1_000_000, loop.time()
        super().__init__(
            time_scale=time_scale,
            wall_ms=lambda: wall_ms + round((loop.time() - began_s) * 1000),
            monotonic=loop.time,
        )
