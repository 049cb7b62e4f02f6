# SPDX-License-Identifier: GPL-3.0-or-later
"""What packets say besides texts: places, what sensors report, what instruments measure."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.convert import Other, sender_of
from bridges.meshtastic.locating import Locator
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.sensors import Sensors
from bridges.meshtastic.telemetry import Instruments
from gateway.model import Clock, Content, Text, Topic

NOT_FOR_ALL = "telemetry_not_for_all"
"""Counted: measurements that a node sent to ours alone."""


class Traffic:
    """Kept across connections: what was said of a node is not said again."""

    def __init__(
        self, *, telemetry_every_s: float, locator: Locator, clock: Clock, count: Callable[[str], None]
    ) -> None:
        self._locator = locator
        self._clock = clock
        self._count = count
        self._sensors = Sensors()
        self._instruments = Instruments(telemetry_every_s)
        self._takers: dict[int, tuple[Topic, Callable[[MeshPacket], Content | None]]] = {
            PortNum.POSITION_APP: (Topic.POSITION, locator.take),
            PortNum.WAYPOINT_APP: (Topic.WAYPOINT, locator.mark),
            PortNum.DETECTION_SENSOR_APP: (Topic.SENSOR, self._reported),
            PortNum.TELEMETRY_APP: (Topic.TELEMETRY, self._measured),
        }

    def reads(self, packet: MeshPacket) -> bool:
        """Whether `take` is to be asked about a packet that is for us."""
        return packet.decoded.portnum in self._takers

    def take(self, packet: MeshPacket) -> Other | None:
        """Return what a packet says; None, counted by why, if that is nothing to pass on."""
        topic, taken = self._takers[packet.decoded.portnum]
        content = taken(packet)
        return None if content is None else Other(content=content, topic=topic)

    def _reported(self, packet: MeshPacket) -> Text | None:
        return self._text(self._sensors.take(sender_of(packet), packet.decoded.payload))

    def _measured(self, packet: MeshPacket) -> Text | None:
        if packet.to != BROADCAST:
            self._count(NOT_FOR_ALL)
            return None
        now = self._clock.monotonic()
        return self._text(self._instruments.take(sender_of(packet), packet.decoded.payload, now))

    def _text(self, said: str) -> Text | None:
        if isinstance(said, StrEnum):
            self._count(said)
            return None
        return Text(body=said)
