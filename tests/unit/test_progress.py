# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.changes import TOO_LATE
from gateway.journal import DeliveryRecord, MessageRecord
from gateway.model import (
    Address,
    BridgeName,
    Edit,
    Leg,
    Message,
    NativeId,
    Reaction,
    RemoteId,
    Sender,
    SenderId,
    State,
    Text,
    delivery_id,
)
from gateway.progress import lately, progress_of
from gateway.reflections import destinations
from gateway.routing import Route, RoutingTable

ROOM = Address(BridgeName("home"), "#town")
RADIO = Address(BridgeName("radio"), "LongFast")
CHAT = Address(BridgeName("radio"), "!a1b2c301")
LAN = Address(BridgeName("lan"), "town")
SAID = Message(
    native_id=NativeId("mx:$1"),
    origin=ROOM,
    sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
    content=Text(body="hi"),
    received_ms=5,
    remote_id=RemoteId("$1"),
)


def delivered(to, *states, reason="", changed_ms=9):
    return [
        DeliveryRecord(
            id=delivery_id(SAID.id, to, part),
            to=to,
            part=part,
            parts=len(states),
            state=state,
            reason=reason if state is not State.SENT else "",
            changed_ms=changed_ms,
            remote_id=None,
            history=(),
        )
        for part, state in enumerate(states, 1)
    ]


def record(*deliveries, message=SAID):
    return MessageRecord(message=message, seq=3, deliveries=tuple(one for some in deliveries for one in some))


def legs_of(*deliveries, trouble="", held=""):
    made = progress_of(
        record(*deliveries),
        is_direct=lambda to: to == CHAT,
        trouble=lambda bridge: trouble if bridge == "radio" else "",
        held=lambda bridge: held if bridge == "radio" else "",
    )
    return made.legs


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ((State.SENT, State.SENT), State.SENT),
        ((State.HEARD, State.SENT), State.SENT),
        ((State.SENT, State.QUEUED), State.QUEUED),
        ((State.SENT, State.FAILED, State.CANCELLED), State.FAILED),
        ((State.EXPIRED, State.QUEUED), State.EXPIRED),
        ((State.SENT, State.CANCELLED), State.SENT),
    ],
)
def test_of_several_parts_the_one_that_got_least_far_counts(parts, whole):
    (leg,) = legs_of(delivered(RADIO, *parts))
    assert leg.state is whole


def test_each_address_is_one_leg_and_what_was_cancelled_is_none():
    legs = legs_of(
        delivered(RADIO, State.SENT, State.SENT), delivered(LAN, State.CANCELLED), delivered(CHAT, State.HEARD)
    )
    assert legs == (Leg(to=CHAT, state=State.HEARD, direct=True), Leg(to=RADIO, state=State.SENT))


def test_what_waits_says_what_is_wrong_with_its_network_else_its_own_reason():
    waiting = delivered(RADIO, State.QUEUED, reason="429")
    assert legs_of(waiting)[0].reason == "429"
    assert legs_of(waiting, trouble="unplugged")[0].reason == "unplugged"
    assert [legs_of(waiting, trouble=trouble)[0].cut for trouble in ("unplugged", "")] == [True, False]
    assert legs_of(delivered(RADIO, State.FAILED, reason="too long"), trouble="unplugged")[0].reason == "too long"


def test_what_has_no_name_where_it_was_said_cannot_be_shown_there():
    nameless = record(delivered(RADIO, State.SENT), message=replace(SAID, remote_id=None))
    assert progress_of(nameless, is_direct=lambda _: False, trouble=lambda _: "") is None
    reaction = replace(SAID, content=Reaction(target=RemoteId("$0"), emoji="x"))
    made = progress_of(record(message=reaction), is_direct=lambda _: False, trouble=lambda _: "")
    assert (made.kind, made.legs, made.at, made.remote_id, made.seq, made.received_ms) == (
        "reaction",
        (),
        ROOM,
        "$1",
        3,
        5,
    )


def test_after_a_start_what_waits_and_what_changed_lately_is_looked_at():
    old = record(delivered(RADIO, State.SENT, changed_ms=10))
    waiting = record(delivered(RADIO, State.QUEUED, changed_ms=10))
    fresh = record(delivered(RADIO, State.SENT, changed_ms=20))
    assert lately([old, waiting, fresh], 20) == [waiting, fresh]


def test_followed_are_the_bridges_that_get_what_is_said_there():
    both_ways = Route(name="town", sources=(ROOM, RADIO), targets=(ROOM, RADIO))
    one_way = Route(name="up", sources=(LAN,), targets=(ROOM,))
    table = RoutingTable(routes=(both_ways, one_way))
    assert destinations(table, frozenset({ROOM.bridge})) == {"radio"}
    assert destinations(table, frozenset()) == frozenset()
    with_direct = RoutingTable(routes=(one_way,), direct={RADIO.bridge: ROOM})
    assert destinations(with_direct, frozenset({ROOM.bridge})) == {"radio"}
    two_rooms = Route(name="rooms", sources=(ROOM,), targets=(Address(ROOM.bridge, "#other"),))
    assert destinations(RoutingTable(routes=(two_rooms,)), frozenset({ROOM.bridge})) == {"home"}


def test_a_change_that_came_too_late_says_where_and_about_what():
    edit = replace(SAID, content=Edit(target=RemoteId("$0"), body="new"))
    cancelled = (
        delivered(RADIO, State.CANCELLED, State.CANCELLED, reason=TOO_LATE),
        delivered(LAN, State.CANCELLED, reason="in time"),
        delivered(CHAT, State.SENT),
    )
    made = progress_of(record(*cancelled, message=edit), is_direct=lambda _: False, trouble=lambda _: "")
    assert made.late == (Leg(to=RADIO, state=State.CANCELLED, reason=TOO_LATE),)
    assert (made.legs, made.about) == ((Leg(to=CHAT, state=State.SENT),), "$0")


def test_what_a_bridge_holds_back_says_why_unless_its_conversation_or_its_link_is_what_keeps_it():
    held = "the channel is busy: 31 %"

    assert [leg.reason for leg in legs_of(delivered(RADIO, State.QUEUED, reason="429"), held=held)] == [held]
    assert [leg.reason for leg in legs_of(delivered(RADIO, State.WAITING), held=held)] == [held]
    assert [leg.reason for leg in legs_of(delivered(RADIO, State.WAITING, reason="no such channel"), held=held)] == [
        "no such channel"
    ]
    assert [leg.reason for leg in legs_of(delivered(RADIO, State.QUEUED), held=held, trouble="unplugged")] == [
        "unplugged"
    ]
    assert [leg.reason for leg in legs_of(delivered(RADIO, State.FAILED, reason="too big"), held=held)] == ["too big"]


def test_where_it_does_not_go_is_told_apart_with_the_reason_unless_another_box_said_it_there():
    refused = delivered(RADIO, State.CANCELLED, reason="radio silence")
    elsewhere = [replace(one, remote_id=RemoteId("7")) for one in delivered(CHAT, State.CANCELLED, reason="box b did")]
    made = progress_of(
        record(refused, elsewhere, delivered(LAN, State.CANCELLED)), is_direct=lambda _: False, trouble=lambda _: ""
    )
    assert made.stopped == (
        Leg(to=CHAT, state=State.SENT, reason="box b did"),
        Leg(to=RADIO, state=State.CANCELLED, reason="radio silence"),
    )
    assert made.legs == ()
