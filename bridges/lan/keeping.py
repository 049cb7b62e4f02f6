# SPDX-License-Identifier: GPL-3.0-or-later
"""Drops what is too old from the log, and the oldest of too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import structlog

from bridges.lan.held import Held
from gateway.model import Clock, LinkDown

RETAIN_EVERY_S = 600.0
MOST_EVENTS = 500_000
"""Kept, however young: some 300 MB."""
MOST_BYTES = 1 << 30
"""Kept, however few: a stolen box may write long ones."""

log = structlog.get_logger()


async def keep_short(held: Held, retention_s: float, clock: Clock, count: Callable[[str], None]) -> NoReturn:
    """Do so now and every ten minutes; a disk that refuses is counted, and asked again then."""
    while True:
        try:
            await _shorten(held, retention_s, clock.now_ms(), count)
        except LinkDown as error:
            count("log_unwritable")
            log.warning("lan_log_unwritable", reason=str(error))
        await clock.sleep(RETAIN_EVERY_S)


async def _shorten(held: Held, retention_s: float, now_ms: int, count: Callable[[str], None]) -> None:
    since_ms = int(now_ms - retention_s * 1000)
    await held.write(lambda log: log.date(now_ms))
    await held.write(lambda log: log.retain(since_ms))
    if dropped := await held.write(lambda log: log.retain_most(MOST_EVENTS, MOST_BYTES)):
        count("log_full")
        log.warning("lan_log_full", dropped=dropped, most=MOST_EVENTS)
    await held.write(lambda log: log.compact(now_ms))
