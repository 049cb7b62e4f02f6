# SPDX-License-Identifier: GPL-3.0-or-later
"""The node directory in memory: what is heard fills it, names tell people apart, and it has a bound."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, NodeInfo, Position, User
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.meshtastic.nodes import NodeBook
from gateway.clock import ManualClock
from gateway.model import Node

NOW_MS = 1_700_000_000_000
BROADCAST = 0xFFFFFFFF
KIM, LEE = 0xA1B2C301, 0x00C0FFEE
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


class Directory:
    """A book on a clock that a test moves, and what it counted."""

    def __init__(self, start_ms: int = NOW_MS, **how: Any) -> None:
        self.clock = ManualClock(start_ms=start_ms)
        self.counts: Counter[str] = Counter()
        self.book = NodeBook(self.clock, count=lambda kind: self.counts.update([kind]), **how)

    def hear(self, number: int, portnum: int = PortNum.TEXT_MESSAGE_APP, payload: bytes = b"", **fields: Any) -> None:
        self.clock.advance(1)
        self.book.hear(packet(number, portnum, payload, **fields))

    def names(self, number: int, name: str, short: str = "", **more: Any) -> None:
        user = User(long_name=name, short_name=short, **more)
        self.hear(number, PortNum.NODEINFO_APP, user.SerializeToString())

    def tells(self, number: int, latitude: float, longitude: float, *, to: int = BROADCAST, bits: int = 32) -> None:
        said = Position(latitude_i=round(latitude * 1e7), longitude_i=round(longitude * 1e7), precision_bits=bits)
        self.hear(number, PortNum.POSITION_APP, said.SerializeToString(), to=to)

    def __getitem__(self, number: int) -> Node:
        node = self.book.node(number)
        assert node is not None
        assert node in self.book.listed()
        return node

    def kept(self) -> dict[int, str]:
        return dict(self.book.changes().entries)


def packet(number: int, portnum: int, payload: bytes, **fields: Any) -> MeshPacket:
    made = MeshPacket(**({"hop_start": 3, "hop_limit": 1, "rx_snr": 6.5, "rx_rssi": -92, "to": BROADCAST} | fields))
    made.decoded.CopyFrom(Data(portnum=portnum, payload=payload))
    setattr(made, "from", number)
    return made


def info(number: int, name: str = "", last_heard: int = 0, **fields: Any) -> NodeInfo:
    made = NodeInfo(num=number, last_heard=last_heard, **fields)
    if name:
        made.user.long_name = name
    return made


# What is heard.


def test_a_node_is_named_by_its_number_until_it_says_its_name():
    found = Directory()
    found.hear(KIM)
    before = found.book.name(KIM)
    found.names(KIM, "Ridge relay", "RDGE")

    assert before == "!a1b2c301"
    assert found.book.name(KIM) == "Ridge relay"
    assert found.book.name(5) == "!00000005"


def test_what_is_heard_fills_the_directory():
    found = Directory()
    charge = Telemetry()
    charge.device_metrics.battery_level = 101
    found.hear(1, PortNum.TELEMETRY_APP, charge.SerializeToString())
    node = found[1]

    assert (node.last_heard_ms, node.snr_db, node.rssi_dbm, node.hops) == (NOW_MS + 1000, 6.5, -92, 2)
    assert (node.battery_percent, node.via_mqtt, node.has_key) == (100, False, False)


def test_what_came_over_the_internet_has_no_signal_and_says_so():
    found = Directory()
    found.hear(1, rx_snr=-7.25)
    found.hear(1, via_mqtt=True, rx_snr=12, rx_rssi=-1)

    assert (found[1].via_mqtt, found[1].snr_db, found[1].rssi_dbm) == (True, -7.25, -92)


@pytest.mark.parametrize(
    ("start", "left", "says", "hops"),
    [(3, 3, True, 0), (3, 0, True, 3), (0, 0, True, 0), (0, 0, False, None), (1, 3, True, None)],
)
def test_hops_are_counted_where_the_packet_says_how_many_it_began_with(start, left, says, hops):
    found = Directory()
    heard = packet(1, PortNum.TEXT_MESSAGE_APP, b"", hop_start=start, hop_limit=left)
    if says:
        heard.decoded.bitfield = 0
    found.book.hear(heard)

    assert found[1].hops == hops


def test_times_of_a_nodes_clock_are_taken_only_if_they_can_be_true():
    found = Directory()
    for number, last_heard in ((1, 0), (2, 86_400), (3, 4_000_000_000), (4, 1_699_999_000)):
        found.book.learn(info(number, last_heard=last_heard))

    assert {node.id: node.last_heard_ms for node in found.book.listed()} == {
        "!00000001": None,
        "!00000002": None,
        "!00000003": None,
        "!00000004": 1_699_999_000_000,
    }


def test_a_role_and_a_board_that_only_newer_firmware_knows_are_numbers():
    found = Directory()
    user = User(long_name="Kim")
    raw = user.SerializeToString() + bytes([5 << 3, 0xE7, 0x07, 7 << 3, 99])
    found.hear(KIM, PortNum.NODEINFO_APP, raw)

    assert (found[KIM].hardware, found[KIM].role) == ("999", "99")


def test_neither_nobody_nor_everybody_is_a_node():
    found = Directory()
    for number in (0, BROADCAST):
        found.hear(number)
        found.book.learn(info(number))
        found.book.spoke(number)

    assert found.book.listed() == ()


@given(st.binary(max_size=80), st.integers(0, 600), st.booleans())
def test_no_payload_is_too_odd(payload: bytes, portnum: int, places: bool):
    Directory(keeps_places=places).hear(1, portnum, payload)


# Names.


def test_a_node_that_renamed_itself_keeps_its_last_names_for_those_who_knew_it_by_them():
    found = Directory()
    for n in range(9):
        found.names(KIM, f"Kim {n}", "KIM")
    found.names(KIM, "Kim 0", "KM0")

    assert (found[KIM].name, found[KIM].short_name) == ("Kim 0", "KM0")
    assert found[KIM].former_names == ("Kim 8", "KIM", "Kim 7", "Kim 6", "Kim 5", "Kim 4", "Kim 3", "Kim 2")


def test_two_nodes_of_one_name_are_told_apart_by_their_numbers_whatever_letters_they_write_it_with():
    found = Directory()
    found.names(KIM, "Kim's radio")
    alone = found.book.name(KIM)
    found.names(LEE, "K\u0456m's r\u0430dio\u202e")

    assert alone == "Kim's radio"
    assert found.book.name(KIM) == "Kim's radio/c301"
    assert found.book.name(LEE) == "K\u0456m's r\u0430dio/ffee"
    found.names(LEE, "Lee")
    assert found.book.name(KIM) == "Kim's radio"


def test_two_nodes_whose_numbers_end_alike_are_told_apart_by_the_whole_of_them():
    found = Directory()
    found.names(0x1111C301, "Kim")
    found.names(KIM, "Kim")

    assert found.book.name(KIM) == "Kim/a1b2c301"


def test_of_a_flood_of_one_name_each_has_the_whole_number():
    found = Directory()
    for number in range(1, 40):
        found.names(number << 8, "Kim")

    assert found.book.name(1 << 8) == "Kim/00000100"
    assert found.book.node(KIM) is None


def test_a_name_is_its_owners_alone_again_when_the_other_was_silent_for_a_month():
    found = Directory()
    found.names(LEE, "Kim")
    found.clock.advance(31 * 86_400)
    found.names(KIM, "Kim")

    assert found.book.name(KIM) == "Kim"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("!a1b2c302", "!a1b2c301"),
        ("@ali:example.org", "!a1b2c301"),
        ("~ali@hilltop", "!a1b2c301"),
        ("Kim/ffee", "Kim-ffee"),
        ("Kim/00C0FFEE", "Kim-00C0FFEE"),
        ("OE1KIM/P", "OE1KIM/P"),
        ("@home", "@home"),
        ("\u200b \n", "!a1b2c301"),
    ],
)
def test_no_node_calls_itself_by_anothers_id_or_mark(said, shown):
    found = Directory()
    found.names(KIM, said)

    assert found.book.name(KIM) == shown


# Keys.


def test_a_key_is_known_when_a_node_or_our_radio_told_it():
    found = Directory()
    found.names(KIM, "Kim", public_key=KEY)
    found.names(LEE, "Lee", public_key=b"short")

    assert [found.book.has_key(number) for number in (KIM, LEE, 5)] == [True, False, False]
    assert found.book.key(KIM) == KEY


def test_a_name_under_another_key_is_not_believed_on_air_but_from_our_own_radio_it_is():
    found = Directory()
    found.names(KIM, "Kim", public_key=KEY)
    found.names(KIM, "Mallory", public_key=OTHER_KEY)
    found.names(KIM, "Kim 2")

    assert (found.book.name(KIM), found.book.key(KIM)) == ("Kim 2", KEY)
    assert found.counts == {"node_key_differs": 1}
    told = info(KIM, "Kim 3")
    told.user.public_key = OTHER_KEY
    found.book.learn(told)
    assert (found.book.name(KIM), found.book.key(KIM)) == ("Kim 3", OTHER_KEY)
    found.book.learn(info(KIM, "Kim 3"))
    assert not found.book.has_key(KIM), "the radio, which encrypts, has it no more"


# Where they are.


def test_where_a_node_is_is_not_even_remembered_unless_it_is_to_be_kept():
    found = Directory()
    found.tells(KIM, 47.07, 8.33)
    told = info(LEE)
    told.position.latitude_i = told.position.longitude_i = 80_000_000
    found.book.learn(told)

    assert (found[KIM].place, found[LEE].place) == (None, None)
    assert not any("place" in entry for entry in found.kept().values())


def test_a_place_that_was_told_to_all_is_kept_as_exactly_as_it_was_told_and_when():
    found = Directory(keeps_places=True)
    found.tells(KIM, 47.07, 8.33, bits=13)
    place = found[KIM].place

    assert place is not None
    assert (place.latitude, place.longitude, place.accuracy_m) == (47.07, 8.33, pytest.approx(2918, abs=1))
    assert found[KIM].placed_ms == NOW_MS + 1000


def test_a_place_that_was_told_to_one_stays_theirs_also_when_our_radio_tells_of_it():
    found = Directory(keeps_places=True)
    found.tells(KIM, 47.07, 8.33, to=LEE)
    told = info(KIM)
    told.position.latitude_i, told.position.longitude_i = 470_700_000, 83_300_000
    found.book.learn(told)
    private = found[KIM].place
    found.tells(KIM, 47.1, 8.4)

    assert private is None
    assert found[KIM].place is not None


def test_a_cut_place_in_the_radios_database_is_known_to_be_cut():
    cut = info(KIM)
    cut.position.latitude_i = (470_700_000 & ~0x7FFFF) | 0x40000
    cut.position.longitude_i = (83_300_000 & ~0x7FFFF) | 0x40000
    found = Directory(keeps_places=True)
    found.book.learn(cut)
    place = found[KIM].place

    assert place is not None
    assert place.accuracy_m == pytest.approx(2918, abs=1)


# The bound.


def test_the_one_silent_for_longest_is_forgotten_and_that_is_counted():
    found = Directory(limit=3)
    for number in range(1, 4):
        found.hear(number)
    found.kept()
    for number in range(4, 6):
        found.hear(number)

    assert [node.id for node in found.book.listed()] == ["!00000005", "!00000004", "!00000003"]
    assert found.counts == {"node_forgotten": 2}
    assert set(found.book.changes().forgotten) == {1, 2}


def test_a_flood_of_made_up_nodes_while_the_disk_is_full_leaves_no_endless_list_of_what_to_delete():
    found = Directory(limit=30)
    for flood in range(20):
        for number in range(100):
            found.hear(1 + 100 * flood + number)
        found.book.not_kept(found.book.changes())

    assert len(found.book.changes().forgotten) <= 30


def test_those_of_the_internet_go_first_and_friends_last():
    found = Directory(limit=4)
    found.book.learn(info(1, "favourite", is_favorite=True))
    found.book.spoke(2)
    found.hear(3)
    found.hear(4, via_mqtt=True)
    for number in (5, 6):
        found.hear(number)

    assert {node.id[-1] for node in found.book.listed()} == {"1", "2", "5", "6"}


def test_where_all_are_friends_the_oldest_goes_and_a_friend_of_long_ago_is_none():
    found = Directory(limit=2)
    found.book.spoke(1)
    found.clock.advance(31 * 86_400)
    found.hear(2)
    found.hear(3)
    for number in (2, 3):
        found.book.spoke(number)
    found.hear(4)

    assert {node.id[-1] for node in found.book.listed()} == {"3", "4"}


def test_a_flood_of_names_leaves_a_book_of_its_bound_with_no_name_of_those_gone():
    found = Directory(limit=50)
    for number in range(1, 1000):
        found.names(number, f"flood {number % 7}")

    left = len(found.book.listed())
    assert 49 <= left <= 50
    assert left == sum(map(len, found.book._alike.values())) == 999 - found.counts["node_forgotten"]


# What is kept.


def test_what_is_kept_is_known_again_in_the_same_order_with_the_same_times():
    before = Directory(keeps_places=True)
    before.names(KIM, "Kim", "KIM", public_key=KEY)
    before.names(KIM, "Kim 2", "KIM", public_key=KEY)
    before.tells(KIM, 47.07, 8.33, bits=13)
    before.hear(LEE, via_mqtt=True, channel=2)
    after = Directory(start_ms=before.clock.now_ms() + 60_000, keeps_places=True)
    after.book.recall(before.kept().items())

    assert after.book.listed() == before.book.listed()
    assert (after.book.channel(LEE), after.book.key(KIM)) == (2, KEY)
    assert not after.book.changes()


def test_only_what_changed_is_kept_again_and_what_could_not_be_kept_is_among_the_next():
    found = Directory()
    found.hear(1)
    found.hear(2)
    found.kept()
    found.hear(2)
    changes = found.book.changes()
    found.book.not_kept(changes)
    found.hear(3)

    assert set(changes.entries) == {2}
    assert set(found.book.changes().entries) == {2, 3}


def test_places_that_are_not_to_be_kept_any_more_are_dropped_from_what_was():
    before = Directory(keeps_places=True)
    before.tells(KIM, 47.07, 8.33)
    after = Directory()
    after.book.recall(before.kept().items())

    assert after[KIM].place is None
    assert "place" not in json.loads(after.kept()[KIM])


def test_what_a_clock_that_was_never_set_heard_is_in_order_when_it_was_set_after_all():
    first = Directory()
    first.hear(1)
    kept = first.kept()
    second = Directory(start_ms=5000)
    second.book.recall(kept.items())
    second.hear(2)
    second.hear(3)
    third = Directory(start_ms=NOW_MS + 3_600_000)
    third.book.recall((kept | second.kept()).items())
    third.hear(4)

    assert [(node.id[-1], node.last_heard_ms) for node in second.book.listed()] == [
        ("3", 7000),
        ("2", 6000),
        ("1", None),
    ]
    assert [node.id[-1] for node in third.book.listed()] == ["4", "3", "2", "1"]


def test_what_a_clock_of_the_future_heard_counts_as_of_now_and_ages_from_then_on():
    future = Directory(start_ms=NOW_MS + 9 * 365 * 86_400_000)
    future.hear(1)
    future.hear(2)
    kept = future.kept()
    after = Directory()
    after.book.recall(kept.items())
    kept |= after.kept()
    after.hear(3)
    later = Directory(start_ms=NOW_MS + 60_000)
    later.book.recall(kept.items())

    assert [(node.id[-1], node.last_heard_ms) for node in after.book.listed()] == [
        ("3", NOW_MS + 1000),
        ("2", NOW_MS),
        ("1", NOW_MS - 1),
    ]
    assert [node.last_heard_ms for node in later.book.listed()] == [NOW_MS, NOW_MS - 1]


def test_a_row_that_nobody_can_read_is_counted_and_forgotten():
    found = Directory()
    found.book.recall([(1, "{"), (2, "[]"), (0, "{}"), (3, '{"name": "Kim"}')])

    assert [node.name for node in found.book.listed()] == ["Kim"]
    assert found.counts == {"node_unreadable": 3}


_ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60)
_JSON = st.recursive(_ODD, st.lists, max_leaves=6)
_FIELDS = ["name", "short", "former", "heard_ms", "spoken_ms", "snr_db", "key", "place", "battery", "channel", "mqtt"]


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON))
def test_whatever_is_in_a_row_it_is_read_or_not_but_harms_nothing(fields: dict[str, Any]):
    found = Directory(keeps_places=True)
    found.book.recall([(1, json.dumps(fields))])
    (node,) = found.book.listed()

    assert node.snr_db is None or math.isfinite(node.snr_db)
    found.hear(1)
    assert json.loads(found.kept()[1])
