# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a packet is on the air, whatever is in it. Pure; apart from `airtime`, which needs no protobufs."""

from __future__ import annotations

from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.airtime import HEADER_BYTES, SIGNATURE_BYTES, size_s
from bridges.meshtastic.modem import Modem
from bridges.meshtastic.places import BROADCAST, PKI_BYTES, ROOM_BYTES

BITFIELD_BYTES = 2
"""What the firmware adds to all data."""
_NEVER_PKI = frozenset({PortNum.ROUTING_APP, PortNum.NODEINFO_APP, PortNum.POSITION_APP, PortNum.TRACEROUTE_APP})
"""Ports that stay on the channel's key, also to one node (firmware `Router::perhapsEncode`)."""


def packet_s(modem: Modem, packet: MeshPacket, *, signs: bool = False) -> float:
    """Return the seconds a packet of ours takes once. `signs`: the firmware signs what it broadcasts."""
    data = packet.decoded
    size = HEADER_BYTES + data.ByteSize() + BITFIELD_BYTES
    if packet.to != BROADCAST:
        size += PKI_BYTES * (data.portnum not in _NEVER_PKI)
    elif signs and len(data.payload) + SIGNATURE_BYTES <= ROOM_BYTES:
        size += SIGNATURE_BYTES
    return size_s(modem, size)
