# SPDX-License-Identifier: GPL-3.0-or-later
"""What an edit or a redaction may do to a message that has not left."""

from dataclasses import replace

import pytest

from gateway.changes import amendment_of, may_change
from gateway.fitting import Unfit
from gateway.journal import Original
from gateway.model import (
    Address,
    Delivery,
    Edit,
    Message,
    NativeId,
    Reaction,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
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
