# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole messages of every kind that a radio says or that are on the air, to be damaged."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from meshtastic.protobuf import admin_pb2, mesh_pb2, paxcount_pb2, storeforward_pb2, telemetry_pb2
from meshtastic.protobuf.mesh_pb2 import Data, FromRadio, MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from tests.fuzz.mutation import MOST_PAYLOAD_BYTES

_WORDS = (b"hello", b"", b"\xff\xfe", "grüß\u202e\0".encode(), b"!ping", b"!nodes", b"x" * 220, b"\a\a", "👍".encode())
_SPOKEN: dict[int, type[Message]] = {
    PortNum.POSITION_APP: mesh_pb2.Position,
    PortNum.NODEINFO_APP: mesh_pb2.User,
    PortNum.ROUTING_APP: mesh_pb2.Routing,
    PortNum.ADMIN_APP: admin_pb2.AdminMessage,
    PortNum.WAYPOINT_APP: mesh_pb2.Waypoint,
    PortNum.STORE_FORWARD_APP: storeforward_pb2.StoreAndForward,
    PortNum.TELEMETRY_APP: telemetry_pb2.Telemetry,
    PortNum.TRACEROUTE_APP: mesh_pb2.RouteDiscovery,
    PortNum.NEIGHBORINFO_APP: mesh_pb2.NeighborInfo,
    PortNum.PAXCOUNTER_APP: paxcount_pb2.Paxcount,
    PortNum.KEY_VERIFICATION_APP: mesh_pb2.KeyVerification,
}
"""What is said on a port, where that is no text."""
_PORTS = (
    PortNum.TEXT_MESSAGE_APP, PortNum.TEXT_MESSAGE_APP, PortNum.TEXT_MESSAGE_APP, PortNum.ALERT_APP,
    PortNum.DETECTION_SENSOR_APP, PortNum.RANGE_TEST_APP, PortNum.REPLY_APP, 255, 511, 77_777, *_SPOKEN,
)  # fmt: skip


def filled(message: Any, chance: random.Random, *, depth: int = 3) -> Any:
    """Fill about half of a message's fields with something, and return it."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.5 or (field.message_type and not depth):
            continue
        if field.is_repeated:
            _extend(message, field, chance, depth)
        elif field.message_type:
            filled(getattr(message, field.name), chance, depth=depth - 1)
            getattr(message, field.name).SetInParent()
        else:
            setattr(message, field.name, _scalar(field, chance))
    return message


def _extend(message: Any, field: FieldDescriptor, chance: random.Random, depth: int) -> None:
    several = getattr(message, field.name)
    for _ in range(chance.randrange(3)):
        if field.message_type:
            filled(several.add(), chance, depth=depth - 1)
        else:
            several.append(_scalar(field, chance))


def _scalar(field: FieldDescriptor, chance: random.Random) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        words = chance.choice(_WORDS)
        return words if field.type == FieldDescriptor.TYPE_BYTES else words.decode(errors="replace")[:30]
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return chance.choice((0.0, -1.5, 1e38, float("inf"), float("nan"), chance.uniform(-200, 200)))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return chance.choice([*field.enum_type.values_by_number, 99, 2**31 - 1])
    is_signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    top = 2**31 - 1 if is_signed else 2**32 - 1
    return chance.choice((0, 1, chance.randrange(300), chance.randrange(top), top, -1 if is_signed else top))


def data(chance: random.Random) -> Data:
    """Return what one packet says, of any kind."""
    port = chance.choice(_PORTS)
    spoken = _SPOKEN.get(port)
    said = filled(spoken(), chance).SerializeToString() if spoken else chance.choice(_WORDS)
    return Data(
        portnum=port,
        payload=said[:233],
        reply_id=chance.choice((0, 0, 5)),
        emoji=chance.choice((0, 0, 1)),
        request_id=chance.choice((0, 5, chance.getrandbits(32))),
        want_response=chance.random() < 0.2,
    )


def packet(chance: random.Random, *, own: int) -> MeshPacket:
    """Return a packet as a node's client gets it."""
    made = MeshPacket(
        to=chance.choice((0xFFFFFFFF, 0xFFFFFFFF, own, chance.getrandbits(32))),
        id=chance.getrandbits(32),
        channel=chance.choice((0, 0, 1, 7, 200)),
        hop_limit=chance.randrange(8),
        hop_start=chance.randrange(8),
        via_mqtt=chance.random() < 0.1,
        pki_encrypted=chance.random() < 0.2,
        rx_time=chance.choice((0, chance.getrandbits(32))),
        decoded=data(chance),
    )
    setattr(made, "from", chance.choice((0, own, 0xA1B2C302, 0xA1B2C303, *(chance.getrandbits(32) for _ in range(9)))))
    return made


def said_by_radio(chance: random.Random, count: int, *, own: int) -> list[bytes]:
    """Return so many payloads of frames to a client: most are packets, the rest anything a `FromRadio` may be."""
    said: list[bytes] = []
    variants = [field.name for field in FromRadio.DESCRIPTOR.oneofs_by_name["payload_variant"].fields]
    while len(said) < count:
        record = FromRadio(id=chance.getrandbits(16))
        kind = "packet" if chance.random() < 0.6 else chance.choice(variants)
        field = FromRadio.DESCRIPTOR.fields_by_name[kind]
        if kind == "packet":
            record.packet.CopyFrom(packet(chance, own=own))
        elif field.message_type:
            filled(getattr(record, kind), chance)
            getattr(record, kind).SetInParent()
        else:
            setattr(record, kind, _scalar(field, chance))
        if len(payload := record.SerializeToString()) <= MOST_PAYLOAD_BYTES:
            said.append(payload)
    return said
