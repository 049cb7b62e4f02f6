# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridges.matrix.convert import MAX_BODY_BYTES, PROFILE_KEY, Reading, Skip, localpart, to_message
from gateway.model import Address, BridgeName, Edit, Location, Message, Reaction, Redaction, Sender, SenderId, Text

READING = Reading(
    room=Address(BridgeName("home"), "#town:gw.test"),
    user_id="@crossband:gw.test",
    received_ms=1_700_000_000_000,
    name_of=lambda user_id: "Ali" if user_id == "@ali:gw.test" else "",
)


def event(content: Any, type_: str = "m.room.message", **fields: Any) -> dict[str, Any]:
    return {"type": type_, "event_id": "$abc", "sender": "@ali:gw.test", "content": content} | fields


def says(content: dict[str, Any]) -> dict[str, Any]:
    return event({"msgtype": "m.text", "body": "hi"} | content)


def read(given: Any) -> Message:
    message = to_message(given, READING)
    assert isinstance(message, Message), message
    return message


def test_text_has_its_ids_sender_and_time() -> None:
    assert read(says({})) == Message(
        native_id="mx:$abc",
        origin=READING.room,
        sender=Sender(id=SenderId("@ali:gw.test"), name="Ali"),
        content=Text(body="hi"),
        received_ms=1_700_000_000_000,
        remote_id="$abc",
    )


def test_what_the_homeserver_kept_for_an_hour_was_said_an_hour_before_it_was_received() -> None:
    message = read(says({}) | {"origin_server_ts": READING.received_ms - 3_600_000, "unsigned": {"age": 3_600_000}})
    assert (message.received_ms, message.said_ms) == (READING.received_ms, READING.received_ms - 3_600_000)


def test_somebody_without_a_name_has_their_localpart() -> None:
    assert read(says({}) | {"sender": "@bea_7:gw.test"}).sender.name == "bea_7"
    assert localpart("@x:y:8448") == "x"


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ({"body": "a\r\nb\rc\x00\x1b[31m"}, "a\nb\nc[31m"),
        ({"body": "lone \ud800 half"}, "lone \ufffd half"),
        ({"body": "  ", "format": "org.matrix.custom.html", "formatted_body": "<p>a<br>b &amp; c</p>"}, "a\nb & c"),
        ({"body": "plain", "format": "org.matrix.custom.html", "formatted_body": "<b>rich</b>"}, "plain"),
        ({"msgtype": "org.example.new", "body": "words"}, "words"),
        ({"msgtype": "m.image", "body": "cat.png", "info": {"size": 1_234_567}}, "[image 1.2 MB] cat.png"),
        (
            {"msgtype": "m.file", "body": "look", "filename": "a.pdf", "info": {"size": 2_100}},
            "[file 2 kB] a.pdf\nlook",
        ),
        ({"msgtype": "m.video", "body": "v.mp4", "info": {"size": "big"}}, "[video] v.mp4"),
        ({"msgtype": "m.audio", "body": "v.ogg", "org.matrix.msc3245.voice": {}}, "[voice message]"),
        (
            {"msgtype": "m.audio", "body": "v.ogg", "org.matrix.msc3245.voice": {}, "info": {"duration": 12_345}},
            "[voice message 0:12]",
        ),
        ({"msgtype": "m.image", "body": "", "info": {"size": 99}}, "[image 99 B]"),
        ({"msgtype": "m.location", "body": "somewhere", "geo_uri": "geo:evil"}, "somewhere"),
    ],
)
def test_words_of_every_kind_are_plain_text(content: dict[str, Any], body: str) -> None:
    assert read(says(content)).content == Text(body=body)


def test_a_location_is_a_place_with_its_words() -> None:
    place = says({"msgtype": "m.location", "body": "the hut", "geo_uri": "geo:46.5,-8.1;u=35"})
    assert read(place).content == Location(latitude=46.5, longitude=-8.1, accuracy_m=35, words="the hut")


def test_an_edit_to_a_location_says_it_in_words() -> None:
    relation = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}
    new = {"msgtype": "m.location", "body": "hut", "geo_uri": "geo:46.5,8.1"}
    assert read(says({"m.new_content": new} | relation)).content == Edit(target="$x", body="geo 46.50000,8.10000 hut")


POLL = "org.matrix.msc3381.poll.start"


def test_a_poll_is_its_question_and_answers_and_its_end_an_answer_to_it() -> None:
    asked = {"question": {"body": "When?"}, "answers": [{"org.matrix.msc1767.text": "today"}, {"m.text": "never"}]}
    assert read(event({POLL: asked}, POLL)).content == Text(body="[poll] When? 1) today 2) never")
    stable = {"question": {"m.text": [{"body": "When?"}]}, "answers": [{"m.text": [{"body": "now"}]}]}
    assert read(event({"m.poll": stable}, "m.poll.start")).content == Text(body="[poll] When? 1) now")
    ended = {"org.matrix.msc1767.text": "Top: today", "m.relates_to": {"rel_type": "m.reference", "event_id": "$poll"}}
    closed = read(event(ended, "org.matrix.msc3381.poll.end"))
    assert (closed.content, closed.reply_to) == (Text(body="[poll closed] Top: today"), "$poll")


@pytest.mark.parametrize(
    ("type_", "fields", "reason"),
    [
        ("m.beacon", {}, Skip.BEACON),
        ("org.matrix.msc3672.beacon_info", {"state_key": "@ali:gw.test"}, Skip.BEACON),
        ("org.matrix.msc3381.poll.response", {}, Skip.VOTE),
        (POLL, {}, Skip.EMPTY),
    ],
)
def test_live_positions_votes_and_polls_without_a_question_are_skipped_by_their_name(
    type_: str, fields: dict[str, Any], reason: Skip
) -> None:
    assert to_message(event({}, type_, **fields), READING) is reason


def test_an_emote_stays_one() -> None:
    assert read(says({"msgtype": "m.emote", "body": "waves"})).content == Text(body="waves", emote=True)


def test_a_sticker_is_said_in_words() -> None:
    assert read(event({"body": "grin"}, "m.sticker")).content == Text(body="[sticker] grin")


def test_a_reply_keeps_its_target_and_loses_the_quote() -> None:
    relation = {"m.relates_to": {"m.in_reply_to": {"event_id": "$first"}}}
    for body in ("> <@bea:gw.test> who?\n> there\n\nme", "> * <@bea:gw.test> waves\n\nme", "me"):
        message = read(says({"body": body, **relation}))
        assert (message.reply_to, message.content) == ("$first", Text(body="me"))
    assert read(says({"body": "> a quote of my own\nyes", **relation})).content == Text(body="> a quote of my own\nyes")


def test_a_thread_message_that_only_falls_back_is_no_reply() -> None:
    relation = {"rel_type": "m.thread", "event_id": "$root", "m.in_reply_to": {"event_id": "$last"}}
    assert read(says({"m.relates_to": relation})).reply_to == "$last"
    assert read(says({"m.relates_to": relation | {"is_falling_back": True}})).reply_to is None


def test_a_profile_names_the_sender_and_its_fallback_goes() -> None:
    profile = {"id": "x", "displayname": "Bea\u202e", "has_fallback": True}
    message = read(says({"body": "Bea\u202e: hi", PROFILE_KEY: profile}))
    assert (message.sender.name, message.content) == ("Bea", Text(body="hi"))


def test_a_person_whom_another_bridge_lets_speak_from_their_phone_is_heard() -> None:
    assert read(says({"fi.mau.double_puppet_source": "mautrix-whatsapp"})).sender.name == "Ali"


@pytest.mark.parametrize(
    ("sender", "profile", "name"),
    [
        ("@whatsapp_41791234567:gw.test", {}, "whatsapp_41\u202667"),
        ("@relay:gw.test", {"id": "x", "displayname": "+41 79 123 45 67 (WA)"}, "+41\u202667"),
    ],
)
def test_a_phone_number_that_another_bridge_names_somebody_by_stays_off_the_air(
    sender: str, profile: dict[str, str], name: str
) -> None:
    message = read(says({"body": "call +41 79 123 45 67", PROFILE_KEY: profile}) | {"sender": sender})
    assert (message.sender.name, message.content) == (name, Text(body="call +41 79 123 45 67"))


def test_the_people_spoken_to_are_named_in_words_and_edits() -> None:
    spoken_to = {"body": "[Ali](https://matrix.to/#/@ali:gw.test): come", "m.mentions": {"user_ids": [3, "@x:y"]}}
    assert read(says(spoken_to)).content == Text(body="Ali: come")
    relation = {"rel_type": "m.replace", "event_id": "$x"}
    edit = {"m.new_content": {"msgtype": "m.text", "body": "@ali:gw.test: go"}, "m.relates_to": relation}
    assert read(says(edit)).content == Edit(target="$x", body="Ali: go")


def test_reactions_edits_and_redactions_name_their_target() -> None:
    relation = {"rel_type": "m.annotation", "event_id": "$x", "key": "👍\ufe0f"}
    assert read(event({"m.relates_to": relation}, "m.reaction")).content == Reaction(target="$x", emoji="👍\ufe0f")
    picture = {"m.relates_to": relation | {"key": "mxc://gw/1"}, "shortcode": ":wave:"}
    assert read(event(picture, "m.reaction")).content == Reaction(target="$x", emoji=":wave:")
    assert read(event({}, "m.room.redaction", redacts="$x")).content == Redaction(target="$x")
    assert read(event({"redacts": "$y"}, "m.room.redaction")).content == Redaction(target="$y")
    new = {"m.new_content": {"msgtype": "m.text", "body": "new"}, "body": "* new"}
    edit = says({**new, "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}})
    assert read(edit).content == Edit(target="$x", body="new")
    assert read(edit).reply_to is None


@pytest.mark.parametrize(
    ("given_event", "reason"),
    [
        (None, Skip.MALFORMED),
        ([], Skip.MALFORMED),
        (says({}) | {"event_id": "$\ud800"}, Skip.MALFORMED),
        (says({}) | {"event_id": "$" + "x" * 300}, Skip.MALFORMED),
        (says({}) | {"sender": ["@ali:gw.test"]}, Skip.MALFORMED),
        (says({}) | {"sender": "@crossband:gw.test"}, Skip.OWN),
        (says({"org.crossband.origin": 1}), Skip.OTHER_BRIDGE),
        (says({"fi.mau.double_puppet_source": "crossband"}), Skip.OTHER_BRIDGE),
        (says({"msgtype": "m.notice"}), Skip.NOTICE),
        (says({}) | {"state_key": ""}, Skip.STATE),
        (event({}), Skip.EMPTY),
        (event("x"), Skip.EMPTY),
        (says({"body": " \n\x00 "}), Skip.EMPTY),
        (says({"msgtype": 3}), Skip.MALFORMED),
        (says({"msgtype": "m.key.verification.request"}), Skip.UNSUPPORTED),
        (says({"m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}), Skip.MALFORMED),
        (event({}, "m.room.encrypted"), Skip.ENCRYPTED),
        (event({}, "m.call.invite"), Skip.UNSUPPORTED),
        (says({}) | {"type": {}}, Skip.MALFORMED),
        (
            event({"m.relates_to": {"rel_type": "m.annotation", "event_id": "$x", "key": "\n"}}, "m.reaction"),
            Skip.EMPTY,
        ),
        (
            event({"m.relates_to": {"rel_type": "m.annotation", "event_id": 3, "key": "a"}}, "m.reaction"),
            Skip.MALFORMED,
        ),
        (event({}, "m.room.redaction"), Skip.MALFORMED),
    ],
)
def test_what_is_not_for_others_is_skipped_with_a_reason(given_event: Any, reason: Skip) -> None:
    assert to_message(given_event, READING) is reason


def test_an_enormous_body_is_cut_between_characters() -> None:
    said = read(says({"body": "é" * 100_000})).content
    assert isinstance(said, Text)
    assert len(said.body.encode()) == MAX_BODY_BYTES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["msgtype", "body", "format", "formatted_body", "m.relates_to", "m.new_content", "info", "filename", "geo_uri"]
WORDS = st.sampled_from(
    ["m.text", "m.image", "m.location", "m.replace", "m.annotation", "m.thread", "$x", "> <@a:b> c", "<b>x", "👍"]
)
CONTENT = st.dictionaries(
    st.sampled_from([*KEYS, PROFILE_KEY, "rel_type", "event_id", "key", "m.in_reply_to", "displayname", "redacts"]),
    JSON | WORDS | st.dictionaries(st.sampled_from(["rel_type", "event_id", "key", "msgtype", "body"]), WORDS | JSON),
)
TYPES = st.sampled_from(["m.room.message", "m.reaction", "m.room.redaction", "m.sticker", "m.room.encrypted"])
EVENTS = st.builds(
    lambda type_, content, more: event(content, type_) | more,
    TYPES,
    CONTENT,
    st.dictionaries(
        st.sampled_from(["event_id", "sender", "redacts", "state_key", "type", "content"]), JSON, max_size=2
    ),
)


@given(JSON | EVENTS)
@example(says({"info": {"size": float("nan")}, "msgtype": "m.image"}))
@example(says({"info": {"size": 10**400}, "msgtype": "m.file"}))
def test_an_event_of_any_shape_is_a_message_or_a_reason(given_event: Any) -> None:
    message = to_message(given_event, READING)

    if isinstance(message, Message):
        assert len(message.id) == 26
        message.sender.name.encode()
        assert 0 < len(message.sender.name.encode()) <= 255
        if isinstance(message.content, Text | Edit):
            assert 0 < len(message.content.body.encode()) <= MAX_BODY_BYTES
