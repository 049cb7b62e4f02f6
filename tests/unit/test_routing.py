# SPDX-License-Identifier: GPL-3.0-or-later
"""Where messages go."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Address, BridgeName, Lane, Level, Message, NativeId, Sender, SenderId, Text
from gateway.routing import Bound, Choice, Refused, Route, RoutingTable

TOWN = Address.parse("home/#town:example.org")
WARNINGS = Address.parse("home/#warnings:example.org")
RADIO = Address.parse("radio/LongFast")
LAN = Address.parse("lan/town")
CHAT = Address.parse("radio/!a1b2c301")

TABLE = RoutingTable(
    routes=(
        Route(name="town", sources=(TOWN, RADIO, LAN), targets=(TOWN, RADIO, LAN), expires_s={RADIO.bridge: 60}),
        Route(name="warnings", sources=(WARNINGS,), targets=(RADIO, LAN)),
    ),
    direct={BridgeName("radio"): TOWN},
    in_clear=frozenset({BridgeName("radio")}),
)


def message(origin=TOWN, **changes):
    sender = Sender(id=SenderId("@ali:example.org"), name="Ali")
    said = Message(native_id=NativeId("mx:$1"), origin=origin, sender=sender, content=Text(body="hi"), received_ms=0)
    return replace(said, **changes)


def targets(found):
    return {entry.to for entry in found if isinstance(entry, Bound)}


def test_a_joined_route_carries_a_message_to_every_conversation_but_its_own():
    assert targets(TABLE.decide(message(), Level.ADMIN)) == {RADIO, LAN}
    assert targets(TABLE.decide(message(RADIO), Level.ADMIN)) == {TOWN, LAN}


def test_a_one_way_route_carries_nothing_back():
    assert targets(TABLE.decide(message(WARNINGS), Level.ADMIN)) == {RADIO, LAN}
    assert WARNINGS not in targets(TABLE.decide(message(RADIO), Level.ADMIN))


def test_an_address_in_two_routes_gets_a_message_once():
    both = RoutingTable(routes=(*TABLE.routes, Route(name="again", sources=(TOWN,), targets=(RADIO, LAN))))

    assert len(both.decide(message(), Level.ADMIN)) == 2


def test_routes_are_not_transitive():
    chain = RoutingTable(
        routes=(
            Route(name="a", sources=(TOWN, RADIO), targets=(TOWN, RADIO)),
            Route(name="b", sources=(RADIO, LAN), targets=(RADIO, LAN)),
        )
    )

    assert targets(chain.decide(message(), Level.ADMIN)) == {RADIO}


def test_who_may_only_read_reaches_rooms_but_not_the_air_and_is_told_why():
    found = TABLE.decide(message(), Level.READ)

    assert targets(found) == {LAN}
    assert [entry.reason for entry in found if isinstance(entry, Refused)] == [
        "the sender may read but not transmit on radio"
    ]


def test_who_has_no_permission_reaches_nobody():
    found = TABLE.decide(message(), Level.NONE)

    assert found
    assert not targets(found)


def test_radio_texts_expire_by_route_or_after_six_hours_and_others_never():
    expiry = {entry.to: entry.expires_s for entry in TABLE.decide(message(), Level.ADMIN)}
    warned = {entry.to: entry.expires_s for entry in TABLE.decide(message(WARNINGS), Level.ADMIN)}

    assert expiry == {RADIO: 60, LAN: None}
    assert warned == {RADIO: 6 * 3600, LAN: None}


def test_an_emergency_never_expires():
    found = TABLE.decide(message(lane=Lane.EMERGENCY), Level.ADMIN)

    assert {entry.expires_s for entry in found} == {None}


def test_a_direct_message_goes_where_direct_says_and_nowhere_without_it():
    said = message(CHAT, direct=True)

    assert targets(TABLE.decide(said, Level.ADMIN)) == {TOWN}
    assert replace(TABLE, direct={}).decide(said, Level.ADMIN) == ()


def test_a_reply_to_a_direct_message_goes_back_in_private():
    found = TABLE.decide(message(), Level.ADMIN, answers=CHAT)

    assert targets(found) == {CHAT, LAN}


def test_send_reaches_exactly_the_address_or_the_route_it_names():
    assert targets(TABLE.decide(message(), Level.ADMIN, choice=Choice(address=RADIO))) == {RADIO}
    assert targets(TABLE.decide(message(LAN), Level.ADMIN, choice=Choice(route="warnings"))) == {WARNINGS, RADIO}


def test_a_room_knows_which_radio_channels_hear_it():
    assert TABLE.exposed_to(TOWN) == (RADIO,)
    assert TABLE.exposed_to(RADIO) == ()


addresses = st.sampled_from([TOWN, WARNINGS, RADIO, LAN, CHAT])
routes = st.builds(
    lambda sources, goals: Route(name="r", sources=tuple(sources), targets=tuple(goals)),
    st.lists(addresses, min_size=1),
    st.lists(addresses, min_size=1),
)


@given(st.lists(routes, max_size=4), addresses, st.sampled_from(Level))
def test_whatever_the_routes_no_message_returns_to_its_origin_and_none_goes_twice(found, origin, level):
    decided = RoutingTable(routes=tuple(found)).decide(message(origin), level)

    assert origin not in {entry.to for entry in decided}
    assert len({entry.to for entry in decided}) == len(decided)


def test_what_is_folded_where_is_said_by_the_first_route_that_says_so():
    routes = (
        Route(name="plain", sources=(TOWN,), targets=(LAN,)),
        Route(name="town", sources=(TOWN, RADIO), targets=(TOWN, RADIO), digest_after_s={RADIO.bridge: 60}),
        Route(name="again", sources=(TOWN, WARNINGS), targets=(RADIO,), digest_after_s={RADIO.bridge: 90}),
    )
    table = RoutingTable(routes=routes)

    assert [table.digest_after_s(origin, RADIO) for origin in (TOWN, WARNINGS, LAN)] == [60, 90, None]
    assert table.digest_after_s(RADIO, TOWN) is None
    assert (table.folds(RADIO.bridge), table.folds(LAN.bridge)) == (True, False)
