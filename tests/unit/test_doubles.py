# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of two boxes that said the same in the same moment takes its own back."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from gateway.doubles import MOST_ALIKE, MOST_OWED, SAME_WORDS_S, Doubles
from gateway.model import Address, BridgeName, DeliveryId, Overheard, RemoteId

ROOM = Address(BridgeName("home"), "town")
LINE, COPY = DeliveryId("line"), DeliveryId("copy")


def event(name: str, at_ms: int = 0, words: str = "") -> Overheard:
    return Overheard(key="line.0", by="@box:hs", remote_id=RemoteId(name), at_ms=at_ms, words=words)


def taken_back(doubles: Doubles) -> list[tuple[str, str]]:
    return [(double.ours, double.theirs) for double in doubles.owed.values()]


@pytest.mark.parametrize("times", list(itertools.product((5, 7), repeat=3)))
def test_each_of_several_boxes_finds_by_itself_which_stands_in_whatever_order_it_sees_them(
    times: tuple[int, ...],
) -> None:
    events = [event(name, at_ms) for name, at_ms in zip(("$a", "$b", "$c"), times, strict=True)]
    first = min(events, key=lambda one: (one.at_ms, one.remote_id))
    for seen in itertools.permutations(events):
        left = {one.remote_id for one in events}
        for own in events:
            doubles = Doubles()
            for one in seen:
                doubles.see(ROOM, LINE, one, is_own=one is own)
            for double in doubles.owed.values():
                assert double.theirs == first.remote_id
                left.discard(double.ours)
        assert left == {first.remote_id}


def test_what_is_seen_again_or_is_another_line_or_elsewhere_is_no_double() -> None:
    doubles = Doubles()
    for _ in range(2):
        doubles.see(ROOM, LINE, event("$a"), is_own=True)
    doubles.see(ROOM, LINE, replace(event("$b"), key="line.1"), is_own=True)  # sent anew on purpose
    doubles.see(ROOM, COPY, replace(event("$b"), key="copy.0"), is_own=True)
    doubles.see(Address(ROOM.bridge, "hill"), LINE, event("$c"), is_own=True)
    assert taken_back(doubles) == []


def test_a_copy_goes_for_the_words_it_is_a_copy_of_one_for_one_and_words_never_for_a_copy() -> None:
    doubles = Doubles()
    for name in ("$1", "$2"):
        doubles.carries(COPY, "bo: hi")
        assert doubles.copy(ROOM, COPY, RemoteId(name), 0.0) == "bo: hi"
    assert doubles.copy(ROOM, COPY, RemoteId("$2"), 0.0) is None
    assert not doubles.original(ROOM, event("$8", words="bo: bread"), 1.0)
    assert [doubles.original(ROOM, event(f"$9{n}", words="bo: hi"), 1.0) for n in range(3)] == [True, True, False]
    assert taken_back(doubles) == [("$1", "$90"), ("$2", "$91")]


def test_a_copy_goes_for_words_of_ten_minutes_at_most() -> None:
    doubles = Doubles()
    doubles.carries(COPY, "bo: hi")
    doubles.copy(ROOM, COPY, RemoteId("$1"), 0.0)
    assert not doubles.original(ROOM, event("$9", words="bo: hi"), SAME_WORDS_S + 1)


def test_of_more_than_can_be_owed_the_oldest_stands() -> None:
    doubles = Doubles()
    for number in range(MOST_OWED + 1):
        for name, at_ms in (("$a", 1), ("$b", 2)):
            said = replace(event(f"{name}{number}", at_ms), key=f"{number}.0")
            doubles.see(ROOM, DeliveryId(str(number)), said, is_own=name == "$b")
    assert len(doubles.owed) == MOST_OWED
    assert (ROOM, RemoteId("$b0")) not in doubles.owed


def test_who_writes_one_key_again_and_again_is_not_remembered_without_end() -> None:
    doubles = Doubles()
    doubles.see(ROOM, LINE, event("$ours", 5), is_own=True)
    for number in range(MOST_ALIKE - 1):
        doubles.see(ROOM, LINE, event(f"${number}", 10), is_own=False)
    doubles.see(ROOM, LINE, event("$early", 1), is_own=False)
    assert taken_back(doubles) == []


def test_of_two_events_of_ours_with_one_key_the_later_is_not_called_another_boxs() -> None:
    doubles = Doubles()
    for at_ms in (5, 6):
        doubles.see(ROOM, LINE, event(f"${at_ms}", at_ms), is_own=True)
    assert taken_back(doubles) == []
