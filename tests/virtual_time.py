# SPDX-License-Identifier: GPL-3.0-or-later
"""An event loop whose time passes only while nothing is to do: a day on the air takes a minute.

Sockets are real, on the loopback interface: what is written to one can be read from the other at once, so no time
passes on the line. What would run in another thread runs at once; where one runs all the same, time stands still while
somebody waits for it (`standing`).
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_STUCK_S = 5.0


class _Selector(selectors.DefaultSelector):
    """Passes the time instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0
        self.standing = 0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            return ready if ready or timeout is not None else super().select(_STUCK_S)
        if self.standing:
            return super().select(_STUCK_S)
        self.passed_s += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time` begins at 0."""

    def __init__(self) -> None:
        self._passing = _Selector()
        super().__init__(self._passing)

    def time(self) -> float:
        return self._passing.passed_s

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Let no time pass within this context."""
        self._passing.standing += 1
        try:
            yield
        finally:
            self._passing.standing -= 1

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # of any callable
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets it
            future.set_exception(error)
        return future


class VirtualClock:
    """The gateway's clock by the loop's time."""

    def __init__(self, start_ms: int = 1_790_000_000_000) -> None:
        self._start_ms = start_ms
        self._loop = asyncio.get_running_loop()  # it is read from other threads, too

    def now_ms(self) -> int:
        return self._start_ms + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
