# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets to a radio at the end of a line that takes its time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import Data, FromRadio, MeshPacket, QueueStatus, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.meter import Meter
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.station import Station
from bridges.meshtastic.transmitter import Transmitter
from gateway.model import Certainty, Clock, LinkDown, Unconfirmed
from tests.virtual_time import VirtualClock, run_virtually

OWN = 0xA1B2C300
LIMIT_S = 2.0
"""The firmware drops a text that comes sooner after the last."""


class SlowLine:
    """A link whose radio has each packet so much later than it was written, and says so at once."""

    def __init__(self, clock: Clock, late_s: list[float]) -> None:
        self.clock = clock
        self.late_s = late_s
        self.taken_at: list[float] = []
        self.is_mute = False
        """Whether what it says of packets is lost on the line."""
        self.transmitter: Transmitter | None = None
        self._alive: asyncio.Future[None] | None = None

    async def wait_ready(self) -> None:
        """It is."""

    def check(self) -> None:
        """It is never lost."""

    def send(self, packet: MeshPacket) -> None:
        asyncio.get_running_loop().call_later(self.late_s.pop(0), self._take, packet.id)

    def probe(self) -> asyncio.Future[None]:
        """Answered in order: when it has the packet before."""
        self._alive = asyncio.get_running_loop().create_future()
        return self._alive

    def _take(self, id: int) -> None:
        self.taken_at.append(self.clock.monotonic())
        if self._alive is not None and not self._alive.done():
            self._alive.set_result(None)
        assert self.transmitter is not None
        if not self.is_mute:
            self.transmitter.on_status(QueueStatus(mesh_packet_id=id, free=16, maxlen=16))


def station() -> Station:
    known = Station()
    lora = Config.LoRaConfig(use_preset=True, region=Config.LoRaConfig.US, tx_enabled=True)
    known.learn(FromRadio(config=Config(lora=lora)))
    known.number, known.firmware = OWN, "2.7.26.x"
    return known


def transmitter(clock: Clock, folder: Path) -> Transmitter:
    known = station()
    meter = Meter(clock=clock, station=known, share_percent=None, want_ack=True, folder=folder, count=lambda _: None)
    return Transmitter(
        clock=clock,
        station=known,
        meter=meter,
        pace_s=2.3,
        state_dir=folder,
        on_report=lambda _: None,
        count=lambda _: None,
    )


def text(id: int) -> MeshPacket:
    packet = MeshPacket(id=id, to=BROADCAST, want_ack=True)
    packet.decoded.CopyFrom(Data(portnum=PortNum.TEXT_MESSAGE_APP, payload=b"words"))
    return packet


def test_a_text_that_was_long_on_the_line_puts_off_the_next_by_as_much(tmp_path: Path):
    async def story() -> list[float]:
        clock = VirtualClock()
        line = SlowLine(clock, late_s=[1.5, 0.0, 0.9, 0.0])
        line.transmitter = transmitter(clock, tmp_path)
        for number in range(1, 5):
            await line.transmitter.transmit(cast("Any", line), text(number), key=f"d{number}.0")
        return line.taken_at

    taken_at = run_virtually(story())

    assert len(taken_at) == 4
    assert min(later - sooner for sooner, later in pairwise(taken_at)) >= LIMIT_S


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_text_of_which_nothing_was_heard_puts_off_the_next_too(tmp_path: Path, *, is_lost: bool):
    async def story() -> list[float]:
        clock = VirtualClock()
        line = SlowLine(clock, late_s=[4.0, 0.0])
        line.transmitter, line.is_mute = transmitter(clock, tmp_path), True
        if is_lost:
            asyncio.get_running_loop().call_later(4.1, line.transmitter.lost, LinkDown("unplugged"))
        with pytest.raises(LinkDown if is_lost else Unconfirmed):
            await line.transmitter.transmit(cast("Any", line), text(1), key="d1.0")
        line.is_mute = False
        await line.transmitter.transmit(cast("Any", line), text(2), key="d2.0")
        return line.taken_at

    first, second = run_virtually(story())

    assert second - first >= LIMIT_S


def test_what_a_radio_gets_again_after_each_of_its_restarts_is_counted_each_time(tmp_path: Path):
    async def story() -> list[int]:
        clock = VirtualClock()
        line = SlowLine(clock, late_s=[0.0] * 3)
        line.transmitter = transmitter(clock, tmp_path)
        used_ms = []
        for _ in range(3):
            await line.transmitter.transmit(cast("Any", line), text(1), key="d1.0")
            used_ms.append(line.transmitter._meter.airtime().used_ms)
            line.transmitter.restarted()
        return used_ms

    first, second, third = run_virtually(story())

    once = first // 3
    assert (second, third) == (first + once, first + 2 * once)


def test_that_a_broker_returned_it_is_not_taken_for_a_neighbour_who_relayed_it(tmp_path: Path):
    async def story(transport: int) -> Certainty:
        clock = VirtualClock()
        line = SlowLine(clock, late_s=[0.0])
        line.transmitter = transmitter(clock, tmp_path)
        line.is_mute = True
        answer = MeshPacket(to=OWN, transport_mechanism=transport)  # type: ignore[arg-type]  # an enum's number
        payload = Routing(error_reason=Routing.NONE).SerializeToString()
        answer.decoded.CopyFrom(Data(portnum=PortNum.ROUTING_APP, request_id=1, payload=payload))
        setattr(answer, "from", OWN)
        status = QueueStatus(mesh_packet_id=1, free=16, maxlen=16)
        asyncio.get_running_loop().call_later(0.1, line.transmitter.on_routing, answer)
        asyncio.get_running_loop().call_later(0.2, line.transmitter.on_status, status)
        receipt = await line.transmitter.transmit(cast("Any", line), text(1), key="d1.0")
        return receipt.certainty

    transports = MeshPacket.TransportMechanism
    assert run_virtually(story(transports.TRANSPORT_INTERNAL)) is Certainty.HEARD
    assert run_virtually(story(transports.TRANSPORT_MQTT)) is Certainty.SENT
