# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge that chooses: what waits goes in its order, is held back in its words, and lost to none of its mistakes."""

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.choosing import LONGEST_HOLD_S, SAID_AFTER_S
from gateway.link import LinkState
from gateway.model import Address, BridgeName, Go, Hold, JournalError, Lane, LinkDown, Refuse
from gateway.outbox.memory import MemoryOutbox
from gateway.outbox.redis import RedisOutbox
from gateway.progress import progress_of
from gateway.routing import Route, RoutingTable
from tests.contract.delivery_desk import CHANNEL, CHAT, HILL, ROOM, TABLE, running_core
from tests.contract.queue_server import valkey
from tests.contract.scheduling import SchedulingBridge, first, only_emergencies
from tests.steady_time import SteadyClock

__all__ = ["valkey"]

CHAT_ROOM = Address(BridgeName("home"), "#chat")
HILL_ROOM = Address(BridgeName("home"), "#hill")
BUSY = Hold(for_s=3600, reason="the channel is busy: 31 %")
FOLDING = replace(TABLE, routes=tuple(replace(one, digest_after_s={CHANNEL.bridge: 600}) for one in TABLE.routes))


@pytest.fixture(params=["memory", "valkey"])
def url(request):
    return None if request.param == "memory" else request.getfixturevalue("valkey")


@pytest.fixture
async def outbox(url):
    if url is None:
        yield MemoryOutbox()
        return
    async with RedisOutbox(url, community=uuid.uuid4().hex) as outbox:
        yield outbox


@asynccontextmanager
async def with_its_link_down(folder, bridge=None, **rest):
    """A core that gathers what is said; `up` lets it out."""
    async with running_core(folder, bridge or SchedulingBridge(), **rest) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        yield core


def up(core):
    core.link.set(LinkState.UP, "", 0)


async def held(core, reason=BUSY.reason):
    async with asyncio.timeout(8):
        while core.sender.held != reason:
            await asyncio.sleep(0.01)


def from_hill_first(waiting):
    return first(sorted(waiting, key=lambda one: one.delivery.to.conversation != HILL.conversation))


async def test_what_waits_goes_in_the_order_its_bridge_chooses_and_in_order_within_a_conversation(tmp_path, outbox):
    async with with_its_link_down(tmp_path, outbox=outbox) as core:
        core.bridge.rule = from_hill_first
        for n in range(3):
            (last,) = await core.say(n)
        for n in range(3, 6):
            (hill,) = await core.say(n, origin=HILL_ROOM)
        await core.until(hill, "queued")
        up(core)
        await core.until(last, "sent")

        assert core.bridge.texts == [f"text {n}" for n in (3, 4, 5, 0, 1, 2)]
        assert [len(waiting) for waiting in core.bridge.asked[:6]] == [2, 2, 2, 1, 1, 1], "asked before every send"


async def test_what_is_held_back_waits_with_its_reason_and_nothing_is_written_for_it(tmp_path, outbox):
    async with running_core(tmp_path, SchedulingBridge(), outbox=outbox) as core:
        core.bridge.rule = lambda _: BUSY
        (ident,) = await core.say(1)
        await held(core)
        await core.until(ident, "queued")

        assert await core.history(ident) == [("waiting", ""), ("queued", "")]
        record = await core.journal.message((await core.journal.delivery(ident)).message.id)
        (leg,) = progress_of(
            record, is_direct=core.planner.is_direct, trouble=lambda _: "", held=lambda _: core.sender.held
        ).legs
        assert (leg.state.value, leg.reason) == ("queued", BUSY.reason)

        core.bridge.rule = first
        (later,) = await core.say(2)  # news: it is asked anew
        await core.until(later, "sent")
        assert core.bridge.texts == ["text 1", "text 2"]
        assert core.sender.held == ""


async def test_a_pause_between_two_is_nothing_to_tell_anybody_unless_it_lasts(tmp_path):
    pause = Hold(for_s=2, reason="one after the other", is_brief=True)
    async with running_core(tmp_path, SchedulingBridge(), clock=SteadyClock(time_scale=40)) as core:
        core.bridge.rule = lambda _: pause
        await core.say(1)
        async with asyncio.timeout(8):
            while len(core.bridge.asked) < 6:
                await asyncio.sleep(0.01)
        look = core.sender.choosing.look()
        assert (core.sender.held, look.airtime.held, look.held_for_s, look.held_s) == ("", "", None, 0)

        await held(core, pause.reason)
        assert core.sender.choosing.look().held_for_s >= SAID_AFTER_S

        core.bridge.rule = lambda _: BUSY
        core.sender.wake()
        await held(core)
        assert core.sender.choosing.look().held_for_s < SAID_AFTER_S, "since it is busy, not since the pause began"


async def test_after_a_hold_is_over_by_the_gateways_clock_it_is_asked_again(tmp_path):
    async with running_core(tmp_path, SchedulingBridge(), clock=SteadyClock(time_scale=40)) as core:
        answers = [Hold(for_s=4, reason="one"), Hold(for_s=float("nan"), reason="two"), Hold(for_s=-1, reason="three")]
        asked_s = []

        def rule(waiting):
            asked_s.append(core.clock.monotonic())
            return answers.pop(0) if answers else first(waiting)

        core.bridge.rule = rule
        (ident,) = await core.say(1)
        await core.until(ident, "sent")

        assert asked_s[1] - asked_s[0] >= 4
        assert asked_s[2] - asked_s[1] >= LONGEST_HOLD_S
        assert core.sender.choosing.look().held_s >= 14
        assert core.sender.choosing.look().held_for_s is None


async def test_an_emergency_overtakes_a_hold_at_once(tmp_path, outbox):
    async with running_core(tmp_path, SchedulingBridge(), outbox=outbox) as core:
        core.bridge.rule = only_emergencies(BUSY)
        (waits,) = await core.say(1)
        await held(core)
        (urgent,) = await core.say(2, origin=HILL_ROOM, lane=Lane.EMERGENCY)
        await core.until(urgent, "sent", timeout_s=2)
        await held(core)

        assert core.bridge.texts == ["🚨 text 2"]
        assert await core.until(waits, "queued") == "queued"


async def test_what_it_refuses_is_a_dead_letter_with_its_reason_and_the_rest_goes_on(tmp_path, outbox):
    async with with_its_link_down(tmp_path, outbox=outbox) as core:

        def rule(waiting):
            guests = [one for one in waiting if one.delivery.lane is Lane.GUEST]
            return Refuse(id=guests[0].delivery.id, reason="no guests: 41 %") if guests else first(waiting)

        core.bridge.rule = rule
        parts = await core.say(1, body="far too long for one of them " * 2, lane=Lane.GUEST)
        (normal,) = await core.say(2, origin=HILL_ROOM)
        await core.until(normal, "queued")
        up(core)
        await core.until(normal, "sent")
        await core.until(parts[-1], "cancelled")

        assert core.bridge.texts == ["text 2"]
        assert (await core.history(parts[0]))[-1] == ("failed", "no guests: 41 %")
        assert (await core.history(parts[-1]))[-1] == ("cancelled", "an earlier part failed")
        assert [change.state.value for change in core.watcher.changes if change.id == parts[0]][-1] == "failed"
        assert core.sender.choosing.look().refused == 1


@pytest.mark.parametrize("answer", [RuntimeError("a defect"), Go(id="what?"), Refuse(id="what?", reason=""), None])
async def test_a_bridge_whose_answer_makes_no_sense_is_sent_to_as_one_that_does_not_choose(
    tmp_path, outbox, answer, capsys
):
    async with with_its_link_down(tmp_path, outbox=outbox) as core:
        core.bridge.rule = lambda _: answer
        (guest,) = await core.say(1, origin=HILL_ROOM, lane=Lane.GUEST)
        (last,) = await core.say(2)
        await core.until(last, "queued")
        up(core)
        await core.until(guest, "sent")

        assert core.bridge.texts == ["text 2", "text 1"]
        assert core.sender.choosing.defects == 2
    assert capsys.readouterr().out.count(" schedule_defect ") == 1


async def test_a_bridge_that_can_not_say_its_airtime_has_none_to_show(tmp_path):
    async with running_core(tmp_path, SchedulingBridge()) as core:
        core.bridge.air = RuntimeError("a defect")
        assert core.sender.choosing.look() is None


async def test_a_link_that_goes_down_ends_the_hold_and_nothing_is_asked_until_it_is_back(tmp_path):
    async with running_core(tmp_path, SchedulingBridge()) as core:
        core.bridge.rule = lambda _: BUSY
        await core.say(1)
        await held(core)
        core.link.set(LinkState.DOWN, "unplugged", 0)
        assert core.sender.held == ""
        asked = len(core.bridge.asked)
        (ident,) = await core.say(2)
        await core.until(ident, "queued")
        assert len(core.bridge.asked) == asked
        core.bridge.rule = first
        up(core)
        await core.until(ident, "sent")


async def test_while_the_network_is_down_it_chooses_which_one_finds_out_and_none_loses_an_attempt(tmp_path):
    async with with_its_link_down(tmp_path) as core:
        core.bridge.rule = from_hill_first
        core.bridge.answers = [LinkDown("no answer")] * 5  # with three attempts each
        (town,) = await core.say(1)
        (hill,) = await core.say(2, origin=HILL_ROOM)
        await core.until(hill, "queued")
        up(core)
        await core.until(town, "sent")
        await core.until(hill, "sent")

        assert core.sender.gate.breaker.is_closed
        assert core.sender.gate.breaker.opened >= 1


async def test_it_is_shown_the_words_that_would_go_out_and_asked_nothing_of_what_is_taken_back(tmp_path, outbox):
    async with running_core(tmp_path, SchedulingBridge(edits="native"), outbox=outbox) as core:
        core.bridge.rule = lambda _: BUSY
        await core.say(1)
        (taken,) = await core.say(2, origin=HILL_ROOM)
        await core.until(taken, "queued")
        await core.edit(3, 1, "better")
        await core.redact(4, 2, origin=HILL_ROOM)
        await held(core)
        shown = []

        def rule(waiting):
            shown.extend(one.delivery.message.content.body for one in waiting)
            return first(waiting)

        core.bridge.rule = rule
        core.sender.wake()
        await core.until((await core.say(5))[0], "sent")

        assert core.bridge.texts == ["better", "text 5"]
        assert shown[0] == "better"
        assert "text 2" not in shown


async def test_what_the_journal_knows_the_end_of_leaves_the_queue_without_a_question(tmp_path):
    class Forgetful(MemoryOutbox):
        async def cancel(self, destination, ids):
            return ()

    async with running_core(tmp_path, SchedulingBridge(), outbox=Forgetful()) as core:
        core.bridge.rule = lambda _: BUSY
        (ident,) = await core.say(1)
        await held(core)
        await core.redact(2, 1)
        core.bridge.rule = first
        (later,) = await core.say(3)
        await core.until(later, "sent")

        assert core.bridge.texts == ["text 3"]
        assert await core.state(ident) == "cancelled"


async def test_a_digest_is_shown_as_one(tmp_path, outbox):
    bridge = SchedulingBridge(room_for=lambda *_: 110)
    async with with_its_link_down(tmp_path, bridge, outbox=outbox, table=FOLDING) as core:
        old_ms = core.clock.now_ms() - 3_600_000
        for n in range(5):
            (old,) = await core.say(n, received_ms=old_ms)
        (young,) = await core.say(9)
        await core.until(young, "queued")
        up(core)
        await core.until(young, "sent")

        digests = [one for (one,) in core.bridge.asked if one.is_digest]
        assert [one.delivery.id for one in digests] == [old]
        assert digests[0].delivery.message.content.body == core.bridge.texts[0]
        assert core.bridge.texts[0].startswith("5 earlier from #town")
        assert len(core.bridge.texts) == 2


async def test_it_is_shown_what_it_needs_to_tell_classes_apart(tmp_path):
    table = RoutingTable(routes=(*TABLE.routes, Route(name="b", sources=(ROOM,), targets=(CHAT,))))
    async with with_its_link_down(tmp_path, table=table) as core:
        town, chat = await core.say(1, sender="kim", lane=Lane.GUEST)
        await core.until(chat, "queued")
        core.bridge.rule = lambda _: BUSY
        up(core)
        await held(core)
        direct, channel = core.bridge.asked[0]
        assert [direct.delivery.id, channel.delivery.id] == [chat, town]
        assert [one.delivery.direct for one in (direct, channel)] == [True, False]
        assert {(one.delivery.lane, one.delivery.message.sender.id) for one in (direct, channel)} == {
            (Lane.GUEST, "@kim:example.org")
        }


async def test_what_was_held_or_chosen_when_the_gateway_stopped_goes_on_after_it(tmp_path, outbox):
    async with running_core(tmp_path, SchedulingBridge(), outbox=outbox) as core:
        core.bridge.rule = only_emergencies(BUSY)
        core.bridge.held = asyncio.Event()
        (town,) = await core.say(1)
        (hill,) = await core.say(2, origin=HILL_ROOM, lane=Lane.EMERGENCY)
        await core.until(hill, "sending")
    async with running_core(tmp_path, SchedulingBridge(), outbox=outbox) as core:
        await core.until(hill, "sent")
        await core.until(town, "sent")
        assert core.bridge.texts == ["🚨 text 2", "text 1"]


async def test_a_destination_that_is_anothers_now_is_held_back_by_nobody_here(tmp_path):
    async with running_core(tmp_path, SchedulingBridge(), outbox=(outbox := MemoryOutbox())) as core:
        core.bridge.rule = lambda _: BUSY
        await core.say(1)
        await held(core)
        await outbox.acquire(CHANNEL.bridge, "another", now_ms=core.clock.now_ms() + 60_000, ttl_ms=60_000)
        core.sender.wake()
        async with asyncio.timeout(5):
            while core.sender.holds:
                await asyncio.sleep(0.01)
        assert core.sender.held == ""


async def test_what_expires_while_it_is_held_back_is_told(tmp_path, outbox):
    table = replace(TABLE, routes=tuple(replace(one, expires_s={CHANNEL.bridge: 1}) for one in TABLE.routes))
    async with running_core(tmp_path, SchedulingBridge(), outbox=outbox, table=table) as core:
        core.bridge.rule = lambda _: Hold(for_s=0.1, reason="busy")
        (ident,) = await core.say(1)
        await core.until(ident, "expired")
        assert core.bridge.texts == []


async def test_a_journal_that_can_not_be_read_holds_nothing_for_good(tmp_path, monkeypatch):
    async with with_its_link_down(tmp_path) as core:
        (ident,) = await core.say(1)
        await core.until(ident, "queued")
        core.sender.fresh.clear()
        standings, failures = core.journal.standings, [JournalError("input/output error")] * 3

        async def failing(ids):
            if failures:
                raise failures.pop()
            return await standings(ids)

        monkeypatch.setattr(core.journal, "standings", failing)
        up(core)
        async with asyncio.timeout(8):
            while not core.bridge.texts:
                await asyncio.sleep(0.01)
        assert failures == []
