# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.progress import Mark, Plan, Standing, plan, stage_of
from bridges.matrix.shown import REACTIONS, Notices, Shown, Stage
from gateway.model import Address, BridgeName, Leg, MessageId, Progress, RemoteId, State

TOWN = Address(BridgeName("home"), "#town:gw.test")
RADIO = Address(BridgeName("radio"), "LongFast")
LAN = Address(BridgeName("lan"), "town")
CHAT = Address(BridgeName("radio"), "!a1b2c301")
NOW = 1_000_000_000
SECOND = 1000


def leg(state: State, to: Address = RADIO, reason: str = "", *, direct: bool = False) -> Leg:
    return Leg(to=to, state=state, reason=reason, direct=direct)


def progress(*legs: Leg, number: int = 1, age_s: float = 60, kind: str = "text") -> Progress:
    return Progress(
        message_id=MessageId(f"m{number}"),
        at=TOWN,
        remote_id=RemoteId(f"${number}"),
        seq=number,
        received_ms=NOW - round(age_s * SECOND),
        kind=kind,
        legs=legs,
    )


def planned(
    *news: Progress,
    notices: Notices = Notices.OFF,
    marks: dict[str, str] | None = None,
    told: frozenset[str] = frozenset(),
    **shown: object,
) -> Plan:
    wished = replace(Shown(reactions=REACTIONS, notices=notices), **shown)  # type: ignore[arg-type]
    standing = {RemoteId(target): Standing(emoji=emoji) for target, emoji in (marks or {}).items()}
    return plan(news, wished, marks=standing, told=told, now_ms=NOW)


def marked(made: Plan) -> list[tuple[str, str, str]]:
    return [(mark.target, mark.old.emoji if mark.old else "", mark.emoji) for mark in made.marks]


@pytest.mark.parametrize(
    ("legs", "stage"),
    [
        ((leg(State.SENT),), Stage.SENT),
        ((leg(State.HEARD),), Stage.HEARD),
        ((leg(State.SENT), leg(State.QUEUED, LAN)), Stage.WAITING),
        ((leg(State.HEARD), leg(State.SENT, LAN)), Stage.HEARD),
        ((leg(State.SENT), leg(State.FAILED, LAN)), Stage.FAILED),
        ((leg(State.WAITING), leg(State.EXPIRED, LAN)), Stage.FAILED),
        ((leg(State.FOLDED),), Stage.FOLDED),
        ((leg(State.FOLDED), leg(State.SENDING, LAN)), Stage.WAITING),
        ((leg(State.FOLDED), leg(State.SENT, LAN)), Stage.FOLDED),
        ((leg(State.SENT, CHAT, direct=True),), Stage.WAITING),
        ((leg(State.HEARD, CHAT, direct=True),), Stage.WAITING),
        ((leg(State.DELIVERED, CHAT, direct=True),), Stage.DELIVERED),
        ((), None),
    ],
)
def test_a_message_is_as_far_as_all_its_addresses_are(legs: tuple[Leg, ...], stage: Stage | None) -> None:
    assert stage_of(progress(*legs), NOW, 10) is stage


def test_waiting_is_spoken_of_only_after_a_while_and_never_by_a_clock_that_was_set() -> None:
    for age_s, stage in ((9.9, None), (10, Stage.WAITING), (-5, None)):
        assert stage_of(progress(leg(State.QUEUED), age_s=age_s), NOW, 10) is stage


def test_what_goes_well_at_once_shows_a_receipt_and_nothing_else() -> None:
    made = planned(progress(leg(State.SENT)), notices=Notices.ALL)
    assert made == Plan(receipt=progress(leg(State.SENT)), notes=(), marks=())


def test_receipts_are_for_the_last_that_every_network_has() -> None:
    news = [
        progress(leg(State.SENT), number=1),
        progress(leg(State.SENT), leg(State.SENT, LAN), number=2),
        progress(leg(State.SENT), leg(State.QUEUED, LAN), number=3),
        progress(leg(State.FAILED), number=4),
        progress(leg(State.FOLDED), number=5),
        progress(number=6),
    ]
    assert planned(*news).receipt == news[1]
    assert planned(*news, receipts=False).receipt is None
    assert planned(progress(leg(State.SENT, CHAT, direct=True))).receipt is not None, (
        "its node has it, if not its person"
    )


def test_a_waiting_mark_is_replaced_by_how_it_ended() -> None:
    for state, emoji in ((State.SENT, "✅"), (State.HEARD, "✅"), (State.FAILED, "❌"), (State.FOLDED, "📦")):
        assert marked(planned(progress(leg(state)), marks={"$1": "⏳"})) == [("$1", "⏳", emoji)]


def test_what_was_sent_after_it_had_failed_is_shown_so() -> None:
    assert marked(planned(progress(leg(State.SENT)), marks={"$1": "❌"})) == [("$1", "❌", "✅")]


def test_a_mark_that_may_not_have_been_put_is_put_and_owed() -> None:
    standing = {RemoteId("$1"): Standing(emoji="❌", reaction=None)}
    made = plan([progress(leg(State.FAILED))], Shown(reactions=REACTIONS), marks=standing, told=(), now_ms=NOW)
    (mark,) = made.marks
    assert (mark.emoji, mark.cost, mark.replaces, mark.is_owed) == ("❌", 1, False, True)


def test_a_message_that_was_taken_back_keeps_no_mark() -> None:
    assert marked(planned(progress(), marks={"$1": "⏳"})) == [("$1", "⏳", "")]


def test_marks_that_are_not_wanted_are_not_put_and_what_stands_goes() -> None:
    only_waiting = {Stage.WAITING: "⏳"}
    assert marked(planned(progress(leg(State.FAILED)), reactions=only_waiting)) == []
    assert marked(planned(progress(leg(State.SENT)), marks={"$1": "⏳"}, reactions=only_waiting)) == [("$1", "⏳", "")]


def test_heard_is_shown_where_somebody_wants_it() -> None:
    wanted = {**REACTIONS, Stage.HEARD: "👂"}
    assert marked(planned(progress(leg(State.HEARD)), reactions=wanted)) == [("$1", "", "👂")]
    assert marked(planned(progress(leg(State.HEARD)), reactions=REACTIONS)) == []


def test_reactions_edits_and_redactions_get_no_marks_and_no_notices() -> None:
    for kind in ("reaction", "edit", "redaction"):
        made = planned(progress(leg(State.FAILED), kind=kind), notices=Notices.ALL)
        assert (made.notes, made.marks) == ((), ())


def test_a_failure_is_told_in_reply_with_the_reason_in_words() -> None:
    lost = progress(leg(State.FAILED, reason="too long by\n900 bytes"), leg(State.EXPIRED, LAN, "too old"))
    (note,) = planned(lost, notices=Notices.FAILED).notes
    assert (
        note.words == "⚠️ not sent to LongFast: too long by 900 bytes; expired before it could be sent to town: too old"
    )
    assert note.reply_to == "$1"
    assert planned(lost, notices=Notices.FAILED, told=frozenset(note.about)).notes == ()
    assert planned(lost).notes == ()


def test_a_second_address_that_fails_later_is_told_alone() -> None:
    (first,) = planned(progress(leg(State.FAILED)), notices=Notices.FAILED).notes
    both = progress(leg(State.FAILED), leg(State.FAILED, LAN, "gone"))
    (second,) = planned(both, notices=Notices.FAILED, told=frozenset(first.about)).notes
    assert second.words == "⚠️ not sent to town: gone"
    assert second.key != first.key


def test_many_failures_are_one_notice_with_numbers_and_few_reasons() -> None:
    reasons = ["a"] * 20 + ["b"] * 9 + ["c"] * 5 + ["d"] * 2 + ["e"]
    news = [progress(leg(State.FAILED, reason=why), number=n) for n, why in enumerate(reasons)]
    news.append(progress(leg(State.FOLDED), number=99))
    (note,) = planned(*news, notices=Notices.FAILED).notes
    assert note.words == (
        "⚠️ of 38 messages: 20 not sent to LongFast: a; 9 not sent to LongFast: b; 5 not sent to LongFast: c; "
        "4 for other reasons"
    )
    assert note.reply_to is None
    assert len(note.about) == 38


def test_all_notices_tell_each_stage_once_and_may_be_left_out() -> None:
    told: frozenset[str] = frozenset()
    words = []
    for state in (State.QUEUED, State.QUEUED, State.SENT, State.HEARD):
        made = planned(
            progress(leg(state, reason="unplugged" if state.is_pending else "")), notices=Notices.ALL, told=told
        )
        told |= {about for note in made.notes for about in note.about}
        words += [(note.words, note.is_owed) for note in made.notes]
    assert words == [
        ("waiting for LongFast: unplugged", False),
        ("sent to LongFast", False),
        ("relayed by a neighbour on LongFast", False),
    ]
    (delivered,) = planned(progress(leg(State.DELIVERED, CHAT, direct=True)), notices=Notices.ALL).notes
    assert delivered.words == "delivered to !a1b2c301"


def test_a_mark_that_is_not_true_any_more_is_owed() -> None:
    assert not Mark(target=RemoteId("$1"), emoji="⏳", old=None).is_owed
    replacing = Mark(target=RemoteId("$1"), emoji="✅", old=Standing(emoji="⏳"))
    assert (replacing.is_owed, replacing.cost) == (True, 2)
    assert Mark(target=RemoteId("$1"), emoji="", old=Standing(emoji="⏳")).cost == 1


legs = st.lists(
    st.builds(
        Leg,
        to=st.sampled_from([RADIO, LAN, CHAT]),
        state=st.sampled_from(State),
        reason=st.text(max_size=400),
        direct=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda one: one.to,
)


@given(st.lists(st.tuples(legs, st.integers(-5, 90)), max_size=12), st.sampled_from(Notices), st.booleans())
def test_what_was_shown_is_never_shown_again(some: list[tuple[list[Leg], int]], notices: Notices, marks: bool) -> None:
    """However the news is told, once more or in pieces: shown once is all."""
    news = [progress(*legs, number=n, age_s=age_s) for n, (legs, age_s) in enumerate(some)]
    shown = Shown(notices=notices, reactions=REACTIONS if marks else {})
    standing: dict[RemoteId, Standing] = {}
    told: set[str] = set()
    first = plan(news, shown, marks=standing, told=told, now_ms=NOW)
    told.update(about for note in first.notes for about in note.about)
    standing.update({mark.target: Standing(emoji=mark.emoji) for mark in first.marks})
    for again in (news, *([one] for one in news)):
        made = plan(again, shown, marks=standing, told=told, now_ms=NOW)
        assert (made.notes, made.marks) == ((), ())


@given(st.lists(legs, max_size=40))
def test_there_is_at_most_one_notice_about_failures_and_it_is_short(some: list[list[Leg]]) -> None:
    news = [progress(*legs, number=n) for n, legs in enumerate(some)]
    made = plan(news, Shown(reactions={}), marks={}, told=(), now_ms=NOW)
    assert len(made.notes) <= 1
    assert all(len(note.words.encode()) < 1000 and "\n" not in note.words for note in made.notes)
    assert made.marks == ()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("edit", "⚠️ not corrected on LongFast: too late"),
        ("redaction", "⚠️ not taken back on LongFast: too late"),
    ],
)
@pytest.mark.parametrize("notices", [Notices.FAILED, Notices.ALL])
def test_who_changed_what_was_on_the_air_is_told_once_that_it_stands(kind: str, words: str, notices: Notices) -> None:
    late = replace(progress(kind=kind), late=(leg(State.CANCELLED, reason="too late"),), about=RemoteId("$0"))
    (note,) = planned(late, notices=notices).notes
    assert (note.words, note.reply_to, note.is_owed) == (words, "$0", True)
    assert planned(late, notices=notices, told=frozenset(note.about)).notes == ()
    assert planned(late).notes == ()


def test_many_that_were_taken_back_too_late_are_told_together() -> None:
    late = [
        replace(progress(number=n, kind="redaction"), late=(leg(State.CANCELLED, reason="stands"),)) for n in range(5)
    ]
    (note,) = planned(*late, notices=Notices.FAILED).notes
    assert note.words == "⚠️ of 5 messages: 5 not taken back on LongFast: stands"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("/dev/serial/by-id/usb-1 can't be opened: No such file", "… can't be opened: No such file"),
        ("serial:/dev/ttyUSB0: gone", "… gone"),
        ("https://matrix.example.org:8448 can't be reached", "… can't be reached"),
        ("192.168.1.7:4403 broke off; [fe80::1]:4403 too", "… broke off; … too"),
        ("radio.local:4403 refused, localhost:1 as well", "… refused, … as well"),
        ("the radio has no channel Hill; it has #0 LongFast", "the radio has no channel Hill; it has #0 LongFast"),
        ("too long: more than 4 parts of 227 bytes and/or so", "too long: more than 4 parts of 227 bytes and/or so"),
    ],
)
def test_strangers_are_told_what_is_wrong_and_not_where(reason: str, told: str) -> None:
    lost = progress(leg(State.FAILED, reason=reason))
    waits = progress(leg(State.QUEUED, reason=reason))
    assert planned(lost, notices=Notices.FAILED).notes[0].words == f"⚠️ not sent to LongFast: {told}"
    assert planned(waits, notices=Notices.ALL).notes[0].words == f"waiting for LongFast: {told}"


def test_unless_said_otherwise_a_direct_chat_shows_when_the_person_has_it_and_when_they_dont() -> None:
    def by_default(state: State, reason: str = "") -> Plan:
        news = (progress(leg(state, CHAT, reason, direct=True)),)
        return plan(news, Shown(), marks={}, told=(), now_ms=NOW)

    assert [marked(by_default(state)) for state in (State.QUEUED, State.SENT, State.HEARD)] == [[], [], []]
    assert marked(by_default(State.DELIVERED)) == [("$1", "", "✅")]
    failed = by_default(State.FAILED, "the node itself did not acknowledge in time")
    assert [note.words for note in failed.notes] == [
        "⚠️ not acknowledged by !a1b2c301: the node itself did not acknowledge in time"
    ]
    assert plan((progress(leg(State.SENT)),), Shown(), marks={}, told=(), now_ms=NOW).marks == ()
