# SPDX-License-Identifier: GPL-3.0-or-later
"""Between mesh packets and messages. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.places import BROADCAST, Channel, Place, node_id, room_for, spelling
from gateway.model import (
    Address,
    BridgeName,
    Content,
    Lane,
    Message,
    NativeId,
    Reaction,
    Rejected,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Topic,
    short_hash,
)

_TEXT_PORTS = frozenset({PortNum.TEXT_MESSAGE_APP, PortNum.ALERT_APP})
_REMOTE_ID = re.compile(r"[0-9a-f]{8}\Z")
_OWN_TRANSPORTS = frozenset(
    {MeshPacket.TransportMechanism.TRANSPORT_INTERNAL, MeshPacket.TransportMechanism.TRANSPORT_API}
)
_BLANK = " \t\r\n\0"
_BELL = "\a"
WORDLESS_ALERT = "(alert)"
"""What an alert without words says: a board's button may send nothing but a bell, and it is a call for help."""
SAID_EARLIER = " (said earlier)"
"""Behind a text that is replayed and was not known: the mesh doesn't say how much earlier."""
MAX_EMOJI_BYTES = 64
"""A tapback is an emoji: what is longer, or has more words than one, is an answer in words whatever its flag says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """Who listens: what turns a packet's numbers into the names of this bridge."""

    bridge: BridgeName
    own: int
    """Our own node's number."""
    channels: Mapping[int, Channel]
    routed: Iterable[str]
    """Conversations as the configuration's routes spell them."""
    name_of: Callable[[int], str]
    count: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """What a packet says that is no text."""

    content: Content
    topic: Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """How packets are sent."""

    hop_limit: int = 3
    want_ack: bool = True


def packet_id(key: str) -> int:
    """Return the packet id a delivery's key stands for: never 0, and always the same."""
    digest = hashlib.blake2s(key.encode(), digest_size=4, person=b"packetid").digest()
    return int.from_bytes(digest, "big") or 1


def remote_id(packet: int) -> RemoteId:
    """Return a packet id as the rest of the gateway sees it: eight hex digits."""
    return RemoteId(f"{packet:08x}")


def native_id(sender: int, packet: int) -> NativeId:
    """Return what everyone on a mesh calls this packet of this node."""
    return NativeId(f"mt:{sender:08x}:{packet:08x}")


def sender_of(packet: MeshPacket) -> int:
    """Return the packet's ``from``, a word of Python's own."""
    return int(getattr(packet, "from"))


def came_over_the_air(packet: MeshPacket) -> bool:
    """Tell whether our node received it, or the internet did: there anybody can write our own number on it.

    The firmware hands such a packet on like any other (`RoutingModule::handleReceivedProtobuf`); what our node
    says of itself has no signal. Where a broker returned what our node had put there it makes an acknowledgement
    too, which no neighbour gave, and says so (`MQTT::onReceive`, since 2.7).
    """
    return bool(packet.rx_rssi or packet.rx_snr or packet.via_mqtt or packet.transport_mechanism not in _OWN_TRANSPORTS)


def to_message(
    packet: MeshPacket, ear: Ear, received_ms: int, other: Other | None = None, *, is_replay: bool = False
) -> Message | None:
    """Return what somebody said, or None, counted by kind, if the packet is nothing to pass on.

    `received_ms` is by the gateway's clock: a node's own may be at 0. `other`: what the packet says, where
    it is no text. `is_replay`: it was said earlier.
    """
    kind = why_not(packet, ear.own) or ("" if other else _why_no_text(packet))
    if kind:
        ear.count(kind)
        return None
    is_alert = packet.decoded.portnum == PortNum.ALERT_APP
    content = other.content if other else _words(packet.decoded, ear.count, is_alert=is_alert)
    if content is None:
        return None
    if is_replay and isinstance(content, Text):
        content = Text(body=f"{content.body}{SAID_EARLIER}")
    sender = sender_of(packet)
    is_direct = packet.to == ear.own
    if is_direct and not packet.pki_encrypted:
        # Who has the channel's key could read it, and could have written it under any number.
        ear.count("direct_on_channel_key")
    conversation = node_id(sender) if is_direct else spelling(packet.channel, ear.channels, ear.routed)
    return Message(
        native_id=_native_id(packet, received_ms),
        origin=Address(ear.bridge, conversation),
        sender=Sender(id=SenderId(node_id(sender)), name=ear.name_of(sender)),
        content=content,
        received_ms=received_ms,
        remote_id=remote_id(packet.id) if packet.id else None,
        reply_to=_reply_to(packet.decoded, content),
        lane=Lane.EMERGENCY if is_alert else Lane.NORMAL,
        topic=other.topic if other else Topic.ALERT if is_alert else Topic.TALK,
        direct=is_direct,
    )


def to_packet(message: Message, to: Address, place: Place, *, id: int, own: int, settings: Transmission) -> MeshPacket:
    """Return the packet that says the message; Rejected if it is too long or of a kind radios don't have."""
    data = _data(message)
    room = room_for(message.content, to, message.reply_to is not None)
    if len(data.payload) > room:
        raise Rejected(f"{len(data.payload)} bytes are too long for one packet, which holds {room}")
    packet = MeshPacket(to=place.node, channel=place.channel, id=id, hop_limit=settings.hop_limit)
    if message.lane is Lane.EMERGENCY:
        # A text like any other, for every app shows those, and the firmware's limit for alerts is one in
        # 10 s; but it leaves our node's transmit queue first (firmware `MeshPacketQueue::fixPriority`
        # keeps what the client set).
        packet.priority = MeshPacket.Priority.ALERT
    packet.want_ack = settings.want_ack or place.is_direct
    packet.decoded.CopyFrom(data)
    # Without it the firmware has nobody to tell that it dropped the packet.
    setattr(packet, "from", own)
    return packet


def _data(message: Message) -> Data:
    match message.content:
        case Text(body=body):
            return Data(portnum=PortNum.TEXT_MESSAGE_APP, payload=body.encode(), reply_id=_number(message.reply_to))
        case Reaction(target=target, emoji=emoji):
            number = _number(target)
            if not number:
                raise Rejected("the message this reacts to has no packet id")
            return Data(portnum=PortNum.TEXT_MESSAGE_APP, payload=emoji.encode(), reply_id=number, emoji=1)
        case _:
            raise Rejected(f"radios have no {message.content.kind}s")


def _number(remote: RemoteId | None) -> int:
    """Read what `remote_id` wrote; 0 (no packet) for anything else."""
    return int(remote, 16) if remote and _REMOTE_ID.match(remote) else 0


def why_not(packet: MeshPacket, own: int) -> str:
    """Return the kind of thing this is instead of something for us; empty if it is for us."""
    if packet.WhichOneof("payload_variant") == "encrypted":
        return "packet_encrypted"
    if sender_of(packet) in (0, own):
        return "own_echo"
    if packet.to not in (own, BROADCAST):
        # Between two others, on a key we have: not ours to pass on.
        return "packet_for_others"
    return ""


def _why_no_text(packet: MeshPacket) -> str:
    """Return the kind of thing this is instead of a text, by its port: ``packet_range_test``."""
    port = packet.decoded.portnum
    if port in _TEXT_PORTS:
        return ""
    if port not in PortNum.values():
        return "packet_of_unknown_port"
    return f"packet_{PortNum.Name(port).removesuffix('_APP').lower()}"


def _words(data: Data, count: Callable[[str], None], *, is_alert: bool) -> Content | None:
    if not is_alert:
        return _content(data, count)
    body = data.payload.decode(errors="replace").replace(_BELL, " ").strip(_BLANK)
    return Text(body=body or WORDLESS_ALERT)


def _content(data: Data, count: Callable[[str], None]) -> Content | None:
    try:
        body = data.payload.decode()
    except UnicodeDecodeError:
        count("text_invalid_utf8")
        body = data.payload.decode(errors="replace")
    body = body.strip("\0")
    if not body.strip(_BLANK):
        count("text_empty")
        return None
    if data.emoji and data.reply_id and _is_emoji(body):
        return Reaction(target=remote_id(data.reply_id), emoji=body.strip(_BLANK))
    return Text(body=body)


def _is_emoji(body: str) -> bool:
    return len(body.encode()) <= MAX_EMOJI_BYTES and len(body.split()) == 1


def _reply_to(data: Data, content: Content) -> RemoteId | None:
    if data.reply_id and isinstance(content, Text):
        return remote_id(data.reply_id)
    return None


def _native_id(packet: MeshPacket, received_ms: int) -> NativeId:
    if packet.id:
        return native_id(sender_of(packet), packet.id)
    # Without an id nothing tells two packets apart but what they say and when.
    return NativeId(f"mt:{sender_of(packet):08x}:none:{short_hash(packet.decoded.payload.hex(), str(received_ms))}")
