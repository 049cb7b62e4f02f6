# SPDX-License-Identifier: GPL-3.0-or-later
"""Some boxes forgot a feed, others keep it, and its box goes on: what it says from then on reaches all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridges.lan import conduct, exchange
from bridges.lan.batch import MOST_FEEDS_OF_ONE
from bridges.lan.event import box_id, feed_id, written
from bridges.lan.feeds import FORGOTTEN_MS
from bridges.lan.hlc import COUNTS
from bridges.lan.log import Log
from bridges.lan.membership import Add, Remove
from bridges.lan.store import Store
from tests.lan_histories import BEGAN_MS, DAY_S, FOUNDERS, RETENTION_S, Node, World, checked_once, founded, key_of, run

A_PAGE = 20
LATER_S = RETENTION_S + FORGOTTEN_MS / 1000 + 3 * DAY_S
NOW_MS = BEGAN_MS + int(LATER_S * 1000)


@pytest.fixture(scope="module", autouse=True)
def _signatures() -> Iterator[None]:
    with checked_once():
        yield


def later(world: World, *forgetting: Node) -> None:
    """Let so much time pass that these boxes drop what there is, and forget the feeds."""
    world.time.passed_s += RETENTION_S + DAY_S
    for node in forgetting:
        node.shorten()
    world.time.passed_s += FORGOTTEN_MS / 1000 + DAY_S
    for node in forgetting:
        node.shorten()


def parted(words: int = 2) -> tuple[World, Node, Node, Node]:
    """Return a box that said something and runs on, one that keeps that for months, and one that forgot the feed."""
    world = founded(f"parted {words}")
    writer, keeping, forgetting = world.nodes[1], world.nodes[2], world.nodes[4]  # what is between has no clock
    for number in range(words):
        writer.say(f"web:1/old-{number}")
    for node in (keeping, forgetting):
        world.meet(writer, node)
    later(world, writer, forgetting)
    assert writer.log.feed not in forgetting.log.frontier()
    assert keeping.log.frontier()[writer.log.feed] == words
    return world, writer, keeping, forgetting


@pytest.mark.parametrize("words", [2, 5 * A_PAGE + 7])
@pytest.mark.parametrize("calls", [True, False], ids=["it calls", "it is called"])
def test_the_next_word_of_a_box_that_ran_on_for_months_passes_over_a_box_that_forgot_its_feed(
    words: int, calls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MOST_EVENTS", A_PAGE)
    world, writer, keeping, forgetting = parted(words)
    beyond = world.nodes[5]
    beyond.say("web:5/hello")
    writer.say("web:1/new")
    world.meet(writer, keeping)
    world.meet(*((forgetting, keeping) if calls else (keeping, forgetting)))
    assert forgetting.natives() == {"web:1/new"}
    assert forgetting.counts["event_too_old"] == words
    world.meet(beyond, forgetting)
    assert "web:1/new" in beyond.natives()


def test_what_is_passed_is_forgotten_again_and_passed_again() -> None:
    world, writer, keeping, forgetting = parted()
    world.meet(keeping, forgetting)
    assert forgetting.log.frontier()[writer.log.feed] == 2
    assert forgetting.log.bases()[writer.log.feed] == 2
    later(world, forgetting)
    assert writer.log.feed not in forgetting.log.frontier()
    world.meet(keeping, forgetting)
    assert forgetting.counts["event_too_old"] == 4
    assert forgetting.natives() == set()


def test_two_boxes_of_which_one_passed_what_the_other_keeps_leave_it_at_a_few_words() -> None:
    world, _, keeping, forgetting = parted()
    world.meet(keeping, forgetting)
    before = world.posts
    world.meet(keeping, forgetting)
    world.meet(forgetting, keeping)
    assert world.posts == before + 2
    world.time.passed_s += 61.0
    world.meet(keeping, forgetting)
    assert world.posts < before + 6
    assert forgetting.counts["event_too_old"] == 2


def test_a_box_that_was_let_in_by_words_that_are_passed_belongs_where_their_box_was_put_out() -> None:
    world, writer, keeping, forgetting = parted()
    new = key_of(FOUNDERS)
    old = Log(Store(":memory:"), writer.key, world.root, start=7)
    old.state(Add(key=new.public_key().public_bytes_raw(), name="new"), BEGAN_MS - 1)
    run(keeping.held.write(lambda log: log.take(old.delta({}), NOW_MS)))
    (event,) = old.delta({})
    said = Remove(box=writer.id, frontier=keeping.log.without(writer.id))
    taken = run(forgetting.held.write(lambda log: log.take([event], NOW_MS)))
    assert (taken.new, taken.passed) == ((), (event,))
    run(keeping.held.write(lambda log: log.state(said, NOW_MS)))
    world.meet(keeping, forgetting)
    assert forgetting.log.roll == keeping.log.roll
    assert forgetting.log.roll.is_member(box_id(new.public_key()))
    assert not forgetting.log.roll.is_member(writer.id)


def test_old_feeds_without_number_fill_no_more_than_their_boxs_place() -> None:
    _, writer, _, forgetting = parted()
    flood = [
        written(
            writer.key,
            feed=feed_id(writer.id, start),
            seq=1,
            hlc=BEGAN_MS * COUNTS,
            previous=bytes(16),
            native=f"web:1/{start}",
            body="{}",
        )
        for start in range(MOST_FEEDS_OF_ONE + 10)
    ]
    taken = forgetting.log.take(flood, NOW_MS)
    assert (len(taken.passed), taken.skipped["feeds_full"]) == (MOST_FEEDS_OF_ONE, 10)
    assert sum(name.startswith(writer.id) for name in forgetting.log.frontier()) == MOST_FEEDS_OF_ONE


def test_what_is_passed_counts_as_much_as_what_is_kept_of_how_fast_a_box_may_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, _, keeping, forgetting = parted(250)
    monkeypatch.setattr(conduct, "BURST", 100)
    monkeypatch.setattr(conduct, "PER_MINUTE", 0)
    world.meet(keeping, forgetting)
    assert forgetting.counts["event_too_old"] == 100


def test_what_a_box_says_whose_clock_was_ahead_once_is_heard_after_months_and_a_start() -> None:
    world = founded("ahead once")
    writer, other = world.nodes[7], world.nodes[1]  # the seventh is ahead by more than a year
    writer.say("web:7/ahead")
    world.meet(writer, other)
    later(world, writer, other)
    writer.clock = world.time.of(0)
    writer.start()
    writer.say("web:7/right")
    world.meet(writer, other)
    assert other.natives() == {"web:7/right"}


def test_what_a_box_dropped_is_lacking_nowhere_for_it_can_not_be_had_from_it() -> None:
    world = founded("dropped")
    one, other, new = world.nodes[1], world.nodes[2], world.nodes[4]
    for number in range(5):
        one.say(f"web:1/{number}")
    world.meet(one, other)
    world.time.passed_s += RETENTION_S + DAY_S
    one.shorten()
    one.say("web:1/last")
    run(new.exchange.take(new.exchange.peer(one.id), run(one.exchange.offer(one.exchange.peer(new.id)))))
    run(one.exchange.take(one.exchange.peer(new.id), run(new.exchange.offer(new.exchange.peer(one.id)))))
    assert new.exchange.lacking() == 1
    assert one.exchange.peer(new.id).less_than(one.held.state) == 1


def test_words_of_a_box_that_was_let_in_by_one_that_was_put_out_before_are_kept_by_nobody() -> None:
    world = founded("let in too late")
    one, remover, removed, new = world.nodes[1], world.nodes[4], world.nodes[5], world.nodes[FOUNDERS]
    new.start()
    removed.state(Add(key=new.key.public_key().public_bytes_raw(), name="new"))
    run(new.held.write(lambda log: log.take_statements(removed.log.statements())))
    world.meet(one, removed)
    new.say("web:15/hello")
    world.meet(one, new)
    assert one.natives() == {"web:15/hello"}
    remover.state(Remove(box=removed.id, frontier=remover.log.without(removed.id)))
    world.meet(one, remover)
    assert one.log.roll == remover.log.roll
    assert one.natives() == remover.natives() == set()
    assert remover.counts["event_alien"] < 2
    world.meet(one, remover)
    assert remover.counts["event_alien"] < 2
