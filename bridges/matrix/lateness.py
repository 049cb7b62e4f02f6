# SPDX-License-Identifier: GPL-3.0-or-later
"""When a message was said, for words that come late: a room shows when an event arrived. Pure.

A ghost of an application service gives the same time to the homeserver instead (``ts``, client-server API,
"Timestamp massaging"); a normal user's is ignored, so there it is shown.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

LATE_MS = 2 * 60_000
"""What comes sooner is read as said just now."""
LATE_FOR_GHOSTS_MS = 5_000
"""What comes sooner keeps the time at which it arrived."""
_SENSE_MS = 1_577_836_800_000
"""2020-01-01: what was received before that, was received by a box that didn't know the time."""


def said_at(received_ms: int, now_ms: int, zone: tzinfo | None = None) -> str:
    """Return the time to show before the words: ``14:02``, with its date if that isn't today's; empty if none.

    By the gateway's clock, never a radio's. `zone`: None is this box's own.
    """
    if received_ms < _SENSE_MS or now_ms - received_ms < LATE_MS:
        return ""
    said, now = (datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone) for ms in (received_ms, now_ms))
    return said.strftime("%H:%M" if said.date() == now.date() else "%Y-%m-%d %H:%M")


def stamp(received_ms: int, now_ms: int) -> int | None:
    """Return the time to give to the homeserver for what a ghost says late; None: that of its arrival."""
    if received_ms < _SENSE_MS or now_ms - received_ms <= LATE_FOR_GHOSTS_MS:
        return None
    return received_ms
