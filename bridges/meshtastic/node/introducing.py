# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who on the LAN: what others say of themselves, and when ours says who it is. Pure.

Rules of firmware `NodeInfoModule` and `ReliableRouter`.
"""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing, User
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.node.announcing import Announcing
from bridges.meshtastic.node.identity import Identity
from bridges.meshtastic.node.roster import Roster
from bridges.meshtastic.node.router import DEFAULT_HOPS, Router, hops_back
from bridges.meshtastic.places import BROADCAST


class Introducing:
    """Takes what packets tell of their senders. `own` returns who we are just now."""

    def __init__(
        self,
        *,
        own: Callable[[], Identity],
        router: Router,
        roster: Roster,
        announcing: Announcing,
        count: Callable[[str], None],
    ) -> None:
        self._own = own
        self._router = router
        self._roster = roster
        self._announcing = announcing
        self._count = count

    def is_due(self, now: float) -> bool:
        """Tell whether everybody should hear of us now; if so it counts as said."""
        return self._announcing.is_due(now)

    def begin(self, now: float) -> None:
        """Have everybody hear of us soon: we are another node from now on."""
        self._announcing.begin(now)

    def learn(self, packet: MeshPacket, sender: int, now: float) -> bool:
        """Take what a packet tells our node; False if the client should not have it."""
        match packet.decoded.portnum:
            case PortNum.NODEINFO_APP:
                return self._meet(packet, sender, now)
            case PortNum.ROUTING_APP if packet.to == self._own().number:
                self._on_routing(packet, sender, now)
            case PortNum.TEXT_MESSAGE_APP if not self._roster.key(sender):
                self._ask(packet, sender, now)
            case _:
                pass
        return True

    def introduce(
        self,
        to: int,
        now: float,
        *,
        hops: int,
        channel: int = 0,
        request_id: int = 0,
        want_response: bool = False,
    ) -> None:
        """Say who we are."""
        packet = MeshPacket(to=to, channel=channel, hop_limit=hops)
        payload = self._own().user().SerializeToString()
        data = Data(portnum=PortNum.NODEINFO_APP, payload=payload, request_id=request_id, want_response=want_response)
        packet.decoded.CopyFrom(data)
        packet.priority = MeshPacket.Priority.BACKGROUND
        self._router.send(packet, now)

    def _meet(self, packet: MeshPacket, sender: int, now: float) -> bool:
        user = introduction(packet)
        if user is None:
            self._count("lan_nodeinfo_unparsable")
            return False
        if not self._roster.introduce(sender, user):
            self._count("lan_key_changed")
            return False
        if packet.decoded.want_response:
            self._answer(packet, sender, now)
        return True

    def _answer(self, packet: MeshPacket, sender: int, now: float) -> None:
        is_near = packet.hop_start == packet.hop_limit
        if packet.to not in (BROADCAST, self._own().number) or (packet.to == BROADCAST and not is_near):
            return
        if self._announcing.may_answer(sender, now):
            hops = 0 if packet.to == BROADCAST else hops_back(packet)
            self.introduce(sender, now, channel=packet.channel, hops=hops, request_id=packet.id)

    def _ask(self, packet: MeshPacket, sender: int, now: float) -> None:
        # An answer to them alone needs their key, and theirs to us ours.
        if self._announcing.may_ask(sender, now):
            self.introduce(sender, now, channel=packet.channel, hops=DEFAULT_HOPS, want_response=True)

    def _on_routing(self, packet: MeshPacket, sender: int, now: float) -> None:
        try:
            error = Routing.FromString(packet.decoded.payload).error_reason
        except DecodeError:
            return  # the client counts it
        if error == Routing.PKI_UNKNOWN_PUBKEY and self._announcing.may_urge(sender, now):
            self.introduce(sender, now, channel=packet.channel, hops=DEFAULT_HOPS)


def introduction(packet: MeshPacket) -> User | None:
    """Return what a node says of itself in this packet; None if that is nothing."""
    if packet.decoded.portnum != PortNum.NODEINFO_APP:
        return None
    try:
        return User.FromString(packet.decoded.payload)
    except DecodeError:
        return None
