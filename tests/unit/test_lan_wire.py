# SPDX-License-Identifier: GPL-3.0-or-later
"""What boxes say to each other survives the wire; nonsense is refused in words, never with another error."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bridges.lan.batch import MOST_FEEDS
from bridges.lan.conduct import BURST, ENOUGH, LONGEST_S, SHUT_OUT_S, Conduct, Rates
from bridges.lan.event import BEFORE_FIRST, BoxId, Event, FeedId, Malformed, box_id, feed_id, from_wire, written
from bridges.lan.presence import Detail, Told
from bridges.lan.statements import statement_of
from bridges.lan.wire import EVENT_BYTES, MOST_BYTES, MOST_EVENTS, Offer, body_of, fitting, read

KEY = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
BOX = box_id(KEY.public_key())
FEED = feed_id(BOX, 1)
DIGEST = "0" * 32


def event(seq: int = 1, body: str = "{}", native: str = "web:a/1") -> Event:
    return written(KEY, feed=FEED, seq=seq, hlc=seq, previous=BEFORE_FIRST, native=native, body=body)


def full(**more: Any) -> Offer:
    detail = Detail(name="Hügel", serving=frozenset({"mx:!a:b"}), addresses=("[fe80::1]:8448",))
    told = [Told(feed=FEED, beat=3, since=2, age_ms=1, detail=detail), Told(feed=FEED, beat=3, since=2, age_ms=1)]
    given: dict[str, Any] = {"frontier": {FEED: 2}, "bases": {FEED: 1}, "events": [event()], "told": told} | more
    return Offer(feed=FEED, port=8448, have=DIGEST, believe=DIGEST, **given)


def test_an_offer_is_read_as_it_was_said() -> None:
    for offer in (full(), Offer(feed=FEED, have=DIGEST, believe=DIGEST, events=[], statements=[], told=[])):
        again = read(body_of(offer))
        assert (again.frontier, again.bases, list(again.events)) == (offer.frontier, offer.bases, list(offer.events))
        assert (again.feed, again.port, list(again.told)) == (offer.feed, offer.port, list(offer.told))


def test_the_largest_offer_fits_one_body() -> None:
    feeds = {FeedId(f"{BOX}-{number:016x}"): 2**40 for number in range(MOST_FEEDS)}
    events = fitting(event(seq + 1, body="ü\0" * 3000) for seq in range(400))
    assert len(body_of(full(frontier=feeds, bases=feeds, events=events, statements=events))) < MOST_BYTES


def test_one_event_at_least_and_no_more_than_fit_go_into_a_body() -> None:
    assert fitting([]) == []
    assert len(fitting([event(body="\0" * 16384)] * 30)) == EVENT_BYTES // (16384 * 6)
    assert len(fitting([event()] * 900)) == MOST_EVENTS


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"feed": "x"},
        {"port": -1},
        {"port": True},
        {"have": "zz"},
        {"believe": 7},
        {"frontier": {"x": 1}},
        {"frontier": {FEED: -1}},
        {"frontier": {FEED: 1.5}},
        {"frontier": []},
        {"bases": None},
        {"events": {}},
        {"events": [[]]},
        {"events": [None] * (MOST_EVENTS + 1)},
        {"statements": 1},
        {"told": [[FEED, 1, 1]]},
        {"told": [[FEED, 1, 1, -1]]},
        {"told": [[FEED, 1, 1, 1, ["a"]]]},
        {"told": [[FEED, 1, 1, 1, ["a" * 65, [], []]]]},
        {"told": [[FEED, 1, 1, 1, ["a\n", [], []]]]},
        {"told": [[FEED, 1, 1, 1, ["a", ["b"] * 129, []]]]},
        {"told": [[FEED, 1, 1, 1, ["a", [], [7]]]]},
    ],
)
def test_what_is_no_offer_is_refused(change: dict[str, Any]) -> None:
    said = json.loads(body_of(full())) | change
    with pytest.raises(Malformed):
        read(json.dumps(said).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(FEED) | st.just(DIGEST),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["v", "feed", "port", "have", "believe", "frontier", "bases", "events", "statements", "told"]


@given(field=st.sampled_from(KEYS), value=JSON)
def test_whatever_stands_in_a_field_is_read_or_refused(field: str, value: Any) -> None:
    said = json.loads(body_of(full())) | {field: value}
    with contextlib.suppress(Malformed):
        read(json.dumps(said).encode())


@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(Malformed):
        read(b"[" * 100_000)


@given(place=st.integers(0, 6), value=JSON)
def test_an_event_with_anything_in_a_field_is_read_or_refused(place: int, value: Any) -> None:
    raw = json.loads(body_of(full()))["events"][0]
    raw[place] = value
    with contextlib.suppress(Malformed):
        from_wire(raw)


@given(
    said=JSON
    | st.fixed_dictionaries(
        {"kind": st.sampled_from(["add", "remove"])},
        optional={"key": JSON, "name": JSON, "box": JSON, "frontier": JSON},
    )
)
def test_a_statement_with_anything_in_it_says_something_or_nothing(said: Any) -> None:
    statement_of(event(body=json.dumps(said), native=""))


def test_a_box_that_writes_without_end_is_taken_at_a_pace_and_the_others_are_not_held_up() -> None:
    rates = Rates()
    flood = [event()] * (BURST + 500)
    taken, refused = rates.within(flood, 0.0)
    assert (len(taken), refused) == (BURST, 500)
    rates.spend(taken, 0.0)
    assert len(rates.within([event()] * 200, 1.0)[0]) == 100
    other = Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32)
    theirs = written(
        other, feed=feed_id(box_id(other.public_key()), 1), seq=1, hlc=1, previous=BEFORE_FIRST, native="", body="{}"
    )
    assert rates.within([theirs], 1.0) == ([theirs], 0)


def test_a_box_is_shut_out_for_longer_each_time_and_forgiven_what_is_long_ago() -> None:
    conduct = Conduct()
    forged = {"event_forged": 1}
    now_s, shut = 0.0, []
    for _ in range(10):
        while not conduct.note(BOX, forged, now_s):
            assert conduct.shut_out_s(BOX, now_s) == 0
        shut.append(conduct.shut_out_s(BOX, now_s))
        now_s += shut[-1] + 1
    assert shut[:3] == [SHUT_OUT_S, 2 * SHUT_OUT_S, 4 * SHUT_OUT_S]
    assert shut[-1] == LONGEST_S
    slow = Conduct()
    assert not any(slow.note(BoxId("b"), forged, hour * 3600.0) for hour in range(20))
    assert not slow.note(BOX, {"event_gap": 10_000, "feed_forked": 9, "event_known": 9}, 0.0)
    assert ENOUGH > 0


def test_shuffled_bytes_of_an_offer_never_raise_anything_else() -> None:
    chance = random.Random(4)
    body = bytearray(body_of(full()))
    for _ in range(3000):
        broken = bytearray(body)
        for _ in range(chance.randrange(1, 4)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with contextlib.suppress(Malformed):
            read(bytes(broken))
