# SPDX-License-Identifier: GPL-3.0-or-later
"""When to try again."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backoff import LONGEST_WAIT_S, GiveUp, Policy, TryAgain, delays
from gateway.model import AuthFailed, LinkDown, NotThere, ProtocolError, RateLimited, Rejected, Unconfirmed


@given(st.integers(), st.floats(0.01, 10), st.floats(10, 1000))
def test_pauses_grow_to_the_longest_and_never_past_it(seed, first, longest):
    pauses = list(itertools.islice(delays(random.Random(seed), first_s=first, longest_s=longest), 40))

    assert all(first / 2 <= pause <= longest for pause in pauses)
    assert pauses[-1] >= longest / 2


@pytest.mark.parametrize("error", [LinkDown("gone"), RateLimited("wait"), NotThere("no room"), AuthFailed("no")])
def test_a_network_that_is_away_or_busy_costs_no_attempt_however_often(error):
    decision = Policy(attempts=2).after(error, attempt=1000, random=random.Random(1))

    assert isinstance(decision, TryAgain)
    assert not decision.counted


@given(st.integers(), st.integers(0, 10**6))
def test_a_conversation_that_stays_missing_is_looked_for_less_and_less_often(seed, absent):
    decision = Policy().after(NotThere("no room"), attempt=1, random=random.Random(seed), absent=absent)

    assert isinstance(decision, TryAgain)
    step = min(300.0, 15.0 * 2 ** min(absent, 10))
    assert step / 2 <= decision.after_s <= step


@pytest.mark.parametrize("error", [Rejected("too big"), ProtocolError("what")])
def test_what_no_retry_can_mend_is_given_up_at_once(error):
    decision = Policy().after(error, attempt=1, random=random.Random(1))

    assert isinstance(decision, GiveUp)


@given(st.integers(1, 10_000), st.integers())
def test_while_the_network_is_down_even_silence_costs_nothing(attempt, seed):
    decision = Policy(attempts=2).after(
        Unconfirmed("silence"), attempt=attempt, random=random.Random(seed), is_down=True
    )

    assert isinstance(decision, TryAgain)
    assert not decision.counted


@given(st.integers(1, 60), st.integers())
def test_a_conversation_backs_off_between_half_and_the_whole_of_a_step_that_doubles(attempt, seed):
    policy = Policy(first_s=1.0, longest_s=300.0, attempts=100)
    decision = policy.after(Unconfirmed("silence"), attempt=attempt, random=random.Random(seed))
    step = min(300.0, 2.0 ** (attempt - 1))

    assert isinstance(decision, TryAgain)
    assert step / 2 <= decision.after_s <= step


def test_an_unconfirmed_send_is_given_up_after_its_attempts_with_a_reason():
    policy = Policy(attempts=3)

    assert isinstance(policy.after(Unconfirmed("silence"), attempt=2, random=random.Random(1)), TryAgain)
    assert policy.after(Unconfirmed("silence"), attempt=3, random=random.Random(1)) == GiveUp(
        reason="silence (after 3 attempts)"
    )


@given(st.floats(0, 1e6), st.integers(1, 10_000))
def test_the_networks_own_wish_is_honoured_within_reason(wish, attempt):
    decision = Policy().after(RateLimited("wait", retry_after_s=wish), attempt=attempt, random=random.Random(1))

    assert isinstance(decision, TryAgain)
    assert min(wish, LONGEST_WAIT_S) <= decision.after_s <= LONGEST_WAIT_S


def test_a_fresh_key_is_asked_for_only_when_the_network_wants_one():
    policy = Policy()

    assert policy.after(RateLimited("nak", fresh_key=True), attempt=1, random=random.Random(1)).fresh_key
    assert not policy.after(RateLimited("full"), attempt=1, random=random.Random(1)).fresh_key
    assert policy.after(NotThere("no channel", fresh_key=True), attempt=1, random=random.Random(1)).fresh_key
