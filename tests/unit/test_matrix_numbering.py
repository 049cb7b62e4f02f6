# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ids of transactions tell of those that never came."""

from __future__ import annotations

import pytest

from bridges.matrix.appservice.numbering import Numbering


def told(*sent: str, refuse: str | None = None, numbering: Numbering | None = None) -> list[str]:
    """Give transactions in turn; return them, with a "!" the ones that were refused. `refuse`: once, by another."""
    numbering = numbering or Numbering()
    answers = []
    for txn_id in sent:
        if txn_id == refuse:
            refuse = None
            numbering.refused(txn_id)
            answers.append("!" + txn_id)
        elif numbering.is_behind_a_gap(txn_id):
            answers.append("!" + txn_id)
        else:
            numbering.took(txn_id)
            answers.append(txn_id)
    return answers


def test_one_behind_a_gap_is_refused_once_and_the_kept_one_is_heard_before_it():
    assert told("3", "4", "6", "5", "6", "7") == ["3", "4", "!6", "5", "6", "7"]


def test_a_second_gap_is_judged_like_the_first():
    assert told("1", "3", "2", "3", "6", "4", "5", "6") == ["1", "!3", "2", "3", "!6", "4", "5", "6"]


def test_a_gap_with_nothing_in_it_is_the_last_one_that_is_judged():
    assert told("1", "4", "4", "9", "12") == ["1", "!4", "4", "9", "12"]


def test_another_connection_judges_again():
    numbering = Numbering()
    told("1", "4", "4", numbering=numbering)
    numbering.begin()
    assert told("9", "11", "10", numbering=numbering) == ["9", "!11", "10"]


def test_what_is_older_than_one_that_was_refused_comes_with_gaps():
    assert told("9", "2", "5", "9", "10", "12", refuse="9") == ["!9", "2", "5", "9", "10", "!12"]


def test_one_that_was_refused_and_comes_alone_says_nothing_about_gaps():
    assert told("9", "9", "11", refuse="9") == ["!9", "9", "!11"]


@pytest.mark.parametrize("sent", [("8", "8", "9"), ("8", "1", "2"), ("7", "8", "7", "8")])
def test_repeats_and_a_count_that_begins_again_are_no_gaps(sent: tuple[str, ...]):
    assert told(*sent) == list(sent)


@pytest.mark.parametrize("odd", ["m1795701720.4", "", "-9", "９", "9" * 19, "1e3"])
def test_ids_that_count_nothing_are_taken_as_they_come(odd: str):
    assert told("1", odd, "2", odd) == ["1", odd, "2", odd]
