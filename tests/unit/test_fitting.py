# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message looks like on a network that can do less."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fitting import EMERGENCY_MARK, Unfit, fit, short_name, split, take
from gateway.model import (
    Address,
    Capabilities,
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
    State,
    Support,
    Text,
)

RADIO = Address.parse("radio/LongFast")
TARGET = RemoteId("$target")


def room(content, to, is_reply):
    return 227 if is_reply else 232


NARROW = Capabilities(room_for=room, replies=Support.NATIVE, reactions=Support.NATIVE, max_parts=4)
WIDE = Capabilities(room_for=lambda *_: 30_000, names=Support.NATIVE, replies=Support.NATIVE, edits=Support.TEXT)


def said(content, *, name="Ali", reply_to=None):
    return Message(
        native_id=NativeId("mx:$1"),
        origin=Address.parse("home/#town"),
        sender=Sender(id=SenderId("@ali:example.org"), name=name),
        content=content if not isinstance(content, str) else Text(body=content),
        received_ms=0,
        remote_id=RemoteId("$1"),
        reply_to=reply_to,
    )


CAMP = Location(latitude=46.5, longitude=8.1, words="Base camp")
LINK = "http://hilltop.lan:18031/f/abcdefghjkmn"


def bodies(parts):
    return [part.content.body for part in parts]


def test_a_short_text_is_one_part_that_begins_with_the_name():
    assert bodies(fit(said("hello"), RADIO, NARROW)) == ["Ali: hello"]


def test_a_network_that_shows_names_gets_the_bare_text():
    assert bodies(fit(said("hello"), RADIO, WIDE)) == ["hello"]


def test_an_emote_is_told_in_the_third_person():
    assert bodies(fit(said(Text(body="waves", emote=True)), RADIO, NARROW)) == ["* Ali waves"]


def test_a_long_text_is_cut_between_words_and_marked():
    parts = bodies(fit(said("word " * 80), RADIO, NARROW))

    assert [part[-5:] for part in parts] == ["(1/2)", "(2/2)"]
    assert parts[0].startswith("Ali: word")
    assert "wor (" not in parts[0]


def test_only_the_first_part_is_the_reply_and_it_leaves_room_for_that():
    parts = fit(said("x" * 300, reply_to=TARGET), RADIO, NARROW)

    assert [part.reply_to for part in parts] == [TARGET, None]
    assert len(parts[0].content.body.encode()) == 227


def test_more_parts_than_allowed_is_refused_with_a_reason_not_cut():
    assert fit(said("x" * 2000), RADIO, NARROW) == Unfit(reason="too long: more than 4 parts of 232 bytes")


def test_empty_text_is_refused():
    assert fit(said(" \n "), RADIO, NARROW) == Unfit(reason="there is no text in it")


def test_a_family_emoji_at_the_cut_stays_whole():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    parts = split("x" * 20 + family, lead="", first=30, later=30, most=3)

    assert parts == ("x" * 20 + " (1/2)", family + " (2/2)")


def test_a_flag_is_not_cut_into_letters():
    parts = split("\U0001f1e9\U0001f1ea" * 6, lead="", first=30, later=30, most=3)

    assert all(len(part.removesuffix(part[-6:])) % 2 == 0 for part in parts)


@pytest.mark.parametrize(
    "shown",
    [
        "e\u0301",  # a letter and its accent
        "\u270c\U0001f3fd",  # skin tone
        "\u2764\ufe0f\u200d\U0001f525",  # a heart on fire: selector and joiner
        "1\ufe0f\u20e3",  # keycap
        "\U0001f468\U0001f3fb\u200d\U0001f91d\u200d\U0001f468\U0001f3ff",  # two people, each with a tone
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # a flag made of tags
        "\U0001f1e8\U0001f1ed",  # a flag made of letters
        "\u0915\u094d\u0937\u093f",  # a conjunct of Devanagari
        "\u1112\u1161\u11ab",  # a syllable of Hangul in pieces
        "\u0e01\u0e33",  # Thai
        "\u0646\u200c",  # a letter and its non-joiner
        "\r\n",
    ],
)
def test_what_people_see_as_one_character_is_never_cut(shown: str):
    for room in range(len(shown.encode()), 4 * len(shown.encode())):
        head, rest = take(shown * 5, room)
        assert head == shown * (room // len(shown.encode()))
        assert head + rest == shown * 5


def test_relations_are_native_in_words_or_refused_as_the_network_can():
    assert fit(said(Reaction(target=TARGET, emoji="👍")), RADIO, NARROW)[0].content.kind == "reaction"
    assert bodies(fit(said(Edit(target=TARGET, body="new")), RADIO, WIDE)) == ["*corrected: new"]
    assert fit(said(Edit(target=TARGET, body="new")), RADIO, WIDE)[0].reply_to == TARGET
    assert fit(said(Redaction(target=TARGET)), RADIO, NARROW) == Unfit(
        reason="this network has no redactions", state=State.CANCELLED
    )


def test_a_name_is_one_line_cut_between_characters():
    assert short_name(Sender(id=SenderId("@a:b"), name="Зинаида\nИванова"), 12) == "Зинаид"
    assert short_name(Sender(id=SenderId("@a:b"), name=" "), 12) == "@a:b"
    assert short_name(Sender(id=SenderId("@a:b"), name="Kim's radio/c301"), 12) == "Kim's r/c301"
    assert short_name(Sender(id=SenderId("@a:b"), name="Kim's radio/a1b2c301"), 12) == "Kim/a1b2c301"
    assert short_name(Sender(id=SenderId("@a:b"), name="Kim's radio/c301"), 5) == "Kim's"
    assert short_name(Sender(id=SenderId("@a:b"), name="Bea: : x:y"), 12) == "Bea x:y"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=1200)


@given(texts, st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.booleans())
def test_whatever_the_text_every_part_fits_and_nothing_but_white_space_is_given_up(body, name, reply):
    parts = fit(said(body, name=name, reply_to=TARGET if reply else None), RADIO, NARROW)
    if isinstance(parts, Unfit):
        return

    sizes = [len(part.content.body.encode()) for part in parts]
    assert sizes[0] <= room(None, RADIO, reply)
    assert all(size <= 232 for size in sizes[1:])
    texts = bodies(parts)
    if len(texts) > 1:
        texts = [re.sub(r" \(\d/\d\)$", "", text) for text in texts]
    whole = "".join("".join(texts).split())
    lead = "".join((short_name(said(body, name=name).sender, 12) + ":").split())
    assert whole == lead + "".join(body.split())


@given(texts)
def test_fitting_depends_on_nothing_but_its_arguments(body):
    message = said(body)

    assert fit(message, RADIO, NARROW) == fit(replace(message), RADIO, NARROW)


def test_an_emergency_is_marked_once_before_its_senders_name_on_its_first_part():
    urgent = replace(said(Text(body="help " * 60)), lane=Lane.EMERGENCY)
    first, *later = fit(urgent, RADIO, NARROW)

    assert first.content.body.startswith("\U0001f6a8 Ali: help")
    assert later
    assert not any("\U0001f6a8" in part.content.body for part in later)
    assert fit(replace(urgent, content=Text(body="help")), RADIO, WIDE)[0].content.body == "\U0001f6a8 help"
    marked = replace(urgent, content=Text(body="\U0001f6a8 help"))
    assert fit(marked, RADIO, WIDE) == (marked,)


def test_a_place_is_itself_where_the_network_has_places_and_words_where_it_has_none():
    assert bodies(fit(said(CAMP), RADIO, NARROW)) == ["Ali: geo 46.50000,8.10000 Base camp"]
    assert fit(said(CAMP), RADIO, replace(WIDE, locations=Support.NATIVE)) == (said(CAMP),)
    refused = fit(said(CAMP), RADIO, replace(WIDE, locations=Support.DROP))
    assert refused == Unfit(reason="this network has no locations", state=State.CANCELLED)


def test_a_place_with_more_words_than_a_network_has_room_for_is_said_in_words():
    talkative = replace(CAMP, words="word " * 50)
    parts = fit(said(talkative), RADIO, replace(NARROW, locations=Support.NATIVE))
    assert len(parts) == 2
    assert parts[0].content.body.startswith("Ali: geo 46.50000,8.10000 word")


def test_a_link_ends_the_text_and_is_whole():
    (one,) = fit(said(Text(body="[image 1.2 MB] cat.png", link=LINK)), RADIO, NARROW)
    assert one.content == Text(body=f"Ali: [image 1.2 MB] cat.png {LINK}")
    several = bodies(fit(said(Text(body="[image] cat.png\n" + "word " * 40, link=LINK)), RADIO, NARROW))
    assert len(several) == 2
    assert several[1].endswith(f"{LINK} (2/2)")


def test_a_link_is_the_first_to_go_and_never_keeps_a_text_from_fitting():
    full = "x" * (4 * (232 - len(" (1/4)")) - len("Ali: "))
    parts = fit(said(Text(body=full, link=LINK)), RADIO, NARROW)
    assert (len(parts), LINK in "".join(bodies(parts))) == (4, False)
    long_link = f"http://{'h' * 300}/f/x"
    assert fit(said(Text(body="[image]", link=long_link)), RADIO, NARROW)[0].content == Text(body="Ali: [image]")
    (bare,) = fit(said(Text(body="[image]", link=long_link)), RADIO, replace(WIDE, room_for=lambda *_: 50))
    assert bare.content == Text(body="[image]")


def test_a_place_that_is_an_emergency_is_marked_as_one_in_words_or_as_a_place():
    call = replace(said(replace(CAMP, words="SOS")), lane=Lane.EMERGENCY)
    (native,) = fit(call, RADIO, replace(WIDE, locations=Support.NATIVE))
    assert native.content == replace(CAMP, words=f"{EMERGENCY_MARK} SOS")
    assert bodies(fit(call, RADIO, NARROW)) == [f"{EMERGENCY_MARK} Ali: geo 46.50000,8.10000 SOS"]
