# SPDX-License-Identifier: GPL-3.0-or-later
"""The storm's ledger: what is planted in it must be found, or a storm proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.ledger import Kind, Ledger, read, reconcile

STREAM = "east/room1>west/room1"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.txt")
    yield made
    made.close()


def told(ledger: Ledger, accepted: int, seen: list[int], **judge):
    """Have so many accepted and these seen; return what becomes of it."""
    for number in range(1, accepted + 1):
        ledger.accept(STREAM, number)
    for number in seen:
        ledger.see(STREAM, number)
    return reconcile(read(ledger.path), **judge)[STREAM]


def test_what_arrived_once_and_in_order_is_clean(ledger: Ledger) -> None:
    figures = told(ledger, 3, [1, 2, 3])

    assert figures.is_clean
    assert (figures.accepted, figures.arrived) == (3, 3)


def test_a_planted_loss_is_found(ledger: Ledger) -> None:
    figures = told(ledger, 4, [1, 2, 4])

    assert (figures.lost, figures.doubled, figures.out_of_order) == (1, 0, 0)
    assert not figures.is_clean


def test_a_planted_double_is_found_and_is_no_disorder(ledger: Ledger) -> None:
    figures = told(ledger, 3, [1, 2, 1, 3])

    assert (figures.lost, figures.doubled, figures.out_of_order) == (0, 1, 0)
    assert not figures.is_clean


def test_a_planted_disorder_is_found(ledger: Ledger) -> None:
    figures = told(ledger, 4, [1, 3, 2, 4])

    assert (figures.lost, figures.doubled, figures.out_of_order) == (0, 0, 1)
    assert not figures.is_clean


def test_what_nobody_had_said_there_is_found(ledger: Ledger) -> None:
    ledger.accept(STREAM, 1)
    ledger.see(STREAM, 1)
    ledger.see("east/room1>east/room1", 1)

    echo = reconcile(read(ledger.path))["east/room1>east/room1"]

    assert echo.strange == 1
    assert not echo.is_clean


def test_what_somebody_can_see_the_end_of_is_not_lost_but_counted_with_its_reason(ledger: Ledger) -> None:
    figures = told(ledger, 3, [1], excuse=lambda _, number: "expired: too old" if number == 2 else None)

    assert figures.lost == 1
    assert figures.excused == {"expired: too old": 1}


def test_second_copies_that_the_networks_rule_allows_are_counted_apart_and_more_are_doubled(ledger: Ledger) -> None:
    figures = told(ledger, 2, [1, 1, 1, 2], copies=lambda _, number: 2 if number == 1 else 1)

    assert (figures.allowed_twice, figures.doubled) == (1, 1)


def test_only_what_was_sent_again_may_be_out_of_its_place(ledger: Ledger) -> None:
    again = told(ledger, 4, [2, 1, 4, 3], copies=lambda _, number: 2 if number == 1 else 1)

    assert again.out_of_order == 1


def test_what_is_seen_before_the_answer_is_counts_as_on_time(ledger: Ledger) -> None:
    ledger.see(STREAM, 1, is_early=True)
    ledger.accept(STREAM, 1)

    assert reconcile(read(ledger.path))[STREAM].is_clean
    assert (ledger.accepted, ledger.arrived, ledger.on_its_way) == (1, 1, 0)


def test_it_knows_what_is_on_its_way(ledger: Ledger) -> None:
    told(ledger, 3, [2, 2])

    assert ledger.missing == {(STREAM, 1), (STREAM, 3)}
    assert (ledger.accepted, ledger.arrived, ledger.on_its_way) == (3, 1, 2)


def test_a_last_line_that_was_cut_is_left_out(ledger: Ledger) -> None:
    told(ledger, 2, [1])
    ledger.note("gateway_kill\tbegins")
    ledger.close()
    with ledger.path.open("a") as file:
        file.write("=\t1.0\t2")

    entries = list(read(ledger.path))

    assert [entry.kind for entry in entries] == [Kind.ACCEPTED, Kind.ACCEPTED, Kind.SEEN, Kind.NOTE]
    assert entries[-1].stream == "gateway_kill begins"


def test_what_a_radio_had_to_say_again_counts_where_it_was_accepted(ledger):
    for number in (1, 3, 2, 4):
        ledger.accept(STREAM, number)
    for number in (1, 3, 2, 4):
        ledger.see(STREAM, number)

    assert reconcile(read(ledger.path))[STREAM].out_of_order == 1
    assert reconcile(read(ledger.path), as_accepted=lambda _: True)[STREAM].is_clean


def test_of_those_too_what_comes_before_one_accepted_earlier_is_out_of_order(ledger):
    for number in (1, 3, 2, 4):
        ledger.accept(STREAM, number)
    for number in (1, 2, 3, 4):
        ledger.see(STREAM, number)

    assert reconcile(read(ledger.path), as_accepted=lambda _: True)[STREAM].out_of_order == 1
