# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.meshtastic.positions: which places packets say, and how often one node's are passed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import Data, Position
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic.convert import sender_of
from bridges.meshtastic.positions import NoPlace, Rhythm, accuracy_m, request, to_place
from gateway.model import Location


def position(**fields: int) -> Data:
    return Data(portnum=PortNum.POSITION_APP, payload=Position(**fields).SerializeToString())


def place_of(data: Data) -> Location:
    place = to_place(data)
    assert isinstance(place, Location)
    return place


def test_a_position_is_a_place_with_its_height() -> None:
    place = place_of(position(latitude_i=465123400, longitude_i=-81000000, altitude=1204, precision_bits=32))
    assert (round(place.latitude, 7), round(place.longitude, 7)) == (46.51234, -8.1)
    assert (place.altitude_m, place.accuracy_m, place.words) == (1204, None, "")


@pytest.mark.parametrize(("bits", "metres"), [(0, None), (32, None), (40, None), (10, 23_345), (13, 2_918), (16, 365)])
def test_a_position_that_was_cut_says_how_exact_it_is_left(bits: int, metres: int | None) -> None:
    left = accuracy_m(bits)
    assert (left if left is None else round(left)) == metres
    assert place_of(position(latitude_i=1, longitude_i=1, precision_bits=bits)).accuracy_m == left


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (position(), NoPlace.NO_FIX),
        (position(latitude_i=0, longitude_i=0, time=5), NoPlace.NO_FIX),
        (position(latitude_i=910000000, longitude_i=1), NoPlace.NO_FIX),
        (position(latitude_i=1, longitude_i=1810000000), NoPlace.NO_FIX),
        (Data(portnum=PortNum.POSITION_APP, payload=b"\xff"), NoPlace.UNPARSABLE),
    ],
)
def test_without_a_fix_there_is_no_place(data: Data, why: NoPlace) -> None:
    assert to_place(data) is why


@given(st.binary(max_size=60))
def test_no_payload_makes_it_fail(payload: bytes) -> None:
    assert isinstance(to_place(Data(portnum=PortNum.POSITION_APP, payload=payload)), Location | NoPlace)


def test_of_one_node_one_position_in_a_while_is_passed_on() -> None:
    rhythm = Rhythm(600.0)
    assert [rhythm.is_due(1, at) for at in (0.0, 599.9, 600.0, 700.0)] == [True, False, True, False]
    assert rhythm.is_due(2, 700.0)


def test_so_many_nodes_are_remembered_and_no_more() -> None:
    rhythm = Rhythm(600.0, limit=2)
    assert [rhythm.is_due(node, 0.0) for node in (1, 2, 3, 2, 1)] == [True, True, True, False, True]


def test_a_question_tells_nobody_where_we_are() -> None:
    packet = request(id=7, own=1, node=2, channel=1, hop_limit=3)
    assert (packet.id, sender_of(packet), packet.to, packet.channel, packet.want_ack) == (7, 1, 2, 1, True)
    assert (packet.decoded.portnum, packet.decoded.want_response) == (PortNum.POSITION_APP, True)
    assert packet.decoded.payload == b""
