# SPDX-License-Identifier: GPL-3.0-or-later
"""Many dead letters sent again: at a pace, in order, each once, and on where a run ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.clock import ManualClock
from gateway.journal import DeadLetters
from gateway.model import Rejected, State, StoreUnavailable
from gateway.redrive import Redrives
from tests.contract.delivery_desk import CHANNEL, ScriptedBridge, running_core
from tests.contract.journal_desk import RADIO, ROOM, START_MS, bound, moved, opened, said

RADIO_ONLY = DeadLetters(destination=RADIO.bridge)


@pytest.fixture
def clock():
    return ManualClock(START_MS)


@pytest.fixture
async def journal(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        yield journal


class Hand:
    """Sends again, and keeps what."""

    def __init__(self, journal, clock, *, fails_again=()):
        self.journal = journal
        self.clock = clock
        self.fails_again = fails_again
        self.sent = []
        self.error = None

    async def __call__(self, ids):
        if self.error is not None:
            raise self.error
        now_ms = self.clock.now_ms()
        self.sent += ids
        kept = [(await self.journal.delivery(one)).delivery for one in ids]
        await self.journal.requeue(kept, only_from=frozenset({State.FAILED}))
        await self.journal.record(
            [moved(one, "failed" if one.id in self.fails_again else "sent", at_ms=now_ms) for one in kept]
        )
        return tuple(ids)


@asynccontextmanager
async def running(hand):
    redrives = Redrives(hand.journal, hand.clock, hand)
    task = asyncio.create_task(redrives.run())
    try:
        yield redrives
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def dead(journal, *numbers, to=RADIO):
    letters = [bound(said(n, ROOM), to) for n in numbers]
    for n, letter in zip(numbers, letters, strict=True):
        await journal.accept(said(n, ROOM), [letter])
    await journal.record([moved(letter, "failed") for letter in letters])
    return [letter.id for letter in letters]


async def until(condition, *, clock=None, step_s=1):
    async with asyncio.timeout(8):
        while not condition():
            if clock is not None:
                clock.advance(step_s)
            await asyncio.sleep(0.005)


async def test_letters_go_in_order_at_the_pace_that_was_asked_for(journal, clock):
    ids = await dead(journal, 1, 2, 3)
    hand = Hand(journal, clock)
    async with running(hand) as redrives:
        await redrives.start(DeadLetters(), per_minute=30, total=3)
        for nth in range(3):
            await until(lambda nth=nth: len(hand.sent) > nth and clock._sleepers)
            clock.advance(1.9)
            await asyncio.sleep(0.02)
            assert hand.sent == ids[: nth + 1]
            clock.advance(0.1)
        await until(lambda: not redrives.is_running, clock=clock)

    assert (redrives.progress.sent, redrives.progress.left) == (3, 0)


async def test_a_fast_pace_takes_more_at_once_but_never_many(journal, clock, monkeypatch):
    monkeypatch.setattr("gateway.redrive.MOST_AT_ONCE", 4)
    await dead(journal, *range(10))
    hand = Hand(journal, clock)
    async with running(hand) as redrives:
        await redrives.start(DeadLetters(), per_minute=6000, total=10)
        await until(lambda: hand.sent)
        await asyncio.sleep(0.02)

        assert len(hand.sent) == 4


async def test_a_letter_that_fails_again_is_not_sent_a_third_time(journal, clock):
    ids = await dead(journal, 1, 2)
    clock.advance(1)
    hand = Hand(journal, clock, fails_again=ids[:1])
    async with running(hand) as redrives:
        await redrives.start(DeadLetters(), per_minute=60, total=2)
        clock.advance(1)
        await until(lambda: not redrives.is_running, clock=clock)

    assert hand.sent == ids
    assert [letter.id for letter in await journal.failed(limit=9)] == ids[:1]


async def test_a_clock_that_is_behind_keeps_no_letter_back(journal, clock):
    ids = await dead(journal, 1, 2)
    clock.step(-40 * 365 * 86_400_000)
    clock.adopt(clock.measure())
    hand = Hand(journal, clock)
    async with running(hand) as redrives:
        await redrives.start(DeadLetters(), per_minute=60, total=2)
        await until(lambda: not redrives.is_running, clock=clock)

    assert hand.sent == ids


async def test_what_fails_of_messages_accepted_later_is_left_for_another_time(journal, clock):
    ids = await dead(journal, 1, 2)
    hand = Hand(journal, clock)
    async with running(hand) as redrives:
        await redrives.start(DeadLetters(), per_minute=60, total=2)
        await until(lambda: hand.sent)
        later = await dead(journal, 3)
        await until(lambda: not redrives.is_running, clock=clock)

    assert hand.sent == ids
    assert [letter.id for letter in await journal.failed(limit=9)] == later


async def test_only_what_was_chosen_is_sent(journal, clock):
    radio, _ = await dead(journal, 1, to=RADIO), await dead(journal, 2, to=ROOM)
    hand = Hand(journal, clock)
    async with running(hand) as redrives:
        await redrives.start(RADIO_ONLY, per_minute=60, total=1)
        await until(lambda: not redrives.is_running, clock=clock)

    assert hand.sent == radio


async def test_a_job_that_a_kill_cuts_goes_on_in_the_next_run_with_what_is_left(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        ids = await dead(journal, 1, 2, 3)
        before = Hand(journal, clock)
        async with running(before) as redrives:
            await redrives.start(RADIO_ONLY, per_minute=60, total=3)
            await until(lambda: redrives.progress.sent == 1)
    async with opened(tmp_path, clock=clock) as journal:
        after = Hand(journal, clock)
        async with running(after) as redrives:
            await until(lambda: redrives.progress and not redrives.is_running, clock=clock)

    assert before.sent + after.sent == ids
    assert (redrives.progress.sent, redrives.progress.total) == (3, 3)


async def test_while_much_else_waits_to_go_there_no_letter_is_added_and_why_is_said(journal, clock, monkeypatch):
    monkeypatch.setattr("gateway.redrive.MOST_BEFORE", 2)
    await dead(journal, 1)
    news = [bound(said(n, ROOM), RADIO) for n in (2, 3)]
    for n, one in zip((2, 3), news, strict=True):
        await journal.accept(said(n, ROOM), [one])
    hand = Hand(journal, clock)
    async with running(hand) as redrives:
        await redrives.start(DeadLetters(), per_minute=60, total=1)
        await until(lambda: redrives.progress.held)
        held = redrives.progress.held
        clock.advance(60)
        await asyncio.sleep(0.02)
        none = list(hand.sent)
        await journal.record([moved(one, "sent") for one in news])
        await until(lambda: not redrives.is_running, clock=clock)

    assert (held, none) == ("2 deliveries wait for radio before them", [])
    assert (len(hand.sent), redrives.progress.held) == (1, "")


async def test_while_the_queue_is_away_it_waits_and_says_so(journal, clock):
    await dead(journal, 1)
    hand = Hand(journal, clock)
    hand.error = StoreUnavailable("connection refused")
    async with running(hand) as redrives:
        await redrives.start(DeadLetters(), per_minute=60, total=1)
        await until(lambda: redrives.progress.held == "connection refused")
        hand.error = None
        await until(lambda: not redrives.is_running, clock=clock)

    assert redrives.progress.sent == 1


async def test_redriven_letters_really_are_sent_and_one_whose_bridge_is_gone_is_left(tmp_path):
    bridge = ScriptedBridge()
    bridge.answers = [Rejected("too big"), Rejected("too big")]
    async with running_core(tmp_path, bridge) as core:
        (one,), (two,) = await core.say(1), await core.say(2)
        for ident in (one, two):
            await core.until(ident, "failed")
        await core.journal.accept(said(9, CHANNEL), [bound(said(9, CHANNEL), ROOM)])
        await core.journal.record([moved(bound(said(9, CHANNEL), ROOM), "failed")])
        redrives = core.operations.redrives
        task = asyncio.create_task(redrives.run())
        price = await core.operations.price(DeadLetters())
        await redrives.start(DeadLetters(), per_minute=6000, total=price.total)
        for ident in (one, two):
            await core.until(ident, "sent")
        await until(lambda: not redrives.is_running)
        task.cancel()

    assert [(cost.destination, cost.deliveries, cost.unfit) for cost in price.costs] == [
        ("radio", 2, 0),
        ("home", 0, 1),
    ]
    assert (redrives.progress.sent, redrives.progress.left) == (2, 1)
    assert bridge.texts == ["text 1", "text 2"]


async def test_a_price_of_very_many_is_at_least_that(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.costs.MOST_PRICED", 2)
    async with running_core(tmp_path) as core:
        await dead(core.journal, 1, 2, 3, to=CHANNEL)

        price = await core.operations.price(DeadLetters())

    assert (price.complete, price.total, price.costs[0].letters) == (False, 3, 2)


async def test_one_that_is_begun_while_a_stopped_one_is_still_busy_is_the_one_that_goes_on(journal, clock):
    ids = await dead(journal, 1, 2, 3)
    hand = Hand(journal, clock)
    busy, go_on = asyncio.Event(), asyncio.Event()

    async def slow(ids):
        busy.set()
        await go_on.wait()
        return await hand(ids)

    redrives = Redrives(journal, clock, slow)
    task = asyncio.create_task(redrives.run())
    await redrives.start(DeadLetters(ids=frozenset(ids[:1])), per_minute=6000, total=1)
    await busy.wait()
    await redrives.stop()
    await redrives.start(DeadLetters(ids=frozenset(ids[1:])), per_minute=6000, total=2)
    go_on.set()
    await until(lambda: not redrives.is_running, clock=clock)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert hand.sent == ids
    assert (redrives.progress.sent, redrives.progress.total) == (2, 2)
