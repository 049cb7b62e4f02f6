# SPDX-License-Identifier: GPL-3.0-or-later
"""Where messages go."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import in_force
from gateway.model import Address, BridgeName, Lane, Level, Message, NativeId, Sender, SenderId, Text, Topic
from gateway.routing import Answers, Bound, Choice, Refused, Route, RoutingTable

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


def test_what_a_route_does_not_list_has_no_delivery_by_it():
    quiet = replace(TABLE.routes[0], also=frozenset({Topic.SENSOR}))
    table = replace(TABLE, routes=(quiet, Route(name="map", sources=(RADIO,), targets=(WARNINGS,))))

    def reached(topic):
        said = message(RADIO, topic=topic)
        found = targets(table.decide(said, Level.ADMIN))
        assert table.carries(said) == bool(found)
        return found

    assert reached(Topic.TALK) == {TOWN, LAN, WARNINGS}
    assert reached(Topic.SENSOR) == {TOWN, LAN}
    assert reached(Topic.POSITION) == reached(Topic.WAYPOINT) == reached(Topic.ALERT) == {WARNINGS}
    assert reached(Topic.TELEMETRY) == set()


def test_what_is_said_in_private_or_asked_for_by_name_is_no_routes_choice():
    private = message(CHAT, topic=Topic.SENSOR, direct=True)

    assert TABLE.carries(private)
    assert targets(TABLE.decide(private, Level.ADMIN)) == {TOWN}
    assert TABLE.carries(message(Address.parse("home/#nowhere:example.org")))


def test_a_route_that_leads_nowhere_but_back_carries_no_telemetry():
    loop = Route(name="loop", sources=(RADIO,), targets=(RADIO,), also=frozenset(Topic))

    assert not RoutingTable(routes=(loop,)).carries(message(RADIO, topic=Topic.TELEMETRY))


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


def test_a_route_is_shown_with_the_limits_that_hold_where_it_names_none():
    table = replace(TABLE, between=frozenset({LAN.bridge}))
    town, warnings = (in_force(table, route) for route in table.routes)

    assert (town.expires_s, town.digest_after_s) == ({RADIO.bridge: 60}, {RADIO.bridge: 600})
    assert (warnings.expires_s, warnings.digest_after_s) == ({RADIO.bridge: 6 * 3600}, {})
    assert replace(warnings, expires_s={}) == table.routes[1]


def test_an_emergency_never_expires():
    found = TABLE.decide(message(lane=Lane.EMERGENCY), Level.ADMIN)

    assert {entry.expires_s for entry in found} == {None}


def test_a_direct_message_goes_where_direct_says_and_nowhere_without_it():
    said = message(CHAT, direct=True)

    assert targets(TABLE.decide(said, Level.ADMIN)) == {TOWN}
    assert replace(TABLE, direct={}).decide(said, Level.ADMIN) == ()


def test_a_reply_to_a_direct_message_goes_back_in_private():
    found = TABLE.decide(message(), Level.ADMIN, answers=Answers(origin=CHAT, direct=True))

    assert targets(found) == {CHAT, LAN}


def test_send_reaches_exactly_the_address_or_the_route_it_names():
    assert targets(TABLE.decide(message(), Level.ADMIN, choice=Choice(address=RADIO))) == {RADIO}
    assert targets(TABLE.decide(message(LAN), Level.ADMIN, choice=Choice(route="warnings"))) == {WARNINGS, RADIO}


def test_a_room_knows_which_radio_channels_hear_it():
    assert TABLE.exposed_to(TOWN) == (RADIO,)
    assert TABLE.exposed_to(RADIO) == ()


def test_a_direct_chat_exposes_nobody():
    both = replace(CHATS, routes=(*CHATS.routes, Route(name="r", sources=(BEAS,), targets=(RADIO, LAN))))

    assert CHATS.exposed_to(ALIS) == ()
    assert both.exposed_to(BEAS) == (RADIO,)


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


# Direct chats.

ALIS, BEAS = Address.parse("home/!ali"), Address.parse("home/!bea")
OTHER = Address.parse("radio/!00000001")


def chat(*ends, name="chat"):
    return Route(name=name, sources=ends, targets=ends, direct=True)


CHATS = replace(TABLE, routes=(*TABLE.routes, chat(ALIS, CHAT), chat(BEAS, CHAT), chat(ALIS, OTHER)))


def private(table=CHATS, **answers):
    return targets(table.decide(message(CHAT, direct=True), Level.ADMIN, answers=Answers(**answers)))


def test_what_is_said_in_a_direct_chat_goes_to_its_person_only():
    assert targets(CHATS.decide(message(BEAS), Level.ADMIN)) == {CHAT}
    assert targets(CHATS.decide(message(ALIS), Level.ADMIN)) == {CHAT, OTHER}


def test_what_somebody_says_goes_to_the_chat_that_was_used_last_else_to_the_latest_made():
    assert private(last_chat=ALIS) == {ALIS}
    assert private() == {BEAS}
    assert private(last_chat=TOWN) == {BEAS}


def test_what_somebody_answers_goes_where_that_came_from_whatever_was_used_last():
    assert private(origin=ALIS, last_chat=BEAS) == {ALIS}


def test_what_somebody_says_of_their_own_words_goes_where_those_went():
    assert private(origin=CHAT, direct=True, bound_for=(ALIS,), last_chat=BEAS) == {ALIS}


def called_in_private(table=CHATS, **answers):
    said = message(CHAT, direct=True, lane=Lane.EMERGENCY)
    return targets(table.decide(said, Level.ADMIN, answers=Answers(**answers)))


def test_an_emergency_in_private_goes_where_direct_says_too_and_what_is_said_of_it_follows():
    assert called_in_private(last_chat=ALIS) == {ALIS, TOWN}
    assert called_in_private(replace(CHATS, direct={}), last_chat=ALIS) == {ALIS}
    assert private(origin=CHAT, direct=True, bound_for=(ALIS, TOWN), last_chat=BEAS) == {ALIS, TOWN}


def test_an_emergency_comes_once_to_the_user_whom_direct_names():
    user = Address.parse("home/@op:x")
    theirs = replace(chat(ALIS, CHAT), by=SenderId("@op:x"))
    table = replace(CHATS, routes=(theirs, chat(BEAS, CHAT)), direct={CHAT.bridge: user})

    assert called_in_private(table, last_chat=ALIS) == {ALIS}
    assert called_in_private(table, last_chat=BEAS) == {BEAS, user}


def test_an_answer_to_a_chat_that_is_no_more_goes_to_one_that_is():
    parted = replace(CHATS, routes=(*TABLE.routes, chat(BEAS, CHAT)))

    assert private(parted, origin=ALIS, last_chat=ALIS) == {BEAS}


def test_an_answer_to_what_came_from_where_direct_leads_goes_back_there_though_there_is_a_chat():
    assert private(origin=TOWN, last_chat=BEAS) == {TOWN}


def test_who_has_no_chat_goes_where_direct_says():
    assert private(replace(CHATS, routes=(*TABLE.routes, chat(ALIS, OTHER)))) == {TOWN}


def test_a_room_with_a_chat_and_a_channel_answers_in_private_what_was_said_in_private():
    both = replace(CHATS, routes=(*CHATS.routes, Route(name="r", sources=(BEAS,), targets=(RADIO, LAN))))
    said, answer = message(BEAS), Answers(origin=CHAT, direct=True, bound_for=(BEAS,))

    assert targets(both.decide(said, Level.ADMIN)) == {CHAT, RADIO, LAN}
    assert targets(both.decide(said, Level.ADMIN, answers=answer)) == {CHAT, LAN}


def test_what_is_said_of_a_private_answer_stays_private_and_of_a_public_one_public():
    """In the room of `direct`, no route leads to the person: an edit of an answer follows it all the same."""
    answered = Answers(origin=TOWN, bound_for=(CHAT, LAN), private=(CHAT,))

    assert targets(TABLE.decide(message(), Level.ADMIN, answers=answered)) == {CHAT, LAN}
    assert targets(TABLE.decide(message(), Level.ADMIN, answers=replace(answered, private=()))) == {RADIO, LAN}


def test_where_a_chat_is_no_more_nothing_goes_to_its_person_nor_to_the_public_instead():
    answer = Answers(origin=CHAT, direct=True, bound_for=(WARNINGS,))

    assert targets(TABLE.decide(message(WARNINGS), Level.ADMIN, answers=answer)) == {LAN}


rooms = st.sampled_from([ALIS, BEAS, TOWN, LAN, WARNINGS])
people = st.sampled_from([CHAT, OTHER])


@given(
    st.lists(st.one_of(routes, st.builds(chat, rooms, people)), max_size=6),
    st.none() | rooms,
    people,
    st.builds(
        Answers,
        origin=st.none() | addresses | rooms,
        direct=st.booleans(),
        bound_for=st.lists(addresses | rooms, max_size=3).map(tuple),
        last_chat=st.none() | rooms,
    ),
)
def test_what_is_said_in_private_reaches_one_place_at_most_and_one_that_is_meant_for_it(found, direct, person, about):
    table = RoutingTable(routes=tuple(found), direct={} if direct is None else {person.bridge: direct})
    reached = targets(table.decide(message(person, direct=True), Level.ADMIN, answers=about))
    chats = table.chats(person)

    assert len(reached) <= 1 or (about.origin == person and reached <= {*about.bound_for})
    assert reached <= {*chats, direct}
    if not chats:
        assert reached == ({direct} - {None})


def test_a_route_knows_its_ends_and_whom_it_joins():
    one_way = TABLE.routes[1]

    assert one_way.ends == (WARNINGS, RADIO, LAN)
    assert not one_way.joins(WARNINGS, RADIO)
    assert TABLE.routes[0].joins(LAN, TOWN)


def test_what_boxes_told_each_other_goes_to_radio_in_a_digest_when_it_is_ten_minutes_old():
    table = replace(TABLE, between=frozenset({LAN.bridge}))
    assert table.digest_after_s(LAN, RADIO) == 600
    assert table.digest_after_s(TOWN, RADIO) is None
    assert table.digest_after_s(LAN, TOWN) is None
    assert [table.folds(bridge) for bridge in (RADIO.bridge, TOWN.bridge)] == [True, False]
    town = replace(TABLE.routes[0], digest_after_s={RADIO.bridge: 60})
    assert replace(table, routes=(town,)).digest_after_s(LAN, RADIO) == 60
