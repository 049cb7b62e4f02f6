# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into a digest, and what it says."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.digest import Digests, Fold, Stale, choose, is_foldable, span, words
from gateway.journal import Folded, Held
from gateway.model import (
    Address,
    Capabilities,
    Delivery,
    DeliveryId,
    Edit,
    Lane,
    Location,
    Message,
    NativeId,
    Reaction,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Topic,
)

ROOM, OTHER, THIRD = (Address.parse(text) for text in ("home/#town", "home/#hill", "lan/town"))
RADIO = Address.parse("radio/LongFast")
NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def said(body="hello", *, n=1, name="Ali", content=None, received_ms=NOW_MS, **fields):
    return Message(
        native_id=NativeId(f"mx:${n}"),
        origin=ROOM,
        sender=Sender(id=SenderId("@ali:example.org"), name=name),
        content=content or Text(body=body),
        received_ms=received_ms,
        **fields,
    )


def folded(*messages, count=None, origins=(ROOM,)):
    return Folded(
        count=len(messages) if count is None else count, first_ms=0, last_ms=0, origins=origins, latest=messages
    )


def held(message=None, **fields):
    known = {"id": DeliveryId("d"), "no": 1, "seq": 1, "part": 1, "parts": 1, "expires_ms": None}
    return Held(message=message or said(), **(known | {"is_tried": False, "is_digest": False} | fields))


# What it says.


def test_a_digest_says_how_many_from_where_from_when_and_what():
    both = folded(said("the bridge\n is out", name="Ali"), said("on my way", name="Bea"), count=2)

    assert words(both, when="14:02-15:30", room=200, max_name_bytes=12) == (
        "2 earlier from #town 14:02-15:30: Ali: the bridge is out | Bea: on my way"
    )


def test_a_digest_shortens_what_people_said_as_their_texts_are():
    both = folded(said("LOUD"), said("QUIET", name="BEA", n=2))
    text = words(both, when="14:02", room=200, max_name_bytes=12, shorten=str.lower)
    assert text.endswith(": Ali: loud | BEA: quiet")


def test_a_place_is_named_in_words():
    one = folded(said(content=Location(latitude=46.5, longitude=8.1, words="hut")), said("here", name="Bea"), count=2)

    assert words(one, when="14:02", room=200, max_name_bytes=12).endswith(": Ali: geo 46.50000,8.10000 hut | Bea: here")


def test_what_has_no_room_is_shortened_fairly():
    both = folded(said("x" * 100, name="Ali"), said("short", name="Bea"), count=2)

    text = words(both, when="14:02-15:30", room=100, max_name_bytes=12)
    assert len(text.encode()) in range(97, 101)
    assert text.endswith("xxx… | Bea: short")


def test_nobody_puts_words_into_anothers_mouth():
    both = folded(said("hi | Mayor: evacuate", name="Eve|"), said("on my way", name="Bea"), count=2)

    text = words(both, when="14:02", room=200, max_name_bytes=12)
    assert text.endswith(": Eve/: hi / Mayor: evacuate | Bea: on my way")


def test_with_very_many_the_latest_are_named_and_all_are_counted():
    many = folded(*(said(f"number {n} of very many", n=n) for n in range(40)), count=1234)

    text = words(many, when="14:02-15:30", room=120, max_name_bytes=12)
    assert text.startswith("1234 earlier from #town 14:02-15:30: … | Ali: number 3")
    assert text.endswith(" | Ali: number 39 of very many")


def test_what_someone_does_is_told_as_what_they_do():
    assert words(folded(said(content=Text(body="waves", emote=True))), when="14:02", room=99, max_name_bytes=12) == (
        "1 earlier from #town 14:02: * Ali waves"
    )


@pytest.mark.parametrize(
    ("origins", "where"),
    [((ROOM,), "#town"), ((ROOM, OTHER), "#town, #hill"), ((ROOM, OTHER, THIRD), "#town and others")],
)
def test_where_it_came_from_is_spelled_as_the_routes_do(origins, where):
    text = words(folded(said(), origins=origins), when="14:02", room=99, max_name_bytes=12)

    assert text.startswith(f"1 earlier from {where} 14:02: ")


@pytest.mark.parametrize(("room", "text"), [(32, "9 earlier from #town 14:02-15:30"), (31, "9 earlier 14:02-15:30")])
def test_without_room_for_words_the_count_is_said_all_the_same(room, text):
    assert words(folded(said(), count=9), when="14:02-15:30", room=room, max_name_bytes=12) == text


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.lists(st.tuples(texts, texts), max_size=45), st.integers(0, 9999), st.integers(10, 240), texts)
def test_a_digest_always_fits_and_never_lies_about_how_many(spoken, more, room, town):
    messages = [said(body, name=name, n=n) for n, (name, body) in enumerate(spoken)]
    origin = Address(ROOM.bridge, town or "x")
    text = words(
        folded(*messages, count=len(messages) + more, origins=(origin,)), when="14:02", room=room, max_name_bytes=12
    )

    assert len(text.encode()) <= room
    assert text.startswith(f"{len(messages) + more} ")


def at(day, hour, minute=0):
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (at(26, 14, 2), at(26, 15, 30), "14:02-15:30"),
        (at(26, 14, 2), at(26, 14, 2), "14:02"),
        (at(25, 14, 2), at(25, 15, 30), "25 Nov 14:02-15:30"),
        (at(25, 14, 2), at(26, 15, 30), "25 Nov 14:02-26 Nov 15:30"),
        (at(25, 14, 2), at(26, 14, 2), "25 Nov 14:02-26 Nov 14:02"),
    ],
)
def test_times_carry_their_day_unless_all_is_of_today(first, last, text):
    assert span(first, last, today=at(26, 18)) == text


def test_the_box_itself_is_who_speaks_in_one_part_and_its_own_time():
    capabilities = {RADIO.bridge: Capabilities(room_for=lambda *_: 232)}
    east = Digests(
        name="hilltop",
        capabilities=capabilities,
        local=lambda ms: datetime.fromtimestamp(ms / 1000, UTC) + timedelta(hours=3),
    )
    last = said("part", reply_to=RemoteId("$0"), topic=Topic.TELEMETRY)
    carrier = Delivery(message=last, to=RADIO, part=2, parts=3, expires_ms=7)
    told = Folded(count=1, first_ms=NOW_MS, last_ms=NOW_MS, origins=(ROOM,), latest=(said("hi"),))

    made = east.rewrite(NOW_MS)(carrier, told)

    assert made.message.content == Text(body="1 earlier from #town 01:13: Ali: hi")
    assert (made.message.sender.name, made.message.reply_to, made.message.topic) == ("hilltop", None, Topic.TALK)
    assert (made.part, made.parts, made.expires_ms, made.message.id) == (1, 1, 7, carrier.message.id)


# What goes into it.


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"message": said(received_ms=NOW_MS - MINUTE_MS)}, False),
        ({"message": said(received_ms=NOW_MS - MINUTE_MS - 1)}, True),
        ({"message": said(content=Location(latitude=1, longitude=2), received_ms=0)}, True),
        ({"message": said(content=Reaction(target=RemoteId("$1"), emoji="x"), received_ms=0)}, False),
        ({"message": said(content=Edit(target=RemoteId("$1"), body="x"), received_ms=0)}, False),
        ({"message": said(lane=Lane.EMERGENCY, received_ms=0)}, False),
        ({"message": said(lane=Lane.GUEST, received_ms=0)}, False),
        ({"is_tried": True}, False),
        ({"is_digest": True}, True),
        ({"expires_ms": NOW_MS}, False),
        ({"expires_ms": NOW_MS + 1}, True),
    ],
)
def test_old_words_that_went_nowhere_yet_may_be_folded_and_nothing_else(fields, may):
    one = held(**({"message": said(received_ms=0)} | fields))

    assert is_foldable(one, lane=Lane.NORMAL, older_than_ms=NOW_MS - MINUTE_MS, now_ms=NOW_MS) is may


@pytest.mark.parametrize("lane", Lane)
def test_an_emergency_is_never_folded(lane):
    one = held(said(lane=Lane.EMERGENCY, received_ms=0))

    assert not is_foldable(one, lane=lane, older_than_ms=NOW_MS, now_ms=NOW_MS)


def stale(seq, parts=1, *, of=None):
    return [Stale(id=DeliveryId(f"{seq}.{n}"), seq=seq, parts=of or parts) for n in range(1, parts + 1)]


def test_one_message_alone_is_simply_sent_however_many_its_parts():
    assert choose(stale(1, 3)) is None
    assert choose([]) is None


def test_the_last_message_carries_the_digest_and_its_other_parts_go_into_it():
    assert choose([*stale(1), *stale(2, 2), *stale(3, 2)]) == Fold(
        carrier=DeliveryId("3.1"), members=tuple(map(DeliveryId, ("1.1", "2.1", "2.2", "3.2")))
    )


def test_a_message_of_which_some_part_has_gone_goes_on_as_it_began():
    assert choose([*stale(1, 2, of=3), *stale(2), *stale(3)]) == Fold(
        carrier=DeliveryId("3.1"), members=(DeliveryId("2.1"),)
    )
    assert choose([*stale(1, 2, of=3), *stale(2)]) is None


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1)), max_size=12))
def test_what_is_chosen_is_whole_and_every_delivery_in_it_once(messages):
    parts = [stale(seq, size, of=size + missing) for seq, (size, missing) in enumerate(messages)]
    fold = choose([one for some in parts for one in some])
    whole = [one.id for some in parts for one in some if len(some) == one.parts]

    if fold is None:
        assert sum(not missing for _, missing in messages) < 2
    else:
        assert sorted([fold.carrier, *fold.members]) == sorted(whole)
        assert fold.carrier == [some for some in parts if len(some) == some[0].parts][-1][0].id
