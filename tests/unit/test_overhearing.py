# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network itself shows of what boxes say that are cut off from this one."""

from __future__ import annotations

from dataclasses import replace

from gateway.clock import ManualClock
from gateway.doubles import SAME_WORDS_S
from gateway.model import (
    Address,
    BridgeName,
    Capabilities,
    Delivery,
    Foreseen,
    Message,
    NativeId,
    Overheard,
    RemoteId,
    Sender,
    SenderId,
    Text,
    key_of,
)
from gateway.overhearing import APART_S, Overhearing

AIR, ROOM, LAN = (Address(BridgeName(name), "town") for name in ("radio", "home", "lan"))


class Radio:
    capabilities = Capabilities(room_for=lambda *_: 200)

    def foresee(self, key: str) -> Foreseen:
        return Foreseen(remote_id=RemoteId(f"packet of {key}"), native_id=None)


def delivery(native: str, to: Address, body: str) -> Delivery:
    return Delivery(message=message(native, LAN, body), to=to)


def message(native: str, origin: Address, body: str, remote_id: str = "") -> Message:
    sender = Sender(id=SenderId("somebody"), name="Somebody")
    return Message(
        native_id=NativeId(native),
        origin=origin,
        sender=sender,
        content=Text(body=body),
        received_ms=0,
        remote_id=RemoteId(remote_id) if remote_id else None,
    )


def overhearing(clock: ManualClock | None = None) -> Overhearing:
    return Overhearing({AIR.bridge: Radio()}, clock or ManualClock())  # type: ignore[dict-item]  # all that is asked


def event(number: int, key: str, words: str = "", by: str = "@box:hs") -> Overheard:
    return Overheard(key=key, by=by, remote_id=RemoteId(f"${number}"), words=words)


def nothing(_: Address, __: RemoteId) -> bool:
    return False


def test_what_comes_in_under_the_id_that_a_delivery_of_ours_would_have_is_a_copy_if_it_says_the_same() -> None:
    known = overhearing()
    ours = delivery("mx:$1", AIR, "Baker: bread")
    known.planned([ours, delivery("mx:$2", ROOM, "no id is foreseen there")])
    packet = f"packet of {key_of(ours.id, 0)}"
    assert known.copied(message("mt:a:1", AIR, "Baker: bread", packet)) == ours
    assert known.copied(message("mt:b:1", AIR, "something else under its id", packet)) is None
    assert known.copied(message("mt:a:1", ROOM, "Baker: bread", packet)) is None
    assert known.copied(message("mt:a:2", AIR, "Baker: bread", "another")) is None
    assert known.copied(message("mt:a:3", AIR, "Baker: bread")) is None


def test_an_account_is_believed_once_the_log_names_words_of_it_as_a_boxs_also_of_what_it_said_before() -> None:
    known, ours = overhearing(), delivery("mt:a:1", ROOM, "bread")
    known.overheard(ROOM, event(1, key_of(ours.id, 0)))
    known.overheard(ROOM, event(2, "its first words", by="@box:hs"))
    assert known.consider(nothing) == []
    assert known.there(ours, is_copy=True) is None
    assert known.consider(lambda _, remote_id: remote_id == "$2") == [(ROOM, "$1")]
    assert known.there(ours, is_copy=True) == "$1"
    copy = delivery("mt:a:9", ROOM, "bread")
    assert known.there(copy, is_copy=False, called=[ours.message.native_id]) == "$1"
    assert known.hears(ROOM.bridge)
    assert not known.hears(AIR.bridge)


def test_an_account_is_believed_as_long_as_the_box_that_named_its_words_belongs() -> None:
    known, ours = trusted(), delivery("mt:a:1", ROOM, "bread")
    known.overheard(ROOM, event(1, key_of(ours.id, 0)))
    assert known.consider(nothing) == []
    assert known.there(ours, is_copy=True) is None
    assert not known.hears(ROOM.bridge)


def test_what_this_box_says_itself_is_no_other_box() -> None:
    known, ours = trusted(), delivery("mt:a:1", ROOM, "bread")
    known.ours(ours)
    known.overheard(ROOM, replace(event(1, key_of(ours.id, 0)), is_ours=True))
    assert known.consider(lambda *_: True) == []


def test_what_this_box_tried_to_say_and_another_said_since_is_there() -> None:
    known, ours = trusted(), delivery("mt:a:1", ROOM, "bread")
    known.ours(ours)
    known.overheard(ROOM, event(1, key_of(ours.id, 0)))
    assert known.consider(only_the_first) == [(ROOM, "$1")]
    assert known.there(ours, is_copy=False) == "$1"


def test_whoever_writes_our_mark_beside_their_words_keeps_nothing_from_being_said() -> None:
    known, ours = overhearing(), delivery("mt:a:1", ROOM, "bread")
    known.overheard(ROOM, event(1, "of a box"))
    known.consider(lambda *_: True)
    known.overheard(ROOM, event(2, key_of(ours.id, 0), by="@stranger:hs"))
    assert known.consider(lambda _, remote_id: remote_id == "$1") == []
    assert known.there(ours, is_copy=True) is None


def only_the_first(_: Address, remote_id: RemoteId) -> bool:
    return remote_id == "$0"


def trusted(clock: ManualClock | None = None) -> Overhearing:
    known = overhearing(clock)
    known.overheard(ROOM, event(0, "of a box"))
    known.consider(lambda *_: True)
    return known


def test_words_that_a_box_said_stand_for_one_copy_each_and_for_none_that_is_the_speakers_own() -> None:
    known = trusted()
    for number in (1, 2):
        known.overheard(ROOM, event(number, "no key of ours", words="bo: hi"))
    known.consider(only_the_first)
    assert known.there(delivery("web:1", ROOM, "bo: hi"), is_copy=False) is None
    first, second, third = (delivery(f"mt:a:{n}", ROOM, "bo: hi") for n in range(3))
    assert [known.there(each, is_copy=True) for each in (first, first, second, third)] == ["$1", "$1", "$2", None]


def test_words_that_are_overheard_twice_over_stand_for_one_copy() -> None:
    known = trusted()
    for _ in range(2):
        known.overheard(ROOM, event(1, "no key of ours", words="bo: hi"))
        known.consider(only_the_first)
    first, second = (delivery(f"mt:a:{n}", ROOM, "bo: hi") for n in range(2))
    assert [known.there(each, is_copy=True) for each in (first, second)] == ["$1", None]


def test_words_that_were_there_for_long_before_they_were_looked_for_stand_for_no_copy() -> None:
    known = trusted()
    known.overheard(ROOM, replace(event(1, "no key of ours", words="bo: hi"), age_s=SAME_WORDS_S + 1))
    known.overheard(ROOM, replace(event(2, "nor this", words="bo: bread"), age_s=SAME_WORDS_S - 1))
    known.consider(only_the_first)
    assert known.there(delivery("mt:a:1", ROOM, "bo: hi"), is_copy=True) is None
    assert known.there(delivery("mt:a:2", ROOM, "bo: bread"), is_copy=True) == "$2"


def test_words_stand_for_a_copy_for_ten_minutes() -> None:
    clock = ManualClock()
    known = trusted(clock)
    known.overheard(ROOM, event(1, "no key of ours", words="bo: hi"))
    known.consider(only_the_first)
    clock.advance(SAME_WORDS_S + 1)
    assert known.there(delivery("mt:a:1", ROOM, "bo: hi"), is_copy=True) is None


def test_what_a_box_said_long_ago_tells_of_no_box_that_is_out_of_reach_now() -> None:
    known = trusted()
    known.overheard(ROOM, replace(event(1, "long ago"), age_s=APART_S + 1))
    known.overheard(ROOM, replace(event(2, "just now"), age_s=1.0))
    assert known.consider(only_the_first) == [(ROOM, "$2")]


def test_who_was_met_out_of_reach_is_there_for_ten_minutes_and_how_long_they_were_silent_is_known() -> None:
    clock = ManualClock()
    known = overhearing(clock)
    assert known.silent_s("mx:!town", no_word) is None
    for native in ("mx:$1", "mx:$2"):
        known.met("mx:!town", NativeId(native))
        clock.advance(5)
    assert known.silent_s("mx:!town", no_word) == 5
    assert known.silent_s("mx:!valley", no_word) is None
    clock.advance(APART_S)
    assert known.silent_s("mx:!town", no_word) is None


def test_who_was_heard_before_the_log_told_of_it_is_no_box_out_of_reach() -> None:
    known = overhearing()
    for native in ("mx:$1", "mx:$2"):
        known.met("mx:!town", NativeId(native))
    assert known.silent_s("mx:!town", lambda native: native == "mx:$1") is not None
    assert known.silent_s("mx:!town", lambda native: native == "mx:$2") is None


def no_word(_: NativeId) -> bool:
    return False
