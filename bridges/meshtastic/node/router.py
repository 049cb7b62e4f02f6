# SPDX-License-Identifier: GPL-3.0-or-later
"""What our own node does with packets on the wire: drops copies, acknowledges, sends its own again. Pure.

It relays nothing (see `greeting.ROLE`). Rules of firmware `Router`, `ReliableRouter` and `UdpMulticastHandler`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.node import wire
from bridges.meshtastic.node.bucket import Bucket
from bridges.meshtastic.node.codebook import Closed, Codebook
from bridges.meshtastic.node.identity import Entropy
from bridges.meshtastic.node.seen import Seen
from bridges.meshtastic.node.sent import Sent

DEFAULT_HOPS = 3
SLACK_HOPS = 2
"""An answer may go so many hops further than what it answers."""
ACK_AGAIN_S = 1.0
"""A copy that comes sooner took another way (the other group, another interface) and wants no second answer."""
MOST_ACKED = 256
MOST_ANSWERS = 10
ANSWER_EVERY_S = 2.0


class Router:
    """One node's packets. `own`, `book` change when it takes another number."""

    def __init__(
        self,
        *,
        own: int,
        book: Codebook,
        again_after_s: float,
        entropy: Entropy,
        on_settled: Callable[[int, int], None],
        count: Callable[[str], None],
        now: float,
    ) -> None:
        self.own = own
        self.book = book
        self._entropy = entropy
        self._on_settled = on_settled
        self._count = count
        self._seen = Seen()
        self._sent = Sent(again_after_s)
        self._acked: OrderedDict[tuple[int, int], tuple[float, MeshPacket]] = OrderedDict()
        self._answers = Bucket(most=MOST_ANSWERS, every_s=ANSWER_EVERY_S, now=now)
        self._outgoing: list[bytes] = []

    def outgoing(self) -> list[bytes]:
        """Return the datagrams to send, once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def new_id(self) -> int:
        """Return a random non-zero packet id."""
        return int.from_bytes(self._entropy(4), "little") or 1

    def send(self, packet: MeshPacket, now: float) -> int:
        """Send a decoded packet of our own; return a routing error (0: it is out)."""
        packet.id = packet.id or self.new_id()
        setattr(packet, "from", self.own)
        closed = self.book.close(packet, int.from_bytes(self._entropy(4), "little"))
        if isinstance(closed, int):
            return closed
        datagram = wire.write(closed)
        self._sent.add(packet.id, closed.encrypted)
        if packet.want_ack and (packet.hop_limit or packet.to != wire.BROADCAST):
            # Without hops nobody repeats it, and nobody answers what is said to all.
            self._sent.wait(packet.id, to=packet.to, datagram=datagram, now=now)
        self._outgoing.append(datagram)
        return int(Routing.NONE)

    def hear(self, datagram: bytes, now: float) -> MeshPacket | None:
        """Take a datagram; return the packet, decoded, if it is new and one of ours can open it.

        One that is sent under our own number, but not by us, is returned too.
        """
        packet = wire.read(datagram)
        if isinstance(packet, wire.Unfit):
            self._count(packet.value)
            return None
        sender = int(getattr(packet, "from"))
        if sender == self.own:
            return self._hear_own(packet)
        if (sender, packet.id) in self._seen:
            self._count("lan_duplicate")
            self._acknowledge_again((sender, packet.id), now)
            return None
        return self._hear_new(packet, sender, now)

    def tick(self, now: float) -> None:
        """Send again what is due, and give up what was sent often enough."""
        again, given_up = self._sent.due(now)
        self._outgoing.extend(each.datagram for each in again)
        for each in given_up:
            self._on_settled(each.id, Routing.MAX_RETRANSMIT)

    def _hear_own(self, packet: MeshPacket) -> MeshPacket | None:
        if not self._sent.is_ours(packet.id, packet.encrypted):
            opened = self.book.open(packet, self.own)
            self._count(
                "lan_own_number" if self._sent.knows(packet.id) or isinstance(opened, Closed) else "lan_namesake"
            )
            return None if isinstance(opened, Closed) or self._sent.knows(packet.id) else opened
        is_repeated = packet.relay_node not in (0, self.own & 0xFF) or packet.hop_limit < packet.hop_start
        if is_repeated and self._sent.settle(packet.id):
            self._on_settled(packet.id, Routing.NONE)
        return None

    def _hear_new(self, packet: MeshPacket, sender: int, now: float) -> MeshPacket | None:
        opened = self.book.open(packet, self.own)
        is_asked = packet.to == self.own and packet.want_ack
        if isinstance(opened, Closed):
            self._count(opened.value)
            if is_asked:
                self._answer(packet, self._why(packet, sender), channel=0, now=now)
            return None
        # Not before it was opened: what anybody can make up must not take the place of the real one.
        self._seen.add((sender, packet.id))
        if is_asked and opened.decoded.portnum != PortNum.ROUTING_APP:
            self._answer(opened, Routing.NONE, channel=opened.channel, now=now)
            self._note_acked((sender, packet.id), opened, now)
        if packet.to == self.own and opened.decoded.portnum == PortNum.ROUTING_APP:
            self._sent.settle(opened.decoded.request_id, sender)
        return opened

    def _why(self, packet: MeshPacket, sender: int) -> int:
        is_sealed = packet.channel == 0 and not self.book.knows(sender)
        return int(Routing.PKI_UNKNOWN_PUBKEY if is_sealed else Routing.NO_CHANNEL)

    def _note_acked(self, key: tuple[int, int], opened: MeshPacket, now: float) -> None:
        self._acked[key] = (now, opened)
        while len(self._acked) > MOST_ACKED:
            self._acked.popitem(last=False)

    def _acknowledge_again(self, key: tuple[int, int], now: float) -> None:
        at, opened = self._acked.get(key, (now, None))
        if opened is not None and now - at >= ACK_AGAIN_S:
            # Our answer was lost.
            self._acked[key] = (now, opened)
            self._answer(opened, Routing.NONE, channel=opened.channel, now=now)

    def _answer(self, asked: MeshPacket, error: int, *, channel: int, now: float) -> None:
        if not self._answers.take(now):
            self._count("lan_answer_withheld")
            return
        data = Data(portnum=PortNum.ROUTING_APP, request_id=asked.id)
        data.payload = Routing(error_reason=error).SerializeToString()
        answer = MeshPacket(to=getattr(asked, "from"), channel=channel, hop_limit=hops_back(asked))
        answer.priority = MeshPacket.Priority.ACK
        answer.decoded.CopyFrom(data)
        self.send(answer, now)


def hops_back(asked: MeshPacket) -> int:
    """Return how many hops an answer may go: those that the question took, and some."""
    used = max(0, asked.hop_start - asked.hop_limit)
    return int(max(used, min(used + SLACK_HOPS, DEFAULT_HOPS)))
