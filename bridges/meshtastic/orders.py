# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives our own node one order at a time, and waits for its answer.

A node keeps four packets to itself and drops the oldest without a word, so each order waits for its answer.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from google.protobuf.message import DecodeError
from meshtastic.protobuf.admin_pb2 import AdminMessage
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.attempt import within
from bridges.meshtastic.convert import sender_of
from bridges.meshtastic.facts import label
from bridges.meshtastic.link import Link
from bridges.meshtastic.sections import Part, answered
from bridges.meshtastic.station import Station
from gateway.model import Clock, Declined, LinkDown, Unconfirmed

SPACING_S = 0.5
"""Between two packets to the own node: measured, closer than 0.4 s the oldest of more than four is dropped."""
ANSWER_WITHIN_S = 5.0
TRIES = 3
BACK_WITHIN_S = 120.0
"""How long a board may take to boot and greet."""
LOOK_S = 0.25
MOST_REMEMBERED = 16


class Orders:
    """Kept across connections: a radio that saves its settings restarts."""

    def __init__(
        self, *, station: Station, clock: Clock, random: random.Random, link: Callable[[], Link | None]
    ) -> None:
        """`link`: the connection of the moment, if there is one."""
        self._station = station
        self._clock = clock
        self._random = random
        self._link = link
        self._passkey = b""
        self._next_at = clock.monotonic()
        self._asked: tuple[int, Part | None, asyncio.Future[None]] | None = None
        """The packet that asks, which section's answer is waited for (None: that it was taken), and who waits."""
        self._said: deque[int] = deque(maxlen=MOST_REMEMBERED)
        self.stamped_s = 0
        """What the node's clock showed on its last answer; 0: it has no time."""
        self.gone = asyncio.Event()
        """Set once the link, or the radio's memory, is gone."""

    def has_said(self, id: int) -> bool:
        """Tell whether this packet was one of ours, of the last few."""
        return id in self._said

    def take(self, packet: MeshPacket) -> bool:
        """Take what our node answers to an order; False if the packet is nothing of the kind."""
        asked, data = self._asked, packet.decoded
        is_ours = asked is not None and data.request_id == asked[0] and sender_of(packet) == self._station.number
        if asked is None or not is_ours or asked[2].done():
            return is_ours
        self.stamped_s = packet.rx_time
        try:
            if data.portnum == PortNum.ADMIN_APP:
                self._answered(asked, AdminMessage.FromString(data.payload))
            elif data.portnum == PortNum.ROUTING_APP:
                self._ruled(asked, Routing.FromString(data.payload).error_reason)
        except DecodeError:
            pass  # asked again when the time is over
        return True

    def lost(self, error: LinkDown) -> None:
        """Say that the link, or the radio's memory, is gone: what is asked is asked again."""
        self.gone.set()
        if self._asked is not None and not self._asked[2].done():
            self._asked[2].set_exception(error)

    async def exchange(
        self,
        order: AdminMessage,
        part: Part | None,
        *,
        within_s: float = TRIES * ANSWER_WITHIN_S,
        over_loss: bool = True,
    ) -> None:
        """Say it until it is answered. Not `over_loss`: LinkDown if the link, or the radio, goes meanwhile."""
        until = self._clock.monotonic() + within_s
        while True:
            link = await self.ready()
            if not over_loss and self.gone.is_set():
                raise LinkDown("the radio was gone")
            if await self._try(link, order, part, over_loss=over_loss):
                return
            if self._clock.monotonic() >= until:
                raise Unconfirmed("the radio did not answer")

    async def _try(self, link: Link, order: AdminMessage, part: Part | None, *, over_loss: bool) -> bool:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        packet = self._packet(order)
        self._said.append(packet.id)
        self._asked = (packet.id, part, answer)
        try:
            link.send(packet)
            if not await within(self._clock, ANSWER_WITHIN_S, answer):
                return False
            await answer
        except LinkDown:
            if not over_loss:
                raise
            return False
        finally:
            self._asked = None
            self._next_at = self._clock.monotonic() + SPACING_S
        return True

    async def ready(self) -> Link:
        """Return the link when the next order may be given; LinkDown if there is none for long."""
        until = self._clock.monotonic() + BACK_WITHIN_S
        await self._clock.sleep(max(self._next_at - self._clock.monotonic(), 0))
        while self._clock.monotonic() < until:
            link = self._link()
            if link is not None and link.failure is None and link.is_ready:
                return link
            await self._clock.sleep(LOOK_S)
        raise LinkDown(f"the radio is not connected, or did not come back within {BACK_WITHIN_S:.0f} s")

    def _packet(self, order: AdminMessage) -> MeshPacket:
        own = self._station.number
        sent = AdminMessage()
        sent.CopyFrom(order)
        sent.session_passkey = self._passkey
        # To ourselves, so that it never reaches the air; should it ever, then not over a hop.
        packet = MeshPacket(to=own, id=self._random.getrandbits(32) or 1, hop_limit=0)
        packet.decoded.CopyFrom(Data(portnum=PortNum.ADMIN_APP, payload=sent.SerializeToString(), want_response=True))
        setattr(packet, "from", own)
        return packet

    def _answered(self, asked: tuple[int, Part | None, asyncio.Future[None]], answer: AdminMessage) -> None:
        self._passkey = answer.session_passkey or self._passkey
        said = None if asked[1] is None else answered(asked[1], answer, self._station.number)
        if said is not None:
            self._station.learn(said)
            asked[2].set_result(None)

    def _ruled(self, asked: tuple[int, Part | None, asyncio.Future[None]], error: int) -> None:
        if error != Routing.NONE:
            asked[2].set_exception(Declined(f"the radio refused: {label(Routing.Error, error)}"))
        elif asked[1] is None:
            asked[2].set_result(None)
