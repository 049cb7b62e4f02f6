# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own node as its client sees it: the requests and answers of a radio's firmware. Pure.

In: what the client says (`take`), datagrams (`hear`), time (`tick`). Out: what to tell the client (`said`),
datagrams (`outgoing`). `now` is a monotonic clock's, `unix` the wall's, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import (
    ClientNotification,
    Data,
    FromRadio,
    LogRecord,
    MeshPacket,
    QueueStatus,
    Routing,
    ToRadio,
)
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.airtime import airtime_s
from bridges.meshtastic.modem import Modem
from bridges.meshtastic.node.announcing import Announcing
from bridges.meshtastic.node.channels import ChannelKey
from bridges.meshtastic.node.codebook import Codebook
from bridges.meshtastic.node.greeting import answers
from bridges.meshtastic.node.identity import Entropy, Identity, new_keys
from bridges.meshtastic.node.introducing import Introducing, introduction
from bridges.meshtastic.node.roster import Roster
from bridges.meshtastic.node.router import Router
from bridges.meshtastic.places import BROADCAST, node_id

QUEUE = 16
"""Free places it reports: a datagram is out at once."""
MOST_SAID = 512
"""Waiting for the client; past it the oldest packet goes, counted."""
RENUMBER_APART_S = 86_400.0
"""Two others by chance under one number within a day there are not; who gives us another each time, means harm."""
_LONG_TEXT = 200
_AGAIN_AIRTIMES = 4
"""So many times the airtime of a long text the firmware waits before it sends again (measured: 22 s for three
on LONG_FAST, 140 s on LONG_SLOW)."""


class Firmware:
    """One node. `identity`, `roster` and `announced_unix` are what there is to keep, when `has_changed`."""

    def __init__(
        self,
        *,
        identity: Identity,
        channels: Sequence[ChannelKey],
        lora: Config.LoRaConfig,
        preset_name: str,
        modem: Modem,
        roster: Roster,
        announcing: Announcing,
        entropy: Entropy,
        count: Callable[[str], None],
        now: float,
    ) -> None:
        self.identity = identity
        self.roster = roster
        self.announced_unix: int | None = None
        self.has_changed = False
        self._channels = channels
        self._lora = lora
        self._preset_name = preset_name
        self._entropy = entropy
        self._count = count
        self._renumbered_at: float | None = None
        self._has_met_copy = False
        self._unix = 0
        self._said: deque[FromRadio] = deque()
        self._router = Router(
            own=identity.number,
            book=self._codebook(),
            again_after_s=_AGAIN_AIRTIMES * airtime_s(modem, _LONG_TEXT),
            entropy=entropy,
            on_settled=self._settled,
            count=count,
            now=now,
        )
        self._introducing = Introducing(
            own=lambda: self.identity, router=self._router, roster=roster, announcing=announcing, count=count
        )

    def attach(self) -> None:
        """Let a client in: it begins with a greeting."""
        self._said.clear()

    def said(self) -> list[FromRadio]:
        """Return what to tell the client, once."""
        said = list(self._said)
        self._said.clear()
        return said

    def notify(self, words: str) -> None:
        """Tell the people at the client."""
        notice = ClientNotification(message=words, level=LogRecord.Level.WARNING, time=self._unix)
        self._tell(FromRadio(clientNotification=notice))

    def outgoing(self) -> list[bytes]:
        """Return the datagrams to send, once."""
        return self._router.outgoing()

    def take(self, request: ToRadio, now: float, unix: int) -> None:
        """Take what the client says."""
        self._unix = unix
        match request.WhichOneof("payload_variant"):
            case "want_config_id":
                self._greet(request.want_config_id)
            case "heartbeat":
                self._status(Routing.NONE, 0)
            case "packet":
                self._send(request.packet, now)
            case _:
                pass

    def hear(self, datagram: bytes, now: float, unix: int) -> None:
        """Take what came from the LAN."""
        self._unix = unix
        packet = self._router.hear(datagram, now)
        if packet is None:
            return
        sender = int(getattr(packet, "from"))
        if sender == self.identity.number:
            self._meet_namesake(packet, now)
            return
        self.roster.hear(sender, unix)
        if not self._introducing.learn(packet, sender, now):
            return
        packet.rx_time = unix
        self._tell(FromRadio(packet=packet))

    def tick(self, now: float, unix: int) -> None:
        """Say what time it is."""
        self._unix = unix
        self._router.tick(now)
        if self._introducing.is_due(now):
            self._introducing.introduce(BROADCAST, now, hops=self._lora.hop_limit)
            self.announced_unix = unix
            self.has_changed = True

    def _codebook(self) -> Codebook:
        return Codebook(
            own=self.identity.keys,
            channels=self._channels,
            preset_name=self._preset_name,
            key_of=self.roster.key,
        )

    def _greet(self, nonce: int) -> None:
        self._said.extend(
            answers(
                nonce,
                number=self.identity.number,
                own=self.identity.user(),
                channels=self._channels,
                lora=self._lora,
                others=self.roster.infos(),
            )
        )

    def _send(self, packet: MeshPacket, now: float) -> None:
        packet.id = packet.id or self._router.new_id()
        if packet.WhichOneof("payload_variant") != "decoded":
            error: int = Routing.BAD_REQUEST
        elif packet.to in (0, self.identity.number):
            # Nobody administers this node over the air or over this line: its configuration is the gateway's.
            error = Routing.NOT_AUTHORIZED
        else:
            if packet.decoded.portnum == PortNum.NODEINFO_APP:
                # Whatever a client says of it, our node introduces itself under its own name and key.
                packet.decoded.payload = self.identity.user().SerializeToString()
            if packet.to != BROADCAST:
                self.roster.spoke(packet.to)
            error = self._router.send(packet, now)
        if error:
            self._settled(packet.id, error)
        self._status(error, packet.id)

    def _settled(self, id: int, error: int) -> None:
        """Tell the client, in our node's own name, what became of a packet of its."""
        own = self.identity.number
        answer = MeshPacket(to=own, id=self._router.new_id(), rx_time=self._unix)
        setattr(answer, "from", own)
        payload = Routing(error_reason=error).SerializeToString()
        answer.decoded.CopyFrom(Data(portnum=PortNum.ROUTING_APP, request_id=id, payload=payload))
        self._tell(FromRadio(packet=answer))

    def _status(self, res: int, id: int) -> None:
        self._tell(FromRadio(queueStatus=QueueStatus(res=res, free=QUEUE, maxlen=QUEUE, mesh_packet_id=id)))

    def _tell(self, said: FromRadio) -> None:
        if len(self._said) >= MOST_SAID:
            self._said.popleft()
            self._count("lan_client_too_slow")
        self._said.append(said)

    def _meet_namesake(self, packet: MeshPacket, now: float) -> None:
        """Somebody introduces themselves under our number: if they have a key of their own, we take another number."""
        user = introduction(packet)
        if user is None:
            return
        if user.public_key == self.identity.keys.public:
            self._meet_copy()
            return
        if self._renumbered_at is not None and now - self._renumbered_at < RENUMBER_APART_S:
            self._count("lan_number_taken_again")
            return
        self._renumbered_at = now
        self._count("lan_number_taken")
        before = self.identity.number
        self.identity = replace(self.identity, keys=new_keys(self._entropy))
        self._router.own, self._router.book = self.identity.number, self._codebook()
        self.has_changed = True
        self.notify(
            f"another node uses our number {node_id(before)}: from now on ours is {node_id(self.identity.number)}"
        )
        self._introducing.begin(now)
        self._tell(FromRadio(rebooted=True))

    def _meet_copy(self) -> None:
        """What has our own key was said by us, before a restart, or by a copied box.

        Nothing tells these apart, and who recorded what we said can play it back without any key: our number and keys
        are not to be had for that.
        """
        self._count("lan_own_key")
        if not self._has_met_copy:
            self._has_met_copy = True
            number = node_id(self.identity.number)
            self.notify(f"our own introduction as {number} came from elsewhere: an echo, or a box with our node.json")
