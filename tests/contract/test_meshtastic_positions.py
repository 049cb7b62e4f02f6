# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions of nodes on a simulated mesh: passed on where that is asked for, and asked for on air."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from meshtastic.protobuf.portnums_pb2 import PortNum

from gateway.model import Declined, LinkDown, Locates, Location, Message, SenderId
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, Air, air, bridge_on

RIDGE, MARKET = SenderId("!a1b2c301"), SenderId("!a1b2c302")


def place_of(message: Message) -> Location:
    assert isinstance(message.content, Location)
    return message.content


async def test_positions_are_nobodys_business_unless_it_is_said(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        async with bridge, Reader(bridge) as reader:
            network.mesh["RDGE"].place.tell()
            network.mesh["RDGE"].place.put_waypoint("hut", 47.0, 8.0)
            network.mesh["RDGE"].say("after")
            await reader.until(lambda r: r.messages)
            with pytest.raises(Declined, match="off"):
                await bridge.locate(RIDGE)

    assert reader.bodies == ["after"]
    assert network.counts["position_not_asked_for"] == network.counts["waypoint_not_asked_for"] == 1


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_position_is_passed_on_once_in_a_while_as_exactly_as_it_was_told(tmp_path: Path, tcp: bool):
    async with air(tmp_path, tcp=tcp) as network:
        bridge = bridge_on(network, tmp_path, positions="on")
        mesh = network.mesh
        mesh["MRKT"].place.precision_bits = 13
        async with bridge, Reader(bridge) as reader:
            number = mesh["RDGE"].place.tell()
            mesh["RDGE"].place.tell()
            mesh["MRKT"].place.tell()
            mesh["RIVR"].place.put_waypoint("ford", 47.01, 8.29, description="knee deep")
            mesh["RIVR"].say("after")
            await reader.until(lambda r: len(r.messages) == 4)

    by_sender = {message.sender.name: message for message in reader.messages if isinstance(message.content, Location)}
    ridge, market, river = (by_sender[name] for name in ("Ridge relay", "Market square", "River lock"))
    assert ridge.native_id == f"mt:a1b2c301:{number:08x}"
    assert (ridge.origin, ridge.direct) == (LONG_FAST, False)
    assert str(place_of(ridge)) == "geo 47.07000,8.33000"
    assert place_of(ridge).altitude_m == 1104
    assert str(place_of(market)).endswith(" ±3 km")
    assert abs(place_of(market).latitude - 47.04) < 0.027
    assert str(place_of(river)) == "geo 47.01000,8.29000 ford: knee deep"
    assert network.counts["position_not_passed_on"] == 1


async def test_after_the_while_the_next_position_is_passed_on(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, positions="on", positions_every="10s")
        async with bridge, Reader(bridge) as reader:
            async with asyncio.timeout(15):
                while len(reader.messages) < 2:
                    network.mesh["RDGE"].place.tell()
                    await asyncio.sleep(0.1)
    assert network.counts["position_not_passed_on"] >= 1


async def test_a_node_that_is_asked_says_where_it_is_to_the_asker_alone(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, positions="request")
        assert isinstance(bridge, Locates)
        async with bridge, Reader(bridge) as reader:
            network.mesh["MRKT"].place.tell()
            place = await bridge.locate(RIDGE)
            network.mesh["RDGE"].say("after")
            await reader.until(lambda r: r.messages)
        asked = [heard for heard in network.mesh["RDGE"].heard if heard.portnum == PortNum.POSITION_APP]

    assert str(place) == "geo 47.07000,8.33000"
    assert reader.bodies == ["after"]
    assert [heard.payload for heard in asked if heard.sender == network.mesh.gateway.number] == [b""]


async def _why_not(network: Air, tmp_path: Path, node: SenderId) -> str:
    bridge = bridge_on(network, tmp_path, positions="request")
    async with bridge, Reader(bridge):
        with pytest.raises(Declined) as caught:
            await bridge.locate(node)
    return str(caught.value)


async def test_a_node_that_does_not_tell_or_is_out_of_reach_or_is_none_is_a_reason_in_words(tmp_path: Path):
    async with air(tmp_path, scale=60.0) as network:
        network.mesh["RDGE"].place.precision_bits = 0
        assert await _why_not(network, tmp_path, RIDGE) == "it does not tell where it is"
        network.mesh.isolate("MRKT")
        assert await _why_not(network, tmp_path, MARKET) in ("it was not reached", "no answer within 60 s")
        assert await _why_not(network, tmp_path, SenderId("!a1b2c300")) == "!a1b2c300 is no other node"
        assert await _why_not(network, tmp_path, SenderId("@ali:example.org")) == "@ali:example.org is no other node"


async def test_a_question_ends_with_the_link_it_was_asked_on(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, positions="request")
        network.mesh.isolate("RDGE")
        async with bridge, Reader(bridge):
            asking = asyncio.create_task(bridge.locate(RIDGE))
            async with asyncio.timeout(10):
                while not network.port.firmware.counts["sent"]:
                    await asyncio.sleep(0.01)
            network.port.unplug()
            with pytest.raises(LinkDown):
                await asking
        with pytest.raises(LinkDown):
            await bridge.locate(RIDGE)
