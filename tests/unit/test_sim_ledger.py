# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's ledger counts exactly what was lost, doubled, reordered or answered wrongly."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from bridges.sim.ledger import Ledger, Line, Row, Side


def conversation(count: int) -> tuple[Ledger, list[Line]]:
    ledger = Ledger()
    return ledger, [ledger.say(Side.ROOM, "the same words") for _ in range(count)]


def arrive(ledger: Ledger, lines: Sequence[Line]) -> Row:
    for number, line in enumerate(lines):
        ledger.arrive(Side.RADIO, line.text, id=number, answers=None)
    return ledger.rows()[0]


@given(st.integers(0, 30))
def test_everything_once_and_in_order_is_clean(count):
    ledger, lines = conversation(count)
    row = arrive(ledger, lines)

    assert row.is_clean
    assert ledger.is_complete()
    assert (row.sent, row.arrived) == (count, count)


def test_what_never_arrives_is_lost_and_named():
    ledger, lines = conversation(3)
    row = arrive(ledger, [lines[0], lines[2]])

    assert (row.arrived, row.lost, row.out_of_order) == (2, 1, 0)
    assert ledger.missing() == (lines[1],)
    assert not row.is_clean


def test_what_arrives_again_is_doubled_and_not_reordered():
    ledger, lines = conversation(3)
    row = arrive(ledger, [lines[0], lines[1], lines[0], lines[2], lines[2]])

    assert (row.arrived, row.doubled, row.out_of_order) == (3, 2, 0)
    assert not row.is_clean


def test_what_is_overtaken_is_out_of_order():
    ledger, lines = conversation(3)
    row = arrive(ledger, [lines[2], lines[0], lines[1]])

    assert (row.lost, row.doubled, row.out_of_order) == (0, 0, 2)
    assert not row.is_clean


@given(st.permutations(range(6)))
def test_only_the_order_it_was_said_in_is_in_order(order):
    ledger, lines = conversation(6)
    row = arrive(ledger, [lines[place] for place in order])

    assert (row.out_of_order == 0) == (order == sorted(order))


def test_what_comes_back_to_where_it_was_said_is_doubled():
    ledger, lines = conversation(1)
    ledger.arrive(Side.ROOM, lines[0].text, id="$x", answers=None)
    row = arrive(ledger, lines)

    assert (row.arrived, row.doubled) == (1, 1)


def test_what_nobody_said_is_nobodys_line():
    ledger, _ = conversation(1)

    assert ledger.arrive(Side.RADIO, "who said that?", id=1, answers=None) is None
    assert ledger.rows()[0].arrived == 0


def test_a_reply_is_kept_only_if_it_answers_the_same_message_over_there():
    ledger = Ledger()
    first, second = ledger.say(Side.ROOM, "one"), ledger.say(Side.ROOM, "two")
    first.ids[Side.ROOM], second.ids[Side.ROOM] = "$one", "$two"
    ledger.arrive(Side.RADIO, first.text, id=11, answers=None)
    ledger.arrive(Side.RADIO, second.text, id=12, answers=None)
    right, wrong, bare = (ledger.say(Side.RADIO, "answer", answers=first) for _ in range(3))
    ledger.arrive(Side.ROOM, right.text, id="$a", answers="$one")
    ledger.arrive(Side.ROOM, wrong.text, id="$b", answers="$two")
    ledger.arrive(Side.ROOM, bare.text, id="$c", answers=None)

    row = ledger.rows()[1]
    assert (row.replies, row.replies_kept, row.lost) == (3, 1, 0)
    assert not row.is_clean
