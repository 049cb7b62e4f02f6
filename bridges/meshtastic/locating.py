# SPDX-License-Identifier: GPL-3.0-or-later
"""Which positions and waypoints are passed on, and asking a node for its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import MeshPacket, Routing

from bridges.meshtastic.attempt import within
from bridges.meshtastic.choices import Positions
from bridges.meshtastic.config import MeshtasticConfig
from bridges.meshtastic.convert import sender_of
from bridges.meshtastic.link import Link
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.positions import NoPlace, Rhythm, request, to_place
from bridges.meshtastic.station import Station
from bridges.meshtastic.transmitter import Transmitter
from bridges.meshtastic.waypoints import Waypoints
from gateway.model import BridgeError, Clock, Declined, Location, Redaction

ANSWER_WITHIN_S = 60.0
"""There and back over some relays, with three tries each; a node that was asked less than 3 min ago says nothing."""
ASK_EVERY_S = 11.0
"""The firmware drops a client's position packet less than 10 s after the last one."""


class Locator:
    """Kept across connections; one question is on the air at a time."""

    def __init__(
        self,
        config: MeshtasticConfig,
        *,
        clock: Clock,
        station: Station,
        transmitter: Transmitter,
        random: random.Random,
        count: Callable[[str], None],
    ) -> None:
        self._config = config
        self._clock = clock
        self._station = station
        self._transmitter = transmitter
        self._random = random
        self._count = count
        self._rhythm = Rhythm(config.positions_every_s)
        self._waypoints = Waypoints()
        self._asked: tuple[int, int, asyncio.Future[Location]] | None = None
        """The packet that asks, whom, and what waits for the answer."""
        self._next_at = clock.monotonic()

    def take(self, packet: MeshPacket) -> Location | None:
        """Take a position; return the place to pass on. None, counted, if there is none."""
        place = to_place(packet.decoded)
        if self._is_answer(packet):
            self._answer(place)
            return None
        if not self._passes_on("position_not_asked_for"):
            return None
        if isinstance(place, NoPlace):
            self._count(place)
            return None
        if not self._is_due(packet):
            self._count("position_not_passed_on")
            return None
        return place

    def mark(self, packet: MeshPacket) -> Location | Redaction | None:
        """Take a waypoint; return the place, or what takes one back. None, counted, if there is neither."""
        if not self._passes_on("waypoint_not_asked_for"):
            return None
        found = self._waypoints.take(packet, self._clock.now_ms() / 1000)
        if isinstance(found, NoPlace):
            self._count(found)
            return None
        return found

    def on_routing(self, packet: MeshPacket) -> None:
        """Take what a routing packet says of our question: from our own node or the one that was asked."""
        if self._asked is None or packet.decoded.request_id != self._asked[0]:
            return
        try:
            error = Routing.FromString(packet.decoded.payload).error_reason
        except DecodeError:
            return
        if error != Routing.NONE and sender_of(packet) in (self._station.number, self._asked[1]):
            is_no = error == Routing.NO_RESPONSE
            self._fail(Declined("it does not tell where it is" if is_no else "it was not reached"))

    def lost(self, error: BridgeError) -> None:
        """Say that the link is gone, and an answer with it."""
        self._fail(error)

    async def locate(self, link: Link, node: int, channel: int) -> Location:
        """Ask a node where it is. Declined with the reason, or another BridgeError if the radio can't be asked."""
        self._check()
        number = self._random.getrandbits(32) or 1
        answer: asyncio.Future[Location] = asyncio.get_running_loop().create_future()
        self._asked = (number, node, answer)
        self._next_at = self._clock.monotonic() + ASK_EVERY_S
        hops, own = self._config.hop_limit, self._station.number
        packet = request(id=number, own=own, node=node, channel=channel, hop_limit=hops)
        try:
            await self._transmitter.transmit(link, packet, key=None)
            if not await within(self._clock, ANSWER_WITHIN_S, answer):
                raise Declined(f"no answer within {ANSWER_WITHIN_S:g} s")
            return await answer
        finally:
            self._asked = None
            if answer.done() and not answer.cancelled():
                answer.exception()  # looked at, also where what was sent failed first

    def _check(self) -> None:
        if self._config.positions is Positions.OFF:
            raise Declined('this radio asks nobody where they are: its positions are "off" in the configuration')
        if self._asked is not None:
            raise Declined("somebody else is being asked right now: try again in a minute")
        wait_s = self._next_at - self._clock.monotonic()
        if wait_s > 0:
            raise Declined(f"a radio can ask once in {ASK_EVERY_S:g} s: try again in {wait_s:.0f} s")

    def _passes_on(self, kind: str) -> bool:
        if self._config.positions is not Positions.ON:
            self._count(kind)
            return False
        return True

    def _is_due(self, packet: MeshPacket) -> bool:
        return packet.to == BROADCAST and self._rhythm.is_due(sender_of(packet), self._clock.monotonic())

    def _is_answer(self, packet: MeshPacket) -> bool:
        asked = self._asked
        is_ours = packet.to == self._station.number
        return asked is not None and is_ours and (packet.decoded.request_id, sender_of(packet)) == asked[:2]

    def _answer(self, place: Location | NoPlace) -> None:
        if isinstance(place, NoPlace):
            self._fail(Declined("it does not know where it is"))
        elif self._asked is not None and not self._asked[2].done():
            self._asked[2].set_result(place)

    def _fail(self, error: Exception) -> None:
        if self._asked is not None and not self._asked[2].done():
            self._asked[2].set_exception(error)
