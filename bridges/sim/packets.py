# SPDX-License-Identifier: GPL-3.0-or-later
"""Building and reading the protobufs that nodes put on the air. Pure."""

from __future__ import annotations

from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Position, Routing, Waypoint
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.sim.airtime import Preset, airtime_s

TEXT = PortNum.TEXT_MESSAGE_APP
ROUTING = PortNum.ROUTING_APP
ADMIN = PortNum.ADMIN_APP
POSITION = PortNum.POSITION_APP

PRIORITY_ACK = MeshPacket.Priority.ACK
PRIORITY_TEXT = 100

# Ports that stay on the channel's key even when sent to one node.
_NEVER_PKI = frozenset({ROUTING, PortNum.NODEINFO_APP, PortNum.POSITION_APP, PortNum.TRACEROUTE_APP})


def sender_of(packet: MeshPacket) -> int:
    """Return the packet's ``from``, which Python can't spell."""
    return int(getattr(packet, "from"))


def set_sender(packet: MeshPacket, number: int) -> None:
    """Set the packet's ``from``."""
    setattr(packet, "from", number)


def packet_of(
    data: Data, *, sender: int, to: int, id: int, channel: int = 0, hop_limit: int = 3, want_ack: bool = False
) -> MeshPacket:
    """Wrap decoded data for the air."""
    packet = MeshPacket(to=to, id=id, channel=channel, hop_limit=hop_limit, hop_start=hop_limit, want_ack=want_ack)
    packet.decoded.CopyFrom(data)
    set_sender(packet, sender)
    return packet


def text_data(text: str | bytes, *, reply_id: int = 0, emoji: bool = False) -> Data:
    """Return a text, a reply or a tapback. Bytes are taken as they are, valid UTF-8 or not."""
    payload = text.encode() if isinstance(text, str) else text
    return Data(portnum=TEXT, payload=payload, reply_id=reply_id, emoji=int(emoji))


def routing_packet(*, sender: int, to: int, id: int, request_id: int, error: int, hop_limit: int = 3) -> MeshPacket:
    """Return the answer to packet `request_id`: error 0 acknowledges it."""
    payload = Routing(error_reason=error).SerializeToString()
    data = Data(portnum=ROUTING, payload=payload, request_id=request_id)
    packet = packet_of(data, sender=sender, to=to, id=id, hop_limit=hop_limit)
    packet.priority = PRIORITY_ACK
    return packet


def routing_error(packet: MeshPacket) -> int | None:
    """Return the error an answer carries (0: acknowledged), or None if it isn't one."""
    if packet.decoded.portnum != ROUTING:
        return None
    return int(Routing.FromString(packet.decoded.payload).error_reason)


def wants_pki(packet: MeshPacket, *, broadcast: int) -> bool:
    """Whether this packet is encrypted for its one destination."""
    return packet.to != broadcast and packet.decoded.portnum not in _NEVER_PKI


def packet_airtime_s(preset: Preset, packet: MeshPacket) -> float:
    """Return how long this packet is on the air, in seconds."""
    if packet.WhichOneof("payload_variant") == "encrypted":
        return airtime_s(preset, len(packet.encrypted))
    data = packet.decoded
    return airtime_s(
        preset, len(data.payload), pki=packet.pki_encrypted, reply=bool(data.reply_id), emoji=bool(data.emoji)
    )


def position_data(
    latitude: float,
    longitude: float,
    *,
    altitude_m: int | None = None,
    precision_bits: int = 32,
    request_id: int = 0,
    want_response: bool = False,
) -> Data:
    """Return a position as a node sends it: cut to `precision_bits`, and then in the middle of what is left."""
    position = Position(latitude_i=_cut(latitude, precision_bits), longitude_i=_cut(longitude, precision_bits))
    if altitude_m is not None:
        position.altitude = altitude_m
    position.precision_bits = precision_bits
    payload = position.SerializeToString()
    return Data(portnum=POSITION, payload=payload, request_id=request_id, want_response=want_response)


def waypoint_data(
    latitude: float,
    longitude: float,
    name: str,
    *,
    description: str = "",
    expire: int = 0,
    icon: str = "",
    id: int = 1,
) -> Data:
    """Return a waypoint; one that is deleted is the same with `expire` in the past. `icon`: one character."""
    waypoint = Waypoint(id=id, name=name, description=description, expire=expire, icon=ord(icon) if icon else 0)
    waypoint.latitude_i, waypoint.longitude_i = round(latitude * 1e7), round(longitude * 1e7)
    return Data(portnum=PortNum.WAYPOINT_APP, payload=waypoint.SerializeToString())


def _cut(degrees: float, bits: int) -> int:
    units = round(degrees * 1e7)
    if bits >= 32:  # noqa: PLR2004 - all of them
        return units
    square = 1 << (32 - bits)
    return (units // square) * square + square // 2
