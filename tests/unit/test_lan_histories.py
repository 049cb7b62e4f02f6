# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty boxes, cut, killed, cloned, put back, put out: whatever happened, in the end all have the same, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from bridges.lan.log import Log
from bridges.lan.store import Store
from tests.lan_histories import BEGAN_MS, BOXES, KINDS, Act, checked_once, founded, history, run, said_in_words

ACTS = st.lists(
    st.builds(
        Act,
        kind=st.sampled_from(KINDS),
        one=st.integers(0, BOXES - 1),
        other=st.integers(0, BOXES + 1),
        much=st.integers(0, 19),
    ),
    max_size=60,
)


@pytest.fixture(scope="module", autouse=True)
def _signatures() -> Iterator[None]:
    with checked_once():
        yield


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(acts=ACTS)
def test_after_any_history_all_who_belong_have_the_same_and_each_message_once(acts: list[Act]) -> None:
    note(said_in_words(acts))
    history(acts)


@pytest.mark.parametrize(
    "kinds",
    [
        "say age say meet",
        "image say meet image say",
        "clone say meet kill say",
        "say remove say meet join say",
        "lose say image say image",
    ],
)
def test_after_a_history_of_few_kinds_too(kinds: str) -> None:
    """Each kind for many boxes: chance alone rarely has so much of one."""
    acts = [Act(kind, n % BOXES, n * 7 % BOXES, n * 3) for n in range(8) for kind in kinds.split()]
    history(acts)


@pytest.mark.parametrize(
    "acts",
    [
        pytest.param(
            "kill-9-7-18 say-7-4-4 mend-19-16-4 say-0-18-6 say-0-12-15 meet-16-12-15 same-12-12-7 image-5-5-8 "
            "meet-2-8-8 say-2-12-0 meet-4-5-19 meet-16-21-13 meet-5-7-11 say-0-20-1 say-11-2-5 meet-0-11-2 say-6-4-5 "
            "kill-9-0-17 meet-17-13-18 say-17-11-2 meet-4-7-10 meet-16-17-0 say-0-15-11 meet-0-7-19 age-7-12-11 "
            "meet-18-1-11 say-1-3-9 meet-9-17-9 meet-5-3-18 say-4-17-5 age-15-13-11 image-17-8-18 meet-15-10-8 "
            "meet-8-5-12 say-0-12-11 say-14-3-16 same-3-15-0 kill-13-14-9 kill-14-21-2 say-5-0-18 say-7-1-18 "
            "say-9-9-3 say-6-19-4 meet-9-12-18",
            id="7005154: a box ran on for months without a word, and some forgot its feed",
        ),
        pytest.param(
            "join-7-16-19 remove-4-7-6 meet-1-7-16 lose-16-1-9",
            id="6088: a box was put out before anybody but one heard whom it had let in",
        ),
        pytest.param(
            "remove-7-14-9 lose-14-17-14 remove-1-7-3 meet-14-6-18 meet-7-6-16",
            id="47000864: a box was put out by one that had been put out itself",
        ),
    ],
)
def test_histories_that_once_ended_otherwise_end_well(acts: str) -> None:
    """By the seed that found each; what is chance in them, such as who comes to drop old things, stays the same."""
    told = [each.split("-") for each in acts.split()]
    history([Act(kind, int(one), int(other), int(much)) for kind, one, other, much in told])


def test_two_boxes_that_can_not_become_equal_leave_it_at_a_few_words() -> None:
    """A feed that was written two ways differs for ever: telling so a thousand times at each meeting stalls both."""
    world = founded("fork")
    one, other, writer = world.nodes[1:4]
    for node, words in ((one, 1), (other, 3)):
        twin = Log(Store(":memory:"), writer.key, world.root, start=1)
        for number in range(words):
            twin.append(f"web:{node.number}/{number}", "{}", BEGAN_MS)
        run(node.held.write(lambda log, twin=twin: log.take(twin.delta({}), BEGAN_MS)))
    world.meet(other, one)
    assert 1 < world.posts < 10
    before = world.posts
    world.meet(other, one)
    assert world.posts == before + 1  # it is settled for a minute
    one.say("web:1/new")
    world.meet(one, other)
    assert other.log.knows("web:1/new")


def test_a_box_knows_that_it_is_being_told_of_a_split_until_it_has_all() -> None:
    world = founded("behind")
    one, other = world.nodes[1:3]
    for number in range(700):
        one.log.append(f"web:1/{number}", "{}", BEGAN_MS)
    run(one.held.write(lambda log: None))
    assert not other.exchange.is_behind()
    world.meet(other, one, carried=2)
    assert 0 < other.log.frontier()[one.log.feed] < 700
    assert other.exchange.is_behind()
    world.meet(other, one)
    assert other.log.frontier()[one.log.feed] == 700
    assert not other.exchange.is_behind()
    assert not one.exchange.is_behind()
