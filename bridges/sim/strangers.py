# SPDX-License-Identifier: GPL-3.0-or-later
"""Other people's traffic on the same frequency: nobody here can read it, but it takes the air."""

from __future__ import annotations

import random

from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.sim.agenda import Agenda
from bridges.sim.air import Air
from bridges.sim.identity import BROADCAST
from bridges.sim.packets import packet_airtime_s, set_sender

_BYTES = 60
_FULL = 0.95


class Strangers:
    """Somebody out there who keeps the channel busy for a share of the time, from 0 to 0.95, by random gaps."""

    def __init__(self, air: Air, agenda: Agenda, chance: random.Random, *, number: int = 0x57A26E12) -> None:
        self.number = number
        self._air = air
        self._agenda = agenda
        self._chance = chance
        self._share = 0.0
        self._round = 0
        air.join(self)

    def occupy(self, share: float, now: float) -> None:
        """Take this share of the time from now on."""
        self._share = min(share, _FULL)
        self._round += 1
        self._next(self._round, now)

    def hear(self, packet: MeshPacket, *, via: int, now: float) -> None:
        """Hear nothing: they are on a channel of their own."""

    def began(self, packet: MeshPacket, now: float) -> None:
        """Go on as planned."""

    def sent(self, packet: MeshPacket, airtime_s: float, now: float) -> None:
        """Go on as planned."""

    def _next(self, round_: int, now: float) -> None:
        if round_ != self._round or self._share <= 0:
            return
        packet = self._packet()
        self._air.enqueue(self.number, packet, now)
        every_s = packet_airtime_s(self._air.preset, packet) / self._share
        self._agenda.at(now + self._chance.expovariate(1 / every_s), lambda when: self._next(round_, when))

    def _packet(self) -> MeshPacket:
        packet = MeshPacket(to=BROADCAST, id=self._chance.randrange(1, 2**32), hop_limit=0)
        packet.encrypted = self._chance.randbytes(_BYTES)
        set_sender(packet, self.number)
        return packet
