# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.nodes: everybody once, in order, and found by every name they have or had."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import BridgeName, Location, Node, SenderId
from gateway.nodes import Order, bars, called, found, in_order, merged, shown_place

HILL, LAKE = BridgeName("hill"), BridgeName("lake")
KIM = Node(
    id=SenderId("!a1b2c301"),
    name="Kim",
    short_name="KIM",
    former_names=("Kim's old radio",),
    last_heard_ms=5000,
    snr_db=-3.5,
    rssi_dbm=-101,
    hops=0,
)
LEE = Node(id=SenderId("!00c0ffee"), name="Lee", last_heard_ms=9000, snr_db=7.0, hops=2, battery_percent=12)
ZOE = Node(id=SenderId("!00000003"), name="Zoe")


def names(known):
    return [one.node.name for one in known]


def test_a_node_that_two_radios_hear_is_one_by_the_latest_word_of_it_with_how_each_heard_it():
    later = replace(KIM, name="Kim 2", last_heard_ms=7000, snr_db=2.0, hops=1, former_names=("Kim",), place=None)
    place = Location(latitude=47, longitude=8)
    (one,) = merged([(HILL, replace(KIM, battery_percent=50, place=place, placed_ms=9)), (LAKE, later)])

    assert (one.bridge, one.node.name, one.node.last_heard_ms) == (LAKE, "Kim 2", 7000)
    assert [(by.bridge, by.snr_db, by.hops) for by in one.heard_by] == [(LAKE, 2.0, 1), (HILL, -3.5, 0)]
    assert (one.node.battery_percent, one.node.place, one.node.placed_ms) == (50, place, 9)
    assert one.node.former_names == ("Kim", "Kim's old radio")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.HEARD, ["Lee", "Kim", "Zoe"]),
        (Order.NAME, ["Kim", "Lee", "Zoe"]),
        (Order.SIGNAL, ["Kim", "Lee", "Zoe"]),
        (Order.BATTERY, ["Lee", "Kim", "Zoe"]),
    ],
)
def test_nodes_are_put_in_order_and_what_is_not_known_comes_last(order, expected):
    assert names(in_order(merged([(HILL, ZOE), (HILL, KIM), (HILL, LEE)]), order)) == expected


def test_those_whose_time_is_not_known_stay_in_their_bridges_order():
    nodes = [(HILL, replace(ZOE, id=SenderId(f"!{n:08x}"), name=f"n{n}")) for n in (3, 1, 2)]

    assert names(in_order(merged(nodes), Order.HEARD)) == ["n3", "n1", "n2"]


@pytest.mark.parametrize("words", ["KIM", "  kim's   OLD", "c301", "!a1b2"])
def test_a_node_is_found_by_a_part_of_its_id_or_any_name_it_has_or_had(words):
    assert names(found(merged([(HILL, KIM), (HILL, LEE)]), words)) == ["Kim"]


@pytest.mark.parametrize(
    ("words", "now", "before"),
    [
        ("kim", {KIM.id}, set()),
        ("Kim/c301", {KIM.id}, set()),
        ("KIM/a1b2c301", {KIM.id}, set()),
        ("KIM'S OLD RADIO", set(), {KIM.id}),
        ("Kim/ffee", set(), set()),
        ("Ki", set(), set()),
        (" ", set(), set()),
    ],
)
def test_a_name_means_who_has_it_or_who_had_it(words, now, before):
    assert called(words, [KIM, LEE]) == (now, before)


def test_whoever_takes_a_former_name_is_not_taken_for_its_owner():
    taker = replace(LEE, name="Kim's old radio")

    assert called("kim's old radio", [KIM, taker]) == ({LEE.id}, {KIM.id})


def test_where_somebody_is_is_told_within_a_kilometre_unless_it_is_asked_for_exactly():
    here = replace(KIM, place=Location(latitude=47.07123, longitude=8.33456, altitude_m=1104))

    assert str(shown_place(here, exactly=False)) == "geo 47.07000,8.33940 ±1 km"
    assert shown_place(here, exactly=True) == here.place
    assert shown_place(KIM, exactly=True) is None


@pytest.mark.parametrize(("snr_db", "bar"), [(None, ""), (-17.5, "▁"), (-15, "▂"), (-6, "▄"), (-0.25, "▆"), (0, "█")])
def test_a_signal_is_a_bar(snr_db, bar):
    assert bars(snr_db) == bar
