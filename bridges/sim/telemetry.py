# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node tells of itself: to its client once a minute, to the mesh now and then, as firmware 2.7 does."""

from __future__ import annotations

from typing import Protocol

from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.sim.agenda import Agenda
from bridges.sim.identity import BROADCAST, DUTY_CYCLE_PERCENT, Settings
from bridges.sim.packets import packet_of
from bridges.sim.radio import Radio

STATISTICS_S = 900.0
POLITE_PERCENT = 25.0
_HOUR_S = 3600.0
_MAINS = 101


class Teller(Protocol):
    """The node's firmware, as far as it is needed."""

    @property
    def radio(self) -> Radio:
        """Its radio."""
        ...

    @property
    def settings(self) -> Settings:
        """How it is set."""
        ...

    @property
    def buffered(self) -> int:
        """How many packets wait for the client."""
        ...

    def keep(self, packet: MeshPacket) -> None:
        """Put a packet in the queue for the client."""
        ...


class SelfReport:
    """Tells every `telemetry_s` of the settings; 0: never."""

    def __init__(self, node: Teller, agenda: Agenda) -> None:
        self._node = node
        self._agenda = agenda
        self._told_mesh = self._told_statistics = float("-inf")

    def begin(self, now: float) -> None:
        """Tell from now on."""
        every_s = self._node.settings.telemetry_s
        if every_s > 0:
            self._agenda.at(now + every_s, self._tell)

    def _tell(self, now: float) -> None:
        settings = self._node.settings
        if self._node.radio.is_on:
            if now - self._told_mesh >= settings.telemetry_to_mesh_s and self._is_polite(now):
                self._told_mesh = now
                self._tell_mesh(now)
            elif not self._node.buffered:
                self._tell_client(now)
        self._agenda.at(now + settings.telemetry_s, self._tell)

    def _tell_mesh(self, now: float) -> None:
        packet = self._packet(self._metrics(now))
        self._node.keep(packet)
        self._node.radio.send(packet, now)

    def _tell_client(self, now: float) -> None:
        self._node.keep(self._packet(self._metrics(now)))
        if now - self._told_statistics >= STATISTICS_S:
            self._told_statistics = now
            told = Telemetry()
            told.local_stats.channel_utilization = self._busy_percent(now)
            told.local_stats.air_util_tx = self._sent_percent(now)
            self._node.keep(self._packet(told))

    def _metrics(self, now: float) -> Telemetry:
        told = Telemetry()
        told.device_metrics.battery_level = _MAINS
        told.device_metrics.channel_utilization = self._busy_percent(now)
        told.device_metrics.air_util_tx = self._sent_percent(now)
        told.device_metrics.uptime_seconds = int(now)
        return told

    def _packet(self, told: Telemetry) -> MeshPacket:
        radio = self._node.radio
        data = Data(portnum=PortNum.TELEMETRY_APP, payload=told.SerializeToString())
        packet = packet_of(data, sender=radio.number, to=BROADCAST, id=radio.new_id())
        packet.priority = MeshPacket.Priority.BACKGROUND
        return packet

    def _is_polite(self, now: float) -> bool:
        duty_percent = DUTY_CYCLE_PERCENT.get(self._node.settings.region, 100.0)
        is_quiet = duty_percent >= 100 or self._sent_percent(now) < duty_percent / 2  # noqa: PLR2004 - all the time
        return is_quiet and self._busy_percent(now) < POLITE_PERCENT

    def _busy_percent(self, now: float) -> float:
        return self._node.radio.utilisation.percent(now)

    def _sent_percent(self, now: float) -> float:
        return 100 * self._node.radio.airtime_within(_HOUR_S, now) / _HOUR_S
