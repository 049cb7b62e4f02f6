# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateway and embedded server, as processes, under a wall clock that starts in 1970 and jumps."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.disks import BadClock
from tests.e2e.test_disks import Box, folder, running

__all__ = ["folder"]

DAY_S = 24 * 3600


async def test_under_a_clock_that_starts_in_1970_and_jumps_everything_crosses_once_and_in_order(folder: Path) -> None:
    """First by today's clock, then the power goes, and the box doesn't know the time for a while."""
    box = Box(folder, expires="1h")
    clock = BadClock(folder)
    box.environment = {**clock.environment, "CLOCK_EVERY_S": "0.1"}
    box.say(400)
    in_1970 = 3600 - time.time()
    async with running(box):
        await shown(box, 60)
        box.kill()
    clock.is_ahead(in_1970)
    async with running(box):
        await shown(box, 120)
        clock.is_ahead(0)
        await followed(box, 1)
        clock.is_ahead(-3 * DAY_S)
        await followed(box, 2)
        box.kill()
    clock.is_ahead(in_1970)
    box.say(60)
    before = box.count_in_log("queue_up")  # a run that was killed within its first second has not said it
    async with running(box):
        while box.count_in_log("queue_up") == before:
            await asyncio.sleep(0.02)
        clock.is_ahead(8 * DAY_S)
        await box.ended()
    box.check()


async def shown(box: Box, count: int) -> None:
    while len(box.shown()) < count:
        await asyncio.sleep(0.02)


async def followed(box: Box, times: int) -> None:
    """Wait until it noticed; what is on its way goes on meanwhile."""
    while box.count_in_log("clock_stepped") < times:
        assert box.process.poll() is None, "it ended before the clock was set"
        await asyncio.sleep(0.02)
