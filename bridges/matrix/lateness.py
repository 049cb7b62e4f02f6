# SPDX-License-Identifier: GPL-3.0-or-later
"""When a message was said, for words that come late: a room shows when an event arrived. Pure.

A ghost of an application service gives the same time to the homeserver instead (``ts``, client-server API,
"Timestamp massaging"); a normal user's is ignored, so there it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from bridges.matrix.wire import mapping
from gateway.model import MOST_LATE_MS

LATE_MS = 2 * 60_000
"""What comes sooner is read as said just now."""
LATE_FOR_GHOSTS_MS = 5_000
"""What comes sooner keeps the time at which it arrived."""
_AT_ONCE_MS = 1_000
"""What came sooner came at once: that long a homeserver may take."""
_ON_ITS_WAY_MS = 60_000
"""So long an answer of a homeserver may hang in a line that was cut, before it is asked again."""
_SENSE_MS = 1_577_836_800_000
"""2020-01-01: what is older than that came to a box that didn't know the time."""


def late_by(event: Mapping[str, Any], received_ms: int) -> int:
    """Return how long before we received it an event was said (ms); 0: at once, or nothing that can be believed tells.

    Its homeserver says how long ago it had it (`age` in `unsigned`: client-server API, "Room event format"): that
    holds whatever the clocks show, a homeserver's and ours, but for as long as the answer was on its way to us. Where
    it doesn't say, or says so little less that this can be why, `origin_server_ts` counts, by the clock of the sender's
    homeserver. That one alone a bridge may set: what another bridge says long after it was said is said just now.
    """
    age = _believed(mapping(event.get("unsigned")).get("age"))
    sent_ms = event.get("origin_server_ts")
    late_ms = _believed(received_ms - sent_ms) if type(sent_ms) is int else None
    if late_ms is None or (age is not None and not 0 <= late_ms - age <= _ON_ITS_WAY_MS):
        late_ms = age
    return late_ms if late_ms is not None and late_ms >= _AT_ONCE_MS else 0


def _believed(late_ms: object) -> int | None:
    return late_ms if type(late_ms) is int and 0 <= late_ms <= MOST_LATE_MS else None


def said_at(said_ms: int, now_ms: int, zone: tzinfo | None = None) -> str:
    """Return the time to show before the words: ``14:02``, with its date if that isn't today's; empty if none.

    By the gateway's clock, never a radio's. `zone`: None is this box's own.
    """
    if said_ms < _SENSE_MS or now_ms - said_ms < LATE_MS:
        return ""
    said, now = (datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone) for ms in (said_ms, now_ms))
    return said.strftime("%H:%M" if said.date() == now.date() else "%Y-%m-%d %H:%M")


def stamp(said_ms: int, now_ms: int) -> int | None:
    """Return the time to give to the homeserver for what a ghost says late; None: that of its arrival."""
    if said_ms < _SENSE_MS or now_ms - said_ms <= LATE_FOR_GHOSTS_MS:
        return None
    return said_ms
