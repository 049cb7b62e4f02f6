# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the gateway on a simulated mesh: answered by choice, in private, sparingly, and carried nowhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.sim.packets import sender_of
from bridges.sim.people import Heard, SimNode
from gateway.model import Asked, Declined, Level, NoDesk
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import LONG_FAST, MARKET, Air, air, bridge_on, said

ALL = ["ping", "nodes", "gw"]


@dataclass
class Desk(NoDesk):
    """Says how the gateway is."""

    asked: list[Asked] = field(default_factory=list)
    declines: bool = False

    async def answer(self, asked: Asked) -> str:
        self.asked.append(asked)
        if self.declines:
            raise Declined("not now")
        return "hilltop: home up, radio up;\n0 waiting"


def from_gateway(node: SimNode, network: Air) -> list[Heard]:
    return [heard for heard in node.heard if heard.sender == network.mesh.gateway.number and heard.text]


def watched(network: Air) -> list[MeshPacket]:
    """Return all that goes on the air from now on, as it does."""
    found: list[MeshPacket] = []
    remember = network.mesh.air.watch
    assert remember is not None

    def watch(sender: int, packet: MeshPacket, now: float) -> None:
        copy = MeshPacket()
        copy.CopyFrom(packet)
        found.append(copy)
        remember(sender, packet, now)

    network.mesh.air.watch = watch
    return found


async def counted(network: Air, kind: str, number: int = 1) -> None:
    async with asyncio.timeout(15):
        while network.counts[kind] < number:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("tcp", [False, True])
async def test_each_question_is_answered_to_the_asker_alone_and_carried_nowhere(tmp_path: Path, tcp: bool):
    desk = Desk()
    async with air(tmp_path, tcp=tcp) as network:
        mesh = network.mesh
        own = mesh.gateway.number
        bridge = bridge_on(network, tmp_path, answers=ALL, desk=desk)
        async with bridge, Reader(bridge) as reader:
            ping = mesh["RDGE"].say("!Ping")
            pong = await mesh["RDGE"].wait_heard(lambda heard: heard.text.startswith("pong"))
            mesh["MRKT"].say("!nodes", to=own)
            nodes = await mesh["MRKT"].wait_heard(lambda heard: " nodes, " in heard.text)
            mesh["RIVR"].say("!gw")
            gw = await mesh["RIVR"].wait_heard(lambda heard: heard.text.startswith("hilltop"))
            mesh["RDGE"].say("after")
            await reader.until(lambda r: r.messages)

    assert pong.text == "pong: heard you directly, SNR 6.2 dB, RSSI -87 dBm"
    assert (pong.to, pong.reply_id) == (mesh["RDGE"].number, ping)
    assert "RDGE" in nodes.text
    assert gw.text == "hilltop: home up, radio up; 0 waiting"
    assert all(answer.is_direct for answer in (pong, nodes, gw))
    assert [(one.words, one.at, one.sender, one.private) for one in desk.asked] == [
        ("brief", LONG_FAST, mesh["RIVR"].identity.id, False)
    ]
    assert reader.bodies == ["after"]
    assert network.counts["question_answered"] == 3


async def test_without_the_choice_it_is_a_text_like_any_other(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, answers=["gw"])
        async with bridge, Reader(bridge) as reader:
            network.mesh["RDGE"].say("!ping")
            network.mesh["RDGE"].say("!nodes")
            await reader.until(lambda r: len(r.messages) == 2)
            await bridge.send(said("end"), LONG_FAST, key="d1.0")
            await network.mesh["RDGE"].wait_text("end")

    assert reader.bodies == ["!ping", "!nodes"]
    assert [heard.text for heard in from_gateway(network.mesh["RDGE"], network)] == ["end"]


async def test_who_goes_on_asking_and_what_comes_again_is_not_answered_and_counted_by_why(tmp_path: Path):
    async with air(tmp_path) as network:
        mesh = network.mesh
        bridge = bridge_on(network, tmp_path, answers=ALL)
        async with bridge, Reader(bridge) as reader:
            ping = mesh["RDGE"].say("!ping")
            await counted(network, "question_answered")
            mesh["RDGE"].say("!nodes")
            await counted(network, "question_too_often")
            mesh.replay("RDGE", ping)
            mesh.store_and_forward("RDGE", ping)
            await counted(network, "question_again", 2)
            other = mesh["MRKT"].say("hello")
            await reader.until(lambda r: r.messages)
            mesh.replay("MRKT", other, via_mqtt=True)
            await bridge.send(said("end"), LONG_FAST, key="d1.0")
            await mesh["RDGE"].wait_text("end")

    assert [heard.text[:4] for heard in from_gateway(mesh["RDGE"], network)] == ["pong", "end"]


async def test_the_internet_does_not_make_us_transmit(tmp_path: Path):
    async with air(tmp_path) as network:
        mesh = network.mesh
        ping = mesh["RDGE"].say("!ping")
        await mesh["MRKT"].wait_text("!ping")
        network.port.reboot()
        bridge = bridge_on(network, tmp_path, answers=ALL)
        async with bridge, Reader(bridge):
            mesh.replay("RDGE", ping, via_mqtt=True)
            await counted(network, "question_over_mqtt")
            assert not from_gateway(mesh["RDGE"], network)
            mesh.replay("RDGE", ping)
            await mesh["RDGE"].wait_heard(lambda heard: heard.text.startswith("pong"))


async def test_who_may_nothing_and_whom_the_desk_declines_hears_nothing(tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, answers=ALL, level=Level.NONE)
        async with bridge, Reader(bridge):
            network.mesh["RDGE"].say("!ping")
            await counted(network, "question_declined")
    (tmp_path / "again").mkdir()
    async with air(tmp_path / "again") as network:
        bridge = bridge_on(network, tmp_path, answers=ALL, desk=Desk(declines=True))
        async with bridge, Reader(bridge):
            network.mesh["RDGE"].say("!gw")
            await counted(network, "question_declined")
            assert not from_gateway(network.mesh["RDGE"], network)


async def test_a_node_whose_key_our_radio_does_not_know_is_answered_where_it_asked(tmp_path: Path):
    async with air(tmp_path) as network:
        mesh = network.mesh
        mesh.gateway.radio.strangers.add(mesh["RDGE"].number)
        bridge = bridge_on(network, tmp_path, answers=ALL)
        async with bridge, Reader(bridge):
            ping = mesh["RDGE"].say("!ping")
            pong = await mesh["RDGE"].wait_heard(lambda heard: heard.text.startswith("pong"))

    assert (pong.is_direct, pong.reply_id) == (False, ping)


async def test_a_question_is_answered_and_not_thanked_for_and_other_words_are_thanked_for(tmp_path: Path):
    async with air(tmp_path) as network:
        market, own = network.mesh["MRKT"], network.mesh.gateway.number
        on_air = watched(network)
        bridge = bridge_on(network, tmp_path, answers=ALL, direct="home/#town:example.org", answer_direct=True)
        async with bridge, Reader(bridge) as reader:
            market.say("!ping", to=own)
            await market.wait_heard(lambda heard: heard.text.startswith("pong"))
            market.say("hello", to=own)
            await market.wait_heard(lambda heard: heard.text.startswith("Got it"))

    assert [(message.origin, message.direct) for message in reader.messages] == [(MARKET, True)]
    ours = {packet.decoded.payload[:4]: packet.want_ack for packet in on_air if sender_of(packet) == own}
    assert (ours[b"pong"], ours[b"Got "]) == (False, True)
