# SPDX-License-Identifier: GPL-3.0-or-later
"""What a box writes into the log another reads as it was meant; what it can't read it says so of, and goes on."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.lan.entries import (
    Said,
    Standing,
    Unknown,
    copy_body,
    read,
    said_body,
    standing_body,
)
from bridges.lan.fields import Unreadable
from gateway.model import (
    Address,
    BridgeName,
    Content,
    Edit,
    Lane,
    Location,
    Message,
    NativeId,
    Reaction,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Topic,
)

NATIVE = NativeId("mx:$one")
TARGET = RemoteId("mt:a1b2c301:17")
ALI = Sender(id=SenderId("@ali:example.org"), name="Ali")
GOOD: dict[str, Any] = {
    "v": 1,
    "kind": "text",
    "room": "town",
    "sender": {"id": "!a1b2c301", "name": "Ridge"},
    "said_ms": 1,
    "text": "hello",
}


def message(content: Content, **more: Any) -> Message:
    origin = Address(BridgeName("home"), "#town:example.org")
    return Message(native_id=NATIVE, origin=origin, sender=ALI, content=content, received_ms=5, **more)


def read_again(content: Content, **more: Any) -> Said:
    entry = read(NATIVE, said_body(message(content, **more), "town"))
    assert isinstance(entry, Said)
    return entry


@pytest.mark.parametrize(
    "content",
    [
        Text(body="<b>text</b> stays\ntext 🎪"),
        Text(body="waves", emote=True, link="http://hilltop.lan/x"),
        Reaction(target=TARGET, emoji="👍"),
        Edit(target=TARGET, body="better"),
        Redaction(target=TARGET),
        Location(latitude=46.5, longitude=-8.1, words="Base camp"),
        Location(latitude=0.0, longitude=0.0, altitude_m=0.0, accuracy_m=30.0),
    ],
)
def test_every_kind_of_thing_people_say_is_read_as_it_was_said(content: Content) -> None:
    entry = read_again(content, reply_to=TARGET, lane=Lane.EMERGENCY, topic=Topic.ALERT)
    assert entry == Said(
        native=NATIVE,
        room="town",
        sender=ALI,
        content=content,
        said_ms=5,
        reply_to=NativeId(TARGET),
        lane=Lane.EMERGENCY,
        topic=Topic.ALERT,
    )
    assert entry.network == "matrix"


@given(body=st.text(max_size=400), name=st.text(max_size=300))
def test_any_words_go_through_unchanged_or_are_unreadable_because_of_half_a_character(body: str, name: str) -> None:
    raw = GOOD | {"text": body, "sender": {"id": "!a1b2c301", "name": name}}
    entry = read("mt:1:2", json.dumps(raw))
    assert isinstance(entry, Said)
    assert entry.content == Text(body=body)
    assert entry.sender.name


def test_states_are_read_as_they_were_written() -> None:
    standing = Standing(about=NATIVE, leg="radio/LongFast", state="waiting", reason="the channel is busy")
    assert read("", standing_body(standing)) == standing


def test_a_message_in_a_second_room_keeps_its_own_native_id() -> None:
    body = copy_body(said_body(message(Text(body="x")), "warnings"), NATIVE)
    entry = read(f"room:warnings:{NATIVE}", body)
    assert isinstance(entry, Said)
    assert (entry.native, entry.room) == (NATIVE, "warnings")


def test_what_boxes_say_of_boxes_and_of_whose_turn_it_is_is_read_elsewhere() -> None:
    assert read("", '{"kind": "add", "key": "00", "name": "valley"}') is None
    assert read("emitting:1", '{"kind": "emitting", "of": "mx:$1", "where": "mt:LongFast"}') is None


def test_where_it_was_said_goes_with_it() -> None:
    entry = read(NATIVE, said_body(message(Text(body="x")), "town", said_in="mx:!town:example.org"))
    assert isinstance(entry, Said)
    assert entry.said_in == "mx:!town:example.org"


@pytest.mark.parametrize("change", [{"v": 2}, {"v": None}, {"kind": "poll"}, {"kind": ["text"]}])
def test_a_later_release_s_entries_are_unknown_not_wrong(change: dict[str, Any]) -> None:
    with pytest.raises(Unknown):
        read("mx:$one", json.dumps(GOOD | change))


@pytest.mark.parametrize(
    "change",
    [
        {"room": ""},
        {"room": "to\nwn"},
        {"room": "r" * 600},
        {"sender": None},
        {"sender": {"name": "nobody"}},
        {"sender": {"id": 7}},
        {"said_ms": -1},
        {"said_ms": "now"},
        {"said_ms": True},
        {"said_ms": 10**400},
        {"text": None},
        {"text": "\ud800"},
        {"reply_to": 5},
        {"kind": "reaction", "target": "mx:$x", "emoji": " "},
        {"kind": "reaction", "target": "mx:$x", "emoji": "👍" * 40},
        {"kind": "edit"},
        {"kind": "location", "latitude": 91, "longitude": 0},
        {"kind": "location", "latitude": float("nan"), "longitude": 0},
        {"kind": "location", "latitude": 1, "longitude": 1, "accuracy_m": -1},
    ],
)
def test_what_is_no_entry_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(Unreadable) as found:
        read("mx:$one", json.dumps(GOOD | change))
    assert not isinstance(found.value, Unknown)


@pytest.mark.parametrize("body", ["", "no", "[]", "7", "[" * 9000, '{"v":1}'])
def test_what_is_not_even_an_object_is_unreadable(body: str) -> None:
    with pytest.raises(Unreadable):
        read("mx:$one", body)


def test_a_lane_or_topic_nobody_knows_here_is_the_usual_one() -> None:
    entry = read("mx:$one", json.dumps(GOOD | {"lane": ["emergency"], "topic": "gossip"}))
    assert isinstance(entry, Said)
    assert (entry.lane, entry.topic) == (Lane.NORMAL, Topic.TALK)


def test_a_message_without_a_native_id_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        read("", json.dumps(GOOD))


@given(
    raw=st.dictionaries(
        st.sampled_from([*GOOD, "target", "emoji", "about", "leg", "state", "as", "reply_to", "lane", "latitude"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers()),
    ),
    kind=st.sampled_from(["text", "reaction", "edit", "redaction", "location", "state", "emitted", "remove"]),
)
def test_no_json_does_worse_than_be_unreadable(raw: dict[str, Any], kind: str) -> None:
    with contextlib.suppress(Unreadable):
        read("mx:$one", json.dumps(GOOD | raw | {"v": 1, "kind": kind}))


def test_what_its_network_kept_has_the_time_it_was_said_and_how_much_later_the_box_had_it() -> None:
    entry = read(NATIVE, said_body(replace(message(Text(body="x")), received_ms=90_000, late_ms=60_000), "town"))
    assert isinstance(entry, Said)
    assert (entry.said_ms, entry.late_ms) == (30_000, 60_000)


@pytest.mark.parametrize("late", [-1, 31 * 86_400_000, "1", True])
def test_an_entry_that_is_late_by_what_nobody_can_is_unreadable(late: object) -> None:
    with pytest.raises(Unreadable):
        read(NATIVE, json.dumps(GOOD | {"late_ms": late}))
    entry = read(NATIVE, json.dumps(GOOD))
    assert isinstance(entry, Said)
    assert entry.late_ms == 0
