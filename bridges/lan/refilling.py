# SPDX-License-Identifier: GPL-3.0-or-later
"""A box that lost the end of its log has it again from the others, before it goes on."""

from __future__ import annotations

from bridges.lan.exchange import Exchange
from gateway.model import Clock

REFILL_S = 10.0
"""So long it is waited for that another box answers; two tries of one that doesn't."""
MOST_S = 120.0
"""In all: what a box says to have is only its word, and a stolen one could say more each time, for ever."""
LOOK_S = 0.05


async def refilled(exchange: Exchange, clock: Clock, *, within_s: float) -> bool:
    """Wait until some box has answered and all that did have nothing that is missing here; False if none did in time.

    As long as more comes it is waited for, two minutes at most.
    """
    at_last_s = clock.monotonic() + MOST_S
    until_s = clock.monotonic() + within_s
    have = exchange.lacking()
    while have != 0:
        if clock.monotonic() >= until_s:
            return False
        await clock.sleep(LOOK_S)
        if (now := exchange.lacking()) != have:
            have, until_s = now, min(at_last_s, clock.monotonic() + within_s)
    return True
