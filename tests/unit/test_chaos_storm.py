# SPDX-License-Identifier: GPL-3.0-or-later
"""A storm is its seed: the same again, and every kind of fault in it."""

from __future__ import annotations

from tests.chaos.faults import FAULTS
from tests.chaos.real_faults import REAL_FAULTS
from tests.chaos.storm import EARLIEST, LATEST, Habit, storm

HABITS = {"often": Habit(every_s=2.0, shortest_s=1.0, longest_s=3.0), "seldom": Habit(every_s=10_000.0)}


def test_the_same_seed_is_the_same_storm_and_another_is_another() -> None:
    assert storm(HABITS, 100, "a") == storm(HABITS, 100, "a")
    assert storm(HABITS, 100, "a") != storm(HABITS, 100, "b")


def test_leaving_a_kind_out_leaves_the_others_as_they_were() -> None:
    whole = storm(HABITS, 100, "a")

    assert storm({"often": HABITS["often"]}, 100, "a") == tuple(s for s in whole if s.fault == "often")


def test_every_kind_strikes_however_short_the_storm() -> None:
    for number in range(20):
        for faults in (FAULTS, REAL_FAULTS):
            habits = {name: habit for name, (_, habit) in faults.items()}
            assert {strike.fault for strike in storm(habits, 5, str(number))} == set(faults)


def test_it_strikes_as_often_and_as_long_as_its_habit_says_and_ends_early() -> None:
    strikes = storm(HABITS, 2_000, "c")
    often = [strike for strike in strikes if strike.fault == "often"]

    assert 700 < len(often) < 1_000
    assert all(1.0 <= strike.for_s <= 3.0 for strike in often)
    assert all(EARLIEST * 2_000 <= strike.at_s <= LATEST * 2_000 for strike in strikes)
    assert list(strikes) == sorted(strikes, key=lambda strike: strike.at_s)
