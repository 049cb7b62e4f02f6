# SPDX-License-Identifier: GPL-3.0-or-later
"""What devices say on their own, as the firmware's modules put it on the air. Pure."""

from __future__ import annotations

from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.storeforward_pb2 import StoreAndForward
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.sim.identity import BROADCAST

_BELL = b"\x07"


def detection_data(name: str, *, state: bool | None = None, bell: bool = False) -> Data:
    """Return what a detection sensor says: that it has detected something, or, now and then, its state."""
    words = f"{name} detected" if state is None else f"{name} state: {int(state)}"
    return Data(portnum=PortNum.DETECTION_SENSOR_APP, payload=words.encode() + _BELL * bell)


def alert_data(words: str) -> Data:
    """Return an alert; a board's button sends a bell and nothing else."""
    return Data(portnum=PortNum.ALERT_APP, payload=words.encode() + _BELL)


def range_test_data(number: int) -> Data:
    """Return what a sender of range tests says, all the time."""
    return Data(portnum=PortNum.RANGE_TEST_APP, payload=f"seq {number}".encode())


def telemetry_data(group: str, time: int = 0, **figures: float) -> Data:
    """Return measurements: ``telemetry_data("environment_metrics", temperature=21.5)``."""
    telemetry = Telemetry(time=time)
    said = getattr(telemetry, group)
    for name, value in figures.items():
        field = said.DESCRIPTOR.fields_by_name[name]
        setattr(said, name, int(value) if field.cpp_type == field.CPPTYPE_UINT32 else value)
    return Data(portnum=PortNum.TELEMETRY_APP, payload=telemetry.SerializeToString())


def replay_of(packet: MeshPacket, *, to: int) -> MeshPacket:
    """Return what a Store & Forward node sends to who asked for what they missed.

    The text is wrapped, and with it whether it was for all; sender, id, channel, reply and tapback are the
    original's, and it asks for no acknowledgement.
    """
    is_for_all = packet.to == BROADCAST
    kinds = StoreAndForward.RequestResponse
    said = StoreAndForward(rr=kinds.ROUTER_TEXT_BROADCAST if is_for_all else kinds.ROUTER_TEXT_DIRECT)
    said.text = packet.decoded.payload
    replay = MeshPacket()
    replay.CopyFrom(packet)
    replay.to = to
    replay.want_ack = False
    replay.pki_encrypted = False
    replay.decoded.portnum = PortNum.STORE_FORWARD_APP
    replay.decoded.payload = said.SerializeToString()
    return replay


def heartbeat_data(period_s: int = 900) -> Data:
    """Return what a Store & Forward node tells all, now and then: that it is one."""
    said = StoreAndForward(rr=StoreAndForward.RequestResponse.ROUTER_HEARTBEAT)
    said.heartbeat.period = period_s
    return Data(portnum=PortNum.STORE_FORWARD_APP, payload=said.SerializeToString())
