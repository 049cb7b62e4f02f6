# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from gateway.pace import CALM_S, QUICK_S, SLOW_S, Pace


def one(pace: Pace, at_s: float, takes_s: float) -> None:
    pace.begin(at_s)
    pace.end(at_s + takes_s)


def test_one_that_takes_long_makes_it_slow_and_it_says_how_long():
    pace = Pace("a commit")
    one(pace, 0.0, SLOW_S - 0.01)
    assert pace.slow(1.0) == ""
    one(pace, 1.0, 0.9)
    assert pace.slow(2.0) == "slow: a commit took 0.9 s"


def test_it_stays_slow_while_they_are_not_quick_and_is_well_when_all_have_been_for_a_while():
    pace = Pace("a commit")
    one(pace, 0.0, 0.9)
    one(pace, 20.0, QUICK_S + 0.05)
    assert pace.slow(20.0 + CALM_S) == "slow: a commit took 0.3 s"
    one(pace, 40.0, QUICK_S - 0.05)
    assert pace.slow(20.5 + CALM_S) == ""
    one(pace, 60.0, QUICK_S + 0.05)
    assert pace.slow(61.0) == ""


def test_one_that_does_not_end_is_said_while_it_lasts():
    pace = Pace("an answer")
    pace.begin(0.0)
    assert pace.slow(SLOW_S / 2) == ""
    assert pace.slow(12.0) == "slow: an answer has been under way for 12.0 s"
    pace.end(12.5)
    assert pace.slow(13.0) == "slow: an answer took 12.5 s"


@pytest.mark.parametrize("end_s", [1.0, 100.0])
def test_an_end_without_a_beginning_is_nothing(end_s):
    pace = Pace("a commit")
    pace.end(end_s)
    assert pace.slow(end_s) == ""
