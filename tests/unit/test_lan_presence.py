# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is there and what they serve, as boxes pass it on."""

from __future__ import annotations

from dataclasses import replace

from bridges.lan.event import BoxId, FeedId, box_of, feed_id
from bridges.lan.presence import FRESHER_S, LIVE_S, Detail, Presence, Shown, Told

FEEDS = [feed_id(BoxId(str(number) * 32), number) for number in range(4)]
A, B, C, D = map(box_of, FEEDS)
ALL = (A, B, C, D)


def box(number: int, *serving: str) -> Presence:
    return Presence(FEEDS[number], Detail(name=f"box {number}", serving=frozenset(serving)))


def shown(one: Presence, now_s: float) -> dict[FeedId, Shown]:
    """What a box shows to know by what it tells."""
    told = one.told({}, now_s)
    return {t.feed: Shown(since=t.since, heard_s=now_s - t.age_ms / 1000, noted_s=now_s) for t in told}


def tell(one: Presence, other: Presence, now_s: float, known: dict | None = None) -> bool:
    return other.heard(one.told(known or {}, now_s), ALL, now_s)


def test_what_a_box_serves_is_told_on_over_boxes_between() -> None:
    a, b, c = box(0, "mx:!r:x"), box(1), box(2)
    tell(a, b, 0)
    tell(b, c, 5)
    assert c.live(5) == {A: {"mx:!r:x"}, B: frozenset(), C: frozenset()}


def test_a_box_that_is_silent_for_half_a_minute_is_gone_wherever_it_was_heard() -> None:
    a, b, c = box(0), box(1), box(2)
    tell(a, b, 0)
    tell(b, c, 10)
    assert A in c.live(LIVE_S - 0.1)
    assert A not in c.live(LIVE_S + 0.1)


def test_boxes_that_tell_each_other_of_a_dead_one_do_not_keep_it_alive() -> None:
    a, b, c = box(0), box(1), box(2)
    tell(a, b, 0)
    for now_s in range(0, 60, 2):
        told = b.told({}, now_s)
        c.heard(told, ALL, now_s + 1.5)  # a slow way
        b.heard(c.told({}, now_s + 1.5), ALL, now_s + 1.9)
    assert A not in b.live(60)
    assert A not in c.live(60)


def test_a_detail_is_told_once_and_again_when_it_changed() -> None:
    a, b = box(0, "mx:!r:x"), box(1)
    assert tell(a, b, 0)
    known = shown(b, 0)
    assert a.told(known, 1)[0].detail is None
    assert a.become(Detail(name="box 0"))
    assert not a.become(Detail(name="box 0"))
    assert tell(a, b, 2, known)
    assert b.live(2)[A] == frozenset()


def test_a_box_that_started_anew_takes_the_place_of_its_earlier_start() -> None:
    a, b = box(0, "old"), box(1)
    tell(a, b, 0)
    again = Presence(feed_id(A, 99), Detail(serving=frozenset({"new"})))
    tell(again, b, 1)
    late = a.told({}, 0.5)
    b.heard([replace(each, age_ms=1500) for each in late], ALL, 2)
    assert b.live(2)[A] == {"new"}


def test_a_box_that_is_back_is_news() -> None:
    a, b = box(0), box(1)
    tell(a, b, 0)
    known = shown(b, 0)
    assert not tell(a, b, 1, known)
    assert tell(a, b, 100, known)


def test_strangers_are_not_noted_and_nobody_says_anything_of_ourselves() -> None:
    a, b = box(0), box(1)
    stranger = Told(feed=feed_id(BoxId("f" * 32), 1), beat=1, since=1, age_ms=0, detail=Detail())
    of_us = Told(feed=feed_id(A, 7), beat=9, since=9, age_ms=0, detail=Detail(serving=frozenset({"lie"})))
    assert not a.heard([stranger, of_us], ALL, 0)
    assert a.live(0) == {A: frozenset()}
    tell(b, a, 0)
    a.forget([A])
    assert a.live(0) == {A: frozenset()}


def test_no_age_is_below_nothing() -> None:
    a, b, c = box(0), box(1), box(2)
    tell(a, b, 5)
    assert all(told.age_ms >= 0 for told in b.told({}, 4.9))
    assert not c.heard([], ALL, 0)


def test_many_details_are_told_in_pieces() -> None:
    a = box(0)
    boxes = [BoxId(f"{number:032x}") for number in range(200)]
    served = frozenset(f"mx:!{'x' * 200}{n}:example.org" for n in range(10))
    a.heard(
        [Told(feed=feed_id(b, 1), beat=1, since=1, age_ms=0, detail=Detail(serving=served)) for b in boxes], boxes, 0
    )
    b = box(1)
    known: dict = {}
    rounds = 0
    while len(b.live(0)) < 200 and (rounds := rounds + 1) < 100:
        b.heard(a.told(known, 0), [*boxes, A], 0)
        known = shown(b, 0)
    assert 5 < rounds < 30


def test_of_a_third_box_is_told_what_the_other_end_does_not_have_as_fresh() -> None:
    a, b = box(0), box(1)
    tell(a, b, 0)
    known = {FEEDS[0]: Shown(since=1, heard_s=0, noted_s=0), FEEDS[1]: Shown(since=1, heard_s=0, noted_s=0)}
    tell(a, b, FRESHER_S)
    assert [told.feed for told in b.told(known, FRESHER_S)] == [FEEDS[1]]
    tell(a, b, FRESHER_S + 0.1)
    assert [told.feed for told in b.told(known, FRESHER_S + 0.1)] == [FEEDS[1], FEEDS[0]]


def test_whoever_was_told_a_detail_says_whether_it_has_it() -> None:
    a, b, c = box(0), box(1), box(2)
    tell(a, b, 0)
    told = b.told({}, 0)
    c.heard(told, [B, C], 0)  # it doesn't believe yet that A belongs
    assert c.to_answer(told) == [FEEDS[1]]
    without_detail = [replace(each, detail=None) for each in told]
    assert c.to_answer(without_detail) == [FEEDS[0]]
    answer = c.told({}, 0, c.to_answer(without_detail))
    assert [(each.feed, each.since) for each in answer if each.feed == FEEDS[0]] == [(FEEDS[0], 0)]
    c.heard(told, ALL, 0)
    assert c.to_answer(told) == [FEEDS[1], FEEDS[0]]
