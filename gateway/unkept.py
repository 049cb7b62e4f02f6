# SPDX-License-Identifier: GPL-3.0-or-later
"""What other boxes were told and this one's journal can't keep yet: it holds, so it is kept as soon as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from gateway.model import Declined, JournalError

log = structlog.get_logger()

MOST: Final = 100
"""So many wait; while they do, nothing more is decided. What waits as the process ends is read from the log again."""

Step = Callable[[], Awaitable[object]]


class Unkept:
    """Steps of the journal, done in the order they were decided."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._one_at_a_time = asyncio.Lock()

    async def make_room(self) -> None:
        """Before more is decided: do what waits if it can be. JournalError if too much waits."""
        try:
            await self.again()
        except JournalError:
            if len(self._steps) >= MOST:
                raise

    async def keep(self, step: Step) -> None:
        """Do a step after those that wait, now or later."""
        self._steps.append(step)
        try:
            await self.again()
        except JournalError as error:
            log.warning("decision_not_kept_yet", waiting=len(self._steps), reason=str(error))

    async def again(self) -> None:
        """Do what waits. JournalError as long as it can't be."""
        async with self._one_at_a_time:
            while self._steps:
                try:
                    await self._steps[0]()
                except Declined as declined:  # the journal has as many as it keeps; the log still has this one
                    log.warning("decision_not_kept", reason=str(declined))
                del self._steps[0]
