# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal forgets, what it never forgets, and how it follows a clock that was set."""

from __future__ import annotations

import asyncio

import pytest

from gateway.clock import ManualClock
from gateway.journal import Accepted, Retention, Seen
from gateway.model import BridgeName, JournalError, RemoteId
from tests.clocks import followed
from tests.contract.journal_desk import DAY_MS, HOUR_MS, LAN, RADIO, ROOM, START_MS, bound, moved, opened, said

HOME = BridgeName("home")
KIB = 1024


@pytest.fixture
def clock():
    return ManualClock(START_MS)


async def accept(journal, clock, n, state="sent", *, body="hi"):
    """Accept a message now, and let its delivery end so."""
    message = said(n, received_ms=clock.now_ms(), body=body)
    answer = await journal.accept(message, [bound(message)])
    await journal.record([moved(bound(message), state, at_ms=clock.now_ms(), remote_id=RemoteId(f"${n}"))])
    return answer


async def kept(journal):
    return [record.seq for record in await journal.messages(limit=1000)]


async def test_what_is_over_its_age_is_forgotten_with_all_that_belongs_to_it(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        for n in range(200):
            await accept(journal, clock, n)
        clock.advance(7 * 86400)
        await accept(journal, clock, 200)
        await journal.upkeep.prune()

        assert await kept(journal) == [201]
        assert await journal.find(ROOM, RemoteId("$5")) is None
        assert await journal.find(RADIO, RemoteId("packet-5")) is None
        assert await journal.delivery(bound(said(5)).id) is None
        assert sum((await journal.tally()).values()) == 1
        # Its sequence is not given to another.
        assert (await accept(journal, clock, 201)) == Accepted(seq=202)


async def test_the_names_it_was_sent_under_are_forgotten_with_a_message_and_not_before(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        for n in range(3):
            await accept(journal, clock, n)
            clock.advance(3 * 86400)
            await journal.record([moved(bound(said(n)), "sent", also=said(f"sent-{n}").id)])
        await journal.upkeep.prune()

        answers = [await journal.accept(said(f"sent-{n}", LAN), []) for n in range(3)]
        assert answers == [Accepted(seq=4), Seen(seq=2, origin=LAN), Seen(seq=3, origin=LAN)]


async def test_a_sequence_is_never_used_twice_even_if_all_is_forgotten(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        await accept(journal, clock, 1)
        clock.advance(8 * 86400)
        await journal.upkeep.prune()
        assert await kept(journal) == []
    async with opened(tmp_path, clock=clock) as journal:
        assert await accept(journal, clock, 2) == Accepted(seq=2)


@pytest.mark.parametrize("state", ["waiting", "queued", "sending"])
async def test_what_still_has_to_leave_is_never_forgotten(tmp_path, clock, state):
    retention = Retention(age_s=10, rows=2, min_age_s=0)
    async with opened(tmp_path, clock=clock, retention=retention) as journal:
        for n in range(4):
            await accept(journal, clock, n, state)
        clock.advance(1000)
        await journal.upkeep.prune()

        assert await kept(journal) == [1, 2, 3, 4]


async def test_a_dead_letter_is_kept_for_its_age_from_when_it_failed(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        await accept(journal, clock, 1, "queued")
        clock.advance(6 * 86400)
        await journal.record([moved(bound(said(1)), "failed", at_ms=clock.now_ms())])
        clock.advance(6 * 86400)
        await journal.upkeep.prune()
        assert await kept(journal) == [1]

        clock.advance(86400 + 1)
        await journal.upkeep.prune()
        assert await kept(journal) == []


async def test_beyond_its_rows_the_oldest_go_first(tmp_path, clock):
    retention = Retention(rows=100, min_age_s=3600)
    async with opened(tmp_path, clock=clock, retention=retention) as journal:
        for n in range(150):
            await accept(journal, clock, n, "queued" if n == 10 else "sent")
        clock.advance(3600)
        await journal.upkeep.prune()

        assert await kept(journal) == [11, *range(52, 151)]


async def test_an_id_is_known_for_its_least_age_though_there_are_too_many(tmp_path, clock):
    """So that a source that starts over is recognised."""
    retention = Retention(rows=100, min_age_s=3600)
    async with opened(tmp_path, clock=clock, retention=retention) as journal:
        for n in range(180):
            await accept(journal, clock, n)
        clock.advance(3599)
        await journal.upkeep.prune()

        assert len(await kept(journal)) == 180
        assert await journal.accept(said(0), []) == Seen(seq=1, origin=RADIO)


async def test_beyond_its_size_the_oldest_go_until_it_fits(tmp_path, clock):
    retention = Retention(size_bytes=400 * KIB, min_age_s=0)
    async with opened(tmp_path, clock=clock, retention=retention) as journal:
        for n in range(200):
            await accept(journal, clock, n, body="x" * 1000)
        clock.advance(1)
        await journal.upkeep.prune()
        left = await kept(journal)

        assert left[-1] == 200
        assert left == list(range(left[0], 201))
        assert 50 < len(left) < 150


@pytest.mark.parametrize("limit", [{"rows": 100}, {"size_bytes": 200 * KIB}])
async def test_twice_as_many_as_allowed_make_room_by_themselves(tmp_path, clock, limit):
    """A box that nobody prunes goes on; ids are known a shorter time then."""
    async with opened(tmp_path, clock=clock, retention=Retention(**limit)) as journal:
        for n in range(1000):
            await accept(journal, clock, n)

        left = await kept(journal)
        assert left[-1] == 1000
        assert len(left) <= 2 * 100 + 64 or "size_bytes" in limit
        assert len(left) < 800


async def test_full_of_what_must_not_be_forgotten_it_accepts_nothing_more_and_says_so(tmp_path, clock):
    async with opened(tmp_path, clock=clock, retention=Retention(rows=10)) as journal:
        for n in range(21):
            await accept(journal, clock, n, "waiting")

        with pytest.raises(JournalError, match=r"^journal is full: 21 messages"):
            await journal.accept(said("one more", resume="lost"), [])
        # The source is not told to go on: it will be asked again.
        assert await journal.resume_point(RADIO.bridge) is None
        assert isinstance(await journal.accept(said(3, resume="s3"), []), Seen)
        assert await journal.resume_point(RADIO.bridge) == "s3"

        await journal.record([moved(bound(said(n)), "sent") for n in range(12)])
        assert isinstance(await accept(journal, clock, "one more"), Accepted)


async def test_others_write_while_it_prunes(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        await asyncio.gather(*(accept(journal, clock, n) for n in range(2000)))
        clock.advance(8 * 86400)
        pruning = asyncio.create_task(journal.upkeep.prune())
        n = 2000
        while not pruning.done():
            await accept(journal, clock, n)
            n += 1
        await pruning

        assert n > 2010
        assert await kept(journal) == list(range(2001, n + 1))


# The clock was set.


async def test_a_step_moves_what_this_run_wrote_and_leaves_what_was_there(tmp_path, clock):
    early = said("early", received_ms=START_MS)
    async with opened(tmp_path, clock=clock) as journal:
        await journal.accept(early, [bound(early, expires_ms=START_MS + DAY_MS), bound(early, LAN)])
    clock = ManualClock(HOUR_MS)  # the box starts in 1970
    async with opened(tmp_path, clock=clock) as journal:
        late = said("late", received_ms=clock.now_ms())
        await journal.accept(late, [bound(late, expires_ms=clock.now_ms() + HOUR_MS), bound(late, LAN)])
        await journal.record([moved(bound(early, LAN), "sent", at_ms=clock.now_ms())])
        delta = START_MS
        clock.step(delta)
        assert followed(clock) == delta
        await journal.upkeep.shift(delta)

        old, new = (await journal.pending(HOME, after=0, limit=9)).deliveries
        assert (old.message.received_ms, old.expires_ms) == (START_MS, START_MS + DAY_MS)
        assert (new.message.received_ms, new.expires_ms) == (START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)
        before, after = await journal.messages()
        assert (before.message.received_ms, after.message.received_ms) == (START_MS, START_MS + HOUR_MS)
        assert [one.at_ms for one in before.deliveries[1].history] == [START_MS, START_MS + HOUR_MS]
        assert before.deliveries[0].changed_ms == START_MS
        assert [one.changed_ms for one in after.deliveries] == [START_MS + HOUR_MS] * 2
        assert await journal.oldest_pending() == {"home": START_MS, "lan": START_MS + HOUR_MS}


async def test_a_second_step_moves_it_again_and_what_came_after_stays(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        for n, step in enumerate([5_000_000, -3_000_000]):
            message = said(n, received_ms=clock.now_ms())
            await journal.accept(message, [bound(message)])
            clock.step(step)
            await journal.upkeep.shift(followed(clock))
        last = said("last", received_ms=clock.now_ms())
        await journal.accept(last, [])

        now_ms = START_MS + 2_000_000
        records = await journal.messages()
        assert [record.message.received_ms for record in records] == [now_ms] * 3
        assert [one.at_ms for record in records for two in record.deliveries for one in two.history] == [now_ms] * 2


async def test_a_step_over_many_messages_is_one_for_all(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        await asyncio.gather(*(accept(journal, clock, n) for n in range(1300)))
        await journal.upkeep.shift(10_000)

        records = await journal.messages(limit=2000)
        assert {record.message.received_ms for record in records} == {START_MS + 10_000}
        assert {record.deliveries[0].changed_ms for record in records} == {START_MS + 10_000}
