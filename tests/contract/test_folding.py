# SPDX-License-Identifier: GPL-3.0-or-later
"""A destination that comes back to a stale backlog: one digest a conversation, then the rest in order."""

import asyncio
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.clock import ManualClock
from gateway.digest import span
from gateway.drain import CUT_OFF
from gateway.journal import Change
from gateway.journal.amending import IN_TIME, TAKEN_BACK
from gateway.link import LinkState
from gateway.model import (
    API_ADDRESS,
    Address,
    BridgeName,
    JournalError,
    Lane,
    LinkDown,
    Reaction,
    RemoteId,
    State,
    StoreUnavailable,
    Support,
)
from gateway.outbox.memory import MemoryOutbox
from gateway.outbox.outbox import Lease
from gateway.routing import Route
from tests.clocks import HurryingClock, followed
from tests.contract.delivery_desk import CHANNEL, ROOM, TABLE, ScriptedBridge, running_core

CHAT_ROOM = Address(BridgeName("home"), "#chat")
HOUR_MS = 3_600_000
HERE = {CHANNEL.bridge: 600}
FOLDING = replace(TABLE, routes=tuple(replace(route, digest_after_s=HERE) for route in TABLE.routes))
CARRIES = {
    "room_for": lambda *_: 110,
    "reactions": Support.NATIVE,
    "edits": Support.TEXT,
    "in_flight": 1,
}


@asynccontextmanager
async def after_an_outage(folder, outbox=None, **capabilities):
    """A core whose link is still down."""
    bridge = ScriptedBridge(**(CARRIES | capabilities))
    async with running_core(folder, bridge, outbox=outbox, table=FOLDING) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        yield core


async def say_old(core, *numbers, age_ms=HOUR_MS, **fields):
    """Say so many texts of an hour ago; return their deliveries, queued."""
    ids = [(await core.say(n, received_ms=core.clock.now_ms() - age_ms, **fields))[0] for n in numbers]
    await core.until(ids[-1], "queued")
    return ids


async def back(core, *, until):
    core.link.set(LinkState.UP, "", 0)
    await core.sender.due_now()
    await core.until(until, "sent", "delivered")


async def states(core, ids):
    return [await core.state(ident) for ident in ids]


@pytest.mark.parametrize("in_flight", [1, 4])
async def test_old_ones_are_told_in_one_digest_and_the_rest_in_order_after_it(tmp_path, in_flight):
    async with after_an_outage(tmp_path, in_flight=in_flight) as core:
        old = await say_old(core, *range(30))
        young = await say_old(core, *range(30, 33), age_ms=0)
        await back(core, until=young[-1])

        digest, *rest = core.bridge.texts
        assert digest.startswith("30 earlier from #town ")
        assert digest.endswith("Ali: text 29")
        assert rest == ["text 30", "text 31", "text 32"]
        assert await states(core, old) == ["folded"] * 29 + ["sent"]
        assert (await core.history(old[0]))[-1] == ("folded", f"into the digest {old[-1]}")
        assert ("queued", "a digest of 30 messages") in await core.history(old[-1])
        assert core.bridge.messages[0].sender.name == "hilltop"


async def test_a_digest_says_when_the_first_and_the_last_were_said(tmp_path):
    async with after_an_outage(tmp_path) as core:
        await say_old(core, 1, late_ms=5 * HOUR_MS)
        old = await say_old(core, 2, 3)
        now_ms = core.clock.now_ms()
        await back(core, until=old[-1])
        first, last, today = (datetime.fromtimestamp((now_ms - ago * HOUR_MS) / 1000, UTC) for ago in (6, 1, 0))
        assert core.bridge.texts[0].startswith(f"3 earlier from #town {span(first, last, today=today)}: ")


class SlowlyBack(MemoryOutbox):
    """Away at first, then slow to take things in."""

    is_away = True

    async def put(self, *args, **kwargs):
        if self.is_away:
            raise StoreUnavailable("away")
        await asyncio.sleep(0.01)
        return await super().put(*args, **kwargs)


async def test_after_an_outage_of_the_queue_what_is_folded_on_its_way_there_is_told_once(tmp_path, monkeypatch):
    """The first few are claimed, and all folded, while the drain still has the rest at hand as they were."""
    monkeypatch.setattr("gateway.drain.BATCH", 4)
    outbox = SlowlyBack()
    async with running_core(tmp_path, ScriptedBridge(**CARRIES), outbox=outbox, table=FOLDING) as core:
        ids = [(await core.say(n, received_ms=core.clock.now_ms() - HOUR_MS))[0] for n in range(40)]
        outbox.is_away = False
        await core.until(ids[-1], "sent")
        (young,) = await core.say(40)
        await core.until(young, "sent")

        digest, *rest = core.bridge.texts
        assert digest.startswith("40 earlier from #town ")
        assert rest == ["text 40"]
        assert await states(core, ids) == ["folded"] * 39 + ["sent"]


async def test_one_old_message_is_simply_sent(tmp_path):
    async with after_an_outage(tmp_path) as core:
        await say_old(core, 1)
        (young,) = await say_old(core, 2, age_ms=0)
        await back(core, until=young)

        assert core.bridge.texts == ["text 1", "text 2"]


async def test_without_digest_after_nothing_is_folded_however_old(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CARRIES)) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        ids = await say_old(core, 1, 2, 3)
        await back(core, until=ids[-1])

        assert core.bridge.texts == ["text 1", "text 2", "text 3"]


async def test_what_has_expired_is_said_to_have_and_is_not_folded(tmp_path):
    async with after_an_outage(tmp_path) as core:
        too_old = await say_old(core, 1, 2, age_ms=7 * HOUR_MS)
        old = await say_old(core, 3, 4)
        await back(core, until=old[-1])

        assert [text.partition(" from")[0] for text in core.bridge.texts] == ["2 earlier"]
        assert await states(core, too_old) == ["expired", "expired"]
        assert (await core.history(too_old[0]))[-1] == ("expired", "too old for this network")


@pytest.mark.parametrize("end", [State.SENT, State.FOLDED])
async def test_what_the_queue_still_had_when_it_grew_too_old_keeps_the_end_it_came_to(tmp_path, end):
    """The queue had lost its tail, or could not be told when it was folded."""
    async with after_an_outage(tmp_path) as core:
        (kept,) = await say_old(core, 1, age_ms=7 * HOUR_MS)
        await core.journal.record([Change(id=kept, state=end, reason="long ago", at_ms=core.clock.now_ms())])
        (young,) = await say_old(core, 2, age_ms=0)
        await back(core, until=young)

        assert (await core.history(kept))[-1] == (end.value, "long ago")
        assert State.EXPIRED not in {change.state for change in core.watcher.changes}


async def test_what_is_counted_and_named_is_messages_not_parts(tmp_path):
    async with after_an_outage(tmp_path) as core:
        parts = await core.say(1, body="word " * 30, received_ms=core.clock.now_ms() - HOUR_MS)
        await say_old(core, 2)
        last = await core.say(3, body="end " * 30, received_ms=core.clock.now_ms() - HOUR_MS)
        assert (len(parts), len(last)) == (2, 2)
        await back(core, until=last[0])

        (digest,) = core.bridge.texts
        assert digest.startswith("3 earlier from #town ")
        assert await states(core, [*parts, *last]) == ["folded", "folded", "sent", "folded"]


async def test_direct_messages_and_emergencies_are_never_folded(tmp_path):
    async with after_an_outage(tmp_path) as core:
        urgent = await say_old(core, 1, 2, lane=Lane.EMERGENCY)
        direct = await say_old(core, 3, 4, origin=CHAT_ROOM)
        old = await say_old(core, 5, 6)
        await back(core, until=old[-1])
        await core.until(direct[-1], "sent")

        assert sorted(core.bridge.texts)[1:] == ["text 3", "text 4", "🚨 text 1", "🚨 text 2"]
        assert any(text.startswith("2 earlier") for text in core.bridge.texts)
        assert await states(core, [*urgent, *direct]) == ["sent"] * 4


async def test_each_conversation_has_a_digest_of_its_own(tmp_path):
    other, hill = Address(BridgeName("home"), "#hill"), Address(CHANNEL.bridge, "Hill")
    route = Route(name="hill", sources=(other,), targets=(hill,), digest_after_s=HERE)
    table = replace(FOLDING, routes=(*FOLDING.routes, route))
    async with running_core(tmp_path, ScriptedBridge(**CARRIES), table=table) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        await say_old(core, 1, 2)
        (_, hills) = await say_old(core, 3, 4, origin=other)
        await back(core, until=hills)

        assert sorted(text[:20] for text in core.bridge.texts) == ["2 earlier from #hill", "2 earlier from #town"]


async def test_a_slow_drain_makes_no_second_digest(tmp_path):
    async with after_an_outage(tmp_path) as core:
        await say_old(core, 1, 2)
        young = await say_old(core, 3, 4, 5, age_ms=0)
        core.bridge.held = asyncio.Event()
        core.link.set(LinkState.UP, "", 0)
        await core.sender.due_now()
        while not core.sender.in_hand:
            await asyncio.sleep(0.01)
        core.sender.folding._clock = Later(core.clock, seconds=1200)  # the young ones are old by now
        core.bridge.held.set()
        await core.until(young[-1], "sent")

        assert core.bridge.texts[1:] == ["text 3", "text 4", "text 5"]


class Later:
    """A clock that is ahead."""

    def __init__(self, clock, *, seconds):
        self._clock, self._seconds = clock, seconds

    def now_ms(self):
        return self._clock.now_ms() + self._seconds * 1000

    def monotonic(self):
        return self._clock.monotonic() + self._seconds


async def test_what_was_being_sent_when_the_link_went_goes_as_it_is_and_before_the_digest(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CARRIES), table=FOLDING) as core:
        core.bridge.held, core.bridge.answers = asyncio.Event(), [LinkDown("unplugged")]
        (tried,) = await core.say(0, received_ms=core.clock.now_ms() - HOUR_MS)
        await core.until(tried, "sending")
        core.link.set(LinkState.DOWN, "unplugged", 0)
        core.bridge.held.set()
        await core.until(tried, "waiting")
        old = await say_old(core, 1, 2, 3)
        await back(core, until=old[-1])

        assert core.bridge.texts[0] == "text 0"
        assert core.bridge.texts[1].startswith("3 earlier")


async def test_messages_posted_by_hand_are_sent_as_they_are(tmp_path):
    async with after_an_outage(tmp_path) as core:
        await say_old(core, 1, 2)
        by_hand = replace((await core.journal.messages())[0].message, native_id="api:1", origin=API_ADDRESS)
        await core.operations.submit(by_hand, only=CHANNEL, route=None)
        (young,) = await say_old(core, 3, age_ms=0)
        await back(core, until=young)

        assert [text.partition(" from")[0] for text in core.bridge.texts] == ["2 earlier", "text 1", "text 3"]


# What is said of it, and to it.


async def test_a_reply_to_what_was_folded_answers_the_digest(tmp_path):
    async with after_an_outage(tmp_path) as core:
        old = await say_old(core, 1, 2, 3)
        (reply,) = await core.say(4, reply_to=RemoteId("$1"))
        await back(core, until=reply)

        assert core.bridge.messages[-1].reply_to == RemoteId(f"radio-{old[-1]}.0")


@pytest.mark.parametrize("about", [1, 3], ids=["a member", "its carrier"])
async def test_a_reaction_to_what_was_folded_ends_folded_and_is_not_said_of_the_digest(tmp_path, about):
    async with after_an_outage(tmp_path) as core:
        old = await say_old(core, 1, 2, 3)
        (reaction,) = await core.accept(4, Reaction(target=RemoteId(f"${about}"), emoji="x"))
        (young,) = await core.say(5)
        await back(core, until=young)

        assert await core.until(reaction, "folded") == "folded"
        assert (await core.history(reaction))[-1][1] == f"what this reaction is about went into the digest {old[-1]}"
        assert core.bridge.texts[1:] == ["text 5"]


async def test_what_was_edited_before_it_was_folded_is_told_as_it_was_meant(tmp_path):
    async with after_an_outage(tmp_path) as core:
        await say_old(core, 1, 2)
        await core.edit(3, 1, "corrected words " * 7)  # too long to take its place: goes its own way
        (young,) = await core.say(4)
        await back(core, until=young)

        digest, *rest = core.bridge.texts
        assert digest.startswith("2 earlier")
        assert "Ali: corrected words" in digest
        assert rest == ["text 4"]


async def folded_but_not_sent(core):
    """Three texts in a digest that waits: the link went away again."""
    old = await say_old(core, 1, 2, 3)
    core.link.set(LinkState.UP, "", 0)
    begin, gone = core.sender.begin, asyncio.Event()
    revisions = core.journal.revisions

    async def then_gone(*args):
        changes = await fold(*args)
        revisions.fold = fold
        core.link.set(LinkState.DOWN, "unplugged", 0)
        gone.set()
        return changes

    fold, revisions.fold = revisions.fold, then_gone
    put_back = core.sender.lookup.latest

    async def not_now(lease, known):
        if gone.is_set() and not core.link.is_up:
            raise JournalError("not now")
        return await put_back(lease, known)

    core.sender.lookup.latest = not_now
    await core.sender.due_now()
    await gone.wait()
    await core.until(old[0], "folded")
    assert core.sender.begin == begin
    return old


async def test_edited_when_it_is_in_a_digest_that_waits_the_digest_says_so(tmp_path):
    async with after_an_outage(tmp_path) as core:
        old = await folded_but_not_sent(core)
        (edit,) = await core.edit(4, 1, "text one")
        await back(core, until=old[-1])

        assert core.bridge.texts[0].endswith(": Ali: text one | Ali: text 2 | Ali: text 3")
        assert (await core.history(edit))[-1] == ("cancelled", IN_TIME)


@pytest.mark.parametrize("which", [1, 3], ids=["a member", "its carrier"])
async def test_taken_back_from_a_digest_that_waits_it_is_not_told(tmp_path, which):
    async with after_an_outage(tmp_path) as core:
        old = await folded_but_not_sent(core)
        await core.redact(4, which)
        await core.redact(5, which)
        await back(core, until=old[-1])

        told = [f"Ali: text {n}" for n in (1, 2, 3) if n != which]
        assert core.bridge.texts[0].startswith("2 earlier")
        assert core.bridge.texts[0].endswith(": " + " | ".join(told))
        assert (await core.history(old[0]))[-1] == (
            ("cancelled", TAKEN_BACK) if which == 1 else ("folded", f"into the digest {old[-1]}")
        )


async def test_when_all_that_a_digest_names_is_taken_back_it_is_not_sent(tmp_path):
    async with after_an_outage(tmp_path) as core:
        old = await folded_but_not_sent(core)
        for n in (1, 2, 3):
            await core.redact(10 + n, n)
        (young,) = await core.say(4)
        await back(core, until=young)

        assert core.bridge.texts == ["text 4"]
        assert await states(core, old) == ["cancelled"] * 3


async def test_a_digest_that_waited_through_a_second_outage_is_told_within_the_next(tmp_path):
    async with after_an_outage(tmp_path) as core:
        first = await folded_but_not_sent(core)
        await core.redact(9, 3)  # the first digest's own carrier is not to be told, by neither of them
        more = await say_old(core, 4, 5)
        await back(core, until=more[-1])

        (digest,) = core.bridge.texts
        assert digest.startswith("4 earlier")
        assert digest.endswith(": Ali: text 1 | Ali: text 2 | Ali: text 4 | Ali: text 5")
        assert await states(core, first) == ["folded"] * 3
        (reply,) = await core.say(6, reply_to=RemoteId("$1"))
        await core.until(reply, "sent")
        assert core.bridge.messages[-1].reply_to == RemoteId(f"radio-{more[-1]}.0")


async def test_a_copy_heard_there_of_what_carries_a_digest_does_not_take_the_digest_away(tmp_path):
    async with after_an_outage(tmp_path) as core:
        old = await folded_but_not_sent(core)
        message = (await core.journal.delivery(old[-1])).message
        await core.intake.accept(replace(message, origin=CHANNEL, remote_id=RemoteId("heard-there")))
        await back(core, until=old[-1])

        assert core.bridge.texts[0].startswith("3 earlier")


async def test_a_digest_that_failed_is_sent_again_as_a_digest(tmp_path):
    async with after_an_outage(tmp_path, max_parts=2) as core:
        old = await say_old(core, 1, 2)
        await back_failing(core, old[-1])
        assert await core.operations.redrive([old[-1]]) == (old[-1],)
        await core.until(old[-1], "sent")

        assert core.bridge.texts[0].startswith("2 earlier")


async def test_what_was_taken_back_is_not_in_a_digest_that_failed_and_is_sent_again(tmp_path):
    async with after_an_outage(tmp_path) as core:
        old = await say_old(core, 1, 2, 3)
        await back_failing(core, old[-1])
        await core.redact(4, 2)
        await core.operations.redrive([old[-1]])
        await core.until(old[-1], "sent")

        assert core.bridge.texts[0].startswith("2 earlier")
        assert "text 2" not in core.bridge.texts[0]


async def back_failing(core, ident):
    core.bridge.answers = [ZeroDivisionError()] * 3
    core.link.set(LinkState.UP, "", 0)
    await core.sender.due_now()
    await core.until(ident, "failed")


# Crashes.


async def test_killed_right_after_the_fold_the_queue_that_kept_everything_sends_the_digest_once(tmp_path):
    outbox = MemoryOutbox()
    async with after_an_outage(tmp_path, outbox) as core:

        async def away(*_):
            raise StoreUnavailable("away")

        core.outbox.cancel = away
        old = await folded_but_not_sent(core)
    del outbox.cancel
    async with after_an_outage(tmp_path, outbox) as core:
        await back(core, until=old[-1])
        (young,) = await core.say(4)
        await core.until(young, "sent")

        assert len(core.bridge.texts) == 2
        assert core.bridge.texts[0].startswith("3 earlier")


async def test_killed_with_the_queue_empty_after_it_the_journal_gives_it_the_digest(tmp_path):
    async with after_an_outage(tmp_path) as core:
        old = await folded_but_not_sent(core)
    async with after_an_outage(tmp_path) as core:
        await back(core, until=old[-1])

        assert len(core.bridge.texts) == 1
        assert core.bridge.texts[0].startswith("3 earlier")


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_killed_between_two_steps_of_a_long_fold_it_goes_on_and_tells_each_once(tmp_path, monkeypatch, steps):
    monkeypatch.setattr("gateway.folding.PAGE", 3)
    outbox = MemoryOutbox()
    async with after_an_outage(tmp_path, outbox) as core:
        old = await say_old(core, *range(10))
        fold, done, stuck = core.journal.revisions.fold, [], asyncio.Event()

        async def killed(*args):
            if len(done) == steps:
                stuck.set()
                await asyncio.sleep(60)
            done.append(1)
            return await fold(*args)

        core.journal.revisions.fold = killed
        core.link.set(LinkState.UP, "", 0)
        await core.sender.due_now()
        await stuck.wait()
        assert (await states(core, old)).count("folded") == 3 * steps
    async with after_an_outage(tmp_path, outbox) as core:
        await back(core, until=old[-1])

        (digest,) = core.bridge.texts
        assert digest.startswith("10 earlier")
        assert await states(core, old) == ["folded"] * 9 + ["sent"]


async def test_killed_after_the_digest_went_out_it_goes_again_under_its_own_key_only(tmp_path):
    outbox = MemoryOutbox()
    async with after_an_outage(tmp_path, outbox) as core:
        old = await say_old(core, 1, 2, 3)

        async def stuck(changes):
            if changes:
                await asyncio.sleep(60)  # its receipt never comes to the disk

        core.sender.settling.record = stuck
        core.link.set(LinkState.UP, "", 0)
        await core.sender.due_now()
        async with asyncio.timeout(8):
            while not core.bridge.texts:
                await asyncio.sleep(0.01)
    async with after_an_outage(tmp_path, outbox) as core:
        more = await say_old(core, 4, 5)
        await back(core, until=more[-1])

        assert core.bridge.keys[0] == f"{old[-1]}.0"
        assert core.bridge.texts[0].startswith("3 earlier")
        assert core.bridge.texts[1].startswith("2 earlier")


async def test_a_journal_that_cannot_be_read_costs_a_digest_a_message_and_holds_nothing_up(tmp_path):
    async with after_an_outage(tmp_path) as core:
        old = await say_old(core, 1, 2, 3)
        held, fails = core.journal.revisions.held, [JournalError("input/output error")]

        async def failing(*args, **kwargs):
            if fails:
                raise fails.pop()
            return await held(*args, **kwargs)

        core.journal.revisions.held = failing
        await back(core, until=old[-1])

        assert [text.partition(" from")[0] for text in core.bridge.texts] == ["text 1", "2 earlier"]


async def test_ten_thousand_fold_into_one_and_others_are_accepted_and_sent_meanwhile(tmp_path):
    other, hill = Address(BridgeName("home"), "#hill"), Address(CHANNEL.bridge, "Hill")
    table = replace(FOLDING, routes=(*FOLDING.routes, Route(name="hill", sources=(other,), targets=(hill,))))
    async with running_core(tmp_path, ScriptedBridge(**(CARRIES | {"in_flight": 2})), table=table) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        then_ms = core.clock.now_ms() - HOUR_MS
        said = [core.say(n, received_ms=then_ms + n) for n in range(10_000)]
        ids = [ident for (ident,) in await asyncio.gather(*said)]
        await core.until(ids[-1], "queued", timeout_s=60)
        core.bridge.held = asyncio.Event()
        core.bridge.held.set()
        core.link.set(LinkState.UP, "", 0)
        await core.sender.due_now()
        await core.until(ids[0], "folded")
        (meanwhile,) = await core.say(10_000, origin=other)
        await core.until(meanwhile, "sent")
        await core.until(ids[-1], "sent", timeout_s=60)

        digest = next(text for text in core.bridge.texts if "earlier" in text)
        assert digest.startswith("10000 earlier from #town ")
        assert len(core.bridge.texts) == 2
        assert (await core.journal.tally())[CHANNEL.bridge, State.FOLDED] == 9_999


def test_the_desk_routes_from_the_room():
    assert FOLDING.digest_after_s(ROOM, CHANNEL) == 600


# A clock that is set.


@asynccontextmanager
async def with_a_backlog(folder):
    """A core whose link is down and that has queued one message of an hour ago and two of now; and these, leased."""
    clock = ManualClock()
    async with running_core(folder, ScriptedBridge(**CARRIES), clock=clock, table=FOLDING) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        ids = await say_old(core, 1) + await say_old(core, 2, 3, age_ms=0)
        kept = [(await core.journal.delivery(ident)).delivery for ident in ids]
        yield core, [Lease(id=one.id, delivery=one, attempt=1, generation=0, until_ms=0) for one in kept]


def is_set(core):
    """It is three hours later than the box thought; return what is left to do of following that."""
    core.clock.step(3 * HOUR_MS)
    return asyncio.ensure_future(core.journal.upkeep.shift(followed(core.clock)))


async def test_what_is_new_is_not_folded_while_the_journal_follows_a_clock_that_was_set(tmp_path):
    async with with_a_backlog(tmp_path) as (core, run):
        task, may_move = core.journal._writer.task, asyncio.Event()

        async def slow(work, *, durable=False):
            if not durable:
                await may_move.wait()
            return await task(work, durable=durable)

        core.journal._writer.task = slow
        shifting = is_set(core)
        await asyncio.sleep(0)
        await core.sender.folding.fold(run)
        may_move.set()
        await shifting

        assert await states(core, [lease.id for lease in run]) == ["queued"] * 3


async def test_what_is_new_is_not_folded_when_the_clock_is_set_while_it_is_looked_for(tmp_path):
    async with with_a_backlog(tmp_path) as (core, run):
        held, shifting = core.journal.revisions.held, []

        async def held_then_set(*args, **kwargs):
            found = await held(*args, **kwargs)
            if not shifting:
                shifting.append(is_set(core))
                await shifting[0]
            return found

        core.journal.revisions.held = held_then_set
        await core.sender.folding.fold(run)

        assert shifting
        assert await states(core, [lease.id for lease in run]) == ["queued"] * 3


async def test_on_a_shared_queue_an_edit_goes_its_own_way_and_a_takeover_loses_nothing_of_it(tmp_path):
    """The new words are in one box's journal only; whoever takes over has the old ones from the queue."""
    outbox = MemoryOutbox(shared=True)
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    async with running_core(tmp_path / "one", ScriptedBridge(**CARRIES), outbox=outbox, shared=True) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        (one,) = await core.say(1)
        await core.until(one, "queued")
        (own,) = await core.edit(2, 1, "meet at nine")
        await core.until(own, "queued")
    bridge = ScriptedBridge(**CARRIES)
    async with running_core(tmp_path / "other", bridge, outbox=outbox, shared=True):
        async with asyncio.timeout(10):
            while len(bridge.texts) < 2:
                await asyncio.sleep(0.01)

        assert bridge.texts == ["text 1", "*corrected: meet at nine"]


async def test_what_left_the_queue_before_a_power_cut_is_a_dead_letter_that_says_so(tmp_path):
    """The cut took the journal's last receipts; the queue had let go of what they were for."""
    before, after, outbox = tmp_path / "before", tmp_path / "after", MemoryOutbox()
    before.mkdir()
    async with running_core(before, ScriptedBridge(**CARRIES), outbox=outbox) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        ids = [(await core.say(n))[0] for n in range(6)]
        await core.until(ids[-1], "queued")
        await core.journal.upkeep.prune()
        shutil.copytree(before, after)  # what is on the disk then
        core.link.set(LinkState.UP, "", 0)
        await core.sender.due_now()
        await core.until(ids[3], "sent")
        core.link.set(LinkState.DOWN, "unplugged", 0)
        sent = len(core.bridge.texts)
        await asyncio.sleep(0.2)  # for the queue to be told of what was sent
    bridge = ScriptedBridge(**CARRIES)
    async with running_core(after, bridge, outbox=outbox) as core:
        await core.until(ids[-1], "sent", "failed")
        await core.until(ids[0], "failed")

        assert await states(core, ids) == ["failed"] * sent + ["sent"] * (6 - sent)
        assert (await core.history(ids[0]))[-1] == ("failed", CUT_OFF)
        assert bridge.texts == [f"text {n}" for n in range(sent, 6)]


@pytest.mark.parametrize(("between", "ends"), [(True, ["folded", "folded", "sent"]), (False, ["sent"] * 3)])
async def test_what_boxes_told_each_other_late_is_folded_though_nothing_was_away_here(tmp_path, between, ends):
    clock = HurryingClock()
    table = replace(TABLE, between=frozenset({ROOM.bridge})) if between else FOLDING
    async with running_core(tmp_path, ScriptedBridge(**CARRIES), clock=clock, table=table) as core:
        core.bridge.held = asyncio.Event()
        (young,) = await core.say(0)
        await core.until(young, "sending")
        clock.ahead_s = 2 * HOUR_MS / 1000
        late = await say_old(core, 1, 2, 3, age_ms=HOUR_MS // 2)
        core.bridge.held.set()
        await core.until(late[-1], "sent")
        assert await states(core, late) == ends
