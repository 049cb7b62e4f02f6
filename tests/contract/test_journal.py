# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal promises while its disk works."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import replace
from itertools import count

import pytest

from gateway.ages import AGE_NAMES, limits_ms
from gateway.clock import ManualClock
from gateway.journal import Accepted, Change, DeadLetter, DeadLetters, Messages, Origin, Seen, Standing
from gateway.journal.rows import PLACES
from gateway.model import (
    Address,
    BridgeName,
    DeliveryId,
    JournalError,
    MessageId,
    NativeId,
    RemoteId,
    ResumePoint,
    State,
    message_id,
)
from tests.contract.journal_desk import (
    DAY_MS,
    LAN,
    OTHER_RADIO,
    RADIO,
    ROOM,
    START_MS,
    bound,
    moved,
    opened,
    parts_of,
    said,
    states,
)

HOME = BridgeName("home")


@pytest.fixture
def clock():
    return ManualClock(START_MS)


@pytest.fixture
async def journal(tmp_path, clock):
    async with opened(tmp_path, clock=clock) as journal:
        yield journal


# What comes in.


async def test_an_accepted_message_is_there_with_everything_that_belongs_to_it(journal, clock):
    clock.advance(5)
    message = said(1, resume="s72", reply_to=RemoteId("packet-0"), direct=True)
    good, bad = bound(message, LAN), bound(message, ROOM)

    assert await journal.accept(message, [good], [(bad, State.CANCELLED, "not permitted")]) == Accepted(seq=1)

    record = await journal.message(message.id)
    kept, refused = record.deliveries
    assert (record.seq, record.message) == (1, said(1, reply_to=RemoteId("packet-0"), direct=True))
    assert (kept.id, kept.to, kept.state, kept.reason) == (good.id, LAN, State.WAITING, "")
    assert (refused.to, refused.state, refused.reason) == (ROOM, State.CANCELLED, "not permitted")
    assert refused.changed_ms == START_MS + 5000
    assert await journal.resume_point(RADIO.bridge) == ResumePoint("s72")
    assert await journal.head() == 1


async def test_sequences_follow_each_other_without_a_gap(journal):
    answers = await asyncio.gather(*(journal.accept(said(n), []) for n in range(600)))

    assert sorted(answer.seq for answer in answers) == list(range(1, 601))


async def test_what_the_journal_holds_is_there_when_it_is_opened_again(tmp_path, clock):
    message = said(1, resume="s1")
    async with opened(tmp_path, clock=clock) as journal:
        source = journal.source
        await journal.accept(message, [bound(message)])
    async with opened(tmp_path, clock=clock) as journal:
        assert journal.source == source
        assert await journal.head() == 1
        assert await journal.resume_point(RADIO.bridge) == "s1"
        assert (await journal.pending(HOME, after=0, limit=10)).deliveries == (bound(message),)
        assert await journal.accept(said(1), []) == Seen(seq=1, origin=RADIO)


async def test_a_closed_journal_leaves_one_private_file_and_its_reserve(tmp_path):
    async with opened(tmp_path) as journal:
        await journal.accept(said(1), [])
    files = sorted(tmp_path.iterdir())

    assert [file.name for file in files] == ["journal.db", "journal.db.reserve"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    with pytest.raises(JournalError, match="closed"):
        await journal.accept(said(2), [])
    with pytest.raises(JournalError, match="closed"):
        await journal.tally()


async def test_resume_points_are_kept_by_bridge_and_the_last_one_counts(journal):
    await journal.set_resume(HOME, ResumePoint("a"))
    await journal.set_resume(HOME, ResumePoint("b"))
    await journal.accept(said(1, resume="7"), [])

    assert await journal.resume_point(HOME) == "b"
    assert await journal.resume_point(RADIO.bridge) == "7"
    assert await journal.resume_point(BridgeName("lan")) is None


async def test_a_message_for_more_addresses_than_can_be_kept_is_refused_in_words(journal):
    message = said(1)
    with pytest.raises(JournalError, match="4096 deliveries"):
        await journal.accept(message, [bound(message)] * (PLACES + 1))


async def test_half_characters_from_a_network_are_stored_as_question_marks(journal):
    message = said(1, body="\ud800 hi")
    delivery = bound(message)
    await journal.accept(message, [delivery])
    await journal.record([moved(delivery, "sent", remote_id=RemoteId("$\ud800"), reason="\udfff")])

    (kept,) = (await journal.message(message.id)).deliveries
    assert (kept.remote_id, kept.reason) == ("$?", "?")


# Seen before.


async def test_a_known_message_adds_nothing_but_its_resume_point(journal):
    first = said(1)
    await journal.accept(first, [bound(first)])
    again = said(1, resume="s2")

    assert await journal.accept(again, [bound(again), bound(again, LAN)]) == Seen(seq=1, origin=RADIO)
    assert len((await journal.message(first.id)).deliveries) == 1
    assert await journal.head() == 1
    assert await journal.resume_point(RADIO.bridge) == "s2"


async def test_of_two_copies_at_once_one_is_accepted_and_one_seen(journal):
    answers = await asyncio.gather(*(journal.accept(said(7), []) for _ in range(5)))

    assert [type(answer) for answer in answers].count(Accepted) == 1
    assert {answer.seq for answer in answers} == {1}


@pytest.mark.parametrize("state", ["waiting", "queued"])
async def test_a_copy_from_where_it_was_still_to_go_cancels_that_delivery(journal, state):
    message = said(1)
    to_ridge, to_room = parts_of(message, OTHER_RADIO, 2), bound(message)
    await journal.accept(message, [*to_ridge, to_room])
    await journal.record([moved(one, state) for one in to_ridge])

    seen = await journal.accept(said(1, OTHER_RADIO), [])

    ids = tuple(one.id for one in to_ridge)
    assert seen == Seen(seq=1, origin=OTHER_RADIO, cancelled=ids)
    assert seen.by_bridge() == {"ridge": ids}
    assert await states(journal, *to_ridge, to_room) == ["cancelled", "cancelled", "waiting"]
    assert (await journal.message(message.id)).deliveries[0].reason == "already there"
    assert (await journal.pending(BridgeName("ridge"), after=0, limit=9)).deliveries == ()


@pytest.mark.parametrize("state", ["sending", "sent", "failed"])
async def test_a_copy_changes_nothing_where_it_is_under_way_or_over(journal, state):
    message = said(1)
    delivery = bound(message, OTHER_RADIO)
    await journal.accept(message, [delivery])
    await journal.record([moved(delivery, state)])

    seen = await journal.accept(said(1, OTHER_RADIO), [])

    assert seen.cancelled == ()
    assert seen.by_bridge() == {}
    assert await states(journal, delivery) == [state]


async def test_a_copy_from_the_same_place_cancels_nothing(journal):
    message = said(1)
    echo = bound(message, RADIO)
    await journal.accept(message, [echo])

    assert (await journal.accept(said(1), [])).cancelled == ()


# Seen under the id we sent it with.


def sent_by(delivery, native, remote, **fields):
    """Return what `Sender.begin` notes of a radio's delivery."""
    return moved(delivery, "sending", also=message_id(NativeId(native)), remote_id=RemoteId(remote), **fields)


def heard(native, remote, at=OTHER_RADIO, **fields):
    return replace(said(0, at, **fields), native_id=NativeId(native), remote_id=RemoteId(remote))


async def test_what_one_radio_sends_and_another_hears_is_seen(journal):
    message = said(1, ROOM)
    out, copy = bound(message, RADIO), bound(message, OTHER_RADIO)
    await journal.accept(message, [out, copy])
    journal.note([sent_by(out, "mt:own:77", "77")])
    echo = heard("mt:own:77", "77", resume="s9")
    seen = await journal.accept(echo, [bound(echo, ROOM)])

    assert seen == Seen(seq=1, origin=OTHER_RADIO, cancelled=(copy.id,))
    assert await states(journal, out, copy) == ["sending", "cancelled"]
    assert (await journal.head(), await journal.resume_point(OTHER_RADIO.bridge)) == (1, "s9")
    assert await journal.counterpart(OTHER_RADIO, RemoteId("77"), ROOM) == message.remote_id
    assert await journal.counterpart(ROOM, message.remote_id, OTHER_RADIO) == "77"
    assert await journal.message(echo.id) is None


@pytest.mark.parametrize("seen", [said(1), heard("mt:own:77", "77"), said(11)], ids=["known", "our own", "twice"])
async def test_what_came_in_together_with_one_that_is_known_is_accepted_without_a_gap(journal, seen):
    known, sent = said(1), said(2, ROOM)
    out = bound(sent, RADIO)
    await journal.accept(known, [bound(known)])
    await journal.accept(sent, [out, bound(sent, OTHER_RADIO)])
    await journal.record([sent_by(out, "mt:own:77", "77")])
    together = [said(10), said(11), seen, said(12, resume="s12"), said(13)]
    answers = await asyncio.gather(*(journal.accept(one, [bound(one)]) for one in together))

    assert [type(answer) for answer in answers] == [Accepted, Accepted, Seen, Accepted, Accepted]
    assert [answers[n].seq for n in (0, 1, 3, 4)] == [3, 4, 5, 6]
    waiting = await journal.pending(HOME, after=2, limit=10)
    assert [delivery.message.id for delivery in waiting.deliveries] == [together[n].id for n in (0, 1, 3, 4)]
    assert await journal.head() == 6
    assert await journal.resume_point(RADIO.bridge) == "s12"


async def test_a_part_that_is_heard_is_there_and_the_others_still_go(journal):
    message = said(1, ROOM)
    out, copies = parts_of(message, RADIO, 2), parts_of(message, OTHER_RADIO, 2)
    await journal.accept(message, [*out, *copies])
    await journal.record([sent_by(one, f"mt:own:{one.part}", f"p{one.part}") for one in out])

    assert (await journal.accept(heard("mt:own:2", "p2"), [])).cancelled == (copies[1].id,)
    assert await states(journal, *copies) == ["waiting", "cancelled"]
    assert (await journal.accept(heard("mt:own:1", "p1"), [])).cancelled == (copies[0].id,)
    assert await journal.counterpart(ROOM, message.remote_id, OTHER_RADIO) == "p1"


async def test_each_try_has_a_name_of_its_own_and_all_are_known(journal):
    message = said(1, ROOM)
    out = bound(message, RADIO)
    await journal.accept(message, [out])
    await journal.record([sent_by(out, f"mt:own:{n}", f"p{n}", generation=n) for n in range(3)])
    await journal.record([moved(out, "delivered", also=message_id(NativeId("mt:own:9")), only_from=State.FAILED)])

    answers = [await journal.accept(heard(f"mt:own:{n}", f"p{n}"), []) for n in (0, 1, 2, 9)]
    assert answers == [Seen(seq=1, origin=OTHER_RADIO)] * 4
    assert type(await journal.accept(heard("mt:own:3", "p3"), [])) is Accepted


async def test_what_is_heard_is_known_as_soon_as_it_is_noted_and_after_opening_again(tmp_path, clock):
    """The note and the echo may be of one transaction."""
    async with opened(tmp_path, clock=clock) as journal:
        messages = [said(n, ROOM) for n in range(100)]
        await asyncio.gather(*(journal.accept(one, [bound(one, RADIO)]) for one in messages))
        journal.note([sent_by(bound(one, RADIO), f"mt:own:{n}", f"{n}") for n, one in enumerate(messages)])
        echoes = [heard(f"mt:own:{n}", f"{n}") for n in range(100)]
        answers = await asyncio.gather(*(journal.accept(one, []) for one in echoes[:50]))
    async with opened(tmp_path, clock=clock) as journal:
        answers += await asyncio.gather(*(journal.accept(one, []) for one in echoes[50:]))

        assert {type(answer) for answer in answers} == {Seen}
        assert await journal.head() == 100


# What becomes of it.


async def test_every_change_is_in_the_history_with_its_time_and_reason(journal):
    message = said(1)
    delivery = bound(message)
    await journal.accept(message, [delivery])
    await journal.record([moved(delivery, "queued", at_ms=11), moved(delivery, "sending", at_ms=12)])
    await journal.record(
        [moved(delivery, "queued", at_ms=13, reason="429,\nslow down"), moved(delivery, "sending", at_ms=14)]
    )
    await journal.record([moved(delivery, "sent", at_ms=15, remote_id=RemoteId("$e"), generation=1)])

    (record,) = (await journal.message(message.id)).deliveries
    assert [(one.at_ms, one.state.value, one.reason) for one in record.history[1:]] == [
        (11, "queued", ""),
        (12, "sending", ""),
        (13, "queued", "429, slow down"),
        (14, "sending", ""),
        (15, "sent", ""),
    ]
    assert (record.state, record.changed_ms, record.remote_id) == (State.SENT, 15, "$e")
    assert await journal.standings([delivery.id]) == {
        delivery.id: Standing(to=ROOM, state=State.SENT, remote_id=RemoteId("$e"), generation=1, tried_ms=12)
    }


async def test_the_messages_of_deliveries_come_once_each_with_all_that_became_of_them(journal):
    messages = [said(n) for n in range(3)]
    made = [[bound(message, LAN), bound(message)] for message in messages]
    for message, deliveries in zip(messages, made, strict=True):
        await journal.accept(message, deliveries)
    await journal.record([moved(made[0][1], "sent", at_ms=11)])

    records = await journal.messages_of([made[2][0].id, made[0][0].id, made[0][1].id, "0" * 26])
    assert [record.message.id for record in records] == [messages[0].id, messages[2].id]
    assert [one.state.value for one in records[0].deliveries] == ["waiting", "sent"]
    assert await journal.messages_of([]) == ()


async def test_very_many_changes_keep_the_first_and_the_latest(journal):
    """A radio that is away for a week is tried thousands of times."""
    message = said(1)
    delivery = bound(message)
    await journal.accept(message, [delivery])
    for start in range(0, 2000, 500):
        await journal.record([moved(delivery, "queued", at_ms=n, reason="no port") for n in range(start, start + 500)])

    (record,) = (await journal.message(message.id)).deliveries
    assert record.history[0].state is State.WAITING
    assert [one.at_ms for one in record.history[-50:]] == list(range(1950, 2000))
    assert len(record.history) < 400


@pytest.mark.parametrize("known", ["heard", "delivered"])
@pytest.mark.parametrize("news", ["sent", "heard"])
async def test_who_heard_or_has_it_is_never_unsaid(journal, known, news):
    message = said(1)
    delivery = bound(message)
    await journal.accept(message, [delivery])
    await journal.record([moved(delivery, known, at_ms=1)])
    await journal.record([moved(delivery, news, at_ms=2, remote_id=RemoteId("$late"))])

    (record,) = (await journal.message(message.id)).deliveries
    assert (record.state, record.changed_ms) == (State(known), 1)
    assert record.history[-1].state is State(known)
    # What the network calls it is news all the same.
    assert (await journal.find(ROOM, RemoteId("$late"))).message_id == message.id


async def test_a_direct_message_that_was_heard_can_still_be_delivered_tried_again_or_fail(journal):
    message = said(1)
    deliveries = parts_of(message)
    await journal.accept(message, deliveries)
    await journal.record([moved(one, "heard") for one in deliveries])
    await journal.record(
        [moved(one, to) for one, to in zip(deliveries, ["delivered", "queued", "failed"], strict=True)]
    )

    assert await states(journal, *deliveries) == ["delivered", "queued", "failed"]
    # It can be put into a queue that lost everything: its words are kept while that may happen.
    assert (await journal.pending(HOME, after=0, limit=9)).deliveries == (deliveries[1],)


async def test_a_change_for_one_state_only_does_nothing_in_another(journal):
    """`queued` is told after the queue has it; by then it may be sent."""
    message = said(1)
    early, late = parts_of(message, parts=2)
    await journal.accept(message, [early, late])
    await journal.record([moved(early, "sent")])
    await journal.record([moved(one, "queued", only_from=State.WAITING) for one in (early, late)])

    assert await states(journal, early, late) == ["sent", "queued"]


async def test_a_change_for_some_states_only_does_nothing_in_any_other(journal):
    """`overdue` fails what was sent, not what is being sent again or is known to have arrived."""
    message = said(1)
    before = ["sent", "heard", "queued", "delivered"]
    deliveries = parts_of(message, parts=4)
    await journal.accept(message, deliveries)
    await journal.record([moved(one, state) for one, state in zip(deliveries, before, strict=True)])
    unanswered = frozenset({State.SENT, State.HEARD})
    await journal.record([moved(one, "failed", only_from=unanswered) for one in deliveries])
    await journal.record([moved(one, "cancelled", only_from=frozenset()) for one in deliveries])

    assert await states(journal, *deliveries) == ["failed", "failed", "queued", "delivered"]


async def test_recording_tells_which_changes_were_made(journal):
    """What came too late, or of nothing we know, is not to be told on."""
    message = said(1)
    one, two, three = deliveries = parts_of(message)
    await journal.accept(message, deliveries)
    journal.note([moved(one, "delivered"), moved(two, "queued", only_from=State.SENT)])
    stranger = Change(id=DeliveryId("x" * 26), state=State.SENT, at_ms=1)

    made = await journal.apply(
        [
            moved(one, "heard", remote_id=RemoteId("late")),
            stranger,
            moved(three, "sent", reason="grüße\0\n"),
            moved(two, "failed", only_from=frozenset({State.SENT})),
            moved(two, "queued", only_from=State.WAITING),
            moved(three, "heard"),
        ]
    )

    assert made == (three.id, two.id, three.id)
    assert await states(journal, *deliveries) == ["delivered", "queued", "heard"]
    assert await journal.apply([]) == ()
    both = await asyncio.gather(
        journal.apply([moved(two, "sent")]), journal.apply([moved(two, "sent", at_ms=1, only_from=State.WAITING)])
    )
    assert both == [(two.id,), ()]


async def test_of_very_many_changes_at_once_each_is_told_of(journal):
    message = said(1)
    deliveries = parts_of(message, parts=200)
    await journal.accept(message, deliveries)

    assert await journal.apply([moved(one, "sent") for one in deliveries]) == tuple(one.id for one in deliveries)


async def test_changes_of_unknown_deliveries_are_ignored_and_unknown_ones_have_no_standing(journal):
    stranger = DeliveryId("x" * 26)
    await journal.record([Change(id=stranger, state=State.SENT, at_ms=1, remote_id=RemoteId("$e"))])
    await journal.record([])

    assert await journal.standings([stranger]) == {}
    assert await journal.standings([]) == {}
    assert await journal.delivery(stranger) is None


async def test_what_is_noted_comes_before_what_is_recorded_after_it(journal):
    message = said(1)
    deliveries = parts_of(message, parts=50)
    await journal.accept(message, deliveries)
    for one in deliveries:
        journal.note([moved(one, "sending", at_ms=1)])
        journal.note([])
    await journal.record([moved(one, "sent", at_ms=2) for one in deliveries])

    for record in (await journal.message(message.id)).deliveries:
        assert [one.state.value for one in record.history] == ["waiting", "sending", "sent"]


async def test_what_is_noted_before_closing_is_kept(tmp_path):
    message = said(1)
    delivery = bound(message)
    async with opened(tmp_path) as journal:
        await journal.accept(message, [delivery])
        journal.note([moved(delivery, "sent")])
    journal.note([moved(delivery, "failed")])  # too late: dropped, and said so in the log
    async with opened(tmp_path) as journal:
        assert await states(journal, delivery) == ["sent"]


async def test_a_caller_that_is_cancelled_changes_nothing_for_the_others(journal):
    tasks = [asyncio.create_task(journal.accept(said(n), [bound(said(n))])) for n in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert all(isinstance(answer, Accepted) for answer in answers[1::2])
    for n in range(1, 50, 2):
        assert await journal.message(said(n).id) is not None
    await journal.accept(said(99), [])


async def test_more_callers_than_may_wait_are_all_served(journal):
    numbers = iter(range(6000))

    async def source():
        for n in numbers:
            await journal.set_resume(HOME, ResumePoint(str(n)))

    await asyncio.gather(*(source() for _ in range(5000)))

    assert await journal.resume_point(HOME) is not None


# What still has to leave.


async def test_pending_gives_what_waits_in_order_and_says_how_far_that_goes(journal):
    messages = [said(n) for n in range(5)]
    for message in messages:
        await journal.accept(message, [*reversed(parts_of(message, parts=2)), bound(message, LAN)])
    await journal.record(
        [moved(bound(messages[1], part=1, parts=2), "sent"), moved(bound(messages[2], part=2, parts=2), "cancelled")]
    )

    batch = await journal.pending(HOME, after=1, limit=100)

    assert batch.upto == 5
    expected = [(1, 2), (2, 1), (3, 1), (3, 2), (4, 1), (4, 2)]
    assert batch.deliveries == tuple(bound(messages[n], part=part, parts=2) for n, part in expected)
    assert (await journal.pending(HOME, after=5, limit=100)) == await journal.pending(HOME, after=5, limit=1)


@pytest.mark.parametrize("limit", range(1, 12))
async def test_pending_never_cuts_a_message(journal, limit):
    for n in range(4):
        await journal.accept(said(n), parts_of(said(n)))
    after, found = 0, []
    for _ in count():
        batch = await journal.pending(HOME, after=after, limit=limit)
        assert len(batch.deliveries) % 3 == 0
        assert len(batch.deliveries) <= limit + 2
        found += batch.deliveries
        if batch.upto == after:
            break
        after = batch.upto

    assert after == 4
    assert found == [one for n in range(4) for one in parts_of(said(n))]


async def test_nothing_pending_covers_everything_there_is(journal):
    await journal.accept(said(1), [bound(said(1), LAN)])

    batch = await journal.pending(HOME, after=0, limit=10)

    assert (batch.upto, batch.deliveries) == (1, ())
    assert (await journal.pending(HOME, after=9, limit=10)).upto == 9


async def test_sent_again_they_are_found_at_the_end_as_they_are_now(journal):
    first, second = said(1), said(2)
    await journal.accept(first, parts_of(first, parts=2))
    await journal.accept(second, [bound(second)])
    await journal.record([moved(parts_of(first, parts=2)[0], "failed", reason="too big")])
    anew = [bound(first, part=part, parts=3, expires_ms=7) for part in (1, 2, 3)]

    sent_again = await journal.requeue(anew, only_from=frozenset({State.FAILED, State.WAITING}))
    assert sent_again == tuple(one.id for one in anew)
    assert await journal.requeue([], only_from=frozenset(State)) == ()
    assert await journal.requeue([bound(said(77))], only_from=frozenset(State)) == ()

    batch = await journal.pending(HOME, after=2, limit=100)
    assert batch.deliveries == tuple(anew)
    assert batch.upto == await journal.head()
    records = (await journal.message(first.id)).deliveries
    assert [(one.part, one.parts, one.state, one.reason) for one in records] == [
        (part, 3, State.WAITING, "sent again by hand") for part in (1, 2, 3)
    ]


async def test_what_is_not_as_whoever_wants_it_sent_again_saw_it_stays_as_it_is(journal):
    message = said(1)
    going, dead = parts_of(message, parts=2)
    await journal.accept(message, [going, dead])
    await journal.record([moved(going, "sending"), moved(dead, "failed")])

    made = await journal.requeue([going, dead], only_from=frozenset({State.FAILED}))

    assert made == (dead.id,)
    standings = await journal.standings([going.id, dead.id])
    assert [(one.state, one.generation) for one in standings.values()] == [(State.SENDING, 0), (State.WAITING, 1)]
    assert await journal.requeue([going, dead], only_from=frozenset()) == ()


async def test_a_delivery_that_can_not_be_read_fails_with_a_reason(journal):
    """Left waiting it would be in nobody's way and nobody's sight."""
    message = said(1)
    delivery = bound(message)
    await journal.accept(message, [delivery])
    await journal.record([moved(delivery, "cancelled")])
    await journal.record([moved(delivery, "queued")])

    assert (await journal.pending(HOME, after=0, limit=9)).deliveries == ()
    await journal.upkeep.prune()  # after this, what was noted is written
    (letter,) = await journal.failed(limit=9)
    assert letter.reason == "what it says can't be read any more"


async def test_a_new_source_name_is_kept(tmp_path):
    async with opened(tmp_path) as journal:
        old = journal.source
        new = await journal.renew_source()
    async with opened(tmp_path) as journal:
        assert journal.source == new != old
        assert len(new) == len(old) == 32


# Who is called what where.


async def test_counterparts_lead_from_each_network_to_each_other(journal):
    message = said(1)
    to_room, to_lan = parts_of(message, ROOM, 2), bound(message, LAN)
    await journal.accept(message, [*to_room, to_lan])
    for n, one in enumerate([*reversed(to_room), to_lan]):
        await journal.record([moved(one, "sent", remote_id=RemoteId(f"${n}"))])

    assert await journal.counterpart(RADIO, RemoteId("packet-1"), ROOM) == "$1"  # the first part
    assert await journal.counterpart(ROOM, RemoteId("$0"), RADIO) == "packet-1"
    assert await journal.counterpart(ROOM, RemoteId("$0"), LAN) == "$2"
    assert await journal.counterpart(ROOM, RemoteId("$0"), OTHER_RADIO) is None
    assert await journal.counterpart(LAN, RemoteId("$0"), ROOM) is None


async def test_a_tapback_to_any_part_of_ours_also_as_it_was_sent_before_finds_what_was_said(journal):
    message = said(1)
    parts = parts_of(message, OTHER_RADIO, 3)
    await journal.accept(message, parts)
    for n, part in enumerate(parts):
        await journal.record([moved(part, "sending", remote_id=RemoteId(f"first try {n}"))])
        await journal.record([moved(part, "sent", remote_id=RemoteId(f"second try {n}"), generation=1)])

    names = [f"{order} try {n}" for order in ("first", "second") for n in range(3)]
    found = [await journal.find(OTHER_RADIO, RemoteId(name)) for name in names]
    assert [origin.message_id for origin in found] == [message.id] * 6
    assert await journal.counterpart(OTHER_RADIO, RemoteId("first try 2"), RADIO) == "packet-1"
    assert await journal.counterpart(RADIO, RemoteId("packet-1"), OTHER_RADIO) == "second try 0"


async def test_a_copy_gives_a_message_its_name_there_too(journal):
    message = said(1)
    await journal.accept(message, [bound(message)])
    await journal.record([moved(bound(message), "sent", remote_id=RemoteId("$e"))])
    await journal.accept(said(1, OTHER_RADIO), [])

    assert await journal.counterpart(ROOM, RemoteId("$e"), OTHER_RADIO) == "packet-1"
    assert (await journal.find(OTHER_RADIO, RemoteId("packet-1"))).origin == RADIO


async def test_sent_under_a_fresh_key_both_ids_are_known_and_the_last_one_is_used(journal):
    message = said(1)
    delivery = bound(message)
    await journal.accept(message, [delivery])
    for generation, remote_id in enumerate(["900", "100", "500"]):
        await journal.record([moved(delivery, "sent", remote_id=RemoteId(remote_id), generation=generation)])

    assert await journal.counterpart(RADIO, RemoteId("packet-1"), ROOM) == "500"
    assert await journal.counterpart(ROOM, RemoteId("900"), RADIO) == "packet-1"


async def test_an_id_that_a_network_uses_again_means_the_newer_message(journal):
    for n in (1, 2):
        await journal.accept(said(n), [bound(said(n))])
        await journal.record([moved(bound(said(n)), "sent", remote_id=RemoteId("7"))])

    assert (await journal.find(ROOM, RemoteId("7"))).message_id == said(2).id


async def test_a_message_is_found_by_its_id_where_it_came_from_and_where_it_went(journal):
    message = said(1, direct=True)
    await journal.accept(message, [bound(message)])
    await journal.record([moved(bound(message), "sent", remote_id=RemoteId("$e"))])
    origin = Origin(message_id=message.id, origin=RADIO, direct=True, sender_name="Ali", bound_for=(ROOM,))

    assert await journal.find(RADIO, RemoteId("packet-1")) == origin
    assert await journal.find(ROOM, RemoteId("$e")) == origin
    assert await journal.find(ROOM, RemoteId("packet-1")) is None


# For people.


async def test_messages_come_in_pages_and_the_latest_at_once(journal):
    for n in range(1, 8):
        await journal.accept(said(n), [bound(said(n))])

    async def seqs(**asked):
        return [record.seq for record in await journal.messages(**asked)]

    assert await seqs() == [1, 2, 3, 4, 5, 6, 7]
    assert await seqs(limit=3) == [1, 2, 3]
    assert await seqs(after=3, limit=3) == [4, 5, 6]
    assert await seqs(limit=3, latest=True) == [5, 6, 7]
    assert await seqs(after=7) == []
    assert [len(record.deliveries) for record in await journal.messages()] == [1] * 7


async def test_messages_of_an_address_are_those_from_and_to_it(journal, monkeypatch):
    monkeypatch.setattr("gateway.journal.overview.WINDOW", 4)
    for n in range(1, 21):
        origin = ROOM if n % 5 == 0 else RADIO
        to = LAN if n % 7 == 0 else OTHER_RADIO
        await journal.accept(said(n, origin), [bound(said(n, origin), to)])

    async def seqs(address, **asked):
        return [record.seq for record in await journal.messages(address=address, **asked)]

    assert await seqs(ROOM) == [5, 10, 15, 20]
    assert await seqs(LAN) == [7, 14]
    assert await seqs(ROOM, limit=2) == [5, 10]
    assert await seqs(ROOM, limit=2, latest=True) == [15, 20]
    assert await seqs(ROOM, after=10) == [15, 20]
    assert await seqs(RADIO, limit=3, latest=True) == [17, 18, 19]
    assert await seqs(LAN, limit=1, latest=True) == [14]


async def test_nobody_knows_an_unknown_message(journal):
    assert await journal.message(MessageId("z" * 26)) is None
    assert await journal.messages(address=LAN) == ()
    assert await journal.failed(limit=5) == ()


async def test_dead_letters_say_what_and_why_and_a_page_never_cuts_a_message(journal):
    for n in (1, 2, 3):
        await journal.accept(said(n), parts_of(said(n), parts=3))
        await journal.record(
            [moved(one, "failed", at_ms=n, reason=f"too big {n}") for one in parts_of(said(n), parts=3)]
        )

    page = await journal.failed(limit=2)
    assert [letter.seq for letter in page] == [1, 1, 1]
    page = await journal.failed(limit=4, after=page[-1].seq)
    assert [letter.seq for letter in page] == [2, 2, 2, 3, 3, 3]
    assert page[0] == DeadLetter(
        id=bound(said(2), part=1, parts=3).id,
        message=said(2),
        seq=2,
        to=ROOM,
        part=1,
        parts=3,
        reason="too big 2",
        changed_ms=2,
    )


async def test_a_dead_letter_keeps_what_would_be_sent_again(journal):
    message = said(1)
    dead, done = parts_of(message, parts=2)
    await journal.accept(message, [dead, done])
    await journal.record([moved(dead, "failed", reason="no"), moved(done, "delivered")])

    found = await journal.delivery(dead.id)
    assert (found.message, found.seq, found.delivery) == (message, 1, dead)
    assert (found.record.state, found.record.reason) == (State.FAILED, "no")
    assert (await journal.delivery(done.id)).delivery is None


async def test_the_tally_follows_every_change(journal):
    for n in range(4):
        await journal.accept(said(n), [bound(said(n)), bound(said(n), LAN)])
    assert await journal.tally() == {("home", State.WAITING): 4, ("lan", State.WAITING): 4}

    await journal.record([moved(bound(said(n)), "queued") for n in range(4)])
    await journal.record([moved(bound(said(n)), state) for n, state in enumerate(["sent", "failed", "failed"])])

    assert await journal.tally() == {
        ("home", State.SENT): 1,
        ("home", State.FAILED): 2,
        ("home", State.QUEUED): 1,
        ("lan", State.WAITING): 4,
    }


async def test_the_oldest_that_waits_is_known_for_each_bridge(journal):
    for n in range(3):
        message = said(n, received_ms=START_MS + n * DAY_MS)
        await journal.accept(message, [bound(message), bound(message, LAN)])
    await journal.record([moved(bound(said(0)), "sent")])
    await journal.record([moved(bound(said(n), LAN), "sent") for n in range(3)])

    assert await journal.oldest_pending() == {"home": START_MS + DAY_MS}


async def test_what_waits_is_counted_by_age_and_an_age_that_is_a_limit_belongs_to_the_older_column(journal):
    for n, age_s in enumerate((86_400, 300, 299, 60, 59, 0)):
        message = said(n, received_ms=START_MS - age_s * 1000)
        await journal.accept(message, [bound(message)])
    times = limits_ms(START_MS)

    found = await journal.overview.ages(ROOM.bridge, times, for_s=1)

    assert found.complete
    assert dict(zip(AGE_NAMES, found.counts[""], strict=True)) == dict.fromkeys(AGE_NAMES, 0) | {
        ">1d": 1,
        "<10m": 1,
        "<5m": 2,
        "<1m": 2,
    }


async def test_a_message_whose_key_came_hours_later_makes_nothing_old_that_was_accepted_before_it(journal):
    ages_s = (3 * 3600, 50, 40, 7200, 30)  # the fourth was received two hours before it could be read
    for n, age_s in enumerate(ages_s):
        message = said(n, received_ms=START_MS - age_s * 1000)
        await journal.accept(message, [bound(message)])

    found = await journal.overview.ages(ROOM.bridge, limits_ms(START_MS), for_s=1)
    latest = await journal.overview.messages(Messages(since_ms=START_MS - 60_000), limit=9)

    assert found.counts[""][AGE_NAMES.index("<1m")] == 4
    assert [record.seq for record in latest.messages] == [2, 3, 4, 5]


async def test_what_a_clock_ahead_received_in_an_earlier_run_makes_nothing_young(journal):
    for n, at_ms in enumerate((START_MS + DAY_MS, START_MS - 3600_000, START_MS)):
        message = said(n, received_ms=at_ms)
        await journal.accept(message, [bound(message)])
    for n in range(600):
        await journal.accept(said(100 + n, received_ms=START_MS), [])

    found = await journal.overview.ages(ROOM.bridge, limits_ms(START_MS), for_s=1)

    assert sum(found.counts[""]) - found.counts[""][AGE_NAMES.index("<1m")] == 2


async def test_a_count_by_age_and_conversation_goes_step_by_step_and_stops_when_its_time_is_up(journal, monkeypatch):
    monkeypatch.setattr("gateway.journal.depth.STEP", 2)
    elsewhere = Address.parse("home/#elsewhere")
    for n in range(5):
        message = said(n)
        await journal.accept(message, [bound(message, ROOM if n % 2 else elsewhere)])
    gone = said(9)
    await journal.accept(gone, [bound(gone)])
    await journal.record([moved(bound(gone), "sent")])

    whole = await journal.overview.ages(ROOM.bridge, [START_MS - 1], for_s=1, by_conversation=True)
    cut = await journal.overview.ages(ROOM.bridge, [START_MS - 1], for_s=0, by_conversation=True)

    assert (whole.complete, whole.counts) == (True, {ROOM.conversation: (2, 0), "#elsewhere": (3, 0)})
    assert (cut.complete, cut.counts) == (False, {ROOM.conversation: (1, 0), "#elsewhere": (1, 0)})


async def test_nothing_that_waits_has_no_ages(journal):
    assert (await journal.overview.ages(ROOM.bridge, [START_MS], for_s=1)).counts == {}


async def test_messages_are_found_by_state_and_by_when_they_were_received_page_by_page(journal, monkeypatch):
    monkeypatch.setattr("gateway.journal.overview.WINDOW", 2)
    for n in range(8):
        message = said(n, received_ms=START_MS + n * 1000)
        await journal.accept(message, [bound(message)])
    await journal.record([moved(bound(said(n)), "failed") for n in (1, 3, 6)])

    async def found(which, **place):
        page = await journal.overview.messages(which, **{"limit": 9} | place)
        return [int(record.message.native_id[3:]) for record in page.messages], page.following

    failed = Messages(state=State.FAILED)
    assert await found(failed) == ([1, 3, 6], None)
    assert await found(failed, limit=2) == ([3, 6], 4)
    assert await found(failed, limit=2, before=4) == ([1], None)
    assert await found(failed, after=0, limit=2) == ([1, 3], 4)
    assert await found(failed, after=4) == ([6], None)
    assert await found(Messages(since_ms=START_MS + 2000, until_ms=START_MS + 4000)) == ([2, 3, 4], None)
    assert await found(Messages(since_ms=START_MS + 2001, state=State.FAILED)) == ([3, 6], None)
    assert await found(Messages(address=ROOM, state=State.QUEUED)) == ([], None)


async def test_a_search_for_something_rare_stops_and_says_where_to_go_on(journal, monkeypatch):
    monkeypatch.setattr("gateway.journal.overview.WINDOW", 2)
    monkeypatch.setattr("gateway.journal.overview.MOST_STEPS", 2)
    for n in range(9):
        await journal.accept(said(n), [bound(said(n))])
    await journal.record([moved(bound(said(0)), "failed")])
    failed = Messages(state=State.FAILED)

    first = await journal.overview.messages(failed, limit=9)
    second = await journal.overview.messages(failed, limit=9, before=first.following)
    third = await journal.overview.messages(failed, limit=9, before=second.following)

    assert (first.messages, first.following) == ((), 6)
    assert (second.messages, second.following) == ((), 2)
    assert ([record.seq for record in third.messages], third.following) == ([1], None)


async def test_dead_letters_come_latest_first_too_and_a_page_never_cuts_a_message(journal):
    for n in range(4):
        await journal.accept(said(n), parts_of(said(n), parts=2))
    await journal.record(
        [moved(one, "failed", reason=f"No. {n}") for n in range(4) for one in parts_of(said(n), parts=2)]
    )

    page = await journal.overview.letters(DeadLetters(), limit=3)
    rest = await journal.overview.letters(DeadLetters(), limit=9, before=page.following)
    chosen = await journal.overview.letters(DeadLetters(reason="no. 2", destination=HOME), limit=9)

    assert ([letter.seq for letter in page.letters], page.following) == ([4, 4, 3, 3], 3)
    assert ([letter.seq for letter in rest.letters], rest.following) == ([2, 2, 1, 1], None)
    assert [letter.seq for letter in chosen.letters] == [3, 3]
