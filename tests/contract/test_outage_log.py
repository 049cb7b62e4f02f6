# SPDX-License-Identifier: GPL-3.0-or-later
"""The outage log: what was away, when and why, and what became of what had to wait for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.clock import ManualClock
from gateway.journal import Became, OutageKind
from gateway.link import Link, LinkState
from gateway.metrics import Metrics
from gateway.model import BridgeName, JournalError, State
from gateway.outages import ALIVE_EVERY_S, KILLED, STOPPED, Outages
from gateway.status import EventHub, StoreState
from tests.contract.journal_desk import DAY_MS, LAN, ROOM, START_MS, bound, moved, opened, said

HOME = BridgeName("home")


@pytest.fixture
def clock():
    return ManualClock(START_MS)


@pytest.fixture
async def journal(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        yield journal


async def say(journal, n, to=ROOM):
    await journal.accept(said(n), [bound(said(n), to)])
    return bound(said(n), to)


async def became(journal, no):
    (outage,) = [one for one in await journal.outages.listed() if one.no == no]
    return (await journal.outages.counted(outage, for_s=5)).became


async def test_what_had_to_wait_is_counted_by_what_became_of_it(journal, clock):
    gone, before = await say(journal, 1), await say(journal, 2)
    await journal.record([moved(gone, "sent", at_ms=START_MS)])
    clock.advance(60)
    outage = await journal.outages.begin(OutageKind.BRIDGE, HOME, clock.now_ms(), "the cable is out")
    during = [await say(journal, n) for n in range(3, 9)]
    elsewhere = await say(journal, 9, LAN)
    states = ("expired", "folded", "cancelled", "failed", "sent", "queued")
    await journal.record(
        [moved(one, state, at_ms=clock.now_ms()) for one, state in zip(during, states, strict=True)]
        + [moved(one, "sent", at_ms=clock.now_ms()) for one in (before, elsewhere)]
    )
    open_counts = await became(journal, outage.no)
    clock.advance(60)
    await journal.outages.end(outage.no, clock.now_ms())
    await say(journal, 10)

    assert open_counts == Became(late=2, folded=1, expired=1, cancelled=1, failed=1, waiting=1)
    assert await became(journal, outage.no) == open_counts
    assert open_counts.buffered == 7


async def test_what_was_sent_before_and_acknowledged_later_did_not_wait(journal, clock):
    stuck, gone = await say(journal, 1), await say(journal, 2)
    await journal.record([moved(gone, "sent", at_ms=clock.now_ms())])
    clock.advance(60)
    outage = await journal.outages.begin(OutageKind.BRIDGE, HOME, clock.now_ms(), "away")
    clock.advance(60)
    await journal.record([moved(one, "delivered", at_ms=clock.now_ms()) for one in (gone, stuck)])

    assert await became(journal, outage.no) == Became(late=1)


async def test_a_clock_that_is_years_behind_after_a_start_counts_nothing_that_was_sent_before(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        stuck, gone = await say(journal, 1), await say(journal, 2)
        await journal.record([moved(gone, "sent", at_ms=clock.now_ms())])
    async with opened(tmp_path, clock=ManualClock(1000)) as journal:
        outage = await journal.outages.begin(OutageKind.BRIDGE, HOME, 1000, "away")
        await journal.record([moved(stuck, "sent", at_ms=2000), moved(await say(journal, 3), "expired", at_ms=2000)])

        assert await became(journal, outage.no) == Became(late=1, expired=1)


async def test_what_ended_as_it_was_accepted_waited_for_nothing(journal, clock):
    outage = await journal.outages.begin(OutageKind.BRIDGE, HOME, clock.now_ms(), "away")
    await journal.accept(said(1), [], [(bound(said(1)), State.CANCELLED, "not permitted")])

    assert await became(journal, outage.no) == Became()


async def test_the_queue_is_waited_for_by_what_goes_anywhere(journal, clock):
    outage = await journal.outages.begin(OutageKind.QUEUE, "", clock.now_ms(), "refused")
    await say(journal, 1)
    await say(journal, 2, LAN)

    assert await became(journal, outage.no) == Became(waiting=2)


async def test_counting_goes_step_by_step_and_stops_when_its_time_is_up(journal, clock, monkeypatch):
    monkeypatch.setattr("gateway.journal.outages.STEP", 2)
    outage = await journal.outages.begin(OutageKind.BRIDGE, HOME, clock.now_ms(), "away")
    for n in range(5):
        await say(journal, n)

    cut = await journal.outages.counted(outage, for_s=0)

    assert (cut.counted_ms, cut.became) == (None, Became())
    assert await became(journal, outage.no) == Became(waiting=5)


async def test_an_outage_that_is_over_is_counted_again_only_when_something_that_waited_was_sent(journal, clock):
    one, two = await say(journal, 1), await say(journal, 2)
    begun = await journal.outages.begin(OutageKind.BRIDGE, HOME, clock.now_ms(), "away")
    over = await journal.outages.end(begun.no, clock.now_ms())
    await say(journal, 3)
    clock.advance(1)
    first = await journal.outages.counted(over, for_s=5)
    clock.advance(1)
    again = await journal.outages.counted(first, for_s=5)
    await journal.record([moved(two, "sent", at_ms=clock.now_ms())])
    clock.advance(1)
    third = await journal.outages.counted(again, for_s=5)
    await journal.record([moved(one, "sent", at_ms=clock.now_ms())])
    last = await journal.outages.counted(third, for_s=5)

    assert first.became == again.became == Became(waiting=2)
    assert again.counted_ms == first.counted_ms
    assert third.became == Became(late=1, waiting=1)
    assert (last.became, last.is_settled) == (Became(late=2), True)


async def test_what_retention_forgets_stays_counted(journal, clock):
    outage = await journal.outages.begin(OutageKind.BRIDGE, HOME, clock.now_ms(), "away")
    sent, waits = await say(journal, 1), await say(journal, 2)
    await journal.record([moved(sent, "sent", at_ms=clock.now_ms())])
    before = await became(journal, outage.no)
    clock.advance(8 * DAY_MS / 1000)
    await journal.upkeep.prune()
    await became(journal, outage.no)

    (kept,) = await journal.outages.listed()
    assert before == Became(late=1, waiting=1)
    assert kept.became == before
    assert await journal.delivery(sent.id) is None
    assert await journal.delivery(waits.id) is not None


async def test_of_each_thing_the_latest_are_kept(journal, clock, monkeypatch):
    monkeypatch.setattr("gateway.journal.outages.KEPT", 3)
    await journal.outages.begin(OutageKind.QUEUE, "", clock.now_ms(), "refused")
    for n in range(5):
        await journal.outages.end((await journal.outages.begin(OutageKind.BRIDGE, HOME, n, "away")).no, n)

    found = await journal.outages.listed()

    assert [(one.kind.value, one.began_ms) for one in found] == [
        ("bridge", 4),
        ("bridge", 3),
        ("bridge", 2),
        ("queue", START_MS),
    ]
    assert [one.began_ms for one in await journal.outages.listed(before=found[0].no, limit=1)] == [3]
    assert [one.kind.value for one in await journal.outages.listed(kind=OutageKind.QUEUE)] == ["queue"]


async def test_times_follow_a_clock_that_was_set_unless_an_earlier_run_wrote_them(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        await journal.outages.begin(OutageKind.BRIDGE, HOME, START_MS, "away")
    async with opened(tmp_path, clock=clock) as journal:
        (outage,) = await journal.outages.still_open()
        clock.advance(60)
        await journal.outages.end(outage.no, clock.now_ms())
        await journal.outages.begin(OutageKind.QUEUE, "", clock.now_ms(), "refused")
        await journal.upkeep.shift(DAY_MS)

        bridge, queue = await journal.outages.latest()
        assert (bridge.began_ms, bridge.ended_ms) == (START_MS, START_MS + 60_000 + DAY_MS)
        assert queue.began_ms == START_MS + 60_000 + DAY_MS


# Who keeps it.


class Keeper:
    """One run of a gateway, as far as the log can tell."""

    def __init__(self, journal, clock):
        self.journal = journal
        self.clock = clock
        self.hub = EventHub()
        self.events = self.hub.subscribe()
        self.outages = Outages(clock, self.hub, Metrics())
        self._link = Link(clock.now_ms())

    def link(self, state, reason=""):
        self._link.set(LinkState(state), reason, self.clock.now_ms())
        self.outages.link(HOME, self._link)

    async def logged(self, condition=lambda found: True):
        """Wait until everything noticed is in the log; return it, the earliest first."""
        async with asyncio.timeout(8):
            while True:
                found = (await self.journal.outages.listed())[::-1]
                if not self.outages._unsaved and condition(found):
                    return [(one.kind.value, one.began_ms, one.ended_ms, one.reason) for one in found]
                await asyncio.sleep(0.01)


@asynccontextmanager
async def run(folder, clock, *, killed=False, bridges=(HOME,)):
    async with opened(folder, clock=clock) as journal:
        keeper = Keeper(journal, clock)
        await keeper.outages.open(journal.outages, bridges)
        task = asyncio.create_task(keeper.outages.keep(journal.outages))
        try:
            yield keeper
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not killed:
                await keeper.outages.close(journal.outages)


async def test_a_bridge_that_goes_and_comes_back_is_in_the_log_with_its_reason_and_told_to_who_listens(tmp_path, clock):
    async with run(tmp_path, clock) as keeper:
        keeper.link("up")
        clock.advance(10)
        keeper.link("down", "the cable is out")
        await keeper.logged(len)
        clock.advance(60)
        keeper.link("up")

        assert await keeper.logged(lambda found: found[-1].is_settled) == [
            ("bridge", START_MS + 10_000, START_MS + 70_000, "the cable is out")
        ]
        told = [await anext(keeper.events) for _ in range(3)]
        assert [(one.name, one.data["what"], one.data["name"]) for one in told] == [
            ("outage", what, HOME) for what in ("began", "ended", "settled")
        ]


async def test_a_bridge_that_comes_up_at_once_was_not_away(tmp_path, clock):
    async with run(tmp_path, clock) as keeper:
        keeper.link("up")

        assert await keeper.logged() == []


async def test_a_refused_login_is_the_reason_from_then_on(tmp_path, clock):
    async with run(tmp_path, clock) as keeper:
        keeper.link("down", "connection lost")
        keeper.link("stopped", "the token was taken back")

        assert await keeper.logged(len) == [("bridge", START_MS, None, "the token was taken back")]


async def test_an_outage_that_a_kill_cuts_goes_on_in_the_next_run_and_the_gateway_was_away_too(tmp_path, clock):
    async with run(tmp_path, clock, killed=True) as keeper:
        keeper.link("down", "the cable is out")
        await keeper.logged(len)
    clock.advance(3600)
    async with run(tmp_path, clock) as keeper:
        still = await keeper.logged(lambda found: len(found) > 1)
        keeper.link("down", "no such port")
        clock.advance(60)
        keeper.link("up")
        over = await keeper.logged(lambda found: found[0].ended_ms)

    gateway = ("gateway", START_MS, START_MS + 3_600_000, KILLED)
    assert still == [("bridge", START_MS, None, "the cable is out"), gateway]
    assert over == [("bridge", START_MS, START_MS + 3_660_000, "no such port"), gateway]


async def test_a_killed_gateway_was_away_since_its_last_sign_of_life(tmp_path, clock):
    async with run(tmp_path, clock, killed=True) as keeper:
        clock.advance(ALIVE_EVERY_S)
        keeper.link("down", "the cable is out")
        while (await keeper.journal.outages.last_run()).alive_ms == START_MS:
            await asyncio.sleep(0.01)
        clock.advance(5)
        message = said(1, received_ms=clock.now_ms())
        await keeper.journal.accept(message, [])
    clock.advance(10)
    async with run(tmp_path, clock) as keeper:
        (outage,) = await keeper.journal.outages.listed(kind=OutageKind.GATEWAY)

    assert outage.lasted_s == 10


async def test_a_gateway_that_was_stopped_says_so_and_waited_for_what_was_queued(tmp_path, clock):
    async with run(tmp_path, clock) as keeper:
        await say(keeper.journal, 1)
    clock.advance(3600)
    async with run(tmp_path, clock) as keeper:
        await say(keeper.journal, 2)
        (outage,) = await keeper.journal.outages.listed()

        assert (outage.reason, outage.lasted_s) == (STOPPED, 3600)
        assert (await keeper.journal.outages.counted(outage, for_s=5)).became == Became(waiting=1)


async def test_a_bridge_that_is_not_configured_any_more_is_not_away_for_ever(tmp_path, clock):
    async with run(tmp_path, clock) as keeper:
        keeper.link("down", "the cable is out")
        await keeper.logged(len)
    async with run(tmp_path, clock, bridges=()) as keeper:
        (bridge, *_) = await keeper.logged()

    assert bridge == ("bridge", START_MS, START_MS, "the cable is out; it is no longer configured")


async def test_a_box_that_starts_in_1970_does_not_know_how_long_it_was_away_until_its_clock_is_set(tmp_path):
    async with run(tmp_path, ManualClock(START_MS)):
        pass
    async with run(tmp_path, ManualClock(0)) as keeper:
        (before,) = await keeper.journal.outages.listed()
        await keeper.journal.upkeep.shift(START_MS + 60_000)
        (after,) = await keeper.journal.outages.listed()

    assert (before.lasted_s, after.lasted_s) == (None, 60)


async def test_what_happens_while_the_journal_is_away_is_logged_when_it_is_back_its_own_outage_too(
    tmp_path, clock, monkeypatch
):
    monkeypatch.setattr("gateway.outages.AGAIN_S", 0.01)
    async with run(tmp_path, clock) as keeper:
        begin = keeper.journal.outages.begin
        tried = asyncio.Event()

        async def no_space(*_):
            tried.set()
            raise JournalError("no space left")

        monkeypatch.setattr(keeper.journal.outages, "begin", no_space)
        keeper.outages.journal(StoreState.DOWN, "no space left")
        keeper.link("down", "the cable is out")
        await tried.wait()
        clock.advance(60)
        keeper.link("up")
        keeper.outages.journal(StoreState.UP, "")
        monkeypatch.setattr(keeper.journal.outages, "begin", begin)

        assert await keeper.logged(lambda found: len(found) > 1) == [
            ("journal", START_MS, START_MS + 60_000, "no space left"),
            ("bridge", START_MS, START_MS + 60_000, "the cable is out"),
        ]


async def test_while_the_journal_is_away_for_long_what_is_kept_for_it_is_bounded_and_losses_are_counted(
    tmp_path, clock, monkeypatch
):
    monkeypatch.setattr("gateway.outages.MOST_UNSAVED", 2)
    outages = Outages(clock, EventHub(), Metrics())
    link = Link(START_MS)
    for _ in range(3):
        for state in (LinkState.DOWN, LinkState.UP):
            link.set(state, "", START_MS)
            outages.link(HOME, link)

    assert outages.lost == 1


async def test_a_queue_that_needs_a_moment_to_start_was_not_away_but_one_that_does_not_come_was(tmp_path, clock):
    async with run(tmp_path, clock) as keeper:
        keeper.outages.queue(StoreState.DOWN, "starting")
        clock.advance(1)
        keeper.outages.queue(StoreState.UP, "")
        assert await keeper.logged() == []
    async with run(tmp_path, clock) as keeper:
        began_ms = clock.now_ms()
        for _ in range(2):
            keeper.outages.queue(StoreState.DOWN, "starting")
            clock.advance(5)
        keeper.outages.queue(StoreState.REFUSED, "too old")

        assert (await keeper.logged(lambda found: len(found) > 1))[-1] == ("queue", began_ms, None, "too old")
