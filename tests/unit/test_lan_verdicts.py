# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace

import pytest

from bridges.lan.event import BoxId, Event, FeedId
from bridges.lan.verdicts import PREFIX, Verdicts, body_of, entry_of, is_fading, is_for_all
from gateway.model import Matter, SenderId, Verdict

HILL, DALE, EVIL = (BoxId(letter * 32) for letter in "abc")
SPAM = (Matter.MUTE, "~spam@hilltop")
MUTE = Verdict(matter=Matter.MUTE, about=SPAM[1], by=SenderId("@op:x"), at_ms=1_800_000_000_000, for_s=60, why="floods")


def event(body: str, box: BoxId = HILL, hlc: int = 1_800_000_000_000 * 1024, native: str = f"{PREFIX}mute:1") -> Event:
    feed = FeedId(f"{box}-{'0' * 16}")
    return Event(feed=feed, seq=1, hlc=hlc, previous=b"", native=native, body=body, signature=b"")


def everyone(_: BoxId) -> bool:
    return True


def stands(verdicts: Verdicts, counts=everyone):
    found = verdicts.of(SPAM, counts)
    return None if found is None else (found[0], found[1].verdict.over)


@pytest.mark.parametrize(
    "verdict",
    [
        MUTE,
        replace(MUTE, for_s=None, ban=True),
        replace(MUTE, over=True, why=""),
        Verdict(matter=Matter.SLOW, about="town", by=SenderId("@op:x"), at_ms=5, every_s=30),
    ],
)
def test_what_is_written_is_read(verdict):
    entry = entry_of(event(body_of(verdict, 7)))
    assert entry is not None
    assert (entry.verdict, entry.place) == (verdict, 7)


@pytest.mark.parametrize(
    "change",
    [
        {"about": "@ali:example.org"},  # each box decides for itself about people of networks
        {"about": "!a1b2c301"},
        {"about": ""},
        {"about": "~spam@hill\ntop"},
        {"about": "x" * 2000},
        {"matter": "transmit"},
        {"matter": 5},
        {"by": None},
        {"at_ms": -1},
        {"for_s": 1e12},
        {"for_s": True},
        {"every_s": "soon"},
        {"place": 0},
        {"place": float("nan")},
        {"why": "x" * 20_000},
        {"kind": "add"},
    ],
)
def test_what_makes_no_sense_is_no_verdict(change):
    assert entry_of(event(json.dumps(json.loads(body_of(MUTE, 1)) | change))) is None


@pytest.mark.parametrize("body", ["", "[]", "{}", "[" * 5000, '"\\ud800"', '{"kind": "verdict"}'])
def test_what_is_no_verdict_is_none(body):
    assert entry_of(event(body)) is None
    assert entry_of(event(body_of(MUTE, 1), native="mx:$1")) is None


def test_rooms_and_people_at_pages_are_for_all_boxes_and_nobody_else_is():
    assert is_for_all(*SPAM)
    assert is_for_all(Matter.SLOW, "town")
    assert not is_for_all(Matter.MUTE, "@ali:example.org")
    assert not is_for_all(Matter.MUTE, "radio silence")
    assert not is_for_all(Matter.SLOW, "~ali@hilltop")


def test_the_same_word_stands_in_whatever_order_they_come():
    said = [
        event(body_of(MUTE, 1), HILL, hlc=900),
        event(body_of(replace(MUTE, over=True), 2), DALE, hlc=5),  # a box with a clock that was never set
        event(body_of(MUTE, 2), HILL, hlc=4),
    ]
    for order in itertools.permutations(said):
        verdicts = Verdicts(lambda _: None)
        for one in (*order, *order):
            assert verdicts.learn(one)
        assert stands(verdicts) == (DALE, True)
        assert verdicts.next_place(SPAM) == 3


def test_words_of_a_box_that_was_put_out_count_no_more_and_what_it_overruled_stands_again():
    verdicts = Verdicts(lambda _: None)
    verdicts.learn(event(body_of(MUTE, 1), HILL))
    verdicts.learn(event(body_of(replace(MUTE, over=True), 2**53), EVIL))
    assert stands(verdicts) == (EVIL, True)
    assert stands(verdicts, lambda box: box != EVIL) == (HILL, False)
    assert stands(verdicts, lambda _: False) is None


def test_what_was_decided_longest_ago_is_forgotten_past_the_bound_and_counted():
    counts: Counter[str] = Counter()
    verdicts = Verdicts(lambda what: counts.update([what]), most=3)
    for n in range(5):
        verdicts.learn(event(body_of(replace(MUTE, about=f"~n{n}@hilltop"), 1)))
    assert [about for _, about in verdicts.all()] == ["~n2@hilltop", "~n3@hilltop", "~n4@hilltop"]
    assert counts == {"lan_verdicts_full": 2}


def test_a_word_fades_at_half_of_what_the_log_keeps():
    entry = entry_of(event(body_of(MUTE, 1)))
    assert entry is not None
    assert not is_fading(entry, MUTE.at_ms + 499_000, retention_s=1000)
    assert is_fading(entry, MUTE.at_ms + 501_000, retention_s=1000)


def test_a_box_that_counts_up_to_the_end_keeps_nobody_from_deciding_once_it_is_put_out():
    verdicts = Verdicts(print)
    verdicts.learn(event(body_of(replace(MUTE, over=True), 2**53), EVIL))
    place = verdicts.next_place(SPAM)
    assert verdicts.learn(event(body_of(MUTE, place), HILL))  # else it is readable by nobody
    assert stands(verdicts, lambda box: box != EVIL) == (HILL, False)
    assert verdicts.next_place(SPAM) == place
    later = event(body_of(MUTE, place), DALE, hlc=event("").hlc + 1)
    assert verdicts.learn(later)
    assert stands(verdicts) == (DALE, False)
