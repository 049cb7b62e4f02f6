# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends what the core delivers: once, unless it is on the air already, and under the id that its key has."""

from __future__ import annotations

from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.meshtastic import places
from bridges.meshtastic.connecting import Connector
from bridges.meshtastic.convert import Transmission, native_id, packet_id, remote_id, to_packet
from bridges.meshtastic.parts import Parts
from bridges.meshtastic.tapbacks import Tapbacks
from gateway.model import Address, Certainty, Foreseen, Message, Receipt, Rejected


class Dispatch:
    """Kept across connections."""

    def __init__(self, parts: Parts, connector: Connector) -> None:
        self._parts = parts
        self._connector = connector
        self._tapbacks = Tapbacks()

    def foresee(self, key: str) -> Foreseen:
        """As `Foresees.foresee`."""
        packet, own = packet_id(key), self._parts.station.number
        return Foreseen(remote_id=remote_id(packet), native_id=native_id(own, packet) if own else None)

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        """As `Bridge.send`."""
        parts, packet = self._parts, packet_id(key)
        known = parts.transmitter.receipt(packet, key)
        if known is not None:
            return known
        link = self._connector.standing()
        if self._tapbacks.stands(message, to):
            parts.count("tapback_stands")
            return Receipt(remote_id=remote_id(packet))
        await link.wait_ready()
        said = self.packet(message, to, packet)
        if said.to == parts.station.number:
            raise Rejected(f"{to.conversation} is this radio's own node")
        parts.keys.check(said.to)
        if (copy := parts.twins.copy(message, to)) is not None:
            parts.count("copy_was_there")
            return Receipt(remote_id=copy, certainty=Certainty.HEARD)
        called = native_id(parts.station.number, packet)
        with parts.twins.turn(message, to, called, parts.meter.message_ms(message, to)):
            receipt = await parts.transmitter.transmit(link, said, key=key)
        self._sent(message, to)
        return receipt

    def packet(self, message: Message, to: Address, id: int) -> MeshPacket:
        """Return a message as the packet of this id; NotThere or another BridgeError if it can be none."""
        config, station = self._parts.config, self._parts.station
        return to_packet(
            message,
            to,
            places.find(to.conversation, station.channels),
            id=id,
            own=station.number,
            settings=Transmission(hop_limit=config.hop_limit, want_ack=config.want_ack),
        )

    def _sent(self, message: Message, to: Address) -> None:
        self._parts.meter.served(message, to)
        self._tapbacks.sent(message, to)
        if (number := places.node_number(to.conversation)) is not None:
            self._parts.nodes.spoke(number)
