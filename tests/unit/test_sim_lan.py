# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated LAN nodes are what the facts say: figures from the firmware's own tests, and rules of its handler."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.sim.lan_peer import LanPeer
from bridges.sim.lan_secrets import DEFAULT_KEY, Keys, SharedChannel

RIDGE, MARKET, RIVER = 0xA1B2C301, 0xA1B2C302, 0xA1B2C303


class Segment:
    """A LAN: whatever one puts on it reaches all, itself too."""

    def __init__(self, *names: str, relays: bool = False) -> None:
        self.on_air: list[bytes] = []
        self.peers = [
            LanPeer(name, number, put=self.on_air.append, relays=relays)
            for name, number in zip(names, (RIDGE, MARKET, RIVER), strict=False)
        ]

    def carry(self) -> list[MeshPacket]:
        carried = []
        while self.on_air:
            datagram = self.on_air.pop(0)
            carried.append(MeshPacket.FromString(datagram))
            for peer in self.peers:
                peer.take(datagram)
        return carried


def test_it_reads_what_the_firmwares_own_test_vector_seals():
    keys = Keys(bytes.fromhex("a00330633e63522f8a4d81ec6d9d1e6617f6c8ffd3a4c698229537d44e522277"))
    peer = bytes.fromhex("db18fc50eea47f00251cb784819a3cf5fc361882597f589f0d7ff820e8064457")
    sealed = bytes.fromhex("40df24abfcc30a17a3d9046726099e796a1c036a792b")

    assert keys.unlock(peer, sender=0x0929, id=0x13B2D662, content=sealed) == bytes.fromhex("08011204746573744800")
    assert keys.unlock(peer, sender=0x092A, id=0x13B2D662, content=sealed) is None


def test_the_public_channel_has_the_hash_that_everybody_knows():
    assert SharedChannel(name="LongFast", key=DEFAULT_KEY).hash == 8


def test_a_text_reaches_all_once_and_each_relay_takes_a_hop():
    lan = Segment("Ridge", "Market", "River", relays=True)
    lan.peers[0].say("hello", hops=2)

    carried = lan.carry()

    assert [peer.heard[0].text for peer in lan.peers[1:]] == ["hello", "hello"]
    assert [len(peer.heard) for peer in lan.peers] == [0, 1, 1]
    assert [(packet.hop_limit, packet.relay_node) for packet in carried] == [(2, 1), (1, 2), (1, 3)]


def test_a_text_without_hops_left_is_not_repeated():
    lan = Segment("Ridge", "Market", relays=True)
    lan.peers[0].say("hello", hops=0)

    assert len(lan.carry()) == 1


def test_a_direct_text_is_acknowledged_by_its_reader_and_read_by_nobody_else():
    lan = Segment("Ridge", "Market", "River")
    ridge, market, river = lan.peers
    for peer in lan.peers:
        peer.introduce()
    lan.carry()

    number = ridge.say("for you", to=MARKET)
    lan.carry()

    assert (market.heard[-1].text, market.heard[-1].sealed) == ("for you", True)
    assert "for you" not in [heard.text for heard in river.heard]
    assert (ridge.heard[-1].request_id, ridge.heard[-1].error) == (number, 0)


@pytest.mark.parametrize(
    ("before", "error"),
    [(lambda market: market.peers.clear(), 35), (lambda market: market.peers.update({RIDGE: market.keys.public}), 6)],
)
def test_what_it_can_not_read_it_refuses_with_the_reason(before: Callable[[LanPeer], None], error: int):
    lan = Segment("Ridge", "Market")
    ridge, market = lan.peers
    ridge.peers[MARKET] = market.keys.public
    before(market)

    ridge.say("for you", to=MARKET)
    lan.carry()

    assert ridge.heard[-1].error == error


def test_what_comes_from_itself_or_nobody_is_refused():
    lan = Segment("Ridge")
    lan.peers[0].say("an echo")
    lan.peers[0].number = 0
    lan.peers[0].say("nobody")
    lan.peers[0].number = RIDGE
    lan.carry()

    assert lan.peers[0].counts["refused"] == 2
