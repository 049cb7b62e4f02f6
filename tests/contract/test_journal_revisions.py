# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal keeps of deliveries that were changed or folded before they left."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from gateway.clock import ManualClock
from gateway.journal import Amendment, Seen
from gateway.model import BridgeName, Lane, NativeId, Redaction, RemoteId, State, Text
from tests.contract.journal_desk import DAY_MS, RADIO, ROOM, START_MS, bound, moved, opened, said, states

HOME = BridgeName("home")


def told(carrier, folded):
    """Word a digest as its count and the texts it stands for."""
    words = ",".join(message.content.body for message in folded.latest)
    return replace(carrier, message=replace(carrier.message, content=Text(body=f"{folded.count}: {words}")))


async def body_of(journal, delivery):
    return (await journal.standings([delivery.id]))[delivery.id].revised.message.content.body


async def accepted(journal, *numbers):
    """Accept messages; return their deliveries to the room."""
    deliveries = [bound(said(n, body=f"text {n}")) for n in numbers]
    for n, delivery in zip(numbers, deliveries, strict=True):
        await journal.accept(said(n, body=f"text {n}"), [delivery])
    return deliveries


async def test_what_was_folded_and_what_carries_it_are_there_when_it_is_opened_again(tmp_path):
    async with opened(tmp_path) as journal:
        one, two, three = await accepted(journal, 1, 2, 3)
        changes = await journal.revisions.fold(three.id, [one.id, two.id], told)
        assert [(change.id, change.state.value) for change in changes] == [
            (one.id, "folded"),
            (two.id, "folded"),
            (three.id, "waiting"),
        ]
    async with opened(tmp_path) as journal:
        assert await states(journal, one, two, three) == ["folded", "folded", "waiting"]
        assert await body_of(journal, three) == "3: text 1,text 2,text 3"
        (left,) = (await journal.pending(HOME, after=0, limit=9)).deliveries
        assert left.message.content.body == "3: text 1,text 2,text 3"
        assert (await journal.tally())[HOME, State.FOLDED] == 2


@pytest.mark.parametrize("state", ["sending", "sent", "failed", "cancelled", "expired"])
async def test_what_is_under_way_or_over_neither_is_folded_nor_carries_a_digest(tmp_path, state):
    async with opened(tmp_path) as journal:
        one, two, three = await accepted(journal, 1, 2, 3)
        await journal.record([moved(two, state)])

        assert await journal.revisions.fold(two.id, [one.id], told) is None
        await journal.revisions.fold(three.id, [one.id, two.id], told)
        assert await states(journal, one, two) == ["folded", state]
        assert await body_of(journal, three) == "2: text 1,text 3"


async def test_what_was_noted_as_on_its_way_a_moment_ago_is_not_folded(tmp_path):
    async with opened(tmp_path) as journal:
        one, two, three = await accepted(journal, 1, 2, 3)
        journal.note([moved(two, "sending")])
        await journal.revisions.fold(three.id, [one.id, two.id], told)

        assert await states(journal, one, two) == ["folded", "sending"]


async def test_what_was_on_its_way_is_not_folded_though_the_note_of_it_is_handed_over_just_then(tmp_path):
    """The thread has the fold in hand when the note's time comes: the note must not end up behind it."""
    async with opened(tmp_path) as journal:
        one, two, three = await accepted(journal, 1, 2, 3)
        writer, taken, goes_on = journal._writer, threading.Event(), threading.Event()
        commit = writer._transactions.commit

        def late_commit(batch):
            taken.set()
            assert goes_on.wait(30)
            commit(batch)

        writer._transactions.commit = late_commit
        journal.note([moved(two, "sending")])
        folding = asyncio.create_task(journal.revisions.fold(three.id, [one.id, two.id], told))
        await asyncio.to_thread(taken.wait, 30)
        writer._hand_notes()  # as its timer does
        goes_on.set()
        await folding

        assert await states(journal, one, two) == ["folded", "sending"]
        assert await body_of(journal, three) == "2: text 1,text 3"


async def test_a_fold_that_is_told_again_changes_nothing_more(tmp_path):
    async with opened(tmp_path) as journal:
        one, two = await accepted(journal, 1, 2)
        await journal.revisions.fold(two.id, [one.id], told)
        changes = await journal.revisions.fold(two.id, [one.id], told)

        assert [change.id for change in changes] == [two.id]
        assert await body_of(journal, two) == "2: text 1,text 2"


async def test_a_digest_has_one_name_for_all_it_stands_for(tmp_path):
    async with opened(tmp_path) as journal:
        one, two = await accepted(journal, 1, 2)
        await journal.revisions.fold(two.id, [one.id], told)
        for n in (1, 2):
            assert await journal.revisions.digest_of(RADIO, RemoteId(f"packet-{n}"), ROOM) == (two.id, None)
        await journal.record([moved(two, "sent", remote_id=RemoteId("$digest"))])

        assert await journal.revisions.digest_of(RADIO, RemoteId("packet-1"), ROOM) == (two.id, RemoteId("$digest"))
        assert await journal.counterpart(RADIO, RemoteId("packet-1"), ROOM) is None


async def test_a_backlog_is_read_in_pages_of_its_own_conversation(tmp_path):
    async with opened(tmp_path) as journal:
        for n in range(6):
            to = ROOM if n % 2 else replace(ROOM, conversation="#other")
            await journal.accept(said(n), [bound(said(n), to)])
        found, place, end = [], (0, 0), None
        while place != end:
            end = place
            place, page = await journal.revisions.held(ROOM, after=place, limit=4)
            found += page

        assert [held.message.native_id for held in found] == ["mt:1", "mt:3", "mt:5"]


async def test_an_edit_or_redaction_that_is_known_already_does_nothing_again(tmp_path):
    async with opened(tmp_path) as journal:
        one, two = await accepted(journal, 1, 2)
        redaction = replace(said(3), native_id=NativeId("mt:3"), content=Redaction(target=RemoteId("packet-1")))
        amendment = Amendment(target=1, says=None, within=frozenset({ROOM}), rewrite=told)
        accepted_first = await journal.revisions.accept(redaction, [], [], amendment)
        again = await journal.revisions.accept(redaction, [], [], replace(amendment, target=2))

        assert [change.id for _, change in accepted_first.changes] == [one.id]
        assert again == Seen(seq=3, origin=RADIO)
        assert await states(journal, one, two) == ["cancelled", "waiting"]


async def test_edits_are_forgotten_with_their_messages(tmp_path):
    clock = ManualClock(START_MS)
    async with opened(tmp_path, clock=clock) as journal:
        (one,) = await accepted(journal, 1)
        says = said(1, body="new")
        amendment = Amendment(
            target=1, says=says, within=frozenset({ROOM}), fitted={ROOM: (bound(says),)}, rewrite=told
        )
        await journal.revisions.accept(said(2), [], [], amendment)
        assert await body_of(journal, one) == "1/1 new"
        assert (await journal.message(says.id)).message.content.body == "new"
        await journal.record([moved(one, "sent")])
        clock.advance(8 * DAY_MS / 1000)
        await journal.upkeep.prune()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        assert database.execute("SELECT count(*) FROM edit").fetchone() == (0,)


async def test_in_each_lane_of_a_conversation_it_doubts_what_was_first_in_line(tmp_path):
    """Lanes are worked at the same time: an emergency may be out though what came before it is not."""
    async with opened(tmp_path) as journal:
        await accepted(journal, 1, 2)
        urgent, guest = said(3, lane=Lane.EMERGENCY), said(4, lane=Lane.GUEST)
        for message in (urgent, guest):
            await journal.accept(message, [bound(message, ROOM)])
        await journal.revisions.doubt(HOME, 1)
        _, page = await journal.revisions.held(ROOM, after=(0, 0), limit=9)

        assert [held.is_tried for held in page] == [True, False, True, True]


async def test_only_after_it_was_cut_off_it_doubts_what_was_first_in_line(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    async with opened(before) as journal:
        one, two, three = await accepted(journal, 1, 2, 3)
        shutil.copytree(before, after)
    async with opened(before) as journal:
        assert not journal.was_cut_off
    async with opened(after) as journal:
        assert journal.was_cut_off
        await journal.revisions.doubt(HOME, 1)
        await journal.revisions.doubt(HOME, 1)
        _, page = await journal.revisions.held(ROOM, after=(0, 0), limit=9)

        assert [held.is_tried for held in page] == [True, False, False]
        assert len((await journal.delivery(one.id)).record.history) == 2
        assert await states(journal, one, two, three) == ["waiting"] * 3
