# SPDX-License-Identifier: GPL-3.0-or-later
"""How a simulated node learns the keys of others, and tells its own: on its own, and when it is asked."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, User
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.sim.identity import BROADCAST
from bridges.sim.packets import sender_of
from bridges.sim.preferences import user
from bridges.sim.radio import Radio

ANSWERS_AGAIN_S = 600.0
"""Firmware: one description in 10 minutes, whoever asks, and however the last one came about."""


class Introductions:
    """`send(data, to=, want_ack=)` puts something on the air and returns its packet id."""

    def __init__(self, radio: Radio, send: Callable[..., int]) -> None:
        self._radio = radio
        self._send = send
        self._told = -ANSWERS_AGAIN_S
        self.answers = True
        """Whether it answers who asks."""
        self.has_key = True
        """Whether it has a key to tell: old firmware has none, and licensed owners may not use one."""
        self.asked = 0
        """How often somebody asked it."""

    def tell(self, now: float) -> int:
        """Broadcast who it is, as nodes do on their own now and then; return the packet id."""
        self._told = now
        return self._send(self._description(), to=BROADCAST)

    def hear(self, packet: MeshPacket, now: float) -> None:
        """Keep the key that somebody tells, and answer who asks for ours, once in ten minutes."""
        if packet.decoded.portnum != PortNum.NODEINFO_APP:
            return
        try:
            told = User.FromString(packet.decoded.payload)
        except DecodeError:
            return
        if told.public_key:
            self._radio.strangers.discard(sender_of(packet))
        if not packet.decoded.want_response or packet.to != self._radio.number:
            return
        self.asked += 1
        if self.answers and now - self._told >= ANSWERS_AGAIN_S:
            self._told = now
            data = self._description(request_id=packet.id)
            self._send(data, to=sender_of(packet), want_ack=packet.want_ack)

    def _description(self, *, request_id: int = 0) -> Data:
        described = user(self._radio.identity)
        if not self.has_key:
            described.public_key = b""
        return Data(portnum=PortNum.NODEINFO_APP, payload=described.SerializeToString(), request_id=request_id)
