# SPDX-License-Identifier: GPL-3.0-or-later
"""How busy the channel is, and how much our own node transmits, as it says itself. Pure.

A node tells its client its own telemetry once a minute, and its statistics every 15 minutes (firmware
`DeviceTelemetryModule`): `channel_utilization` of the last minute, `air_util_tx` of the last hour, in percent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.meshtastic.convert import came_over_the_air, sender_of

FRESH_S = 180.0
"""For how long a minute's telling counts: two may be left out, where the node has more to say."""
FRESH_SENT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What our node said, and when."""

    busy_percent: float
    sent_percent: float
    at: float


def reading(packet: MeshPacket, own: int, now: float) -> Reading | None:
    """Return what this packet tells, if it is our own node's word; None for all others, and what makes no sense."""
    if packet.decoded.portnum != PortNum.TELEMETRY_APP or not _is_from_here(packet, own):
        return None
    try:
        told = Telemetry.FromString(packet.decoded.payload)
    except DecodeError:
        return None
    match told.WhichOneof("variant"):
        case "device_metrics":
            said = told.device_metrics
        case "local_stats":
            said = told.local_stats
        case _:
            return None
    busy, sent = said.channel_utilization, said.air_util_tx
    if not all(math.isfinite(each) and each >= 0 for each in (busy, sent)):
        return None
    # More than all the time is a defect of the node's sums; it is busy all the same.
    return Reading(min(busy, 100.0), min(sent, 100.0), now)


def _is_from_here(packet: MeshPacket, own: int) -> bool:
    return sender_of(packet) in (own, 0) and not came_over_the_air(packet)


class Channel:
    """The last reading, while it is worth something."""

    def __init__(self, own_ms: Callable[[float], int]) -> None:
        """`own_ms`: what was sent for us in the last hour, at a time."""
        self._own_ms = own_ms
        self._last: Reading | None = None
        self._others_ms = 0

    def take(self, told: Reading) -> None:
        """Take what our node said."""
        self._last = told
        self._others_ms = max(0, round(told.sent_percent * 36_000) - self._own_ms(told.at))

    def busy_percent(self, now: float) -> float | None:
        """Return how much of the time anybody transmits; None if it wasn't told lately."""
        return self._last.busy_percent if self._last is not None and now - self._last.at < FRESH_S else None

    def others_ms(self, now: float) -> int:
        """Return what our node transmitted of itself in an hour: it relays, answers, and tells who it is."""
        return self._others_ms if self._last is not None and now - self._last.at < FRESH_SENT_S else 0
