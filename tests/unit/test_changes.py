# SPDX-License-Identifier: GPL-3.0-or-later
"""What an edit or a redaction may do to a message that has not left."""

from dataclasses import replace

import pytest

from gateway.changes import STANDS, TOO_LATE, UNCHANGED, amendment_of, may_change, too_late
from gateway.fitting import Unfit
from gateway.journal import Original
from gateway.model import (
    Address,
    Capabilities,
    Delivery,
    Edit,
    Location,
    Message,
    NativeId,
    Reaction,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
    Support,
    Text,
)

ROOM, RADIO, LAN = (Address.parse(text) for text in ("home/#town", "radio/LongFast", "lan/town"))
EDIT = Edit(target=RemoteId("$1"), body="new words")
REDACTION = Redaction(target=RemoteId("$1"))


def said(content, *, sender="ali", origin=ROOM):
    return Message(
        native_id=NativeId("mx:$2"),
        origin=origin,
        sender=Sender(id=SenderId(sender), name=sender),
        content=content,
        received_ms=0,
    )


def original(content=None, *, is_own=True):
    return Original(
        message=said(content or Text(body="old words", emote=True)),
        seq=7,
        is_own=is_own,
        expires_ms={RADIO: 99, LAN: None},
        touches={},
    )


def fitted(message, to, expires_ms):
    return (Delivery(message=message, to=to, expires_ms=expires_ms),) if to != LAN else Unfit(reason="too long")


def amended(message, target, refused=(), works=lambda _: True):
    return amendment_of(
        message,
        target,
        fitted=fitted,
        works=works,
        bound_for=frozenset({RADIO}),
        refused=frozenset(refused),
        rewrite=lambda carrier, _: carrier,
    )


@pytest.mark.parametrize(
    ("content", "sender", "is_own", "may"),
    [
        (EDIT, "ali", True, True),
        (EDIT, "mallory", True, False),
        (EDIT, "ali", False, False),
        (REDACTION, "ali", True, True),
        (REDACTION, "moderator", True, True),
        (REDACTION, "moderator", False, True),
    ],
)
def test_words_are_changed_by_who_said_them_and_taken_back_by_whom_the_network_lets(content, sender, is_own, may):
    assert may_change(said(content, sender=sender), original(is_own=is_own)) is may


def test_an_edit_gives_each_address_the_new_words_fitted_and_the_time_it_had():
    amendment = amended(said(EDIT), original())

    assert amendment.says.content == Text(body="new words", emote=True)
    assert {to: parts[0].expires_ms for to, parts in amendment.fitted.items()} == {RADIO: 99}
    assert amendment.within == {RADIO, LAN}


def test_an_edit_changes_nothing_where_its_sender_may_not_speak_any_more():
    amendment = amended(said(EDIT), original(), refused=[RADIO])

    assert amendment.fitted == {}
    assert amendment.within == {LAN}


def test_only_words_are_edited():
    assert amended(said(EDIT), original(Reaction(target=RemoteId("$0"), emoji="x"))) is None


def test_taken_back_where_it_was_said_it_is_taken_back_everywhere():
    amendment = amended(said(REDACTION), original())

    assert (amendment.says, amendment.within) == (None, {RADIO, LAN})


@pytest.mark.parametrize("content", [EDIT, REDACTION])
def test_what_another_gateway_sends_is_not_changed_here(content):
    assert amended(said(content), original(), works=lambda bridge: bridge != "radio").within == {LAN}


def test_a_copy_taken_back_is_taken_back_there_and_where_its_conversation_leads():
    copied = replace(original(is_own=False), expires_ms={RADIO: 99, LAN: None, Address.parse("home/#hill"): None})

    assert amended(said(REDACTION, origin=LAN), copied).within == {LAN, RADIO}


NATIVE, IN_WORDS, NOT = Support.NATIVE, Support.TEXT, Support.DROP


@pytest.mark.parametrize(
    ("change", "support", "age_s", "reason"),
    [
        (EDIT, NATIVE, 10**6, ""),
        (EDIT, IN_WORDS, 300, ""),
        (EDIT, IN_WORDS, 301, TOO_LATE),
        (EDIT, NOT, 0, UNCHANGED),
        (REDACTION, NATIVE, 10**6, ""),
        (REDACTION, IN_WORDS, 10**6, ""),
        (REDACTION, NOT, 0, STANDS),
    ],
)
def test_what_comes_too_late_for_what_was_sent_is_not_sent_and_says_why(change, support, age_s, reason):
    capabilities = Capabilities(room_for=lambda *_: 99, edits=support, redactions=support)
    there = replace(original(), is_there=frozenset({RADIO}))
    message = replace(said(change), received_ms=age_s * 1000)
    expected = {RADIO: reason} if reason else {}

    assert too_late(message, there, {RADIO.bridge: capabilities}) == expected
    assert too_late(message, replace(there, waits=frozenset({RADIO})), {RADIO.bridge: capabilities}) == {}
    assert too_late(message, there, {}) == {}, "a bridge that is gone"
    assert too_late(message, original(), {RADIO.bridge: capabilities}) == {}


def test_that_a_place_stands_where_it_was_said_is_told_too():
    there = replace(original(Location(latitude=46.5, longitude=8.1)), is_there=frozenset({RADIO}))
    assert too_late(said(REDACTION), there, {RADIO.bridge: Capabilities(room_for=lambda *_: 99)}) == {RADIO: STANDS}


def test_that_a_reaction_stands_is_told_nobody():
    there = replace(original(Reaction(target=RemoteId("$1"), emoji="x")), is_there=frozenset({RADIO}))
    assert too_late(said(REDACTION), there, {RADIO.bridge: Capabilities(room_for=lambda *_: 99)}) == {}


def test_how_late_is_too_late_is_the_networks_to_say():
    capabilities = Capabilities(room_for=lambda *_: 99, edits=IN_WORDS, correct_within_s=10)
    there = replace(original(), is_there=frozenset({RADIO}))
    assert too_late(replace(said(EDIT), received_ms=10_001), there, {RADIO.bridge: capabilities}) == {RADIO: TOO_LATE}
