# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, NodeInfo, User
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.meshtastic.nodes import NodeBook

NOW_MS = 1_700_000_000_000


def packet(number: int, *, portnum: int = PortNum.TEXT_MESSAGE_APP, payload: bytes = b"") -> MeshPacket:
    made = MeshPacket(hop_start=3, hop_limit=1, rx_snr=6.5)
    made.decoded.CopyFrom(Data(portnum=portnum, payload=payload))
    setattr(made, "from", number)
    return made


def info(number: int, name: str = "", last_heard: int = 0) -> NodeInfo:
    made = NodeInfo(num=number, last_heard=last_heard)
    if name:
        made.user.long_name = name
    return made


def test_a_node_is_named_by_its_number_until_it_says_its_name():
    book = NodeBook()
    book.hear(packet(0xA1B2C301), NOW_MS)
    before = book.name(0xA1B2C301)
    user = User(long_name="Ridge relay", short_name="RDGE").SerializeToString()
    book.hear(packet(0xA1B2C301, portnum=PortNum.NODEINFO_APP, payload=user), NOW_MS)

    assert before == "!a1b2c301"
    assert book.name(0xA1B2C301) == "Ridge relay"
    assert book.name(5) == "!00000005"


def test_what_is_heard_fills_the_directory():
    book = NodeBook()
    charge = Telemetry()
    charge.device_metrics.battery_level = 101
    book.hear(packet(1, portnum=PortNum.TELEMETRY_APP, payload=charge.SerializeToString()), NOW_MS)
    (node,) = book.listed()

    assert (node.last_heard_ms, node.snr_db, node.hops, node.battery_percent) == (NOW_MS, 6.5, 2, 100)


def test_times_of_a_nodes_clock_are_taken_only_if_they_can_be_true():
    book = NodeBook()
    for number, last_heard in ((1, 0), (2, 86_400), (3, 4_000_000_000), (4, 1_699_999_000)):
        book.learn(info(number, last_heard=last_heard), NOW_MS)

    assert {node.id: node.last_heard_ms for node in book.listed()} == {
        "!00000001": None,
        "!00000002": None,
        "!00000003": None,
        "!00000004": 1_699_999_000_000,
    }


def test_the_one_silent_for_longest_is_forgotten():
    book = NodeBook(limit=3)
    for number in range(1, 6):
        book.hear(packet(number), NOW_MS + number)

    assert [node.id for node in book.listed()] == ["!00000005", "!00000004", "!00000003"]


def test_a_name_is_one_line():
    book = NodeBook()
    book.learn(info(1, "Ridge\n\x1b[31m  relay" + "x" * 99), NOW_MS)

    assert book.name(1) == "Ridge [31m relay" + "x" * 24


@given(st.binary(max_size=80), st.integers(0, 600))
def test_no_payload_is_too_odd(payload: bytes, portnum: int):
    NodeBook().hear(packet(1, portnum=portnum, payload=payload), NOW_MS)
