# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.content import MAX_CONTENT_BYTES, Around, from_message, notice, room_for
from bridges.matrix.convert import PROFILE_KEY, Reading, Skip, to_message
from gateway.model import (
    Address,
    BridgeName,
    Content,
    Edit,
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

NOW = 1_795_701_720_000
"""2026-11-26 14:02 UTC."""
TO = Address(BridgeName("home"), "#town:gw.test")


def message(
    content: Content, *, name: str = "Bea", reply_to: str | None = None, received_ms: int | None = None
) -> Message:
    return Message(
        native_id=NativeId("mt:1:2"),
        origin=Address(BridgeName("radio"), "LongFast"),
        sender=Sender(id=SenderId("!a1b2c301"), name=name),
        content=content,
        received_ms=NOW if received_ms is None else received_ms,
        reply_to=None if reply_to is None else RemoteId(reply_to),
    )


def size(content: dict[str, Any]) -> int:
    return len(json.dumps(content, ensure_ascii=False).encode())


def test_telemetry_is_a_notice_that_no_bridge_carries_on() -> None:
    measured = replace(message(Text(body="21.5 °C")), topic=Topic.TELEMETRY)
    assert from_message(measured, "key.0", NOW).content["msgtype"] == "m.notice"
    detected = replace(measured, topic=Topic.SENSOR)
    assert from_message(detected, "key.0", NOW).content["msgtype"] == "m.text"


def test_text_shows_its_sender_and_can_be_told_for_ours() -> None:
    event = from_message(message(Text(body="a <b>\nc"), reply_to="$x"), "key.0", NOW)
    assert event.type == "m.room.message"
    assert event.content == {
        "msgtype": "m.text",
        "body": "Bea: a <b>\nc",
        "format": "org.matrix.custom.html",
        "formatted_body": "<strong data-mx-profile-fallback>Bea: </strong>a &lt;b&gt;<br>c",
        PROFILE_KEY: {"id": "!a1b2c301", "displayname": "Bea", "has_fallback": True},
        "m.mentions": {},
        "m.relates_to": {"m.in_reply_to": {"event_id": "$x"}},
        "org.crossband.id": "key.0",
        "org.crossband.origin": "radio/LongFast",
    }


def test_a_hostile_name_is_escaped_and_one_line() -> None:
    content = from_message(message(Text(body="hi"), name="<img src=x>\n\u202eBea" + "x" * 999), "k.0", NOW).content
    assert content["body"].startswith("<img src=x> Beaxxx")
    assert content["formatted_body"].startswith("<strong data-mx-profile-fallback>&lt;img src=x&gt; Beaxxx")
    assert len(content[PROFILE_KEY]["displayname"].encode()) == 255


def test_without_a_name_the_words_stand_alone() -> None:
    content = from_message(message(Text(body="hi", emote=True), name="\u200b"), "k.0", NOW).content
    assert (content["msgtype"], content["body"], PROFILE_KEY in content) == ("m.emote", "hi", False)


def test_an_edit_says_its_words_in_both_places() -> None:
    content = from_message(message(Edit(target=RemoteId("$x"), body="new")), "k.0", NOW).content
    assert content["body"] == "* Bea: new"
    assert content["m.new_content"]["body"] == "Bea: new"
    assert content["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$x"}


def test_words_that_come_late_say_when_they_were_said_in_every_form() -> None:
    late = message(Text(body="the <bridge> is out"), received_ms=NOW - 3 * 60_000)
    content = from_message(late, "k.0", NOW, UTC).content
    assert content["body"] == "Bea: [13:59] the <bridge> is out"
    assert content["formatted_body"] == (
        "<strong data-mx-profile-fallback>Bea: </strong>[13:59] the &lt;bridge&gt; is out"
    )
    assert content["org.crossband.said_ms"] == late.received_ms
    kept = replace(late, received_ms=NOW, late_ms=3 * 60_000)
    assert from_message(kept, "k.0", NOW, UTC).content == content
    nameless = replace(late, sender=Sender(id=SenderId("!a1b2c301"), name=""))
    assert from_message(nameless, "k.0", NOW, UTC).content["body"] == "[13:59] the <bridge> is out"
    assert content["org.crossband.id"] == from_message(late, "k.0", NOW - 60_000, UTC).content["org.crossband.id"]


def test_a_late_edit_says_no_time_for_it_isnt_when_the_words_were_said() -> None:
    late = message(Edit(target=RemoteId("$x"), body="new"), received_ms=NOW - 3 * 60_000)
    assert from_message(late, "k.0", NOW, UTC).content["body"] == "* Bea: new"


def test_all_that_is_sent_carries_its_key() -> None:
    target = RemoteId("$x")
    contents = (
        Text(body="a"),
        Edit(target=target, body="a"),
        Reaction(target=target, emoji="a"),
        Redaction(target=target),
    )
    for content in contents:
        event = from_message(message(content), "k.0", NOW)
        assert (event.content["org.crossband.id"], event.content["org.crossband.origin"]) == ("k.0", "radio/LongFast")


def test_reactions_and_redactions_use_their_target() -> None:
    reaction = from_message(message(Reaction(target=RemoteId("$x"), emoji="👍")), "k.0", NOW)
    assert reaction.type == "m.reaction"
    assert reaction.content["m.relates_to"] == {"rel_type": "m.annotation", "event_id": "$x", "key": "👍"}
    assert from_message(message(Redaction(target=RemoteId("$x"))), "k.0", NOW).redacts == "$x"


def test_an_answer_to_what_is_in_a_thread_is_in_it_too() -> None:
    around = Around(thread="$root")
    answer = from_message(message(Text(body="hi"), reply_to="$x"), "k.0", NOW, around=around).content
    assert answer["m.relates_to"] == {
        "rel_type": "m.thread",
        "event_id": "$root",
        "is_falling_back": False,
        "m.in_reply_to": {"event_id": "$x"},
    }
    assert "m.relates_to" not in from_message(message(Text(body="hi")), "k.0", NOW, around=around).content


def test_those_spoken_to_are_mentioned_and_nobody_else() -> None:
    around = Around(mentions=("@ali:gw.test",))
    said = from_message(message(Text(body="@Ali @room")), "k.0", NOW, around=around).content
    assert said["m.mentions"] == {"user_ids": ["@ali:gw.test"]}
    edit = from_message(message(Edit(target=RemoteId("$x"), body="@Ali")), "k.0", NOW).content
    assert (edit["m.mentions"], edit["m.new_content"]["m.mentions"]) == ({}, {})


@pytest.mark.parametrize(("emoji", "key"), [("❤", "❤\ufe0f"), ("❤\ufe0f", "❤\ufe0f"), ("👍🏽", "👍🏽"), ("☀☀", "☀☀")])
def test_an_emoji_has_one_spelling_so_that_rooms_count_it_once(emoji: str, key: str) -> None:
    reaction = from_message(message(Reaction(target=RemoteId("$x"), emoji=emoji)), "k.0", NOW)
    assert reaction.content["m.relates_to"]["key"] == key


def test_a_notice_pings_nobody() -> None:
    assert notice("words") == {"msgtype": "m.notice", "body": "words", "m.mentions": {}}


@given(st.sampled_from(['"', "&", "\n", "é", "\\", "<", "👍", "x"]), st.booleans())
def test_what_there_is_room_for_makes_an_event_that_fits(char: str, is_edit: bool) -> None:
    target = RemoteId("$" + "x" * 250)
    wanted: Content = Edit(target=target, body="") if is_edit else Text(body="")
    body = char * (room_for(wanted, TO, False) // len(char.encode()))
    said: Content = Edit(target=target, body=body) if is_edit else Text(body=body)
    long_ago = message(said, name='"' * 255, reply_to=None if is_edit else target, received_ms=NOW - 10**10)
    content = from_message(long_ago, "k" * 30, NOW).content
    assert size(content) <= MAX_CONTENT_BYTES + 2_000
    assert content["body"].endswith(body)


@given(st.text(st.characters(exclude_categories=()), min_size=1), st.text())
def test_ours_can_always_be_encoded_and_is_never_taken_back(body: str, name: str) -> None:
    content = from_message(message(Text(body=body), name=name), "k.0", NOW).content
    json.dumps(content, ensure_ascii=False).encode()
    event = {"type": "m.room.message", "event_id": "$x", "sender": "@other:gw.test", "content": content}
    reading = Reading(room=TO, user_id="@us:gw.test", received_ms=1, name_of=lambda _: "")
    assert to_message(event, reading) is Skip.OTHER_BRIDGE


CAMP = Location(latitude=46.5, longitude=8.1, words="Base camp")


def test_a_place_is_a_pin_under_its_senders_name_with_words_for_clients_without_maps() -> None:
    event = from_message(message(CAMP, reply_to="$x"), "key.0", NOW)
    assert event.type == "m.room.message"
    assert event.content == {
        "msgtype": "m.location",
        "body": "Bea: Base camp: geo:46.5,8.1",
        "geo_uri": "geo:46.5,8.1",
        "org.matrix.msc3488.location": {"uri": "geo:46.5,8.1", "description": "Bea: Base camp"},
        "org.matrix.msc3488.asset": {"type": "m.pin"},
        "org.matrix.msc3488.ts": NOW,
        PROFILE_KEY: {"id": "!a1b2c301", "displayname": "Bea", "has_fallback": True},
        "m.mentions": {},
        "m.relates_to": {"m.in_reply_to": {"event_id": "$x"}},
        "org.crossband.id": "key.0",
        "org.crossband.origin": "radio/LongFast",
    }


def test_a_place_that_comes_late_says_when() -> None:
    event = from_message(message(CAMP, received_ms=NOW - 3_600_000), "key.0", NOW, UTC)
    assert event.content["body"] == "Bea: [13:02] Base camp: geo:46.5,8.1"
    assert event.content["org.crossband.said_ms"] == event.content["org.matrix.msc3488.ts"] == NOW - 3_600_000


def test_a_place_with_as_many_words_as_there_is_room_for_fits_an_event() -> None:
    words = '"' * room_for(CAMP, TO, False)
    event = from_message(message(Location(latitude=1, longitude=2, words=words)), "key.0", NOW)
    assert size(event.content) <= MAX_CONTENT_BYTES
