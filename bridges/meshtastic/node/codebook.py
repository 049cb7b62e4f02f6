# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypts and decrypts packets with the keys our node has: its channels', and its own. Pure.

Firmware `Router::perhapsEncode` and `perhapsDecode`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.node.channels import ChannelKey
from bridges.meshtastic.node.crypto import SEAL_BYTES, KeyPair, crypt, seal, unseal
from bridges.meshtastic.node.wire import BROADCAST

MOST_DATA_BYTES = 239
"""What a LoRa frame of 255 bytes holds besides its header of 16."""
_ON_THE_CHANNEL = frozenset({PortNum.ROUTING_APP, PortNum.NODEINFO_APP, PortNum.POSITION_APP, PortNum.TRACEROUTE_APP})
"""Ports that stay on the channel's key even when sent to one node."""
_WANT_RESPONSE_BIT = 2


class Closed(StrEnum):
    """Why a packet stays encrypted; also the name under which it is counted."""

    NO_CHANNEL = "lan_unknown_channel"
    NOT_OURS = "lan_undecryptable"
    """We have the channel it names, or it may have been for us, but no key opens it."""
    IN_CLEAR = "lan_direct_on_channel"
    """A text to us alone that everybody on the channel could read, and forge."""


class Codebook:
    """The keys of one node. `key_of` returns a node's public key, empty if it isn't known."""

    def __init__(
        self, *, own: KeyPair, channels: Sequence[ChannelKey], preset_name: str, key_of: Callable[[int], bytes]
    ) -> None:
        self._own = own
        self._channels = channels
        self._hashes = [each.hash(preset_name) for each in channels]
        self._key_of = key_of

    def knows(self, number: int) -> bool:
        """Tell whether a node's own key is known."""
        return bool(self._key_of(number))

    def close(self, packet: MeshPacket, extra: int) -> MeshPacket | int:
        """Return a decoded packet of ours as it goes on the wire, or the routing error that says why not."""
        if packet.channel >= len(self._channels):
            return Routing.NO_CHANNEL
        data = Data()
        data.CopyFrom(packet.decoded)
        if not data.HasField("bitfield"):
            # As every firmware says it: absent, some would let it out to MQTT.
            data.bitfield = 0
        encoded = bytes(data.SerializeToString())
        is_sealed = packet.to != BROADCAST and data.portnum not in _ON_THE_CHANNEL
        if len(encoded) > MOST_DATA_BYTES - (SEAL_BYTES if is_sealed else 0):
            return Routing.TOO_LARGE
        return self._sealed(packet, encoded, extra) if is_sealed else self._on_channel(packet, encoded)

    def open(self, packet: MeshPacket, own: int) -> MeshPacket | Closed:
        """Return a packet from the wire decoded, its channel by index; or why it stays closed."""
        opened = self._unsealed(packet) if packet.to == own and packet.channel == 0 else None
        if opened is not None:
            return opened
        closed = Closed.NO_CHANNEL
        for index, (channel, hash_) in enumerate(zip(self._channels, self._hashes, strict=True)):
            if hash_ != packet.channel:
                continue
            closed = Closed.NOT_OURS
            data = _data(crypt(channel.key, sender=_sender(packet), id=packet.id, data=packet.encrypted))
            if data is not None and packet.to == own and data.portnum == PortNum.TEXT_MESSAGE_APP:
                return Closed.IN_CLEAR
            if data is not None:
                return _decoded(packet, data, index)
        return Closed.NOT_OURS if self._may_be_sealed(packet, own) else closed

    def _sealed(self, packet: MeshPacket, encoded: bytes, extra: int) -> MeshPacket | int:
        peer = self._key_of(packet.to)
        if not peer:
            return Routing.PKI_SEND_FAIL_PUBLIC_KEY
        try:
            sealed = seal(self._own, peer, sender=_sender(packet), id=packet.id, extra=extra, data=encoded)
        except ValueError:
            return Routing.PKI_SEND_FAIL_PUBLIC_KEY
        return _encrypted(packet, sealed, channel=0)

    def _on_channel(self, packet: MeshPacket, encoded: bytes) -> MeshPacket:
        key = self._channels[packet.channel].key
        content = crypt(key, sender=_sender(packet), id=packet.id, data=encoded)
        return _encrypted(packet, content, channel=self._hashes[packet.channel])

    def _unsealed(self, packet: MeshPacket) -> MeshPacket | None:
        sender = _sender(packet)
        peer = self._key_of(sender)
        plain = unseal(self._own, peer, sender=sender, id=packet.id, sealed=packet.encrypted) if peer else None
        data = None if plain is None else _data(plain)
        if data is None:
            return None
        opened = _decoded(packet, data, 0)
        opened.pki_encrypted = True
        opened.public_key = peer
        return opened

    def _may_be_sealed(self, packet: MeshPacket, own: int) -> bool:
        return bool(packet.to == own and packet.channel == 0 and len(packet.encrypted) > SEAL_BYTES)


def _sender(packet: MeshPacket) -> int:
    return int(getattr(packet, "from"))


def _data(plain: bytes) -> Data | None:
    """Return what was encrypted, or None: a wrong key makes noise, which seldom parses."""
    try:
        data = Data.FromString(plain)
    except DecodeError:
        return None
    if data.portnum == PortNum.UNKNOWN_APP:
        return None
    if data.bitfield & _WANT_RESPONSE_BIT:
        data.want_response = True
    return data


def _decoded(packet: MeshPacket, data: Data, channel: int) -> MeshPacket:
    opened = MeshPacket()
    opened.CopyFrom(packet)
    opened.decoded.CopyFrom(data)
    opened.channel = channel
    return opened


def _encrypted(packet: MeshPacket, content: bytes, channel: int) -> MeshPacket:
    closed = MeshPacket(
        to=packet.to,
        id=packet.id,
        channel=channel,
        hop_limit=packet.hop_limit,
        hop_start=packet.hop_limit,
        want_ack=packet.want_ack and packet.to != BROADCAST,
        priority=packet.priority,
        relay_node=_sender(packet) & 0xFF,
        encrypted=content,
    )
    setattr(closed, "from", _sender(packet))
    return closed
