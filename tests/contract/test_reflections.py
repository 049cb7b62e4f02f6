# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a message is told to the bridge it came from: soon, once it matters, and never at its expense."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from gateway import mirror, reflections
from gateway.changes import STANDS
from gateway.link import Link, LinkState
from gateway.model import (
    Certainty,
    Hold,
    JournalError,
    LinkDown,
    NotThere,
    RateLimited,
    Receipt,
    Rejected,
    RemoteId,
    Report,
    Showing,
    Unconfirmed,
    key_of,
)
from gateway.reflections import Reflections
from tests.contract.delivery_desk import CHANNEL, ROOM, TABLE, ScriptedBridge, running_core
from tests.contract.scheduling import SchedulingBridge

PATIENCE_S = 8.0


class Room:
    """A bridge that shows progress; `answers` are what its next calls raise."""

    name = ROOM.bridge

    def __init__(self, waiting_after_s=None):
        self.showing = Showing(waiting_after_s=waiting_after_s)
        self.answers = []
        self.held = None
        self.calls = []
        self.shown = []
        self.late = []

    async def reflect(self, news):
        self.calls.append([progress.remote_id for progress in news])
        if self.held is not None:
            await self.held.wait()
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.late += [(one.remote_id, leg.reason, one.about) for one in news for leg in one.late]
        self.shown += [(one.remote_id, leg.state.value, leg.reason) for one in news for leg in one.legs]


class Reflecting:
    def __init__(self, core, room):
        self.room = room
        self.counts = Counter()
        self.link = Link(0)
        self.link.set(LinkState.UP, "", 0)
        self.core = core
        self.reflections = Reflections(
            core.journal,
            core.clock,
            TABLE,
            is_direct=core.planner.is_direct,
            count=lambda _, kind: self.counts.update([kind]),
            held=lambda bridge: core.sender.held if bridge == CHANNEL.bridge else "",
        )
        bridges = {ROOM.bridge: room, CHANNEL.bridge: core.bridge}
        self.reflections.follow(bridges, {ROOM.bridge: self.link, CHANNEL.bridge: core.link})
        core.watcher.followers = (self.reflections,)

    async def until(self, holds):
        async with asyncio.timeout(PATIENCE_S):
            while not holds(self):
                await asyncio.sleep(0.01)

    async def is_shown(self, *shown):
        await self.until(lambda _: set(shown) <= set(self.room.shown))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(reflections, "GATHER_S", 0.02)
    monkeypatch.setattr(reflections, "AGAIN_S", 0.05)
    monkeypatch.setattr(mirror, "AGAIN_S", 0.05)


@asynccontextmanager
async def running(core, room=None):
    made = Reflecting(core, room or Room())
    tasks = [asyncio.create_task(job) for _, job in made.reflections.jobs()]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def test_what_was_sent_and_what_was_heard_later_is_told_where_it_was_said(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        core.bridge.answers = [Receipt(remote_id=RemoteId("r1"), more_within_s=60), Rejected("too big")]
        (ident,) = await core.say(1)
        await core.say(2)
        await world.is_shown(("$1", "sent", ""), ("$2", "failed", "too big"))

        core.sender.reports.take(Report(key=key_of(ident, 0), outcome=Certainty.HEARD))
        await world.is_shown(("$1", "heard", ""))


async def test_a_redaction_that_came_too_late_is_told(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        await core.redact(2, 1)
        await core.redact(3, 99)
        await world.until(lambda world: "$2" in [name for call in world.room.calls for name in call])

        assert world.room.late == [("$2", STANDS, "$1")]


async def test_several_changes_in_a_row_are_told_together_and_in_order(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        world.link.set(LinkState.DOWN, "away", 0)
        for number in range(20):
            ids = await core.say(number)
        await core.until(ids[0], "sent")
        await asyncio.sleep(0.1)
        assert world.room.calls == []

        world.link.set(LinkState.UP, "", 0)
        await world.is_shown(("$19", "sent", ""))
        assert [name for call in world.room.calls for name in call] == [f"${n}" for n in range(20)]
        assert len(world.room.calls) < 5


async def test_what_waits_is_told_after_a_while_with_what_keeps_it(tmp_path):
    async with running_core(tmp_path) as core, running(core, Room(waiting_after_s=0.1)) as world:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        await core.say(1)
        await world.is_shown(("$1", "queued", "unplugged"))

        core.link.set(LinkState.UP, "", 0)
        core.sender.look_again()
        await world.is_shown(("$1", "sent", ""))


async def test_where_waiting_is_not_shown_nothing_is_told_of_it(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        asked = []
        inner = core.journal.messages_of
        core.journal.messages_of = lambda ids: asked.append(ids) or inner(ids)
        core.bridge.held = asyncio.Event()
        (ident,) = await core.say(1)
        await core.until(ident, "sending")
        await asyncio.sleep(0.3)
        assert (asked, world.room.calls) == ([], [])


async def test_what_changes_while_it_is_being_shown_is_shown_after_that(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        world.room.held = asyncio.Event()
        core.bridge.answers = [Receipt(remote_id=RemoteId("r1"), more_within_s=60)]
        (ident,) = await core.say(1)
        await world.until(lambda world: world.room.calls)
        core.sender.reports.take(Report(key=key_of(ident, 0), outcome=Certainty.HEARD))
        await core.until(ident, "heard")
        await asyncio.sleep(0.2)
        assert world.room.calls == [["$1"]]

        world.room.held.set()
        await world.is_shown(("$1", "sent", ""), ("$1", "heard", ""))


async def test_a_network_that_never_answers_what_it_is_shown_holds_up_no_message(tmp_path):
    async with running_core(tmp_path) as core, running(core, Room()) as world:
        world.room.held = asyncio.Event()
        (first,) = await core.say(1)
        await core.until(first, "sent")
        await world.until(lambda world: world.room.calls)
        ids = [ident for number in range(2, 6) for ident in await core.say(number)]

        await core.until(ids[-1], "sent")
        assert core.bridge.texts == [f"text {number}" for number in range(1, 6)]
        assert (len(world.room.calls), world.room.shown) == (1, [])


async def test_what_changes_while_it_is_being_looked_up_is_looked_up_again(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        looked_up, go_on = asyncio.Event(), asyncio.Event()
        inner = core.journal.messages_of

        async def slow(ids):
            found = await inner(ids)
            looked_up.set()
            await go_on.wait()
            return found

        core.journal.messages_of = slow
        core.bridge.answers = [Receipt(remote_id=RemoteId("r1"), more_within_s=60)]
        (ident,) = await core.say(1)
        await looked_up.wait()
        core.sender.reports.take(Report(key=key_of(ident, 0), outcome=Certainty.HEARD))
        await core.until(ident, "heard")
        go_on.set()
        await world.is_shown(("$1", "heard", ""))


async def test_what_cannot_go_out_at_all_is_told_at_once(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(max_parts=1)) as core, running(core) as world:
        await core.say(1, body="words " * 40)
        await world.until(lambda world: any(state == "failed" for _, state, _ in world.room.shown))


async def test_what_expires_and_what_is_cancelled_by_hand_is_told(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        core.bridge.held = asyncio.Event()
        await core.say(0)
        (ident,) = await core.say(1)
        await core.until(ident, "queued")
        await core.operations.cancel([ident])
        await world.until(lambda world: ["$1"] in world.room.calls)
        assert ("$1", "cancelled", "cancelled by hand") not in world.room.shown, "as no leg at all"

        await core.say(2, received_ms=core.clock.now_ms() - 7 * 3600 * 1000)
        core.bridge.held.set()
        await world.is_shown(("$2", "expired", "too old for this network"))


async def test_what_comes_from_elsewhere_is_not_looked_up(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        asked = []
        core.journal.messages_of = asked.append
        core.watcher.changed(ROOM.bridge, type("Change", (), {"id": "x", "state": None})())
        await asyncio.sleep(0.1)
        assert asked == []
        assert world.room.calls == []


@pytest.mark.parametrize("error", [LinkDown("away"), RateLimited("slow"), Unconfirmed("silence")])
async def test_what_could_not_be_shown_now_is_shown_later_as_it_is_then(tmp_path, error):
    async with running_core(tmp_path) as core, running(core) as world:
        world.room.answers = [error, error]
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        await world.is_shown(("$1", "sent", ""))
        assert world.room.calls == [["$1"]] * 3
        assert world.counts == {}


@pytest.mark.parametrize("error", [NotThere("we were put out"), Rejected("no"), ZeroDivisionError()])
async def test_what_can_never_be_shown_is_dropped_and_counted_and_the_next_goes_on(tmp_path, error):
    async with running_core(tmp_path) as core, running(core) as world:
        world.room.answers = [error]
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        await world.until(lambda world: world.counts["progress_not_shown"] == 1)
        await core.say(2)
        await world.is_shown(("$2", "sent", ""))


async def test_a_journal_that_cannot_be_read_for_a_while_delays_it(tmp_path):
    async with running_core(tmp_path) as core, running(core) as world:
        inner, fails = core.journal.messages_of, [JournalError("disk"), JournalError("disk")]

        async def failing(ids):
            if fails:
                raise fails.pop()
            return await inner(ids)

        core.journal.messages_of = failing
        await core.say(1)
        await world.is_shown(("$1", "sent", ""))
        assert fails == []


async def test_after_a_restart_what_ended_just_before_it_and_what_still_waits_is_told(tmp_path):
    async with running_core(tmp_path) as core:
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        core.link.set(LinkState.DOWN, "unplugged", 0)
        await core.say(2)
        async with running(core, Room(waiting_after_s=0.2)) as world:
            await world.is_shown(("$1", "sent", ""), ("$2", "queued", "unplugged"))


async def test_past_its_bounds_it_drops_and_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(reflections, "MOST_NEWS", 3)
    monkeypatch.setattr(mirror, "MOST_KEPT", 2)
    async with running_core(tmp_path) as core:
        world = Reflecting(core, Room(waiting_after_s=60))
        ids = [(await core.say(number))[0] for number in range(5)]
        await core.until(ids[-1], "sent")
        assert world.counts == {"progress_not_followed": 2 + 2}, "to look at later, and news"
        tasks = [asyncio.create_task(job) for _, job in world.reflections.jobs()]
        await world.until(lambda world: world.room.shown)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert world.counts["progress_not_shown"] == 1
        assert [name for name, _, _ in world.room.shown] == ["$1", "$2"]


async def test_who_waits_for_a_radio_that_holds_back_is_told_why(tmp_path):
    async with running_core(tmp_path, SchedulingBridge()) as core, running(core, Room(waiting_after_s=0.3)) as world:
        core.bridge.rule = lambda _: Hold(for_s=3600, reason="the channel is busy: 31 %")
        (ident,) = await core.say(1)
        await core.until(ident, "queued")

        await world.is_shown(("$1", "queued", "the channel is busy: 31 %"))
