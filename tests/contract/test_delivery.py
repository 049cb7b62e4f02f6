# SPDX-License-Identifier: GPL-3.0-or-later
"""From accepted to settled: what becomes of a delivery when networks, stores and people do as they do."""

import asyncio
import time
from dataclasses import replace

import pytest

from gateway.backoff import Policy
from gateway.clock import SystemClock
from gateway.emergency import EmergencyRules
from gateway.journal import Change
from gateway.link import LinkState
from gateway.model import (
    Address,
    AuthFailed,
    BridgeName,
    Certainty,
    Delivery,
    JournalError,
    LinkDown,
    Message,
    NativeId,
    NotThere,
    RateLimited,
    Rejected,
    RemoteId,
    Report,
    Sender,
    SenderId,
    State,
    StoreUnavailable,
    Text,
    TransientError,
    Unconfirmed,
)
from gateway.outbox.memory import MemoryOutbox
from gateway.outbox.outbox import Claimed, Done, Quota
from gateway.unanswered import RELAYED_ONLY, UNACKNOWLEDGED, UNANSWERED_S
from tests.contract.delivery_desk import CHANNEL, CHAT, HILL, POLICY, ROOM, ScriptedBridge, running_core

CHAT_ROOM = Address(BridgeName("home"), "#chat")
HILL_ROOM = Address(BridgeName("home"), "#hill")


async def test_what_is_accepted_is_sent_in_order_and_settled(tmp_path):
    async with running_core(tmp_path) as core:
        ids = [(await core.say(n))[0] for n in range(5)]
        await core.until(ids[-1], "sent")

        assert core.bridge.texts == [f"text {n}" for n in range(5)]
        assert [state for state, _ in await core.history(ids[0])] == ["waiting", "queued", "sending", "sent"]


async def test_a_network_that_is_down_costs_no_attempt_however_long(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [LinkDown("unplugged")] * 6
        (ident,) = await core.say(1)

        assert await core.until(ident, "sent", "failed") == "sent"
        assert ("waiting", "unplugged") in await core.history(ident)


async def test_a_network_that_answers_several_conversations_with_silence_costs_none_of_them_its_life(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [Unconfirmed("silence")] * 15  # with 3 attempts each
        ids = [(await core.say(n, origin=origin))[0] for n, origin in enumerate((ROOM, CHAT_ROOM, HILL_ROOM))]
        for ident in ids:
            assert await core.until(ident, "sent", "failed") == "sent"

        assert core.sender.gate.breaker.opened == 1
        assert core.sender.gate.breaker.is_closed
        assert ("waiting", "silence") in [entry for ident in ids for entry in await core.history(ident)]


async def test_what_was_claimed_when_the_network_asked_for_patience_goes_back_unsent(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(in_flight=2)) as core:
        began, first = asyncio.Event(), asyncio.Event()
        send, refused_at = core.bridge.send, []

        async def answering(message, to, *, key):
            if to.conversation == "Hill":
                refused_at.append(core.clock.monotonic())
                if len(refused_at) == 1:
                    raise RateLimited("429", retry_after_s=0.6, for_all=True)
            elif not began.is_set():
                began.set()
                await first.wait()
            sent = await send(message, to, key=key)
            times.append(core.clock.monotonic())
            return sent

        core.bridge.send, times = answering, []
        ids = [(await core.say(n))[0] for n in range(4)]
        await began.wait()
        (refused,) = await core.say(9, origin=HILL_ROOM)
        await core.until(refused, "queued")
        while core.sender.gate.breaker.is_closed:
            await asyncio.sleep(0.01)
        first.set()
        await core.until(ids[-1], "sent")
        await core.until(refused, "sent")

        assert [text for text in core.bridge.texts if text != "text 9"] == [f"text {n}" for n in range(4)]
        assert sorted(times)[1] - refused_at[0] >= 0.6
        assert [state for state, _ in await core.history(ids[1])] == ["waiting", "queued", "sending", "sent"]


async def test_a_direct_message_that_no_answer_ever_comes_to_does_not_keep_a_network_closed(tmp_path):
    hasty = replace(POLICY, first_s=0.03, longest_s=0.03, attempts=10)  # due again before each probe
    async with running_core(tmp_path, policy=hasty) as core:
        send, silent = core.bridge.send, {CHANNEL.conversation, HILL.conversation}

        async def swallowing(message, to, *, key):
            if to == CHAT or to.conversation in silent:
                silent.discard(to.conversation)
                raise Unconfirmed("silence")
            return await send(message, to, key=key)

        core.bridge.send = swallowing
        core.link.set(LinkState.DOWN, "unplugged", 0)
        (poison,) = await core.say(0, origin=CHAT_ROOM)
        ids = [(await core.say(n, origin=origin))[0] for n, origin in enumerate((ROOM, HILL_ROOM), 1)]
        await core.until(ids[-1], "queued")
        core.link.set(LinkState.UP, "", 0)
        for ident in ids:
            await core.until(ident, "sent")

        assert await core.until(poison, "failed") == "failed"


async def test_a_probe_that_never_left_this_box_makes_room_for_the_next(tmp_path):
    async with running_core(tmp_path) as core:
        core.sender.gate.breaker.failed("x", "y", LinkDown("unplugged"), core.clock.monotonic())
        asked = []

        async def failing(*about):
            asked.append(about)
            raise JournalError("input/output error")

        core.journal.counterpart = failing
        await core.say(1, reply_to=RemoteId("$0"))
        while not asked:
            await asyncio.sleep(0.01)
        (ident,) = await core.say(2, origin=HILL_ROOM)

        await core.until(ident, "sent")
        assert core.sender.gate.breaker.is_closed


async def test_a_login_that_is_refused_while_sending_makes_no_dead_letter(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [AuthFailed("the login was taken back")]
        (ident,) = await core.say(1)

        assert await core.until(ident, "sent", "failed") == "sent"
        assert ("waiting", "the login was taken back") in await core.history(ident)


async def test_a_late_refusal_that_was_meant_for_all_holds_the_whole_destination(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60)) as core:
        (refused,) = await core.say(1)
        await core.until(refused, "sent")
        duty = RateLimited("the duty cycle is used up", retry_after_s=0.6, fresh_key=True, for_all=True)
        core.sender.reports.take(Report(key=f"{refused}.0", outcome=duty))
        await core.until(refused, "queued")
        said_at = core.clock.monotonic()
        (other,) = await core.say(2, origin=HILL_ROOM)
        await core.until(other, "sent")

        assert core.clock.monotonic() - said_at >= 0.4
        assert core.sender.gate.breaker.opened == 1


async def test_an_emergency_waits_for_no_more_than_what_is_being_sent(tmp_path):
    rules = EmergencyRules(words=("SOS",))
    async with running_core(tmp_path, ScriptedBridge(in_flight=2), rules=rules) as core:
        send, begun, permits = core.bridge.send, [], asyncio.Semaphore(0)

        async def waiting(message, to, *, key):
            begun.append(message.content.body)
            await permits.acquire()
            return await send(message, to, key=key)

        core.bridge.send = waiting
        core.link.set(LinkState.DOWN, "unplugged", 0)
        for n in range(8):
            await core.say(f"town {n}", body=f"town {n}")
            await core.say(f"hill {n}", body=f"hill {n}", origin=HILL_ROOM)
        core.link.set(LinkState.UP, "", 0)
        while len(begun) < 2:
            await asyncio.sleep(0.01)
        (urgent,) = await core.say("urgent", body="SOS at the mill", origin=CHAT_ROOM)
        await core.until(urgent, "queued")
        permits.release()
        await core.until(urgent, "sending")
        for _ in range(20):
            permits.release()
        while len(core.bridge.texts) < 17:
            await asyncio.sleep(0.01)

        assert sorted(begun[:2]) == ["hill 0", "town 0"]
        assert begun[2] == "\U0001f6a8 SOS at the mill"
        for place in ("town", "hill"):
            assert [text for text in core.bridge.texts if text.startswith(place)] == [f"{place} {n}" for n in range(8)]


async def test_an_emergency_overtakes_what_a_full_queue_has_no_room_for(tmp_path):
    outbox = MemoryOutbox(Quota(deliveries=20))
    async with running_core(tmp_path, outbox=outbox, rules=EmergencyRules(words=("SOS",))) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        ids = [(await core.say(n))[0] for n in range(40)]
        (urgent,) = await core.say("urgent", body="SOS", origin=HILL_ROOM)
        await core.until(urgent, "queued")

        assert await core.state(ids[-1]) == "waiting"
        core.link.set(LinkState.UP, "", 0)
        await core.until(ids[-1], "sent")
        assert core.bridge.texts == ["\U0001f6a8 SOS", *(f"text {n}" for n in range(40))]


async def test_beyond_its_limit_an_emergency_goes_as_usual_and_its_story_says_why(tmp_path):
    async with running_core(tmp_path, rules=EmergencyRules(words=("SOS",), limit=2)) as core:
        ids = [(await core.say(n, body=f"SOS {n}"))[0] for n in range(3)]
        for ident in ids:
            await core.until(ident, "sent")

        assert ("waiting", "not as an emergency: more than 2 of this sender in 10 min") in await core.history(ids[2])
        assert core.bridge.texts == ["\U0001f6a8 SOS 0", "\U0001f6a8 SOS 1", "SOS 2"]
        assert core.counted == ["emergency", "emergency", "emergency_over_limit"]


async def test_emergencies_whose_keys_come_hours_later_all_at_once_are_limited_all_the_same(tmp_path):
    async with running_core(tmp_path, rules=EmergencyRules(words=("SOS",), limit=2)) as core:
        now_ms = core.clock.now_ms()
        for n in range(4):
            await core.say(n, body="SOS", received_ms=now_ms - n * 3600_000)
        assert core.counted == ["emergency", "emergency", "emergency_over_limit", "emergency_over_limit"]


async def test_an_emergency_is_one_after_a_restart_and_never_expires(tmp_path):
    async with running_core(tmp_path, rules=EmergencyRules(words=("SOS",))) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        old_ms = core.clock.now_ms() - 7 * 24 * 3600 * 1000
        await core.say(1)
        (urgent,) = await core.say(2, body="SOS", received_ms=old_ms)
    async with running_core(tmp_path) as core:
        await core.until(urgent, "sent")

        assert core.bridge.texts[0] == "\U0001f6a8 SOS"


async def test_a_missing_conversation_waits_with_its_reason_until_it_is_there(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [NotThere("no such channel")]
        (ident,) = await core.say(1)

        await core.until(ident, "sent")
        assert ("waiting", "no such channel") in await core.history(ident)


async def test_a_missing_conversation_is_looked_for_at_once_when_the_bridge_says_that_it_appeared(tmp_path):
    patient = Policy(there_again_s=1000.0, there_longest_s=1000.0)
    async with running_core(tmp_path, policy=patient) as core:
        core.bridge.answers = [NotThere("no such channel")]
        (ident,) = await core.say(1)
        await core.until(ident, "waiting")
        core.sender.appeared("Hill")
        await asyncio.sleep(0.05)
        assert await core.state(ident) == "waiting"

        core.sender.appeared(CHANNEL.conversation)
        await core.until(ident, "sent")
        assert core.sender.outcomes.absences.missed(CHANNEL) == 0, "the pauses start over"


async def test_what_can_never_be_sent_is_a_dead_letter_and_the_next_goes_on(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [Rejected("too big")]
        (first,), (second,) = await core.say(1), await core.say(2)
        await core.until(second, "sent")

        assert (await core.history(first))[-1] == ("failed", "too big")
        assert core.bridge.texts == ["text 2"]


async def test_a_defect_in_a_bridge_ends_one_message_not_the_gateway(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [ZeroDivisionError()] * 3
        (first,), (second,) = await core.say(1), await core.say(2)

        await core.until(second, "sent")
        assert await core.state(first) == "failed"


async def test_silence_is_tried_again_under_the_same_key_until_the_attempts_are_used_up(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [Unconfirmed("silence")] * 3
        (ident,) = await core.say(1)
        await core.until(ident, "failed")

        assert (await core.history(ident))[-1] == ("failed", "silence (after 3 attempts)")


async def test_a_network_that_remembers_what_it_refused_gets_a_fresh_key(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [RateLimited("too soon", fresh_key=True)]
        (ident,) = await core.say(1)
        await core.until(ident, "sent")

        assert core.bridge.keys == [f"{ident}.1"]


async def test_when_one_part_fails_the_later_ones_are_cancelled_and_a_redrive_sends_them_all(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [None, Rejected("no")]
        ids = await core.say(1, body="word " * 18)
        assert len(ids) == 3
        await core.until(ids[1], "failed")
        assert await core.until(ids[2], "cancelled") == "cancelled"

        assert await core.operations.redrive([ids[1]]) == (ids[1],)

        await core.until(ids[2], "sent")
        assert [key.partition(".")[0] for key in core.bridge.keys] == ids


class CancelsNothing(MemoryOutbox):
    async def cancel(self, destination, ids):
        raise StoreUnavailable("away")


async def test_the_later_parts_are_not_sent_though_the_queue_could_not_be_told(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(in_flight=1), outbox=CancelsNothing()) as core:
        core.bridge.answers = [Rejected("no")]
        ids = await core.say(1, body="word " * 18)
        (other,) = await core.say(2)
        await core.until(other, "sent")

        assert core.bridge.texts == ["text 2"]
        assert [await core.state(ident) for ident in ids] == ["failed", "cancelled", "cancelled"]


async def test_a_redriven_dead_letter_goes_out_under_a_fresh_key_though_the_sender_is_busy(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [Rejected("no")]
        (ident,) = await core.say(1)
        await core.until(ident, "failed")

        busy = asyncio.create_task(_keep_busy(core))
        assert await core.operations.redrive([ident]) == (ident,)
        await core.until(ident, "sent")
        await busy

        assert f"{ident}.1" in core.bridge.keys


async def test_a_dead_letter_that_two_people_send_again_at_once_goes_out_once_more(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [Rejected("no")]
        (ident,) = await core.say(1)
        await core.until(ident, "failed")
        drop, held, goes_on = core.outbox.drop, asyncio.Event(), asyncio.Event()

        async def slow_drop(*asked):
            core.outbox.drop = drop
            held.set()
            await goes_on.wait()
            return await drop(*asked)

        core.outbox.drop = slow_drop
        late = asyncio.create_task(core.operations.redrive([ident]))
        await held.wait()
        assert await core.operations.redrive([ident]) == (ident,)
        await core.until(ident, "sent")
        goes_on.set()

        assert await late == ()
        (other,) = await core.say(2)
        await core.until(other, "sent")
        assert core.bridge.keys == [f"{ident}.1", f"{other}.0"]
        assert await core.state(ident) == "sent"


async def _keep_busy(core):
    for number in range(100, 110):
        await core.say(number)


async def test_a_late_refusal_is_sent_again_under_a_fresh_key_and_its_story_is_kept(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60)) as core:
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        core.sender.reports.take(Report(key=f"{ident}.0", outcome=TransientError("nobody heard it", fresh_key=True)))

        await core.until(ident, "queued")
        await core.until(ident, "sent")
        assert core.bridge.keys == [f"{ident}.0", f"{ident}.1"]
        assert ("queued", "nobody heard it") in await core.history(ident)


async def test_a_late_refusal_for_good_waits_for_a_journal_that_cannot_be_read(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60)) as core:
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        delivery, fails = core.journal.delivery, [JournalError("input/output error")]

        async def failing(ident):
            if fails:
                raise fails.pop()
            return await delivery(ident)

        core.journal.delivery = failing
        core.sender.reports.take(Report(key=f"{ident}.0", outcome=Rejected("no such channel")))
        await core.until(ident, "failed")
        (other,) = await core.say(2)

        await core.until(other, "sent")
        assert not fails


async def test_the_refused_key_is_not_used_again_though_the_queue_forgot_it(tmp_path):
    bridge = ScriptedBridge(more_within_s=60)
    async with running_core(tmp_path, bridge) as core:
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        core.sender.reports.take(Report(key=f"{ident}.0", outcome=TransientError("refused", fresh_key=True)))
        await core.until(ident, "queued")
    async with running_core(tmp_path, bridge, outbox=MemoryOutbox()) as core:
        await core.until(ident, "sent")

    assert bridge.keys[-1] == f"{ident}.1"


async def test_a_refusal_is_not_lost_though_the_disk_stalls_as_it_comes(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60)) as core:
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        record, stalls = core.journal.record, [JournalError("no space")] * 3

        async def stalling(changes):
            if stalls:
                raise stalls.pop()
            await record(changes)

        core.journal.record = stalling
        core.sender.reports.take(Report(key=f"{ident}.0", outcome=TransientError("refused", fresh_key=True)))

        async with asyncio.timeout(8):
            while len(core.bridge.sent) < 2:
                await asyncio.sleep(0.01)


async def test_a_journal_that_cannot_be_read_as_a_report_comes_costs_neither_gateway_nor_report(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60)) as core:
        (ident,) = await core.say(1)
        await core.until(ident, "sent")
        standings, fails = core.journal.standings, [JournalError("input/output error")] * 2

        async def failing(ids):
            if fails:
                raise fails.pop()
            return await standings(ids)

        core.journal.standings = failing
        core.sender.reports.take(Report(key=f"{ident}.0", outcome=Certainty.HEARD))

        async with asyncio.timeout(8):
            while (await standings([ident]))[ident].state.value != "heard":
                await asyncio.sleep(0.01)


async def test_a_direct_message_nobody_acknowledges_fails_but_an_acknowledged_one_never_does(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=0.1)) as core:
        (quiet,) = await core.say(1, origin=CHAT_ROOM)
        await core.until(quiet, "sent")
        (answered,) = await core.say(2, origin=CHAT_ROOM)
        await core.until(answered, "sent")
        away = core.outbox.report

        async def unreachable(*_):
            raise StoreUnavailable("away")

        core.outbox.report = unreachable
        core.sender.reports.take(Report(key=f"{answered}.0", outcome=Certainty.DELIVERED))
        await core.until(answered, "delivered")

        await core.until(quiet, "failed", timeout_s=12)
        core.outbox.report = away
        await asyncio.sleep(0.5)
        assert await core.state(answered) == "delivered"
        assert (await core.history(quiet))[-1][1] == "the node itself did not acknowledge in time"


async def test_a_direct_message_is_put_on_air_three_times_besides_tries_that_the_radio_left_open(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60)) as core:
        core.bridge.answers = [Unconfirmed("silence")]
        (ident,) = await core.say(1, origin=CHAT_ROOM)
        for generation in range(3):
            async with asyncio.timeout(12):
                while len(core.bridge.keys) <= generation:
                    await asyncio.sleep(0.01)
            unheard = TransientError("that node did not acknowledge it", fresh_key=True, retry_after_s=0.01)
            core.sender.reports.take(Report(key=f"{ident}.{generation}", outcome=unheard))
        await core.until(ident, "failed", timeout_s=12)

        assert core.bridge.keys == [f"{ident}.{generation}" for generation in range(3)]
        assert (await core.history(ident))[-1][1] == "no acknowledgement after 3 tries"


async def test_a_direct_message_that_was_relayed_and_not_acknowledged_fails_and_says_both(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=1.0)) as core:
        (relayed,) = await core.say(1, origin=CHAT_ROOM)
        await core.until(relayed, "sent")
        core.sender.reports.take(Report(key=f"{relayed}.0", outcome=Certainty.HEARD))
        await core.until(relayed, "failed", timeout_s=12)

        assert (await core.history(relayed))[-1][1] == RELAYED_ONLY


async def test_an_acknowledgement_that_comes_after_it_failed_makes_it_delivered_for_good(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=0.1)) as core:
        (late,) = await core.say(1, origin=CHAT_ROOM)
        await core.until(late, "failed", timeout_s=12)
        core.sender.reports.take(Report(key=f"{late}.0", outcome=Certainty.DELIVERED))
        await core.until(late, "delivered")
        for outcome in (TransientError("nobody heard it", fresh_key=True), Certainty.HEARD, Rejected("no")):
            core.sender.reports.take(Report(key=f"{late}.1", outcome=outcome))
        await asyncio.sleep(0.5)

        assert await core.state(late) == "delivered"
        assert core.bridge.keys == [f"{late}.0"]


async def test_what_is_acknowledged_while_it_waits_to_be_tried_again_is_not_sent_again(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60)) as core:
        (ident,) = await core.say(1, origin=CHAT_ROOM)
        await core.until(ident, "sent")
        refused = TransientError("that node did not acknowledge it", fresh_key=True, retry_after_s=1.0)
        core.sender.reports.take(Report(key=f"{ident}.0", outcome=refused))
        await core.until(ident, "queued")
        core.sender.reports.take(Report(key=f"{ident}.0", outcome=Certainty.DELIVERED))
        await core.until(ident, "delivered")
        await asyncio.sleep(1.5)

        assert core.bridge.keys == [f"{ident}.0"]
        assert await core.state(ident) == "delivered"


async def test_what_grows_too_old_while_its_bridge_is_away_expires_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.sender.EXPIRE_EVERY_S", 0.1)
    async with running_core(tmp_path) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        (old,) = await core.say(1, received_ms=core.clock.now_ms() - 7 * 3600 * 1000)
        (young,) = await core.say(2)

        await core.until(old, "expired")
        core.link.set(LinkState.UP, "", 0)
        await core.until(young, "sent")
        assert core.bridge.texts == ["text 2"]


async def test_a_reply_finds_what_it_answers_though_that_was_sent_a_moment_ago(tmp_path):
    async with running_core(tmp_path) as core:
        seen = []
        send = core.bridge.send

        async def noting(message, to, *, key):
            seen.append(message.reply_to)
            return await send(message, to, key=key)

        core.bridge.send = noting
        (first,) = await core.say(1)
        (second,) = await core.say(2, reply_to=RemoteId("$1"))
        await core.until(second, "sent")

        assert seen == [None, RemoteId(f"radio-{first}.0")]


async def test_a_reply_to_a_direct_message_of_a_bridge_that_is_gone_is_a_message_like_any_other(tmp_path):
    async with running_core(tmp_path) as core:
        gone = Address(BridgeName("old"), "!a1b2c301")
        said = Message(
            native_id=NativeId("mt:a1b2c301:1"),
            origin=gone,
            sender=Sender(id=SenderId("!a1b2c301"), name="Ridge"),
            content=Text(body="only you"),
            received_ms=core.clock.now_ms(),
            remote_id=RemoteId("00000001"),
            direct=True,
        )
        copy = Delivery(message=said, to=ROOM)
        await core.journal.accept(said, [copy])
        await core.journal.record(
            [Change(id=copy.id, state=State.SENT, at_ms=core.clock.now_ms(), remote_id=RemoteId("$copy"))]
        )

        (ident,) = await core.say(1, reply_to=RemoteId("$copy"))

        await core.until(ident, "sent")


async def test_what_is_being_sent_is_not_called_cancelled(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.held = asyncio.Event()
        (ident,) = await core.say(1)
        await core.until(ident, "sending")

        assert await core.operations.cancel([ident]) == ()
        core.bridge.held.set()
        await core.until(ident, "sent")


async def test_what_begins_to_be_sent_while_others_are_cancelled_is_not_called_cancelled_either(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.held = asyncio.Event()
        await core.drain.lock.acquire()
        (ident,) = await core.say(1)
        at_sea = Delivery(message=(await core.journal.delivery(ident)).message, to=Address(BridgeName("sea"), "x"))
        await core.journal.requeue([at_sea], only_from=frozenset())
        cancel = core.outbox.cancel

        async def slow_cancel(bridge, ids):
            if bridge == "sea":
                core.drain.lock.release()
                await core.until(ident, "sending")
            return await cancel(bridge, ids)

        core.outbox.cancel = slow_cancel
        assert await core.operations.cancel([ident, at_sea.id]) == (at_sea.id,)
        core.bridge.held.set()
        await core.until(ident, "sent")
        assert "cancelled" not in [state for state, _ in await core.history(ident)]


async def test_what_waits_is_cancelled_and_never_sent(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.held = asyncio.Event()
        (first,), (second,) = await core.say(1), await core.say(2)
        await core.until(first, "sending")
        await core.until(second, "queued")

        assert await core.operations.cancel([second]) == (second,)
        core.bridge.held.set()
        (third,) = await core.say(3)
        await core.until(third, "sent")
        assert core.bridge.texts == ["text 1", "text 3"]
        assert (await core.history(second))[-1] == ("cancelled", "cancelled by hand")


async def test_a_dropped_dead_letter_is_gone_for_good(tmp_path):
    async with running_core(tmp_path) as core:
        core.bridge.answers = [Rejected("no")]
        (ident,) = await core.say(1)
        await core.until(ident, "failed")

        assert await core.operations.drop([ident]) == (ident,)
        assert await core.operations.redrive([ident]) == ()


async def test_a_queue_that_cannot_read_its_entries_gets_them_again(tmp_path):
    async with running_core(tmp_path) as core:
        claim = core.outbox.claim

        async def spoilt(fence, **times):
            claimed = await claim(fence, **times)
            if not claimed.leases:
                return claimed
            core.outbox.claim = claim
            await core.outbox.settle(fence, [Done(id=lease.id) for lease in claimed.leases], now_ms=times["now_ms"])
            return Claimed(unreadable=len(claimed.leases))

        core.outbox.claim = spoilt
        (ident,) = await core.say(1)

        await core.until(ident, "sent")


@pytest.mark.parametrize("delay", [0.0, 0.05])
async def test_a_copy_that_comes_in_where_a_delivery_still_waits_cancels_it(tmp_path, delay):
    async with running_core(tmp_path) as core:
        core.bridge.held = asyncio.Event()
        (blocking,) = await core.say(0)
        await core.until(blocking, "sending")
        (ident,) = await core.say(1)
        await asyncio.sleep(delay)
        record = (await core.journal.delivery(ident)).message

        await core.intake.accept(replace(record, origin=CHANNEL, remote_id=RemoteId("heard-there")))
        core.bridge.held.set()
        (last,) = await core.say(2)
        await core.until(last, "sent")

        assert core.bridge.texts == ["text 0", "text 2"]
        assert (await core.history(ident))[-1] == ("cancelled", "already there")


async def test_a_stop_that_comes_while_a_lost_lease_is_wound_up_is_heeded(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.delivery.LEASE_MS", 150)  # so that it is noticed soon

    class Slow(ScriptedBridge):
        async def send(self, message, to, *, key):
            sending.set()
            try:
                await asyncio.Event().wait()
            finally:
                winding_up.set()
                await asyncio.sleep(0.1)

    sending, winding_up = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(8), running_core(tmp_path, Slow()) as core:
        await core.say(1)
        await sending.wait()
        assert await core.outbox.acquire(BridgeName("radio"), "box", now_ms=core.clock.now_ms(), ttl_ms=60_000)
        await winding_up.wait()


class FakeMonotonic:
    """A clock whose time can be let pass at once."""

    def __init__(self):
        self.ahead_s = 0.0
        self.clock = SystemClock(monotonic=lambda: time.monotonic() + self.ahead_s)


async def lose_wait(core, ident):
    """Have the queue forget that this one waits for a last word."""
    fence = await core.outbox.acquire(CHANNEL.bridge, "box", now_ms=core.clock.now_ms(), ttl_ms=1000)
    async with asyncio.timeout(5):
        while not await core.outbox.report(fence, ident):
            await asyncio.sleep(0.01)  # its receipt is journalled, and not settled yet
            fence = await core.outbox.acquire(CHANNEL.bridge, "box", now_ms=core.clock.now_ms(), ttl_ms=1000)


async def test_a_direct_message_whose_wait_the_queue_has_lost_ends_as_a_dead_letter(tmp_path):
    """Emptied, or its tail lost: the journal has it as sent, so the drain does not give it to the queue again."""
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60.0)) as core:
        (ident,) = await core.say(1, origin=CHAT_ROOM)
        (broadcast,) = await core.say(2)
        await core.until(ident, "sent")
        await core.until(broadcast, "sent")
        await lose_wait(core, ident)
        core.clock.adopt(round(UNANSWERED_S * 1000) - 5_000)
        await core.sender.unanswered.give_up_lost()
        assert await core.state(ident) == "sent"

        core.clock.adopt(10_000)
        await core.sender.unanswered.give_up_lost()

        assert await core.state(ident) == "failed"
        assert await core.state(broadcast) == "sent"
        assert (await core.history(ident))[-1] == ("failed", UNACKNOWLEDGED)


async def test_it_does_so_too_when_the_clock_was_set_back_since_but_not_at_once(tmp_path):
    clock = FakeMonotonic()
    async with running_core(tmp_path, ScriptedBridge(more_within_s=60.0), clock=clock.clock) as core:
        (ident,) = await core.say(1, origin=CHAT_ROOM)
        await core.until(ident, "sent")
        await lose_wait(core, ident)
        core.clock.adopt(-400 * 86_400_000)
        await core.sender.unanswered.give_up_lost()
        clock.ahead_s = UNANSWERED_S / 2
        await core.sender.unanswered.give_up_lost()
        assert await core.state(ident) == "sent"

        clock.ahead_s = UNANSWERED_S + 1
        await core.sender.unanswered.give_up_lost()

        assert await core.state(ident) == "failed"


class AwayOutbox(MemoryOutbox):
    """Answers nothing while `is_away`."""

    is_away = False

    async def acquire(self, *args, **kwargs):
        return await self._ask(super().acquire, *args, **kwargs)

    async def claim(self, *args, **kwargs):
        return await self._ask(super().claim, *args, **kwargs)

    async def due_now(self, *args, **kwargs):
        return await self._ask(super().due_now, *args, **kwargs)

    async def _ask(self, call, *args, **kwargs):
        if self.is_away:
            raise StoreUnavailable("the queue is away")
        return await call(*args, **kwargs)


async def test_what_waited_for_the_network_goes_at_once_though_the_queue_was_away_when_that_came_back(tmp_path):
    async with running_core(tmp_path, outbox=AwayOutbox()) as core:
        core.bridge.answers = [RateLimited("the network is busy", retry_after_s=800.0)]
        (ident,) = await core.say(1)
        async with asyncio.timeout(5):
            while ("queued", "the network is busy") not in await core.history(ident):
                await asyncio.sleep(0.01)
        core.outbox.is_away = True
        await core.sender.due_now()
        assert await core.state(ident) == "queued"

        core.outbox.is_away = False

        assert await core.until(ident, "sent") == "sent"
