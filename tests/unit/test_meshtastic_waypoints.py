# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.meshtastic.waypoints: what marks a place, and what takes it back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.positions import NoPlace
from bridges.meshtastic.waypoints import Waypoints
from bridges.sim.identity import BROADCAST
from bridges.sim.packets import packet_of, waypoint_data
from gateway.model import Location, Redaction, RemoteId

NOW_S = 1_795_701_720.0
RIDGE, MARKET = 0xA1B2C301, 0xA1B2C302


def put(name: str = "hut", *, sender: int = RIDGE, packet: int = 7, channel: int = 0, **more: Any) -> MeshPacket:
    data = waypoint_data(47.0, 8.0, name, **more)
    return packet_of(data, sender=sender, to=BROADCAST, id=packet, channel=channel)


def words(packet: MeshPacket, now_s: float = NOW_S) -> str:
    found = Waypoints().take(packet, now_s)
    assert isinstance(found, Location)
    return found.words


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "ford", "description": "knee deep"}, "ford: knee deep"),
        ({"name": "", "icon": "🌊"}, "waypoint 🌊"),
        ({"name": "a\nb\0", "description": "c\td"}, "a b: c d"),
        ({"expire": int(NOW_S) + 90 * 60}, "hut (for 90 min)"),
        ({"expire": int(NOW_S) + 20}, "hut (for 1 min)"),
        ({"expire": int(NOW_S) + 8 * 3600}, "hut (for 8 h)"),
        ({"expire": int(NOW_S) + 7 * 86400}, "hut (for 7 days)"),
        ({"expire": 2**31 - 1}, "hut"),
        ({"name": "SOS", "icon": "🆘", "expire": int(NOW_S) + 7200}, "SOS 🆘 (for 2 h)"),
    ],
)
def test_a_waypoint_says_its_name_first_then_what_it_is_and_for_how_long(given: dict[str, Any], said: str) -> None:
    assert words(put(**given)) == said


def test_an_icon_that_is_no_character_is_left_out() -> None:
    for number in (0xD800, 0x7, 2**32 - 1):
        packet = put()
        packet.decoded.payload += bytes([0x45]) + number.to_bytes(4, "little")  # field 8, fixed32
        assert words(packet) == "hut"


def test_a_box_without_a_clock_says_nothing_of_its_end() -> None:
    assert words(put(expire=int(NOW_S)), now_s=100.0) == "hut"


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (put(expire=1), NoPlace.OVER),
        (put(expire=int(NOW_S)), NoPlace.OVER),
        (packet_of(waypoint_data(0, 0, "hut"), sender=RIDGE, to=BROADCAST, id=7), NoPlace.NO_FIX),
        (
            packet_of(Data(portnum=PortNum.WAYPOINT_APP, payload=b"\xff"), sender=RIDGE, to=BROADCAST, id=7),
            NoPlace.UNPARSABLE,
        ),
    ],
)
def test_what_is_over_or_nowhere_is_no_place(packet: MeshPacket, why: NoPlace) -> None:
    assert Waypoints().take(packet, NOW_S) is why


def test_one_that_is_sent_again_as_it_was_is_no_news_but_with_another_word_it_is() -> None:
    waypoints = Waypoints()
    waypoints.take(put(expire=int(NOW_S) + 7200), NOW_S)
    assert waypoints.take(put(packet=8, expire=int(NOW_S) + 9000), NOW_S) is NoPlace.AGAIN
    assert isinstance(waypoints.take(put("hut, closed", packet=9), NOW_S), Location)


def test_its_end_takes_back_what_said_it_last_once() -> None:
    waypoints = Waypoints()
    waypoints.take(put(), NOW_S)
    waypoints.take(put("hut, closed", packet=9), NOW_S)
    assert waypoints.take(put(expire=1, packet=10), NOW_S) == Redaction(target=RemoteId("00000009"))
    assert waypoints.take(put(expire=1, packet=11), NOW_S) is NoPlace.OVER


def test_the_end_of_another_waypoint_or_on_another_channel_takes_nothing_back() -> None:
    waypoints = Waypoints()
    waypoints.take(put(), NOW_S)
    assert waypoints.take(put(expire=1, id=2), NOW_S) is NoPlace.OVER
    assert waypoints.take(put(expire=1, channel=1), NOW_S) is NoPlace.OVER


@pytest.mark.parametrize(
    ("locked_to", "by", "is_taken_back"),
    [(0, MARKET, True), (RIDGE, MARKET, False), (RIDGE, RIDGE, True), (MARKET, RIDGE, True), (MARKET, 0x5, False)],
)
def test_a_locked_one_is_taken_back_by_those_it_is_locked_to_alone(
    locked_to: int, by: int, is_taken_back: bool
) -> None:
    waypoints = Waypoints()
    packet = put()
    packet.decoded.payload += bytes([0x28]) + _varint(locked_to)
    waypoints.take(packet, NOW_S)
    assert isinstance(waypoints.take(put(sender=by, expire=1), NOW_S), Redaction) == is_taken_back


@given(st.binary(max_size=60))
def test_no_payload_makes_it_fail(payload: bytes) -> None:
    packet = packet_of(Data(portnum=PortNum.WAYPOINT_APP, payload=payload), sender=RIDGE, to=BROADCAST, id=7)
    assert isinstance(Waypoints().take(packet, NOW_S), Location | NoPlace)


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def test_only_so_many_are_remembered() -> None:
    waypoints = Waypoints(limit=2)
    for number in (1, 2, 3):
        waypoints.take(put(id=number), NOW_S)
    assert waypoints.take(put(id=1, expire=1), NOW_S) is NoPlace.OVER
    assert isinstance(waypoints.take(put(id=3, expire=1), NOW_S), Redaction)
