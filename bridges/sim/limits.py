# SPDX-License-Identifier: GPL-3.0-or-later
"""How much and how often a client may send, as firmware 2.7.26 was measured to allow. Pure."""

from __future__ import annotations

from meshtastic.protobuf.mesh_pb2 import Data
from meshtastic.protobuf.portnums_pb2 import PortNum

LARGEST_BROADCAST = 232
LARGEST_DIRECT = 220
REPLY_COSTS = 5
EMOJI_COSTS = 5
UNPARSABLE = 235
"""From this many payload bytes on the firmware's decoder gives up, and nobody answers."""

SAME_ID = 20
"""So many packet ids of its client a node remembers."""
STATUSES = 2
"""So many queue statuses wait for the client; the oldest goes first."""

TEXTS = frozenset({PortNum.TEXT_MESSAGE_APP})
_SLOW_PORTS_S = {
    PortNum.POSITION_APP: 10.0,
    PortNum.WAYPOINT_APP: 10.0,
    PortNum.TELEMETRY_APP: 10.0,
    PortNum.ALERT_APP: 10.0,
    PortNum.TRACEROUTE_APP: 30.0,
}


def largest_payload(data: Data, *, pki: bool) -> int:
    """Return the most payload bytes that fit a packet with these other fields."""
    largest = LARGEST_DIRECT if pki else LARGEST_BROADCAST
    return largest - REPLY_COSTS * bool(data.reply_id) - EMOJI_COSTS * bool(data.emoji)


class RateLimit:
    """Per port, the time since the last packet that was let through. A refused one doesn't count."""

    def __init__(self, text_interval_s: float) -> None:
        self._text_interval_s = text_interval_s
        self._last: dict[int, float] = {}

    def admits(self, portnum: int, now: float) -> bool:
        """Say whether a client's packet may go on; if so, the next one has to wait."""
        interval = self._text_interval_s if portnum in TEXTS else _SLOW_PORTS_S.get(portnum)
        if interval is None:
            return True
        last = self._last.get(portnum)
        if last is not None and now - last < interval:
            return False
        self._last[portnum] = now
        return True

    def clear(self) -> None:
        """Forget: another connection begins."""
        self._last.clear()
