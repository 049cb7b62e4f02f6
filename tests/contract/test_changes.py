# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed mind: what is edited or taken back before it left changes there, or never leaves."""

import asyncio
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.changes import STANDS, TOO_LATE
from gateway.journal.amending import CHANGED, IN_TIME, NOT_SENT, TAKEN_BACK
from gateway.link import LinkState
from gateway.model import LinkDown, Reaction, Rejected, RemoteId, StoreUnavailable, Support, Unconfirmed
from gateway.outbox.memory import MemoryOutbox
from tests.contract.delivery_desk import CHANNEL, ROOM, ScriptedBridge, running_core

CAN_ALL = {"edits": Support.NATIVE, "redactions": Support.NATIVE}
IN_WORDS = {"edits": Support.TEXT}


@asynccontextmanager
async def while_down(folder, **capabilities):
    """A core whose link is down: what is said waits."""
    async with running_core(folder, ScriptedBridge(**capabilities)) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        yield core


async def back(core, last):
    """Let the link come up and everything go out; a last message says that it did."""
    (ident,) = await core.say(last)
    core.link.set(LinkState.UP, "", 0)
    await core.sender.due_now()
    await core.until(ident, "sent")


@pytest.mark.parametrize("capabilities", [CAN_ALL, IN_WORDS, {}], ids=["native", "in words", "not at all"])
async def test_an_edit_of_what_still_waits_changes_it_there_and_is_not_sent_itself(tmp_path, capabilities):
    async with while_down(tmp_path, **capabilities) as core:
        (first,), _ = await core.say(1), await core.say(2)
        await core.until(first, "queued")
        (edit,) = await core.edit(3, 1, "text one")
        await back(core, 4)

        assert core.bridge.texts == ["text one", "text 2", "text 4"]
        assert ("queued", CHANGED) in await core.history(first)
        assert await core.state(edit) == "cancelled"
        if capabilities:
            assert (await core.history(edit))[-1] == ("cancelled", IN_TIME)


async def test_what_is_taken_back_while_it_waits_is_never_sent(tmp_path):
    async with while_down(tmp_path, **CAN_ALL) as core:
        ids = [(await core.say(n))[0] for n in (1, 2, 3)]
        await core.until(ids[-1], "queued")
        (redaction,) = await core.redact(4, 2)
        await back(core, 5)

        assert core.bridge.texts == ["text 1", "text 3", "text 5"]
        assert (await core.history(ids[1]))[-1] == ("cancelled", TAKEN_BACK)
        assert (await core.history(redaction))[-1] == ("cancelled", IN_TIME)


async def test_taken_back_before_the_queue_has_it_is_never_queued(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL)) as core:
        put, gate = core.outbox.put, asyncio.Event()

        async def held(*args, **kwargs):
            await gate.wait()
            return await put(*args, **kwargs)

        core.outbox.put = held
        (first,), (second,) = await core.say(1), await core.say(2)
        await asyncio.sleep(0.05)  # its batch is on its way to the queue now
        await core.redact(3, 1)
        await core.edit(4, 2, "text two")
        gate.set()
        await core.until(second, "sent")

        assert core.bridge.texts == ["text two"]
        assert await core.state(first) == "cancelled"


@pytest.mark.parametrize(("before", "after"), [(3, 1), (3, 2), (2, 2)])
async def test_an_edit_that_takes_fewer_parts_cancels_those_left_over(tmp_path, before, after):
    async with while_down(tmp_path, **IN_WORDS) as core:
        ids = await core.say(1, body="word " * (6 * before))
        assert len(ids) == before
        await core.edit(2, 1, "new " * (9 * after - 4))
        await back(core, 3)

        assert len(core.bridge.texts) == after + 1
        assert all("new" in text for text in core.bridge.texts[:-1])
        assert [await core.state(ident) for ident in ids] == ["sent"] * after + ["cancelled"] * (before - after)


async def test_an_edit_that_takes_more_parts_goes_its_own_way_after_it(tmp_path):
    async with while_down(tmp_path, **IN_WORDS) as core:
        (first,) = await core.say(1)
        await core.edit(2, 1, "word " * 12)
        await back(core, 3)

        assert core.bridge.texts[0] == "text 1"
        assert core.bridge.texts[1].startswith("*corrected: word")
        assert await core.state(first) == "sent"


async def test_edited_twice_the_last_words_are_sent(tmp_path):
    async with while_down(tmp_path, **IN_WORDS) as core:
        await core.say(1, body="word " * 12)
        await core.edit(2, 1, "second")
        await core.edit(3, 1, "third")
        await back(core, 4)

        assert core.bridge.texts == ["third", "text 4"]


async def test_edited_and_then_taken_back_nothing_of_it_is_sent(tmp_path):
    async with while_down(tmp_path, **IN_WORDS) as core:
        await core.say(1)
        await core.edit(2, 1, "other " * 12)  # too long to change it: goes its own way
        await core.redact(3, 1)
        await back(core, 4)

        assert core.bridge.texts == ["text 4"]


async def test_what_was_sent_gets_its_edit_and_redaction_in_the_ordinary_way(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL)) as core:
        (first,) = await core.say(1)
        await core.until(first, "sent")
        (edit,) = await core.edit(2, 1, "text one")
        (redaction,) = await core.redact(3, 1)
        await core.until(redaction, "sent")

        assert core.bridge.texts == ["text 1", "text one", "redaction"]
        assert await core.state(edit) == "sent"
        assert {message.content.target for message in core.bridge.messages[1:]} == {RemoteId(f"radio-{first}.0")}


async def tried_once(core, error):
    """A message that was on its way when its network went away."""
    core.bridge.held = asyncio.Event()
    core.bridge.answers = [error]
    (first,) = await core.say(1)
    await core.until(first, "sending")
    core.link.set(LinkState.DOWN, "unplugged", 0)
    core.bridge.held.set()
    await core.until(first, "queued", "waiting")
    return first


async def test_what_may_have_gone_out_already_is_not_changed_behind_the_networks_back(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL)) as core:
        await tried_once(core, Unconfirmed("no answer"))
        (edit,) = await core.edit(2, 1, "text one")
        await back(core, 3)

        assert core.bridge.texts == ["text 1", "text one", "text 3"]
        assert await core.state(edit) == "sent"


async def test_what_may_have_gone_out_already_is_found_out_and_then_redacted(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL)) as core:
        await tried_once(core, Unconfirmed("no answer"))
        (edit,) = await core.edit(2, 1, "text one")
        await core.redact(3, 1)
        await back(core, 4)

        assert core.bridge.texts == ["text 1", "redaction", "text 4"]
        assert await core.state(edit) == "cancelled"


async def test_tried_where_nothing_can_be_redacted_it_is_not_tried_again(tmp_path):
    async with running_core(tmp_path) as core:
        first = await tried_once(core, LinkDown("unplugged"))
        await core.redact(2, 1)
        await back(core, 3)

        assert core.bridge.texts == ["text 3"]
        assert await core.state(first) == "cancelled"


async def test_a_correction_is_said_while_it_is_news_and_later_ends_with_the_reason(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**IN_WORDS)) as core:
        (first,) = await core.say(1, received_ms=core.clock.now_ms() - 290_000)
        (old,) = await core.say(2, received_ms=core.clock.now_ms() - 310_000)
        await core.until(old, "sent")
        (edit,) = await core.edit(3, 1, "text one")
        (late,) = await core.edit(4, 2, "text two")
        await core.until(edit, "sent")

        assert core.bridge.texts == ["text 1", "text 2", "*corrected: text one"]
        assert await core.history(late) == [("cancelled", TOO_LATE)]
        assert await core.state(first) == "sent"


async def test_on_a_shared_queue_a_correction_that_comes_too_late_is_not_said_either(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**IN_WORDS), shared=True) as core:
        (first,) = await core.say(1, received_ms=core.clock.now_ms() - 310_000)
        await core.until(first, "sent")
        (late,) = await core.edit(2, 1, "text one")

        assert await core.history(late) == [("cancelled", TOO_LATE)]


async def test_what_waited_long_is_corrected_before_it_is_sent_however_late(tmp_path):
    async with while_down(tmp_path, **IN_WORDS) as core:
        await core.say(1, received_ms=core.clock.now_ms() - 3_600_000)
        await core.edit(2, 1, "text one")
        await core.say(3, received_ms=core.clock.now_ms() - 3_600_000)
        await core.edit(4, 3, "word " * 12)  # too long to change it: goes its own way
        await back(core, 5)

        assert core.bridge.texts[:2] == ["text one", "text 3"]
        assert core.bridge.texts[2].startswith("*corrected: word")


async def test_a_redaction_of_what_was_sent_where_nothing_can_be_redacted_says_that_it_stands(tmp_path):
    async with running_core(tmp_path) as core:
        (first,) = await core.say(1)
        await core.until(first, "sent")
        (redaction,) = await core.redact(2, 1)
        (nothing,) = await core.redact(3, 99)

        assert await core.history(redaction) == [("cancelled", STANDS)]
        assert await core.history(nothing) == [("cancelled", "this network has no redactions")]


async def test_a_reaction_that_is_taken_back_while_it_waits_is_never_sent_and_later_stands_without_a_word(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(reactions=Support.NATIVE)) as core:
        (first,) = await core.say(1)
        await core.until(first, "sent")
        (put,) = await core.accept(2, Reaction(target=RemoteId("$1"), emoji="x"))
        await core.until(put, "sent")
        (stands,) = await core.redact(3, 2)
        core.link.set(LinkState.DOWN, "unplugged", 0)
        await core.accept(4, Reaction(target=RemoteId("$1"), emoji="y"))
        await core.redact(5, 4)
        await back(core, 6)

        assert core.bridge.texts == ["text 1", "reaction", "text 6"]
        assert await core.history(stands) == [("cancelled", "this network has no redactions")]


async def test_a_dead_letter_that_is_taken_back_cannot_be_sent_again(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL)) as core:
        core.bridge.answers = [Rejected("no")]
        (first,) = await core.say(1)
        await core.until(first, "failed")
        (redaction,) = await core.redact(2, 1)

        assert await core.state(first) == "cancelled"
        assert await core.state(redaction) == "cancelled"
        assert await core.operations.redrive([first]) == ()


async def test_a_dead_letter_that_is_edited_is_sent_again_with_its_new_words(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL)) as core:
        core.bridge.answers = [Rejected("no")]
        (first,) = await core.say(1)
        await core.until(first, "failed")
        (edit,) = await core.edit(2, 1, "text one")
        assert (await core.history(edit))[-1] == ("cancelled", NOT_SENT)

        assert await core.operations.redrive([first]) == (first,)
        await core.until(first, "sent")
        assert core.bridge.texts == ["text one"]


async def test_nobody_changes_anothers_words(tmp_path):
    async with while_down(tmp_path, **CAN_ALL) as core:
        await core.say(1)
        (edit,) = await core.edit(2, 1, "I am a fool", sender="mallory")
        await back(core, 3)

        assert core.bridge.texts == ["text 1", "text 3"]
        assert (await core.history(edit))[-1] == ("cancelled", "only its own sender may change a message")


async def test_a_moderator_whom_the_network_let_may_take_anothers_words_back(tmp_path):
    async with while_down(tmp_path) as core:
        (first,) = await core.say(1)
        await core.redact(2, 1, sender="moderator")
        await back(core, 3)

        assert core.bridge.texts == ["text 3"]
        assert await core.state(first) == "cancelled"


async def test_where_another_gateway_sends_its_edit_goes_after_it(tmp_path):
    async with while_down(tmp_path, **CAN_ALL) as core:
        (first,) = await core.say(1)
        await core.until(first, "queued")
        core.sender.holds = False
        (edit,) = await core.edit(2, 1, "text one")
        core.sender.holds = True
        await back(core, 3)

        assert core.bridge.texts == ["text 1", "text one", "text 3"]
        assert await core.state(edit) == "sent"


# Crashes.


async def test_killed_after_the_change_a_queue_that_kept_the_old_words_sends_the_new_ones(tmp_path):
    outbox = MemoryOutbox()
    async with while_down_with(tmp_path, outbox) as core:
        _, (second,) = await core.say(1), await core.say(2)
        await core.until(second, "queued")

        async def away(*_):
            raise StoreUnavailable("away")

        core.outbox.cancel = away
        await core.edit(3, 1, "text one")
        await core.redact(4, 2)
    del outbox.cancel
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL), outbox=outbox) as core:
        await back(core, 5)

        assert core.bridge.texts == ["text one", "text 5"]


@pytest.mark.parametrize("in_flight", [1, 2])
async def test_killed_as_it_went_out_it_is_not_changed_behind_the_networks_back(tmp_path, monkeypatch, in_flight):
    monkeypatch.setattr("gateway.journal.writer.NOTES_WITHIN_S", 60.0)  # that it was being sent is never on the disk
    outbox, before, after = MemoryOutbox(), tmp_path / "before", tmp_path / "after"
    before.mkdir()
    bridge = ScriptedBridge(in_flight=in_flight, **CAN_ALL)
    async with running_core(before, bridge, outbox=outbox) as core:
        bridge.held = asyncio.Event()
        await core.say(1)
        while not core.watcher.changes or core.watcher.changes[-1].state.value != "sending":
            await asyncio.sleep(0)
        shutil.copytree(before, after)  # as the disk is at this moment
    async with running_core(after, ScriptedBridge(in_flight=in_flight, **CAN_ALL), outbox=outbox) as core:
        assert core.journal.was_cut_off
        core.link.set(LinkState.DOWN, "", 0)
        (edit,) = await core.edit(2, 1, "text one")
        await back(core, 3)

        assert core.bridge.texts == ["text 1", "text one", "text 3"]
        assert await core.state(edit) == "sent"


async def test_a_queue_that_lost_everything_gets_the_new_words(tmp_path):
    async with while_down(tmp_path, **CAN_ALL) as core:
        (first,) = await core.say(1)
        await core.until(first, "queued")
        await core.edit(2, 1, "text one")
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL)) as core:
        await back(core, 3)

        assert core.bridge.texts == ["text one", "text 3"]


async def test_an_edit_that_comes_again_after_a_crash_changes_nothing_more(tmp_path):
    async with while_down(tmp_path, **CAN_ALL) as core:
        await core.say(1)
        await core.edit(2, 1, "text one")
        await core.edit(3, 1, "text two")
        await core.edit(2, 1, "text one")
        await back(core, 4)

        assert core.bridge.texts == ["text two", "text 4"]


@asynccontextmanager
async def while_down_with(folder, outbox):
    async with running_core(folder, ScriptedBridge(**CAN_ALL), outbox=outbox) as core:
        core.link.set(LinkState.DOWN, "unplugged", 0)
        yield core


# Races with the sender.


async def claimed_but_not_begun(core):
    """Two messages of one conversation in one run: the first is being sent, the second is leased behind it."""
    core.bridge.held = asyncio.Event()
    core.link.set(LinkState.DOWN, "unplugged", 0)
    (first,), (second,) = await core.say(1), await core.say(2)
    await core.until(second, "queued")
    core.link.set(LinkState.UP, "", 0)
    await core.until(first, "sending")
    assert second in core.sender.in_hand
    return first, second


@pytest.mark.parametrize("change", ["edit", "redact"])
async def test_changed_when_its_sender_has_claimed_it_already_the_old_words_are_not_sent(tmp_path, change):
    async with running_core(tmp_path, ScriptedBridge(in_flight=2, **CAN_ALL)) as core:
        _, second = await claimed_but_not_begun(core)
        await (core.edit(3, 2, "text two") if change == "edit" else core.redact(3, 2))
        core.bridge.held.set()
        (last,) = await core.say(4)
        await core.until(last, "sent")

        assert core.bridge.texts == ["text 1", *(["text two"] if change == "edit" else []), "text 4"]
        assert await core.state(second) == ("sent" if change == "edit" else "cancelled")


@pytest.mark.parametrize("change", ["edit", "redact"])
async def test_the_sender_waits_for_a_change_that_is_being_written(tmp_path, change):
    async with running_core(tmp_path, ScriptedBridge(in_flight=2, **CAN_ALL)) as core:
        first, _ = await claimed_but_not_begun(core)
        accept, reached, gate = core.journal.revisions.accept, asyncio.Event(), asyncio.Event()

        async def slow(*args):
            reached.set()
            await gate.wait()
            return await accept(*args)

        core.journal.revisions.accept = slow
        changing = asyncio.create_task(core.edit(3, 2, "text two") if change == "edit" else core.redact(3, 2))
        await reached.wait()
        core.bridge.held.set()
        await core.until(first, "sent")
        await asyncio.sleep(0.1)  # time enough to send the old words, if it did not wait
        assert core.bridge.texts == ["text 1"]

        gate.set()
        await changing
        (last,) = await core.say(4)
        await core.until(last, "sent")
        assert core.bridge.texts == ["text 1", *(["text two"] if change == "edit" else []), "text 4"]


async def test_claimed_while_a_change_is_being_written_it_waits_for_that_too(tmp_path):
    async with while_down(tmp_path, **CAN_ALL) as core:
        (first,) = await core.say(1)
        await core.until(first, "queued")
        accept, reached, gate = core.journal.revisions.accept, asyncio.Event(), asyncio.Event()

        async def slow(*args):
            reached.set()
            await gate.wait()
            return await accept(*args)

        core.journal.revisions.accept = slow
        changing = asyncio.create_task(core.redact(2, 1))
        await reached.wait()
        core.link.set(LinkState.UP, "", 0)
        await core.sender.due_now()
        async with asyncio.timeout(8):
            while first not in core.sender.in_hand:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # time enough to send it, if it did not wait
        gate.set()
        await changing
        (last,) = await core.say(3)
        await core.until(last, "sent")

        assert core.bridge.texts == ["text 3"]


async def test_begun_before_the_change_is_written_it_is_sent_and_then_edited(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(**CAN_ALL)) as core:
        core.bridge.held = asyncio.Event()
        await core.say(1)
        while not core.watcher.changes or core.watcher.changes[-1].state.value != "sending":
            await asyncio.sleep(0)
        (edit,) = await core.edit(2, 1, "text one")
        core.bridge.held.set()
        await core.until(edit, "sent")

        assert core.bridge.texts == ["text 1", "text one"]


async def test_a_copy_heard_where_it_was_claimed_to_go_is_not_sent_there(tmp_path):
    async with running_core(tmp_path, ScriptedBridge(in_flight=2)) as core:
        _, second = await claimed_but_not_begun(core)
        record = (await core.journal.delivery(second)).message
        await core.intake.accept(replace(record, origin=CHANNEL, remote_id=RemoteId("heard-there")))
        core.bridge.held.set()
        (last,) = await core.say(3, origin=ROOM)
        await core.until(last, "sent")

        assert core.bridge.texts == ["text 1", "text 3"]
