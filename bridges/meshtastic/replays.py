# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that a Store & Forward node says again for somebody. Pure.

It says them to whoever asked for them, wrapped, and keeps sender, id, channel, reply and tapback of the
original (firmware `StoreForwardModule::preparePayload`): so a replay is known by the same (from, id) as
what it repeats. When that was said isn't on the air.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.storeforward_pb2 import StoreAndForward

from bridges.meshtastic.places import BROADCAST

_TO_ALL = StoreAndForward.RequestResponse.ROUTER_TEXT_BROADCAST
_TO_ONE = StoreAndForward.RequestResponse.ROUTER_TEXT_DIRECT


def as_said(packet: MeshPacket) -> MeshPacket | None:
    """Return the packet as its sender said it; None if it is no replay of a text."""
    if packet.decoded.portnum != PortNum.STORE_FORWARD_APP:
        return None
    try:
        said = StoreAndForward.FromString(packet.decoded.payload)
    except DecodeError:
        return None
    if said.rr not in (_TO_ALL, _TO_ONE) or said.WhichOneof("variant") != "text":
        return None
    original = MeshPacket()
    original.CopyFrom(packet)
    original.decoded.portnum = PortNum.TEXT_MESSAGE_APP
    original.decoded.payload = said.text
    if said.rr == _TO_ALL:
        original.to = BROADCAST
    return original
