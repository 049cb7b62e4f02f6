# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway notices of its stores and its clock, and what it does about it."""

import asyncio
import re
import threading
import time
from contextlib import asynccontextmanager

import pytest

from gateway.clock import SystemClock
from gateway.health import Health
from gateway.journal import Retention
from gateway.model import JournalError, SenderId, StoreRefused, StoreUnavailable
from gateway.permissions import Permissions
from gateway.rulings import Rulings
from gateway.status import StoreState
from tests.contract.delivery_desk import running_core

YEAR_MS = 365 * 24 * 3600 * 1000


class Wall:
    """A wall clock that can be set."""

    def __init__(self):
        self.offset_ms = 0

    def now_ms(self):
        return time.time_ns() // 1_000_000 + self.offset_ms


@asynccontextmanager
async def watched(folder, monkeypatch, *, retention=None):
    for name in ("CLOCK_EVERY_S", "JOURNAL_EVERY_S", "QUEUE_EVERY_S", "QUEUE_EVERY_WHEN_DOWN_S"):
        monkeypatch.setattr(f"gateway.health.{name}", 0.02)
    wall = Wall()
    clock = SystemClock(wall_ms=wall.now_ms)
    async with running_core(folder, clock=clock, retention=retention) as core:
        core.rulings = Rulings(Permissions.open_to_all(), core.journal.decisions, clock)
        health = Health(
            journal=core.journal,
            outbox=core.outbox,
            clock=clock,
            intake=core.intake,
            drains=[core.drain],
            engine=lambda: ("valkey", ""),
            queue_back=core.drain.wake,
            dated_anew=core.rulings.dated_anew,
        )
        jobs = (health.watch_clock(), health.keep_journal(), health.watch_queue())
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            yield core, health, wall
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def take_away(outbox):
    """Let the queue answer nothing; return what brings it back."""
    calls = {name: getattr(outbox, name) for name in ("put", "claim", "settle", "acquire", "renew", "ping")}

    async def away(*_, **__):
        raise StoreUnavailable("away")

    for name in calls:
        setattr(outbox, name, away)
    return lambda: [setattr(outbox, name, call) for name, call in calls.items()]


async def until(condition):
    async with asyncio.timeout(8):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("step_ms", [YEAR_MS, -YEAR_MS])
async def test_what_was_decided_in_chats_is_no_older_and_no_younger_for_a_clock_that_is_set(
    tmp_path, monkeypatch, step_ms
):
    async with watched(tmp_path, monkeypatch) as (core, _, wall):
        await core.rulings.mute(SenderId("@ali:x"), for_s=3600, by=SenderId("@op:x"))
        wall.offset_ms = step_ms

        await until(lambda: abs(core.rulings.mutes()[0].at_ms - wall.now_ms()) < 60_000)
        assert core.rulings.muted(SenderId("@ali:x"))


@pytest.mark.parametrize("step_ms", [YEAR_MS, -YEAR_MS])
async def test_a_clock_that_is_set_while_the_queue_is_away_makes_nothing_expire(tmp_path, monkeypatch, step_ms):
    async with watched(tmp_path, monkeypatch) as (core, _, wall):
        core.bridge.held = asyncio.Event()
        (before,) = await core.say(1)
        await core.until(before, "sending")
        (waiting,) = await core.say(2)
        back = take_away(core.outbox)
        wall.offset_ms = step_ms
        await until(lambda: abs(core.clock.now_ms() - wall.now_ms()) < 1000)
        (during,) = await core.say(3)
        back()
        (after,) = await core.say(4)
        core.bridge.held.set()

        await core.until(after, "sent")
        assert core.bridge.texts == ["text 1", "text 2", "text 3", "text 4"]
        assert [await core.state(ident) for ident in (before, waiting, during)] == ["sent"] * 3
        assert abs(core.clock.now_ms() - wall.now_ms()) < 1000


async def test_a_journal_that_refuses_is_not_ready_and_is_again_when_it_can(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch) as (core, health, _):
        accept, prune = core.journal.accept, core.journal.upkeep.prune

        async def no_space(*_):
            raise JournalError("no space left on the disk")

        core.journal.accept = core.journal.upkeep.prune = no_space
        with pytest.raises(JournalError):
            await core.say(1)
        await until(lambda: health.journal.state is StoreState.DOWN)
        assert health.journal.reason == "no space left on the disk"

        core.journal.accept, core.journal.upkeep.prune = accept, prune
        await until(lambda: health.journal.state is StoreState.UP)


async def test_a_journal_that_cannot_be_pruned_stays_down_until_it_can_though_nobody_speaks(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch) as (core, health, _):
        prune = core.journal.upkeep.prune

        async def read_only():
            raise JournalError("the disk is read-only")

        monkeypatch.setattr("gateway.health.PRUNE_EVERY_S", 0.0)
        core.journal.upkeep.prune = read_only
        await until(lambda: health.journal.state is StoreState.DOWN)
        monkeypatch.setattr("gateway.health.PRUNE_EVERY_S", 600.0)

        await asyncio.sleep(0.3)
        assert health.journal.reason == "the disk is read-only"
        core.journal.upkeep.prune = prune
        await until(lambda: health.journal.state is StoreState.UP)


async def test_a_queue_that_is_away_or_must_not_be_used_is_told_with_its_reason(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch) as (core, health, _):
        await until(lambda: health.queue.state is StoreState.UP)
        ping = core.outbox.ping

        async def refused():
            raise StoreRefused("maxmemory-policy is allkeys-lru: set it to noeviction")

        core.outbox.ping = refused
        await until(lambda: health.queue.state is StoreState.REFUSED)
        assert "noeviction" in health.queue.reason
        core.outbox.ping = ping
        await until(lambda: health.queue.state is StoreState.UP)


@pytest.mark.parametrize(("error", "state"), [(StoreUnavailable, StoreState.DOWN), (StoreRefused, StoreState.REFUSED)])
async def test_a_queue_that_answers_but_takes_nothing_is_told_with_its_reason(tmp_path, monkeypatch, error, state):
    async with watched(tmp_path, monkeypatch) as (core, health, _):
        await until(lambda: health.queue.state is StoreState.UP)
        put = core.outbox.put

        async def full(*_, **__):
            raise error("out of memory")

        core.outbox.put = full
        (ident,) = await core.say(1)
        await until(lambda: health.queue.state is state)
        assert health.queue.reason == "out of memory"

        core.outbox.put = put
        await core.until(ident, "sent")
        await until(lambda: health.queue.state is StoreState.UP)
        assert health.queue.reason == ""


async def test_a_full_journal_is_not_ready_and_says_why(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch, retention=Retention(rows=5)) as (core, health, _):
        core.bridge.held = asyncio.Event()
        with pytest.raises(JournalError, match="full"):
            await _keep_talking(core)

        await until(lambda: health.journal.state is StoreState.DOWN)
        assert "full" in health.journal.reason
        core.bridge.held.set()


async def _keep_talking(core):
    for number in range(50):
        await core.say(number)


async def test_a_slow_disk_is_said_and_messages_are_accepted_all_the_same(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch) as (core, health, _):
        written = threading.Event()
        writing = asyncio.create_task(core.journal._writer.task(lambda *_: written.wait(60)))
        await until(lambda: health.journal.state is StoreState.SLOW)
        assert "under way" in health.journal.reason
        written.set()
        await writing
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        await until(lambda: re.fullmatch(r"slow: a commit took \d+\.\d s", health.journal.reason))
        assert health.journal.state.is_usable

        monkeypatch.setattr("gateway.pace.CALM_S", 0.1)
        await until(lambda: health.journal.state is StoreState.UP)
        assert health.journal.reason == ""


async def test_a_queue_that_takes_long_to_answer_is_said_to_be_slow(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch) as (core, health, _):
        ping = core.outbox.ping

        async def late():
            core.outbox.ping = ping
            await asyncio.sleep(0.6)

        core.outbox.ping = late
        await until(lambda: health.queue.state is StoreState.SLOW)
        took = re.fullmatch(r"slow: an answer took (\d+\.\d) s", health.queue.reason)
        assert took, health.queue.reason
        assert float(took[1]) >= 0.6
