# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a stop that doesn't end: a task that ignores its cancellation, a thread that never returns.

What is journalled is on the disk by then, and the embedded server ends with the process that started it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self

import structlog

log = structlog.get_logger()


class CutOff:
    """A context manager: from `arm` on, what is inside has a time limit; past it the process ends with 1."""

    def __init__(self, end: Callable[[int], Any] = os._exit) -> None:
        self._end = end
        self._timer: threading.Timer | None = None

    def arm(self, within_s: float, tasks: Collection[asyncio.Task[Any]]) -> None:
        """Start the clock, once. `tasks` are those that should end; who has not is named in the log."""
        if self._timer is None:
            # A thread and not the loop's own clock: a loop that is stuck is what this is for, too.
            self._timer = threading.Timer(within_s, self._cut, (within_s, tasks))
            self._timer.daemon = True
            self._timer.start()

    def _cut(self, within_s: float, tasks: Collection[asyncio.Task[Any]]) -> None:
        hanging = sorted(task.get_name() for task in tasks if not task.done())
        log.critical("stop_cut_off", after_s=within_s, hanging=hanging or ["closing the stores"])
        self._end(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
