# SPDX-License-Identifier: GPL-3.0-or-later
"""Introduces our node to those who can't be written to for want of a key, and hears when they answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing, User
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.convert import sender_of
from bridges.meshtastic.link import Link
from bridges.meshtastic.places import node_id
from bridges.meshtastic.refusals import NoKey, Refusal
from bridges.meshtastic.station import Station
from bridges.meshtastic.strangers import Strangers
from bridges.meshtastic.transmitter import Transmitter
from gateway.model import BridgeError, Clock

BETWEEN_ASKS_S = 30.0
"""However many nodes lack keys: such a packet takes as long on air as a text of 100 bytes."""


class Keys:
    """Kept across connections."""

    def __init__(
        self,
        *,
        clock: Clock,
        station: Station,
        random: random.Random,
        hop_limit: int,
        channel_of: Callable[[int], int],
        appeared: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        """`channel_of` a node; `appeared`: what waits for a direct chat need not wait longer."""
        self._clock = clock
        self._station = station
        self._random = random
        self._hop_limit = hop_limit
        self._channel_of = channel_of
        self._appeared = appeared
        self._count = count
        self._strangers = Strangers()
        self._wanted = asyncio.Event()

    def check(self, node: int) -> None:
        """Raise why nothing should be sent to this node now, if so."""
        held = self._strangers.holds(node, self._clock.monotonic())
        if held is not None:
            self._wake()
            raise held

    def judge(self, node: int, refusal: Refusal) -> Refusal:
        """Return what a refusal of a packet to a node comes to: for want of a key it waits, for so long."""
        if not isinstance(refusal, NoKey):
            return refusal
        self._count("key_of_node_unknown" if refusal.is_theirs else "key_unknown_to_node")
        judged = self._strangers.missed(node, self._clock.monotonic(), is_theirs=refusal.is_theirs)
        self._wake()
        return judged

    def hear(self, packet: MeshPacket) -> None:
        """Take what nodes say of themselves."""
        if packet.decoded.portnum != PortNum.NODEINFO_APP:
            return
        try:
            has_key = bool(User.FromString(packet.decoded.payload).public_key)
        except DecodeError:
            return
        node, to_us = sender_of(packet), packet.to == self._station.number
        if self._strangers.described(node, has_key=has_key, to_us=to_us):
            self._appeared(node_id(node))

    def on_routing(self, packet: MeshPacket) -> None:
        """Take an acknowledgement by the node itself of a packet that told it our key."""
        try:
            error = Routing.FromString(packet.decoded.payload).error_reason
        except DecodeError:
            return
        node = sender_of(packet)
        if error == Routing.NONE and self._strangers.acknowledged(node, packet.decoded.request_id):
            self._appeared(node_id(node))

    async def run(self, link: Link, transmitter: Transmitter) -> None:
        """Ask whoever is to be asked, one at a time and seldom, as long as the link lasts."""
        while True:
            while (node := self._strangers.next()) is not None:
                await self._ask(link, transmitter, node)
                await self._clock.sleep(BETWEEN_ASKS_S)
            self._wanted.clear()
            await self._wanted.wait()

    def _wake(self) -> None:
        if self._strangers.next() is not None:
            self._wanted.set()

    async def _ask(self, link: Link, transmitter: Transmitter, node: int) -> None:
        number, user = self._random.getrandbits(32) or 1, self._station.user
        self._strangers.asking(node, number)
        is_sent = False
        try:
            if user is None:
                # An empty one would take our node's name away in the far one's list.
                self._count("key_ask_without_name")
            else:
                await transmitter.transmit(link, self._question(node, number, user), key=None)
                is_sent = True
                self._count("key_asked")
        except BridgeError:
            self._count("key_ask_failed")
        finally:
            self._strangers.asked(node, self._clock.monotonic(), is_sent=is_sent)

    def _question(self, node: int, number: int, user: User) -> MeshPacket:
        """Return our own description, which asks for theirs; they learn our key from it."""
        packet = MeshPacket(
            to=node, id=number, channel=self._channel_of(node), hop_limit=self._hop_limit, want_ack=True
        )
        packet.decoded.CopyFrom(
            Data(portnum=PortNum.NODEINFO_APP, payload=user.SerializeToString(), want_response=True)
        )
        setattr(packet, "from", self._station.number)
        return packet
