# SPDX-License-Identifier: GPL-3.0-or-later
"""What is noted and written together with what follows is what would have been written step by step."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.journal import Change, Seen
from gateway.model import JournalError, RemoteId, State
from tests.contract.journal_desk import LAN, RADIO, ROOM, START_MS, bound, moved, opened, said, states

changes = st.builds(
    dict,
    state=st.sampled_from(
        [State.QUEUED, State.SENDING, State.SENDING, State.SENT, State.HEARD, State.DELIVERED, State.FAILED]
    ),
    reason=st.sampled_from(["", "why", "why\nnot"]),
    remote_id=st.sampled_from([None, None, RemoteId("$one"), RemoteId("$two")]),
    generation=st.sampled_from([None, None, 1, 2]),
    only_from=st.sampled_from([None, None, None, State.WAITING, frozenset({State.QUEUED, State.SENT})]),
)
steps = st.lists(st.tuples(st.booleans(), st.integers(0, 1), changes), min_size=1, max_size=7)


async def carried_out(folder, steps, *, noting):
    """Return what is known in the end of two deliveries; what may be noted is, or else recorded like the rest."""
    message = said(1)
    deliveries = [bound(message, LAN), bound(message, ROOM)]
    async with opened(folder) as journal:
        await journal.accept(message, deliveries)
        for at_ms, (is_note, which, fields) in enumerate(steps):
            change = Change(id=deliveries[which].id, at_ms=at_ms, **fields)
            if is_note and noting:
                journal.note([change])
            else:
                await journal.record([change])
        await journal.upkeep.prune()  # writes what is noted
        record = await journal.message(message.id)
        standings = await journal.standings([one.id for one in deliveries])
        called = [await journal.find(one.to, RemoteId(name)) for one in deliveries for name in ("$one", "$two")]
        return record.deliveries, standings, called


@settings(max_examples=300, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
async def test_what_is_noted_ends_as_if_it_had_been_recorded_step_by_step(steps):
    with tempfile.TemporaryDirectory() as place:
        one, other = Path(place, "one"), Path(place, "other")
        one.mkdir()
        other.mkdir()
        assert await carried_out(one, steps, noting=True) == await carried_out(other, steps, noting=False)


async def test_a_copy_that_comes_in_finds_what_was_noted_a_moment_before(tmp_path):
    """What is being sent is not `already there`."""
    message = said(1)
    delivery = bound(message, ROOM)
    async with opened(tmp_path) as journal:
        await journal.accept(message, [delivery])
        journal.note([moved(delivery, "sending")])

        copy = await journal.accept(said(1, origin=ROOM), [])

        assert isinstance(copy, Seen)
        assert copy.cancelled == ()


async def test_a_delivery_that_goes_through_at_once_is_written_once(tmp_path):
    message = said(1)
    delivery = bound(message, ROOM)
    async with opened(tmp_path) as journal:
        await journal.accept(message, [delivery])
        before = journal._store.connection.total_changes
        journal.note([moved(delivery, "queued", only_from=State.WAITING)])
        journal.note([moved(delivery, "sending")])
        await journal.record([moved(delivery, "sent")])

        rows = journal._store.connection.total_changes - before
        assert [one.state.value for one in (await journal.message(message.id)).deliveries[0].history] == [
            "waiting",
            "queued",
            "sending",
            "sent",
        ]
        assert rows == 3  # the delivery's, and two of how many are in which state


async def test_what_was_noted_is_owed_though_the_change_that_took_it_along_could_not_be_written(tmp_path):
    """Or else what may have gone out would look as if it never had been tried, and be folded or taken back."""
    message = said(1)
    delivery = bound(message, ROOM)
    async with opened(tmp_path) as journal:
        await journal.accept(message, [delivery])
        works, journal._writer._transactions.commit = journal._writer._transactions.commit, fails
        journal.note([moved(delivery, "sending", generation=1)])
        with pytest.raises(JournalError):
            await journal.record([moved(delivery, "queued", reason="no answer")])
        journal._writer._transactions.commit = works
        await journal.record([moved(delivery, "queued", reason="no answer")])

        standing = (await journal.standings([delivery.id]))[delivery.id]
        assert (standing.state, standing.generation, standing.tried_ms) == (State.QUEUED, 1, START_MS)
        await asyncio.sleep(0)  # the answer is counted
        assert journal._writer._noted == 0


async def test_what_was_noted_is_written_though_whoever_took_it_along_was_cancelled_before_his_turn(tmp_path):
    message = said(1)
    delivery = bound(message, ROOM)
    async with opened(tmp_path) as journal:
        await journal.accept(message, [delivery])
        journal._writer._slots, slots = asyncio.Semaphore(0), journal._writer._slots
        journal.note([moved(delivery, "sending")])
        recording = asyncio.create_task(journal.record([moved(delivery, "sent")]))
        await asyncio.sleep(0)
        recording.cancel()
        with pytest.raises(asyncio.CancelledError):
            await recording
        journal._writer._slots = slots
        await journal.upkeep.prune()  # after it

        assert await states(journal, delivery) == ["sending"]


def fails(batch):
    raise sqlite3.OperationalError("disk I/O error")


async def test_a_note_is_written_though_nothing_follows(tmp_path):
    message = said(1)
    delivery = bound(message, RADIO)
    async with opened(tmp_path) as journal:
        await journal.accept(message, [delivery])
        journal.note([moved(delivery, "queued")])
    async with opened(tmp_path) as journal:
        assert (await journal.standings([delivery.id]))[delivery.id].state is State.QUEUED


async def test_a_copy_finds_what_was_on_its_way_though_the_note_of_it_is_handed_over_just_then(tmp_path):
    """The thread has the copy in hand when the note's time comes: the note must not end up behind it."""
    message = said(1)
    delivery = bound(message, ROOM)
    async with opened(tmp_path) as journal:
        await journal.accept(message, [delivery])
        writer, taken, goes_on = journal._writer, threading.Event(), threading.Event()
        commit = writer._transactions.commit

        def late_commit(batch):
            taken.set()
            assert goes_on.wait(30)
            commit(batch)

        writer._transactions.commit = late_commit
        journal.note([moved(delivery, "sending")])
        copying = asyncio.create_task(journal.accept(said(1, ROOM), []))
        await asyncio.to_thread(taken.wait, 30)
        writer._hand_notes()  # as its timer does
        goes_on.set()

        assert (await copying).cancelled == ()
        assert await states(journal, delivery) == ["sending"]
