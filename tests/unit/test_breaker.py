# SPDX-License-Identifier: GPL-3.0-or-later
"""When a whole network is left alone, and how it is found to be back."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backoff import LONGEST_WAIT_S
from gateway.breaker import FIRST_PAUSE_S, SUSPECTS, Breaker, BreakerState
from gateway.model import AuthFailed, LinkDown, NotThere, RateLimited, Rejected, TransientError, Unconfirmed

LONGEST_S = 5.0


def breaker(seed=1):
    return Breaker(random.Random(seed), longest_s=LONGEST_S, now=0.0)


def opened(*, wish_s=None, at=0.0):
    found = breaker()
    found.failed("first", "town", LinkDown("unplugged", retry_after_s=wish_s), at)
    return found


def state(found, now):
    return found.look(now).state


def test_a_network_of_which_nothing_is_known_is_sent_to():
    assert breaker().admit("a", 0.0)
    assert breaker().wait_s(0.0) == 0.0


@pytest.mark.parametrize("error", [LinkDown("unplugged"), AuthFailed("no"), RateLimited("wait", for_all=True)])
def test_a_failure_of_the_whole_network_opens_it_at_once_and_says_why(error):
    found = breaker()

    assert found.failed("a", "town", error, 0.0)
    assert not found.admit("b", 0.0)
    assert (state(found, 0.0), found.look(0.0).reason) == (BreakerState.OPEN, str(error))


def test_it_holds_nothing_back_once_the_next_message_may_find_out_but_while_one_does():
    found = opened()
    assert found.look(0.0).holds_back
    assert not found.look(10.0).holds_back
    found.admit("probe", 10.0)
    assert found.look(10.0).holds_back
    found.answered("probe", 10.0)
    assert not found.look(10.0).holds_back


def test_one_conversation_that_gets_no_answer_is_its_own_trouble_however_often():
    found = breaker()

    assert not any(found.failed("a", "town", Unconfirmed("silence"), 0.0) for _ in range(20))
    assert found.admit("b", 0.0)


def test_several_different_conversations_without_an_answer_are_the_networks_trouble():
    found = breaker()
    blamed = [found.failed("a", f"room {n}", Unconfirmed("silence"), 0.0) for n in range(SUSPECTS)]

    assert blamed == [False] * (SUSPECTS - 1) + [True]
    assert found.look(0.0).reason == "3 conversations in a row without an answer: silence"


@pytest.mark.parametrize("error", [None, Rejected("too big"), NotThere("no room"), RateLimited("this room only")])
def test_any_answer_in_between_clears_the_network(error):
    found = breaker()
    found.failed("a", "one", Unconfirmed("silence"), 0.0)
    found.failed("a", "two", Unconfirmed("silence"), 0.0)
    if error is None:
        found.answered("b", 0.0)
    else:
        assert not found.failed("b", "four", error, 0.0)

    assert not found.failed("a", "three", Unconfirmed("silence"), 0.0)


def test_the_answer_to_the_probe_closes_it_and_the_pauses_begin_anew():
    found = opened()
    for n in range(20):
        found.admit(f"probe {n}", n * 10.0)
        found.failed(f"probe {n}", "town", LinkDown("unplugged"), n * 10.0)
    assert found.admit("last", 1000.0)
    assert state(found, 1000.0) is BreakerState.HALF_OPEN
    found.answered("last", 1000.0)

    assert state(found, 1000.0) is BreakerState.CLOSED
    found.failed("a", "town", LinkDown("unplugged"), 2000.0)
    assert found.wait_s(2000.0) <= FIRST_PAUSE_S
    assert found.opened == 2


def test_a_refusal_of_the_probe_itself_is_an_answer():
    found = opened()
    assert found.admit("probe", 10.0)

    assert not found.failed("probe", "town", Rejected("too big"), 10.0)
    assert state(found, 10.0) is BreakerState.CLOSED


def test_silence_for_the_probe_is_the_networks_fault():
    found = opened()
    assert found.admit("probe", 10.0)

    assert found.failed("probe", "town", Unconfirmed("silence"), 10.0)
    assert state(found, 10.0) is BreakerState.OPEN


def test_a_probe_of_which_nothing_is_heard_makes_room_for_another():
    found = opened()
    assert found.admit("probe", 10.0)
    assert not found.admit("other", 10.0)
    assert found.wait_s(10.0) is None
    found.release("probe")

    assert found.admit("other", 10.0)


@given(st.floats(0.001, 1e6))
def test_what_the_network_asked_for_is_kept_though_others_still_come_through_and_the_link_is_made_anew(wish_s):
    found = breaker()
    found.failed("a", "town", RateLimited("wait", retry_after_s=wish_s, for_all=True), 100.0)
    found.answered("b, on its way since before", 100.0)
    found.link_is_up(100.0)

    kept_s = min(wish_s, LONGEST_WAIT_S)
    assert found.wait_s(100.0) == pytest.approx(kept_s)
    assert not found.admit("c", 100.0 + kept_s * 0.99)
    assert found.admit("c", 100.0 + kept_s * 1.01)


def test_of_two_wishes_the_longer_holds():
    found = breaker()
    for wish_s in (10.0, 60.0, 5.0):
        found.failed("a", "town", RateLimited("wait", retry_after_s=wish_s, for_all=True), 0.0)

    assert found.wait_s(0.0) == 60.0


def test_a_link_that_is_made_anew_is_tried_at_once():
    found = opened()
    found.link_is_up(0.1)

    assert found.admit("a", 0.1)


def test_a_probe_that_is_overtaken_by_a_new_link_holds_nothing_back():
    found = opened()
    assert found.admit("probe", 10.0)
    found.link_is_up(10.0)

    assert found.wait_s(10.0) == 0.0
    assert found.admit("a", 10.0)


def test_failures_of_what_was_on_its_way_make_no_pause_longer():
    found = opened()
    before = found.wait_s(0.0)
    for n in range(9):
        assert found.failed(f"{n}", f"room {n}", LinkDown("unplugged"), 0.0)

    assert found.wait_s(0.0) == before


@given(st.integers())
def test_pauses_stay_between_half_a_step_and_a_whole_one(seed):
    found = Breaker(random.Random(seed), longest_s=LONGEST_S, now=0.0)
    now, steps = 0.0, (FIRST_PAUSE_S * 2**n for n in itertools.count())
    for step in itertools.islice(steps, 10):
        found.admit("probe", now)
        found.failed("probe", "town", LinkDown("unplugged"), now)
        pause_s = found.wait_s(now)
        assert min(step, LONGEST_S) / 2 <= pause_s <= min(step, LONGEST_S)
        now += pause_s


errors = st.sampled_from(
    [
        LinkDown("down"),
        Unconfirmed("silence"),
        RateLimited("wait", retry_after_s=3.0, for_all=True),
        RateLimited("this room"),
        Rejected("no"),
        TransientError("what"),
    ]
)
moves = st.one_of(
    st.tuples(st.just("admit"), st.integers(0, 5)),
    st.tuples(st.just("answered"), st.integers(0, 5)),
    st.tuples(st.just("failed"), st.integers(0, 5), errors),
    st.tuples(st.just("wait"), st.floats(0, 8)),
    st.tuples(st.just("link")),
)


OPENING = [("admit", 0), ("failed", 0, LinkDown("down"))]


@settings(max_examples=400)
@given(st.sampled_from([[], OPENING]), st.lists(moves, min_size=8, max_size=60), st.integers())
def test_while_it_is_not_closed_one_at_most_is_let_out_and_nothing_costs_an_attempt(opening, story, seed):
    found = Breaker(random.Random(seed), longest_s=LONGEST_S, now=0.0)
    now, number = 0.0, 0
    out: list[str] = []  # what is on its way; probes too
    probes: list[str] = []
    for name, *args in opening + story:
        was_closed = found.is_closed
        if name == "admit":
            number += 1
            if found.admit(f"{number}", now):
                assert was_closed or not probes
                out.append(f"{number}")
                probes += [] if was_closed else [f"{number}"]
        elif name in ("answered", "failed") and out:
            ident = out.pop(args[0] % len(out))
            probes = [probe for probe in probes if probe != ident]
            if name == "answered":
                found.answered(ident, now)
            else:
                is_down = found.failed(ident, f"room {ident}", args[1], now)
                # What may be charged is silence while the network is thought to be there.
                assert was_closed or is_down or not isinstance(args[1], Unconfirmed | LinkDown)
        elif name == "wait":
            now += args[0]
        elif name == "link":
            found.link_is_up(now)
        if found.is_closed:
            probes = []
