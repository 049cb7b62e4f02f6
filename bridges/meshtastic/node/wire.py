# SPDX-License-Identifier: GPL-3.0-or-later
"""Datagrams to packets and back: one datagram is one `MeshPacket`, of which only encrypted ones are legal. Pure.

Rules of firmware `UdpMulticastHandler::onReceive`, and the bounds of what it can send.
"""

from __future__ import annotations

from enum import StrEnum

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import MeshPacket

MOST_BYTES = 512
"""The largest `MeshPacket` takes less."""
MOST_ENCRYPTED_BYTES = 256
MOST_HOPS = 7
BROADCAST = 0xFFFFFFFF


class Unfit(StrEnum):
    """Why a datagram is no packet; also the name under which it is counted."""

    EMPTY = "lan_empty"
    OVERSIZE = "lan_oversize"
    NOT_PROTOBUF = "lan_not_protobuf"
    """Cut short or something else."""
    NOT_ENCRYPTED = "lan_not_encrypted"
    NO_SENDER = "lan_without_sender"
    NO_ID = "lan_without_id"
    HOPS = "lan_impossible_hops"


def read(datagram: bytes) -> MeshPacket | Unfit:
    """Return the packet, or why there is none. What only a receiver knows (times, trust) is not taken from it."""
    if not datagram:
        return Unfit.EMPTY
    if len(datagram) > MOST_BYTES:
        return Unfit.OVERSIZE
    try:
        packet = MeshPacket.FromString(datagram)
    except DecodeError:
        return Unfit.NOT_PROTOBUF
    unfit = _unfit(packet)
    if unfit is not None:
        return unfit
    # They would make what is told of the packet larger than a frame to the client.
    packet.DiscardUnknownFields()
    for field in ("pki_encrypted", "public_key", "rx_time", "rx_snr", "rx_rssi", "delayed", "tx_after"):
        packet.ClearField(field)
    return packet


def write(packet: MeshPacket) -> bytes:
    """Return the datagram of an encrypted packet."""
    return bytes(packet.SerializeToString())


def _unfit(packet: MeshPacket) -> Unfit | None:
    if packet.WhichOneof("payload_variant") != "encrypted":
        return Unfit.NOT_ENCRYPTED
    if getattr(packet, "from") in (0, BROADCAST):
        return Unfit.NO_SENDER
    if not packet.id:
        # Nothing would tell its copies apart.
        return Unfit.NO_ID
    if max(packet.hop_limit, packet.hop_start) > MOST_HOPS:
        return Unfit.HOPS
    if len(packet.encrypted) > MOST_ENCRYPTED_BYTES:
        return Unfit.OVERSIZE
    return None if packet.encrypted else Unfit.EMPTY
