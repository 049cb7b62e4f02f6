# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes without a clock of their own: they start in 1970, and jump by days when the network tells the time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import uuid
from contextlib import asynccontextmanager, closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clock import ManualClock, SystemClock
from gateway.journal import Accepted, Amendment
from gateway.model import (
    Address,
    BridgeName,
    Delivery,
    JournalError,
    Message,
    NativeId,
    Receipt,
    Redaction,
    RemoteId,
    Sender,
    SenderId,
    Text,
    TransientError,
)
from gateway.outbox.outbox import Done, Retry
from gateway.outbox.redis import RedisOutbox
from gateway.routing import Route, RoutingTable
from tests.clocks import followed
from tests.contract.delivery_desk import CHANNEL, CHAT, ROOM
from tests.contract.journal_desk import bound, opened, said
from tests.contract.queue_server import valkey
from tests.contract.test_health import take_away, until, watched

__all__ = ["valkey"]

RADIO = BridgeName("radio")
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
IN_1970_MS = HOUR_MS
LEAP_MS = 20_000 * DAY_MS
SLACK_MS = 5000
"""How long the steps of one test may take by the server's own clock."""


def delivery(number, *, received_ms, conversation="town", expires_ms=None):
    message = Message(
        native_id=NativeId(f"test:{number}"),
        origin=Address.parse("home/room"),
        sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
        content=Text(body=str(number)),
        received_ms=received_ms,
    )
    return Delivery(message=message, to=Address(RADIO, conversation), expires_ms=expires_ms)


def today_ms():
    return time.time_ns() // 1_000_000


class Box:
    """A gateway on a queue, as far as the queue can see: with a clock of its own."""

    def __init__(self, url, community, now_ms, name="box"):
        self.now_ms, self.name = now_ms, name
        self.outbox = RedisOutbox(url, community=community, now_ms=lambda: self.now_ms)
        self.fence = None

    async def __aenter__(self):
        await self.outbox.__aenter__()
        return self

    async def __aexit__(self, *exc):
        await self.outbox.__aexit__(*exc)

    def set_clock(self, by_ms):
        self.now_ms += by_ms
        self.outbox.shift(by_ms)

    async def acquire(self):
        self.fence = await self.outbox.acquire(RADIO, self.name, now_ms=self.now_ms, ttl_ms=15_000)
        return self.fence

    async def renew(self):
        await self.outbox.renew(self.fence, now_ms=self.now_ms, ttl_ms=15_000)

    async def put(self, *deliveries):
        after = await self.outbox.cursor(RADIO, self.name)
        return await self.outbox.put(RADIO, self.name, after=after, upto=after + len(deliveries), deliveries=deliveries)

    async def claim(self):
        return await self.outbox.claim(self.fence, now_ms=self.now_ms, visible_ms=10 * DAY_MS, limit=99, run=1)

    async def claimed(self):
        return sorted(lease.delivery.message.content.body for lease in (await self.claim()).leases)

    async def settle(self, *outcomes):
        await self.outbox.settle(self.fence, outcomes, now_ms=self.now_ms)


async def with_everything_in_the_queue(box):
    """One of each: backed off for an hour, leased, awaiting a report for an hour, living an hour longer."""
    now_ms = box.now_ms
    await box.put(
        delivery(1, received_ms=now_ms, conversation="backed off"),
        delivery(2, received_ms=now_ms, conversation="leased"),
        delivery(3, received_ms=now_ms, conversation="awaiting"),
    )
    await box.acquire()
    leases = {lease.delivery.message.content.body: lease.id for lease in (await box.claim()).leases}
    await box.settle(
        Retry(id=leases["1"], at_ms=now_ms + HOUR_MS),
        Done(id=leases["3"], awaiting_until_ms=now_ms + HOUR_MS),
    )
    await box.put(delivery(4, received_ms=now_ms, conversation="living", expires_ms=now_ms + 2 * HOUR_MS))


@pytest.mark.parametrize("leap", [False, True], ids=["it stays there", "then the network sets the clock"])
async def test_a_box_that_starts_in_1970_goes_on_with_a_queue_of_today(valkey, leap):
    community = uuid.uuid4().hex
    async with Box(valkey, community, today_ms()) as before:
        await with_everything_in_the_queue(before)
    async with Box(valkey, community, IN_1970_MS) as box:
        await box.acquire()
        if leap:
            box.set_clock(LEAP_MS)
        assert await box.claimed() == ["2", "4"]  # the leased one was let go; the other is still fresh
        box.now_ms += HOUR_MS - SLACK_MS
        assert await box.claimed() == []
        assert await box.outbox.overdue(box.fence, now_ms=box.now_ms, keep=9) == ()
        box.now_ms += SLACK_MS
        assert await box.claimed() == ["1"]
        assert len(await box.outbox.overdue(box.fence, now_ms=box.now_ms, keep=9)) == 1


async def test_a_box_that_starts_in_1970_expires_what_has_lived_long_enough_and_no_earlier(valkey):
    community = uuid.uuid4().hex
    async with Box(valkey, community, today_ms()) as before:
        await with_everything_in_the_queue(before)
    async with Box(valkey, community, IN_1970_MS) as box:
        await box.acquire()
        box.now_ms += HOUR_MS
        box.set_clock(LEAP_MS)
        box.now_ms += HOUR_MS - SLACK_MS
        assert (await box.claim()).expired == ()
        await box.renew()
    async with Box(valkey, community, 2 * IN_1970_MS) as again:  # the power went, and it is 1970 once more
        await again.acquire()
        again.now_ms += SLACK_MS
        (gone,) = (await again.claim()).expired
        assert gone.message.content.body == "4"
        assert abs(again.now_ms - gone.message.received_ms - 2 * HOUR_MS) <= SLACK_MS


async def test_a_lease_that_an_earlier_release_took_by_a_clock_far_ahead_does_not_lock_a_box_out(valkey):
    community = uuid.uuid4().hex
    async with Box(valkey, community, today_ms(), "old name") as before:
        await before.acquire()
        await before.outbox._command("DEL", f"{before.outbox._keys.tag}skew")  # it told nobody the time
    async with Box(valkey, community, IN_1970_MS, "new name") as box:
        assert await box.acquire() is not None


async def test_a_lease_that_another_clock_left_far_in_the_future_does_not_lock_a_box_out(valkey):
    community = uuid.uuid4().hex
    async with Box(valkey, community, today_ms() + LEAP_MS, "old name") as before:
        await before.acquire()
    async with Box(valkey, community, IN_1970_MS, "new name") as box:
        assert await box.acquire() is None
        box.now_ms += 15_000
        assert await box.acquire() is not None


@pytest.mark.parametrize("off_ms", [-LEAP_MS, -40 * DAY_MS, 40 * DAY_MS])
async def test_two_boxes_whose_clocks_differ_share_a_queue(valkey, off_ms):
    """The second comes with a clock that is off: it takes no lease that is held, and makes nothing old."""
    community = uuid.uuid4().hex
    async with (
        Box(valkey, community, today_ms(), "one") as one,
        Box(valkey, community, today_ms() + off_ms, "two") as two,
    ):
        await one.acquire()
        await one.put(delivery(1, received_ms=one.now_ms, conversation="a", expires_ms=one.now_ms + HOUR_MS))
        await two.put(delivery(2, received_ms=two.now_ms, conversation="b", expires_ms=two.now_ms + HOUR_MS))
        assert await two.acquire() is None
        await one.renew()
        for box in (one, two):
            box.now_ms += HOUR_MS - 2 * SLACK_MS
        two.set_clock(-off_ms)  # the network tells it the time
        assert await one.claimed() == ["1", "2"]
        await one.outbox.resign(one.fence)
        assert await two.acquire() is not None
        assert await two.claimed() == ["1", "2"]
        two.now_ms += 3 * SLACK_MS


async def test_a_box_whose_clock_runs_slow_keeps_step_with_the_others(valkey):
    community = uuid.uuid4().hex
    now_ms = today_ms()
    async with Box(valkey, community, now_ms, "one") as one, Box(valkey, community, now_ms, "two") as two:
        await one.acquire()
        other = await two.outbox.acquire(BridgeName("home"), "two", now_ms=two.now_ms, ttl_ms=15_000)
        one.now_ms += DAY_MS
        two.now_ms += DAY_MS - 4000
        await one.renew()
        await two.outbox.renew(other, now_ms=two.now_ms, ttl_ms=15_000)
        await one.put(delivery(1, received_ms=one.now_ms, expires_ms=one.now_ms + 10_000))
        await one.outbox.resign(one.fence)
        await two.acquire()
        two.now_ms += 10_000
        assert [old.message.content.body for old in (await two.claim()).expired] == ["1"]


async def test_a_queue_whose_times_an_earlier_release_shifted_is_read_and_written_on(valkey):
    community = uuid.uuid4().hex
    now_ms = today_ms()
    async with Box(valkey, community, now_ms) as box:
        await box.outbox._command("HSET", f"{box.outbox._keys.tag}skew", "ms", LEAP_MS, "token", "t")
        first = delivery(1, received_ms=now_ms, expires_ms=now_ms + HOUR_MS)
        await box.put(first)
        await box.acquire()
    async with Box(valkey, community, now_ms) as box:
        await box.acquire()
        (lease,) = (await box.claim()).leases
        assert abs(lease.delivery.message.received_ms - now_ms) <= SLACK_MS
        assert lease.delivery.expires_ms - lease.delivery.message.received_ms == HOUR_MS
        box.now_ms += HOUR_MS
        await box.settle(Retry(id=lease.id, at_ms=box.now_ms))
        assert [old.message.content.body for old in (await box.claim()).expired] == ["1"]


# Whatever happens, and in whatever order.

happenings = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 5 * HOUR_MS)),
        st.tuples(st.just("set"), st.integers(-LEAP_MS, LEAP_MS)),
        st.tuples(st.just("restart"), st.integers(0, 2 * LEAP_MS)),
        st.tuples(st.just("put"), st.integers(0, 2)),
        st.tuples(st.just("retry"), st.integers(0, 2 * HOUR_MS)),
        st.tuples(st.just("done"), st.integers(0, 9)),
    ),
    min_size=4,
    max_size=25,
)
LIFE_MS = 6 * HOUR_MS


class Story:
    """One box, whatever happens to its clock; `passed_ms` is the time that really goes by."""

    def __init__(self, url):
        self.url, self.community = url, uuid.uuid4().hex
        self.box = Box(url, self.community, today_ms())
        self.passed_ms = 0
        self.born, self.due, self.order = {}, {}, {}

    async def play(self, story):
        await self.box.__aenter__()
        await self.box.acquire()
        for name, amount in story:
            await getattr(self, f"do_{name}")(amount)
        await self.box.__aexit__(None, None, None)

    async def do_wait(self, ms):
        self.passed_ms += ms
        self.box.now_ms += ms

    async def do_set(self, by_ms):
        self.box.set_clock(by_ms)

    async def do_restart(self, now_ms):
        await self.box.renew()  # as every few seconds
        await self.box.__aexit__(None, None, None)
        self.box = Box(self.url, self.community, now_ms)
        await self.box.__aenter__()
        await self.box.acquire()

    async def do_put(self, conversation):
        number = len(self.born)
        now_ms = self.box.now_ms
        self.born[number] = self.passed_ms
        self.order.setdefault(str(conversation), []).append(number)
        await self.box.put(
            delivery(number, received_ms=now_ms, conversation=str(conversation), expires_ms=now_ms + LIFE_MS)
        )

    async def do_retry(self, after_ms):
        for lease, conversation, number in await self.claimed():
            await self.box.settle(Retry(id=lease.id, at_ms=self.box.now_ms + after_ms))
            self.due[conversation] = self.passed_ms + after_ms
            assert self.order[conversation][0] == number

    async def do_done(self, _):
        for lease, conversation, number in await self.claimed():
            await self.box.settle(Done(id=lease.id))
            assert self.order[conversation].pop(0) == number, "out of order"

    async def claimed(self):
        claimed = await self.box.claim()
        for old in claimed.expired:
            number = int(old.message.content.body)
            assert self.passed_ms - self.born[number] >= LIFE_MS - SLACK_MS, "expired, and had not aged"
            self.order[old.to.conversation].remove(number)
        found = [
            (lease, lease.delivery.to.conversation, int(lease.delivery.message.content.body))
            for lease in claimed.leases
        ]
        for conversation, waiting in self.order.items():
            is_due = self.due.get(conversation, 0) <= self.passed_ms
            assert not (waiting and is_due) or conversation in [name for _, name, _ in found], (
                "further away than it was"
            )
        for _, conversation, _ in found:
            assert self.due.get(conversation, 0) <= self.passed_ms + SLACK_MS, "too early"
            self.due.pop(conversation, None)
        return found


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(story=happenings)
def test_however_the_clock_is_set_order_is_kept_nothing_expires_early_and_nothing_moves_away(runner, valkey, story):
    runner.run(Story(valkey).play([*story, ("wait", 2 * HOUR_MS), ("done", 0)]))


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as made:
        yield made


# The journal.


async def test_a_clock_that_is_set_while_the_queue_is_first_asked_for_its_time_is_followed_all_the_same():
    clock = ManualClock(IN_1970_MS)

    class Asked(RedisOutbox):
        async def _evaluate(self, name, keys, args):
            await asyncio.sleep(0)
            if name == "anchor":
                clock.step(LEAP_MS)
                self.shift(followed(clock))
                return [today, 0]
            told.append(args[2])
            return 1

    today, told = today_ms(), []
    outbox = Asked("redis://nowhere", community="test", now_ms=clock.now_ms)
    await outbox.acquire(RADIO, "box", now_ms=clock.now_ms() + LEAP_MS, ttl_ms=1000)

    assert told == [today]


async def test_a_clock_that_jumps_a_week_ahead_for_a_minute_makes_the_journal_forget_nothing(tmp_path):
    clock = ManualClock(today_ms())
    async with opened(tmp_path, clock=clock) as journal:
        for n in range(20):
            await journal.accept(said(n, received_ms=clock.now_ms()), [])
        await journal.upkeep.prune()
    async with opened(tmp_path, clock=clock) as journal:  # what it finds is of an earlier run: no step moves it
        for step_ms in (8 * DAY_MS, -8 * DAY_MS):
            clock.step(step_ms)
            await journal.upkeep.shift(followed(clock))
            clock.advance(60)
            await journal.upkeep.prune()
        assert len(await journal.messages()) == 20
    clock = ManualClock(clock.now_ms() + 9000 * DAY_MS)
    async with opened(tmp_path, clock=clock) as journal:  # it starts far in the future
        await journal.upkeep.prune()
        assert len(await journal.messages()) == 20
        clock.advance(8 * 86400)
        await journal.upkeep.prune()
        assert await journal.messages() == ()


async def test_a_shift_that_the_disk_interrupts_moves_everything_once_when_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.journal.retention.SHIFT_SLICE", 4)
    clock = ManualClock(IN_1970_MS)
    async with opened(tmp_path, clock=clock) as journal:
        for n in range(10):
            await journal.accept(said(n, received_ms=clock.now_ms()), [])
        clock.step(LEAP_MS)
        step_ms = followed(clock)
        with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
            other.execute(
                "CREATE TRIGGER no BEFORE UPDATE ON message WHEN new.seq = 6 BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
            with pytest.raises(JournalError):
                await journal.upkeep.shift(step_ms)
            await journal.accept(said("meanwhile", received_ms=clock.now_ms()), [])
            other.execute("DROP TRIGGER no")
        await journal.upkeep.shift(0)
        assert {record.message.received_ms for record in await journal.messages()} == {IN_1970_MS + LEAP_MS}


async def test_what_comes_in_while_the_journal_follows_a_step_keeps_its_own_time(tmp_path):
    clock = ManualClock(today_ms())
    async with opened(tmp_path, clock=clock) as journal:
        await journal.accept(said(0, received_ms=clock.now_ms()), [])
        clock.step(-3 * DAY_MS)
        shifting = asyncio.create_task(journal.upkeep.shift(followed(clock)))
        await asyncio.sleep(0)
        coming = [journal.accept(said(n, received_ms=clock.now_ms()), []) for n in range(1, 40)]
        assert all(isinstance(answer, Accepted) for answer in await asyncio.gather(*coming))
        await shifting
        assert {record.message.received_ms for record in await journal.messages()} == {clock.now_ms()}


async def test_so_does_a_redaction(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.journal.retention.SHIFT_SLICE", 2)
    clock = ManualClock(today_ms())
    async with opened(tmp_path, clock=clock) as journal:
        for n in (0, 2, 3, 4, 5):
            await journal.accept(said(n, received_ms=clock.now_ms()), [])
        clock.step(-3 * DAY_MS)
        shifting = asyncio.create_task(journal.upkeep.shift(followed(clock)))
        taken_back = replace(said(1, received_ms=clock.now_ms()), content=Redaction(target=RemoteId("packet-0")))
        amendment = Amendment(target=1, says=None, within=frozenset(), rewrite=lambda carrier, _: carrier)
        await asyncio.gather(journal.revisions.accept(taken_back, [], [], amendment), shifting)

        assert {record.message.received_ms for record in await journal.messages()} == {clock.now_ms()}


async def test_what_an_earlier_start_in_1970_journalled_moves_along_when_the_clock_is_set(tmp_path):
    for minute in (1, 2):
        clock = ManualClock(minute * MINUTE_MS)
        async with opened(tmp_path, clock=clock) as journal:
            await journal.accept(said(minute, received_ms=clock.now_ms()), [])
            if minute == 2:
                clock.step(LEAP_MS)
                await journal.upkeep.shift(followed(clock))
                times = [record.message.received_ms for record in await journal.messages()]
                assert times == [LEAP_MS + MINUTE_MS, LEAP_MS + 2 * MINUTE_MS]


# The whole core.


@pytest.mark.parametrize("step_ms", [-3 * DAY_MS, 3 * DAY_MS])
async def test_a_retry_that_was_decided_before_a_step_is_no_further_away_after_it(tmp_path, monkeypatch, step_ms):
    async with between_send_and_settling(tmp_path, monkeypatch, step_ms, TransientError("no", retry_after_s=0.3)) as (
        core,
        ident,
        _,
    ):
        await core.until(ident, "sent")


@pytest.mark.parametrize("step_ms", [-3 * DAY_MS, 3 * DAY_MS])
async def test_a_report_that_is_awaited_over_a_step_is_neither_given_up_nor_waited_for_longer(
    tmp_path, monkeypatch, step_ms
):
    awaited = Receipt(remote_id=RemoteId("7"), more_within_s=3600.0)
    async with between_send_and_settling(tmp_path, monkeypatch, step_ms, awaited) as (core, ident, now_ms):
        await core.until(ident, "sent")
        await until(lambda: core.outbox._at(CHAT.bridge).awaiting)
        (until_ms,) = core.outbox._at(CHAT.bridge).awaiting.values()
        left_ms = until_ms + core.outbox._skew - now_ms()
        assert HOUR_MS - MINUTE_MS < left_ms <= HOUR_MS
        assert abs((await core.journal.delivery(ident)).record.changed_ms - now_ms()) < MINUTE_MS


@asynccontextmanager
async def between_send_and_settling(folder, monkeypatch, step_ms, answer):
    """The clock is set while the queue is away, and the queue has not been told yet what a send came to."""
    async with watched(folder, monkeypatch) as (core, _, wall):
        core.bridge.held = asyncio.Event()
        core.bridge.answers = [answer]
        (ident,) = await core.say(1, origin=Address(ROOM.bridge, "#chat"))
        await core.until(ident, "sending")
        back = take_away(core.outbox)
        core.bridge.held.set()
        await until(lambda: not core.bridge.answers)
        wall.offset_ms = step_ms
        await until(lambda: abs(core.clock.now_ms() - wall.now_ms()) < 1000)
        back()
        yield core, ident, wall.now_ms


async def test_a_step_while_the_journal_can_not_be_written_is_followed_when_it_can(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch) as (core, _, wall):
        core.bridge.held = asyncio.Event()
        (before,) = await core.say(1)
        shift = core.journal.upkeep.shift

        async def full(_):
            core.journal.upkeep.shift = shift
            raise JournalError("the disk is full")

        core.journal.upkeep.shift = full
        wall.offset_ms = LEAP_MS
        await until(lambda: abs(core.clock.now_ms() - wall.now_ms()) < 1000)
        (after,) = await core.say(2)
        core.bridge.held.set()
        await core.until(after, "sent")
        assert await core.state(before) == "sent"


async def test_a_message_that_waited_to_be_accepted_while_the_clock_was_set_is_not_old_for_it(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch) as (core, _, wall):
        before_ms = core.clock.now_ms()
        wall.offset_ms = LEAP_MS
        await until(lambda: abs(core.clock.now_ms() - wall.now_ms()) < 1000)
        (ident,) = await core.say(1, received_ms=before_ms)
        message = (await core.journal.delivery(ident)).message
        assert abs(message.received_ms - wall.now_ms()) < MINUTE_MS


@pytest.mark.parametrize("step_ms", [LEAP_MS, -3 * DAY_MS])
async def test_a_message_that_is_being_written_while_the_clock_is_set_does_not_expire(tmp_path, monkeypatch, step_ms):
    async with watched(tmp_path, monkeypatch) as (core, _, wall):
        hourly = Route(name="town", sources=(ROOM,), targets=(CHANNEL,), expires_s={CHANNEL.bridge: 3600})
        core.intake._planner = replace(core.planner, table=RoutingTable(routes=(hourly,), in_clear=frozenset()))
        begun, written = threading.Event(), threading.Event()
        busy = asyncio.create_task(core.journal._writer.task(lambda *_: (begun.set(), written.wait(60))))
        await asyncio.to_thread(begun.wait, 60)
        saying = asyncio.create_task(core.say(1))
        await asyncio.sleep(0)
        wall.offset_ms = step_ms
        await until(lambda: abs(core.clock.now_ms() - wall.now_ms()) < 1000)
        assert not saying.done()
        written.set()
        await busy
        (ident,) = await saying
        assert await core.until(ident, "sent", "expired") == "sent"


async def test_what_a_clock_far_ahead_journalled_is_queued_as_if_it_came_now(tmp_path, monkeypatch):
    later_ms = today_ms() + 40 * DAY_MS
    async with opened(tmp_path, clock=ManualClock(later_ms)) as journal:
        message = said(1, ROOM, received_ms=later_ms)
        await journal.accept(message, [bound(message, CHANNEL, expires_ms=later_ms + HOUR_MS)])
    async with watched(tmp_path, monkeypatch) as (core, _, wall):
        core.bridge.held = asyncio.Event()
        queue = core.outbox._at(CHANNEL.bridge)
        await until(lambda: queue.entries)
        (entry,) = queue.entries.values()
        assert abs(entry.received - wall.now_ms()) < MINUTE_MS
        assert entry.expires - entry.received == HOUR_MS
        core.bridge.held.set()


def test_a_clock_in_1970_is_followed_when_it_is_set():
    wall = [IN_1970_MS]
    clock = SystemClock(wall_ms=lambda: wall[0], monotonic=lambda: 0.0)
    wall[0] += LEAP_MS
    assert followed(clock) == LEAP_MS
    assert clock.now_ms() == IN_1970_MS + LEAP_MS
