# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a simulated node is, and to whom it says so: on its own, and when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing

from bridges.sim.identity import BROADCAST, Identity
from bridges.sim.packets import POSITION, position_data, routing_packet, sender_of, waypoint_data
from bridges.sim.radio import Radio

_ANSWERS_AGAIN_S = 180.0


class Whereabouts:
    """`send(data, to=, want_ack=)` puts something on the air and returns its packet id."""

    def __init__(self, radio: Radio, send: Callable[..., int]) -> None:
        self._radio = radio
        self._identity: Identity = radio.identity
        self._send = send
        self.precision_bits = 32
        """How exactly it tells where it is; 0: to nobody."""
        self._answered = -_ANSWERS_AGAIN_S

    def tell(self) -> int:
        """Broadcast where it is, as nodes do on their own now and then; return the packet id."""
        return self._send(self._position(), to=BROADCAST)

    def put_waypoint(self, name: str, latitude: float, longitude: float, **more: Any) -> int:
        """Broadcast a waypoint (`description`, `expire`); return the packet id."""
        return self._send(waypoint_data(latitude, longitude, name, **more), to=BROADCAST)

    def hear(self, packet: MeshPacket, now: float) -> None:
        """Answer who asks; once in three minutes, whoever it is, and else not at all."""
        is_question = packet.decoded.portnum == POSITION and packet.decoded.want_response
        if not is_question or packet.to != self._radio.number:
            return
        if not self.precision_bits:
            self._radio.send(self._no(packet), now)
        elif now - self._answered >= _ANSWERS_AGAIN_S:
            self._answered = now
            self._send(self._position(request_id=packet.id), to=sender_of(packet), want_ack=True)

    def _position(self, *, request_id: int = 0) -> Data:
        here = self._identity
        return position_data(
            here.latitude,
            here.longitude,
            altitude_m=here.altitude_m or None,
            precision_bits=self.precision_bits,
            request_id=request_id,
        )

    def _no(self, packet: MeshPacket) -> MeshPacket:
        return routing_packet(
            sender=self._radio.number,
            to=sender_of(packet),
            id=self._radio.new_id(),
            request_id=packet.id,
            error=Routing.NO_RESPONSE,
        )
