# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random

from bridges.meshtastic.node.announcing import APART_S, EVERY_S, FIRST_AFTER_S, JITTER_S, Announcing
from bridges.meshtastic.node.bucket import Bucket

ALI, BEA = 0xA1B2C301, 0xA1B2C302


def announcing(since_s: float | None = None) -> Announcing:
    return Announcing(random=random.Random(1), now=0.0, since_s=since_s)


def first_due(made: Announcing) -> int:
    return next(second for second in range(10_000) if made.is_due(second))


def test_two_gateways_that_start_together_do_not_speak_together():
    whens = {first_due(Announcing(random=random.Random(seed), now=0.0)) for seed in range(20)}

    assert len(whens) > 5
    assert min(whens) >= FIRST_AFTER_S
    assert max(whens) <= FIRST_AFTER_S + JITTER_S + 1


def test_once_said_it_is_not_due_for_three_hours():
    made = announcing()
    said = first_due(made)

    assert not made.is_due(said + EVERY_S - 1)
    assert made.is_due(said + EVERY_S + JITTER_S)


def test_what_was_said_in_an_earlier_life_counts_unless_the_clock_was_set_back():
    assert first_due(announcing(since_s=100.0)) == APART_S - 100
    assert first_due(announcing(since_s=-5000.0)) == APART_S
    assert first_due(announcing(since_s=1e9)) <= FIRST_AFTER_S + JITTER_S + 1
    assert announcing(since_s=-5000.0).may_answer(ALI, 60.0)


def test_who_asks_again_within_ten_minutes_is_not_answered_and_another_is_after_one():
    made = announcing()
    assert made.may_answer(ALI, 1000.0)
    assert not made.may_answer(BEA, 1059.0)
    assert made.may_answer(BEA, 1060.0)
    assert not made.may_answer(ALI, 1599.0)
    assert made.may_answer(ALI, 1600.0)


def test_a_stranger_is_asked_once_an_hour_and_one_in_ten_minutes():
    made = announcing()
    assert made.may_ask(ALI, 1000.0)
    assert not made.may_ask(BEA, 1599.0)
    assert made.may_ask(BEA, 1600.0)
    assert not made.may_ask(ALI, 4599.0)
    assert made.may_ask(ALI, 4600.0)


def test_who_lacks_our_key_is_told_even_if_somebody_was_told_a_minute_ago():
    made = announcing()
    assert made.may_ask(ALI, 1000.0)
    assert not made.may_urge(BEA, 1059.0)
    assert made.may_urge(BEA, 1060.0)
    assert not made.may_urge(BEA, 1119.0)


def test_a_bucket_gives_what_it_holds_and_then_one_at_a_time():
    bucket = Bucket(most=3, every_s=2.0, now=100.0)

    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(101.9), bucket.take(102.0), bucket.take(102.0)] == [False, True, False]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]
