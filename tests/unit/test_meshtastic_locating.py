# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.meshtastic.locating: one question at a time, and which answers count."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Position, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.config import MeshtasticConfig
from bridges.meshtastic.locating import ASK_EVERY_S, Locator
from bridges.meshtastic.station import Station
from gateway.clock import ManualClock
from gateway.model import Declined, LinkDown, Location, RateLimited

OWN, RIDGE, MARKET = 0xA1B2C300, 0xA1B2C301, 0xA1B2C302
LINK: Any = None


class Transmitter:
    """Takes what is sent; refuses it if there is a refusal."""

    def __init__(self) -> None:
        self.sent: list[MeshPacket] = []
        self.refusal: Exception | None = None

    async def transmit(self, link: object, packet: MeshPacket, *, key: None) -> None:
        del link, key
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(packet)


class Desk:
    """A locator with what it works with, and a question on its way."""

    def __init__(self) -> None:
        self.clock, self.transmitter = ManualClock(0), Transmitter()
        station = Station()
        station.number = OWN
        anything: Any = self.transmitter
        config = MeshtasticConfig.parse({"connection": "serial:auto", "positions": "request"})
        self.counts: list[str] = []
        self.locator = Locator(
            config,
            clock=self.clock,
            station=station,
            transmitter=anything,
            random=random.Random(1),
            count=self.counts.append,
        )

    async def ask(self, node: int = RIDGE) -> asyncio.Task[Location]:
        asking = asyncio.create_task(self.locator.locate(LINK, node, 0))
        await asyncio.sleep(0)
        return asking

    def answer(self, *, sender: int = RIDGE, to: int = OWN, request_id: int | None = None, latitude: int = 470700000):
        number = self.transmitter.sent[-1].id if request_id is None else request_id
        payload = Position(latitude_i=latitude, longitude_i=latitude and 83300000).SerializeToString()
        return _packet(sender, to, Data(portnum=PortNum.POSITION_APP, payload=payload, request_id=number))

    def routing(self, error: int, *, sender: int = RIDGE) -> MeshPacket:
        payload = Routing(error_reason=error).SerializeToString()
        data = Data(portnum=PortNum.ROUTING_APP, payload=payload, request_id=self.transmitter.sent[-1].id)
        return _packet(sender, OWN, data)


def _packet(sender: int, to: int, data: Data) -> MeshPacket:
    packet = MeshPacket(to=to)
    packet.decoded.CopyFrom(data)
    setattr(packet, "from", sender)
    return packet


async def test_the_answer_to_our_question_is_the_askers_and_nothing_else_is() -> None:
    desk = Desk()
    asking = await desk.ask()
    for other in (desk.answer(sender=MARKET), desk.answer(request_id=7), desk.answer(to=MARKET)):
        assert desk.locator.take(other) is None
    assert not asking.done()
    assert desk.counts == ["position_not_asked_for"] * 3

    assert desk.locator.take(desk.answer()) is None
    assert desk.locator.take(desk.answer()) is None  # twice, over two relays
    assert str(await asking) == "geo 47.07000,8.33000"


async def test_one_question_at_a_time_and_no_sooner_than_the_radio_takes_one() -> None:
    desk = Desk()
    first = await desk.ask()
    with pytest.raises(Declined, match="somebody else is being asked"):
        await desk.locator.locate(LINK, MARKET, 0)
    desk.locator.take(desk.answer())
    await first
    with pytest.raises(Declined, match="once in 11 s: try again in 11 s"):
        await desk.locator.locate(LINK, RIDGE, 0)
    desk.clock.advance(ASK_EVERY_S)
    again = await desk.ask()
    desk.locator.take(desk.answer())
    await again

    assert len(desk.transmitter.sent) == 2


@pytest.mark.parametrize(
    ("error", "sender", "reason"),
    [
        (Routing.NO_RESPONSE, RIDGE, "does not tell"),
        (Routing.MAX_RETRANSMIT, OWN, "not reached"),
        (Routing.NO_CHANNEL, RIDGE, "not reached"),
    ],
)
async def test_a_no_ends_the_question_with_its_reason(error: int, sender: int, reason: str) -> None:
    desk = Desk()
    asking = await desk.ask()
    desk.locator.on_routing(desk.routing(Routing.NONE))
    desk.locator.on_routing(desk.routing(Routing.NO_RESPONSE, sender=MARKET))
    assert not asking.done()
    desk.locator.on_routing(desk.routing(error, sender=sender))
    with pytest.raises(Declined, match=reason):
        await asking


async def test_an_answer_without_a_fix_says_so() -> None:
    desk = Desk()
    asking = await desk.ask()
    desk.locator.take(desk.answer(latitude=0))
    with pytest.raises(Declined, match="does not know where it is"):
        await asking


async def test_what_the_radio_refuses_or_loses_ends_the_question_and_the_next_may_be_asked() -> None:
    desk = Desk()
    desk.transmitter.refusal = RateLimited("busy")
    with pytest.raises(RateLimited):
        await desk.locator.locate(LINK, RIDGE, 0)
    desk.transmitter.refusal = None
    desk.clock.advance(ASK_EVERY_S)
    asking = await desk.ask()
    desk.locator.lost(LinkDown("unplugged"))
    with pytest.raises(LinkDown):
        await asking
    desk.locator.lost(LinkDown("again"))
    desk.clock.advance(ASK_EVERY_S)
    again = await desk.ask()
    desk.locator.take(desk.answer())
    await again
