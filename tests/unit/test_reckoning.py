# SPDX-License-Identifier: GPL-3.0-or-later
"""What saying something would take is told as it would be sent: with the name before it, in its parts, by who may."""

from __future__ import annotations

from typing import Any, cast

from gateway.model import (
    Address,
    Bridge,
    BridgeName,
    Capabilities,
    Level,
    Message,
    NativeId,
    Reckoned,
    Sender,
    SenderId,
    Support,
    Text,
)
from gateway.planning import Planner
from gateway.reckoning import Reckoning
from gateway.routing import Route, RoutingTable

LAN, RADIO = Address(BridgeName("lan"), "town"), Address(BridgeName("radio"), "LongFast")
ROOM = Address(BridgeName("home"), "#town:example.org")
NAME = len("ali: ")


class Air:
    """A network with airtime: a millisecond a byte."""

    airtime_basis = "a byte a millisecond"

    def airtime_ms(self, message: Message, to: Address) -> int:
        del to
        assert isinstance(message.content, Text)
        return len(message.content.body.encode())


def reckoning(level: Level = Level.TRANSMIT) -> Reckoning:
    planner = Planner(
        table=RoutingTable(
            routes=(Route(name="town", sources=(LAN, RADIO, ROOM), targets=(LAN, RADIO, ROOM)),),
            in_clear=frozenset({RADIO.bridge}),
        ),
        capabilities={
            LAN.bridge: Capabilities(room_for=lambda *_: 12_000, names=Support.NATIVE),
            RADIO.bridge: Capabilities(room_for=lambda *_: 100, max_parts=2),
            ROOM.bridge: Capabilities(room_for=lambda *_: 60_000, names=Support.NATIVE),
        },
        level_of=lambda _: level,
        is_direct=lambda _: False,
    )
    found = Reckoning()
    bridges: dict[str, Any] = {RADIO.bridge: Air(), ROOM.bridge: object()}
    found.begin(planner, cast("dict[BridgeName, Bridge]", bridges))
    return found


def said(text: str) -> Message:
    return Message(
        native_id=NativeId("web:draft"),
        origin=LAN,
        sender=Sender(id=SenderId("~ali@hilltop"), name="ali"),
        content=Text(body=text),
        received_ms=1,
    )


def by_address(found: Any) -> dict[Address, Reckoned]:
    return {one.to: one for one in found}


def test_a_short_line_takes_one_packet_with_the_name_before_it() -> None:
    found = by_address(reckoning().reckon(said("hello")))
    assert found[RADIO] == Reckoned(to=RADIO, parts=1, bytes_left=100 - NAME - 5, airtime_ms=NAME + 5)
    assert found[ROOM] == Reckoned(to=ROOM, parts=1, bytes_left=60_000 - 5)


def test_a_long_line_says_by_how_much_it_is_too_long_for_one_packet() -> None:
    found = by_address(reckoning().reckon(said("x" * 150)))[RADIO]
    assert (found.parts, found.bytes_left) == (2, 100 - NAME - 150)
    assert found.airtime_ms is not None
    assert found.airtime_ms > 150


def test_where_it_would_not_go_the_reason_is_told() -> None:
    too_long = by_address(reckoning().reckon(said("x" * 900)))[RADIO]
    assert "too long" in too_long.refusal
    assert too_long.bytes_left == 100 - NAME - 900
    refused = by_address(reckoning(Level.READ).reckon(said("hello")))[RADIO]
    assert "transmit" in refused.refusal


def test_before_the_gateway_is_put_together_nothing_is_known() -> None:
    assert Reckoning().reckon(said("hello")) == ()
