# SPDX-License-Identifier: GPL-3.0-or-later
"""One bridge in several boxes: whose turn it is, and what the others know of it."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest

from gateway.clock import SystemClock
from gateway.elsewhere import Bookmark, Elsewhere, adopt
from gateway.fresh import Fresh
from gateway.intake import Intake
from gateway.journal import Change, Journal, Retention
from gateway.link import LinkState
from gateway.lookup import Lookup
from gateway.model import (
    Address,
    BridgeName,
    Delivery,
    LeaseLost,
    Message,
    NativeId,
    Rejected,
    RemoteId,
    ResumePoint,
    Sender,
    SenderId,
    State,
    StoreUnavailable,
    Text,
)
from gateway.outbox.memory import MemoryOutbox
from gateway.outbox.outbox import Buried, Done, Lease
from gateway.turn import Superseded, Turn, box_of, owner_of
from tests.contract.delivery_desk import CHANNEL, NO_RULES, POLICY, ROOM, TABLE, Core, ScriptedBridge, running_core

RADIO = CHANNEL.bridge
CLOCK = SystemClock()


class Roaming(ScriptedBridge):
    """A bridge that can go on from elsewhere."""

    def __init__(self):
        super().__init__()
        self.position = None
        self.went_on_from = []

    def go_on_from(self, point):
        self.went_on_from.append(point)


@pytest.fixture
async def journal(tmp_path):
    async with Journal(tmp_path / "journal.db", clock=CLOCK, retention=Retention()) as made:
        yield made


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr("gateway.turn.ASK_EVERY_S", 0.01)


def message(number, origin=ROOM):
    return Message(
        native_id=NativeId(f"mx:${number}"),
        origin=origin,
        sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
        content=Text(body=f"text {number}"),
        received_ms=CLOCK.now_ms(),
        remote_id=RemoteId(f"${number}"),
    )


def delivery(number, to=CHANNEL):
    return Delivery(message=message(number), to=to)


def turn_of(box, journal, outbox, bridge=None, *, shared=True):
    return Turn(bridge or Roaming(), journal, outbox, CLOCK, owner=box, shared=shared)


def core_on(journal):
    outbox = MemoryOutbox(shared=True)
    return Core(journal, outbox, ScriptedBridge(), CLOCK, rules=NO_RULES, policy=POLICY, table=TABLE)


async def hold(outbox, box, *, ttl_ms=60_000):
    fence = await outbox.acquire(RADIO, box, now_ms=CLOCK.now_ms(), ttl_ms=ttl_ms)
    assert fence is not None
    return fence


async def standing_by(turn):
    told = asyncio.Queue()
    return asyncio.create_task(turn.wait(told.put_nowait)), await told.get()


async def test_a_box_stands_by_while_another_holds_the_bridge_and_goes_on_where_that_was(journal):
    outbox, bridge = MemoryOutbox(shared=True), Roaming()
    fence = await hold(outbox, "hill#1")
    await outbox.mark(fence, ResumePoint("s7"))
    waiting, who = await standing_by(turn_of("lake#2", journal, outbox, bridge))
    assert who == "hill has it"
    assert not waiting.done()

    await outbox.resign(fence)
    async with asyncio.timeout(5):
        await waiting
    assert bridge.went_on_from == ["s7"]
    assert await journal.resume_point(RADIO) == "s7"  # a restart goes on there too


async def test_a_box_goes_on_by_its_own_journal_after_itself(journal):
    outbox, bridge = MemoryOutbox(shared=True), Roaming()
    fence = await hold(outbox, "hill#1")
    await outbox.mark(fence, ResumePoint("s7"))

    await turn_of("hill#1", journal, outbox, bridge).wait(lambda who: None)

    assert bridge.went_on_from == []


async def test_while_the_queue_is_away_a_fresh_box_connects_and_a_standby_stays_one(journal):
    outbox = MemoryOutbox(shared=True)
    holder = outbox.holder

    async def away(*_, **__):
        raise StoreUnavailable("away")

    outbox.holder = away
    async with asyncio.timeout(5):
        await turn_of("hill#1", journal, outbox).wait(lambda who: None)

    outbox.holder = holder
    fence = await hold(outbox, "hill#1")
    waiting, _ = await standing_by(turn_of("lake#2", journal, outbox))
    outbox.holder = away
    await outbox.resign(fence)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    outbox.holder = holder
    async with asyncio.timeout(5):
        await waiting


async def test_without_other_boxes_it_is_always_our_turn(journal):
    outbox = MemoryOutbox()
    await hold(outbox, "somebody")

    async with asyncio.timeout(5):
        await turn_of("hill#1", journal, outbox, shared=False).wait(pytest.fail)


async def test_what_is_done_with_a_bridge_ends_when_another_has_taken_it(journal):
    turn = turn_of("hill#1", journal, MemoryOutbox(shared=True))

    async def use(*, then):
        async with asyncio.timeout(5), turn.ours():
            then()
            await asyncio.Event().wait()

    def time_out():
        raise TimeoutError

    with pytest.raises(Superseded):
        await use(then=turn.lost)
    with pytest.raises(TimeoutError):
        await use(then=time_out)
    turn.lost()  # nothing is being done: nothing to end


async def test_that_another_has_it_may_be_said_again_while_the_bridge_is_still_closing(journal):
    """Who asks for the lease hears so every second; a bridge may take longer to close."""
    turn, closing, may_close = turn_of("hill#1", journal, MemoryOutbox(shared=True)), asyncio.Event(), asyncio.Event()

    async def use():
        async with asyncio.timeout(5), turn.ours():
            try:
                turn.lost()
                await asyncio.Event().wait()
            finally:
                closing.set()
                await may_close.wait()

    async with asyncio.TaskGroup() as group:
        using = group.create_task(_superseded(use()))
        await closing.wait()
        turn.lost()
        may_close.set()
        await using
    turn.lost()


async def _superseded(use):
    with pytest.raises(Superseded):
        await use


def test_two_boxes_of_one_name_hold_leases_under_two():
    assert owner_of("hill", "a" * 32) != owner_of("hill", "b" * 32)
    assert box_of(owner_of("hill", "a" * 32)) == "hill"


async def test_the_box_that_accepted_learns_what_another_sent_and_what_failed_there(journal):
    outbox, told = MemoryOutbox(shared=True), []
    here = Elsewhere(RADIO, journal, outbox, CLOCK, changed=lambda _, change: told.append(change))
    for number in (1, 2, 3):
        await journal.accept(message(number), [delivery(number)])
    batch = await journal.pending(RADIO, after=0, limit=10)
    await outbox.put(RADIO, journal.source, after=0, upto=batch.upto, deliveries=batch.deliveries)
    fence = await hold(outbox, "lake#2")
    claimed = await outbox.claim(fence, now_ms=CLOCK.now_ms(), visible_ms=1000, limit=9, run=2)
    one, two = (lease.id for lease in claimed.leases)
    outcomes = [Done(id=one, remote_id=RemoteId("77")), Buried(id=two, reason="too big")]
    await outbox.settle(fence, outcomes, now_ms=CLOCK.now_ms())

    assert await here.look(0) == 0

    kept = {ident: (await journal.delivery(ident)).record for ident in (one, two, delivery(3).id)}
    assert [record.state for record in kept.values()] == [State.SENT, State.FAILED, State.WAITING]
    assert kept[one].history[-1].reason == "by another gateway"
    assert kept[two].history[-1].reason == "too big"
    assert await journal.counterpart(ROOM, RemoteId("$1"), CHANNEL) == "77"
    assert [change.id for change in told] == [one, two]


async def test_what_another_box_accepted_has_its_story_on_the_box_that_sends_it(journal):
    whole = [_lease(delivery(1)), _lease(delivery(1, to=Address(RADIO, "Other"))), _lease(delivery(2))]
    known = {}
    await adopt(journal, whole, known)

    standings = await journal.standings([one.id for one in whole])
    assert [standing.state for standing in standings.values()] == [State.WAITING] * 3
    assert (await journal.find(ROOM, RemoteId("$2"))) is not None


async def test_one_that_failed_here_and_was_sent_again_elsewhere_is_sent(journal):
    one = delivery(1)
    lease = replace(_lease(one), generation=1)  # the network may remember what it refused
    await adopt(journal, [lease], {})
    await journal.apply([_failed(one.id)])
    lookup = Lookup(journal, Fresh(), adopt=partial(adopt, journal))
    found = await lookup.latest(lease, await lookup.claimed([lease]))

    assert found == lease
    assert (await journal.standings([one.id]))[one.id].state is State.WAITING


async def test_one_that_failed_here_a_moment_before_the_queue_was_told_goes_under_the_key_it_had(journal):
    """It may be there: the last try was answered by nobody, and we were killed."""
    one = delivery(1)
    await journal.accept(message(1), [one])
    await journal.apply([replace(_failed(one.id), generation=2)])
    lease = replace(_lease(one), attempt=4, generation=2)
    lookup = Lookup(journal, Fresh(), adopt=partial(adopt, journal))

    assert await lookup.latest(lease, await lookup.claimed([lease])) == lease


async def test_one_that_is_read_here_too_while_it_is_claimed_keeps_the_key_another_box_may_have_sent_it_under(journal):
    """A box that takes over goes on reading where the other was, and sending what that had queued, at once."""
    one = delivery(1)
    lease = _lease(one)
    known = await journal.standings([one.id])
    await journal.accept(message(1), [one])
    journal.note([Change(id=one.id, state=State.QUEUED, at_ms=0)])

    await adopt(journal, [lease], known)

    assert (known[one.id].generation, known[one.id].state) == (0, State.QUEUED)


async def test_what_is_adopted_while_it_is_read_here_keeps_its_key_too(tmp_path):
    async with Journal(tmp_path / "journal.db", clock=CLOCK, retention=Retention()) as journal:
        other = Delivery(message=message(1), to=Address(BridgeName("sea"), "x"))
        await adopt(journal, [_lease(other)], {})
        standings, one = journal.standings, delivery(1)

        async def adopted_meanwhile(ids):
            found = await standings(ids)
            journal.standings = standings
            await adopt(journal, [_lease(one)], {})
            return found

        journal.standings = adopted_meanwhile
        await intake_of(journal).accept(message(1))

        assert (await journal.standings([one.id]))[one.id].generation == 0


async def test_a_dead_letter_sent_again_by_hand_has_one_key_on_every_box(tmp_path):
    """The box that was told to sends it and is killed; the one that takes over never heard of it."""
    outbox = MemoryOutbox(shared=True)
    async with running_core(tmp_path, outbox=outbox) as core:
        core.bridge.answers = [Rejected("no")]
        (ident,) = await core.say(1)
        await core.until(ident, "failed")
        core.bridge.held = asyncio.Event()
        await core.operations.redrive([ident])
        await core.until(ident, "sending")
        fence = await outbox.acquire(RADIO, "box", now_ms=CLOCK.now_ms(), ttl_ms=60_000)
        (lease,) = (await outbox.claim(fence, now_ms=CLOCK.now_ms(), visible_ms=1000, limit=9, run=1)).leases

    (tmp_path / "lake").mkdir()
    async with Journal(tmp_path / "lake" / "journal.db", clock=CLOCK, retention=Retention()) as journal:
        lookup = Lookup(journal, Fresh(), adopt=partial(adopt, journal))
        found = await lookup.latest(lease, await lookup.claimed([lease]))
        assert found is not None
        assert (found.id, found.generation) == (ident, 1)


@pytest.mark.parametrize("first", [CHANNEL, ROOM])
async def test_what_came_in_here_where_another_box_wants_it_sent_is_there_already(journal, first):
    """Two boxes, each with a radio of its own on one mesh: both hear the same packet, and route it to the other's."""
    for origin in dict.fromkeys((first, CHANNEL)):
        await journal.accept(replace(message(1), origin=origin, remote_id=RemoteId(f"{origin}")), [])
    echo = Delivery(message=replace(message(1), origin=Address(BridgeName("lake"), "LongFast")), to=CHANNEL)
    known = {}

    await adopt(journal, [_lease(echo)], known)

    assert known[echo.id].state is State.CANCELLED
    assert (await journal.pending(RADIO, after=0, limit=9)).deliveries == ()


async def test_what_one_box_took_back_the_others_learn_of(tmp_path):
    """Or else it would wait in their journals for ever, and be put into a queue that lost its tail."""
    outbox = MemoryOutbox(shared=True)
    async with running_core(tmp_path, outbox=outbox) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        (ident,) = await core.say(1)
        await core.until(ident, "queued")
        await core.say(1, origin=CHANNEL)  # a copy: it is there already
        assert await core.state(ident) == "cancelled"

        assert (await outbox.fates(RADIO, [ident]))[ident].state is State.CANCELLED


def _lease(one):
    return Lease(id=one.id, delivery=one, attempt=1, generation=0, until_ms=0)


def intake_of(journal):
    core = core_on(journal)
    return Intake(
        journal,
        core.planner,
        core.outbox,
        core.watcher,
        hand_over=lambda *_: None,
        changing=lambda _: nullcontext(),
        works=lambda _: True,
        rewrite=lambda: pytest.fail("nothing is folded here"),
        shared=True,
    )


def _failed(ident):
    return Change(id=ident, state=State.FAILED, reason="no", at_ms=0)


async def test_a_message_first_met_on_its_way_out_gets_all_its_deliveries_when_it_is_read_here(tmp_path):
    async with Journal(tmp_path / "journal.db", clock=CLOCK, retention=Retention()) as journal:
        other = Delivery(message=message(1), to=Address(BridgeName("sea"), "x"))
        await adopt(journal, [_lease(other)], {})

        await intake_of(journal).accept(message(1))

        batch = await journal.pending(RADIO, after=0, limit=9)
        assert [one.to for one in batch.deliveries] == [CHANNEL]


class FakeDrain:
    def __init__(self, upto):
        self.upto = upto
        self.woken = 0

    def wake(self):
        self.woken += 1


async def test_a_source_is_marked_only_as_far_as_all_before_is_in_the_queue(journal):
    outbox, bridge = MemoryOutbox(shared=True), Roaming()
    quick, slow = FakeDrain(0), FakeDrain(0)
    mark = Bookmark(bridge, journal, outbox, [quick, slow])
    fence = await hold(outbox, "hill#1")

    async def marked():
        await mark.step(fence)
        return (await outbox.holder(RADIO, now_ms=CLOCK.now_ms())).resume

    bridge.position = ResumePoint("s0")
    assert await marked() == "s0"  # nothing was ever said: a standby begins there, not at its own now
    await journal.accept(message(1), [delivery(1)])
    bridge.position = ResumePoint("s1")
    quick.upto = 1
    assert await marked() == "s0"
    assert (quick.woken, slow.woken) == (0, 1)
    await journal.accept(message(2), [delivery(2)])
    bridge.position = ResumePoint("s2")
    slow.upto = 1
    assert await marked() == "s1"
    quick.upto = slow.upto = 2
    assert await marked() == "s2"

    await hold(outbox, "hill#1")
    bridge.position = ResumePoint("s3")
    with pytest.raises(LeaseLost):
        await mark.step(fence)


async def test_a_shared_bridge_whose_network_is_out_of_reach_is_only_held_until_another_wants_it(journal, monkeypatch):
    monkeypatch.setattr("gateway.holding.LET_GO_MS", -1)
    core = core_on(journal)
    core.sender.holding._shared = True
    fence = await core.sender.holding.acquire()
    assert (await core.outbox.holder(RADIO, now_ms=CLOCK.now_ms())).owner == "box"
    core.link.set(LinkState.DOWN, "out", CLOCK.now_ms())

    await core.sender.holding.renew(fence)

    assert (await core.outbox.holder(RADIO, now_ms=CLOCK.now_ms())).owner == ""
    await core.outbox.claim(fence, now_ms=CLOCK.now_ms(), visible_ms=1, limit=1, run=1)  # and still ours
    await hold(core.outbox, "lake#2")
    with pytest.raises(LeaseLost):
        await core.sender.holding.renew(fence)


async def test_a_box_whose_lease_may_be_over_asks_before_it_sends_anything_more(journal):
    core = core_on(journal)
    core.sender.holding._shared = True
    fence = await core.sender.holding.acquire()
    await core.sender.holding.assure(fence)
    core.sender.holding._sure_until = CLOCK.monotonic()  # as after it was frozen
    await core.sender.holding.assure(fence)
    assert core.sender.holding._sure_until > CLOCK.monotonic()

    core.sender.holding._sure_until = CLOCK.monotonic()
    core.outbox._at(RADIO).until = 0
    await hold(core.outbox, "lake#2")
    with pytest.raises(LeaseLost):
        await core.sender.holding.assure(fence)


async def test_a_box_out_of_reach_of_the_network_takes_what_nobody_has_and_no_more(journal, monkeypatch):
    """So that what waits for a radio that was never there expires all the same."""
    monkeypatch.setattr("gateway.holding.EXPIRE_EVERY_S", 0.01)
    core = core_on(journal)
    core.sender.holding._shared = True
    core.sender.holding.taken_by_another = lambda: pytest.fail("its session is none to end")
    core.link.set(LinkState.DOWN, "out", CLOCK.now_ms())

    async with asyncio.timeout(5):
        await core.sender.holding.acquire()
    assert (await core.outbox.holder(RADIO, now_ms=CLOCK.now_ms())).owner == ""

    await hold(core.outbox, "lake#2")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await core.sender.holding.acquire()


def test_a_bridge_that_another_box_has_is_no_trouble_of_ours():
    assert [state for state in LinkState if state.is_well] == [LinkState.UP, LinkState.STANDBY]
