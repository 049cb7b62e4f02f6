# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from bridges.meshtastic.tapbacks import MOST_TAPBACKS, Tapbacks
from gateway.model import Address, BridgeName, Message, NativeId, Reaction, RemoteId, Sender, SenderId, Text

HERE, THERE = Address(BridgeName("radio"), "LongFast"), Address(BridgeName("radio"), "Hill")


def reacts(who: int, emoji: str = "👍", target: str = "0000002a") -> Message:
    return Message(
        native_id=NativeId(f"mx:$r{who}"),
        origin=Address(BridgeName("home"), "#town"),
        sender=Sender(id=SenderId(f"@{who}:x"), name="x"),
        content=Reaction(target=RemoteId(target), emoji=emoji),
        received_ms=0,
    )


def test_the_same_emoji_of_another_stands_already_where_it_was_sent() -> None:
    tapbacks = Tapbacks()
    tapbacks.sent(reacts(1, "❤\ufe0f"), HERE)
    assert tapbacks.stands(reacts(2, "❤"), HERE)
    assert not tapbacks.stands(reacts(2, "❤"), THERE)
    assert not tapbacks.stands(reacts(2, "👍"), HERE)
    assert not tapbacks.stands(reacts(2, "❤", "0000002b"), HERE)


def test_one_that_was_refused_later_is_sent_again() -> None:
    tapbacks = Tapbacks()
    tapbacks.sent(reacts(1), HERE)
    assert not tapbacks.stands(reacts(1), HERE)


def test_words_never_stand_and_no_more_are_kept_than_there_is_room_for() -> None:
    tapbacks = Tapbacks()
    words = Message(
        native_id=NativeId("mx:$1"),
        origin=HERE,
        sender=Sender(id=SenderId("@a:x"), name="a"),
        content=Text(body="👍"),
        received_ms=0,
    )
    tapbacks.sent(words, HERE)
    assert not tapbacks.stands(words, HERE)
    for number in range(MOST_TAPBACKS + 1):
        tapbacks.sent(reacts(1, target=f"{number:08x}"), HERE)
    assert not tapbacks.stands(reacts(2, target="00000000"), HERE)
    assert tapbacks.stands(reacts(2, target="00000001"), HERE)
