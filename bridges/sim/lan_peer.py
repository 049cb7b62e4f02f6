# SPDX-License-Identifier: GPL-3.0-or-later
"""A node on the Meshtastic LAN mesh, as ESP32 boards and meshtasticd are, without its socket. Pure; for tests only."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing, User
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.sim.identity import BROADCAST
from bridges.sim.lan_secrets import Keys, SharedChannel
from bridges.sim.packets import ROUTING, TEXT, sender_of, set_sender, text_data

_PUBLIC = SharedChannel()
_IN_CHANNEL = (ROUTING, PortNum.NODEINFO_APP, PortNum.POSITION_APP, PortNum.TRACEROUTE_APP)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanHeard:
    """A packet that a LAN node could read."""

    sender: int
    to: int
    id: int
    portnum: int
    payload: bytes
    reply_id: int = 0
    emoji: bool = False
    request_id: int = 0
    want_response: bool = False
    sealed: bool = False
    """Whether it was for this node alone."""
    hop_limit: int = 0
    priority: int = 0

    @property
    def text(self) -> str:
        """What it says, if that is a text."""
        return self.payload.decode(errors="replace") if self.portnum == TEXT else ""

    @property
    def error(self) -> int | None:
        """What it answers to `request_id`, if it is an answer; 0: acknowledged."""
        return int(Routing.FromString(self.payload).error_reason) if self.portnum == ROUTING else None


class LanPeer:
    """One node; `put` sends its datagrams.

    `relays`, `acknowledges`: whether it repeats what it hears, and answers what is for it.
    """

    def __init__(
        self,
        name: str,
        number: int,
        *,
        put: Callable[[bytes], None],
        channel: SharedChannel = _PUBLIC,
        relays: bool = True,
        acknowledges: bool = True,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.number = number
        self.relays = relays
        self.acknowledges = acknowledges
        self.channel = channel
        self.keys = Keys(hashlib.sha256(name.encode()).digest())
        self.peers: dict[int, bytes] = {}
        """Public keys it knows."""
        self.users: dict[int, str] = {}
        self.heard: list[LanHeard] = []
        self.counts: Counter[str] = Counter()
        self.raw: list[bytes] = []
        """Every datagram that came, its own too."""
        self._put = put
        self._chance = random.Random(seed or number)  # noqa: S311 - ids, not secrets
        self._seen: set[tuple[int, int]] = set()

    def say(self, text: str, *, to: int = BROADCAST, reply_id: int = 0, emoji: bool = False, hops: int = 3) -> int:
        """Send a text to all, or, sealed, to one; return its id."""
        data = text_data(text, reply_id=reply_id, emoji=emoji)
        return self.send(data, to=to, want_ack=to != BROADCAST, hops=hops)

    def introduce(self, *, to: int = BROADCAST, want_response: bool = False, hops: int = 3) -> int:
        """Say who it is."""
        user = User(id=f"!{self.number:08x}", long_name=self.name, short_name=self.name[:4])
        user.public_key = self.keys.public
        data = Data(portnum=PortNum.NODEINFO_APP, payload=user.SerializeToString(), want_response=want_response)
        return self.send(data, to=to, hops=hops)

    def send(self, data: Data, *, to: int = BROADCAST, want_ack: bool = False, hops: int = 3, id: int = 0) -> int:
        """Encrypt and send; KeyError if it is for one node alone whose key isn't known."""
        packet_id = id or self._chance.randrange(1, 2**32)
        content = data.SerializeToString()
        packet = MeshPacket(to=to, id=packet_id, hop_limit=hops, hop_start=hops, want_ack=want_ack)
        packet.relay_node = self.number & 0xFF
        set_sender(packet, self.number)
        if to != BROADCAST and data.portnum not in _IN_CHANNEL:
            extra = self._chance.getrandbits(32)
            packet.encrypted = self.keys.lock(
                self.peers[to], sender=self.number, id=packet_id, extra=extra, content=content
            )
        else:
            packet.channel = self.channel.hash
            packet.encrypted = self.channel.apply(self.number, packet_id, content)
        self._put(packet.SerializeToString())
        return packet_id

    def take(self, datagram: bytes) -> None:
        """Take what came from the LAN."""
        self.raw.append(datagram)
        try:
            packet = MeshPacket.FromString(datagram)
        except DecodeError:
            self.counts["unparsable"] += 1
            return
        key = (sender_of(packet), packet.id)
        if packet.WhichOneof("payload_variant") != "encrypted" or key[0] in (0, self.number):
            self.counts["refused"] += 1
            return
        is_new = key not in self._seen
        self._seen.add(key)
        sealed, data = self._open(packet)
        if packet.to == self.number and packet.want_ack and self.acknowledges:
            self._answer(packet, is_read=data is not None)
        if not is_new:
            self.counts["duplicate"] += 1
            return
        if data is None:
            self.counts["unreadable"] += 1
        else:
            self._note(packet, data, sealed=sealed)
        if self.relays and packet.to != self.number and packet.hop_limit:
            packet.hop_limit -= 1
            packet.relay_node = self.number & 0xFF
            self._put(packet.SerializeToString())

    def _open(self, packet: MeshPacket) -> tuple[bool, Data | None]:
        sender = sender_of(packet)
        if packet.to == self.number and packet.channel == 0 and sender in self.peers:
            content = self.keys.unlock(self.peers[sender], sender=sender, id=packet.id, content=packet.encrypted)
            if content is not None:
                return True, Data.FromString(content)
        if packet.channel == self.channel.hash:
            try:
                data = Data.FromString(self.channel.apply(sender, packet.id, packet.encrypted))
            except DecodeError:
                return False, None
            return False, data if data.portnum else None
        return False, None

    def _answer(self, packet: MeshPacket, *, is_read: bool) -> None:
        error = Routing.Error.NONE if is_read else Routing.Error.NO_CHANNEL
        if not is_read and packet.channel == 0 and sender_of(packet) not in self.peers:
            error = Routing.Error.PKI_UNKNOWN_PUBKEY
        payload = Routing(error_reason=error).SerializeToString()
        self.send(Data(portnum=ROUTING, payload=payload, request_id=packet.id), to=sender_of(packet))

    def _note(self, packet: MeshPacket, data: Data, *, sealed: bool) -> None:
        sender = sender_of(packet)
        if data.portnum == PortNum.NODEINFO_APP:
            user = User.FromString(data.payload)
            self.users[sender] = user.long_name
            if user.public_key:
                self.peers.setdefault(sender, user.public_key)
        self.heard.append(
            LanHeard(
                sender=sender,
                to=packet.to,
                id=packet.id,
                portnum=data.portnum,
                payload=data.payload,
                reply_id=data.reply_id,
                emoji=bool(data.emoji),
                request_id=data.request_id,
                want_response=data.want_response,
                sealed=sealed,
                hop_limit=packet.hop_limit,
                priority=packet.priority,
            )
        )
