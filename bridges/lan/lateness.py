# SPDX-License-Identifier: GPL-3.0-or-later
"""When something was said, by this box's clock: boxes have clocks of their own, and some have none. Pure."""

from __future__ import annotations

from gateway.model import NEVER_SET_MS


def said_at(said_ms: int, now_ms: int) -> int:
    """Return when a message from another box counts as received: when it was said there, as far as that makes sense.

    By a clock that was never set (there or here) nothing can be told: then it is now. Nothing is from the future.
    """
    if said_ms < NEVER_SET_MS or now_ms < NEVER_SET_MS:
        return now_ms
    return min(said_ms, now_ms)
