# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong, and when: a schedule made from a seed. Pure; who carries it out is `faults`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

EARLIEST, LATEST = 0.04, 0.9
"""Shares of the storm within which faults begin: messages flow before the first and after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How often a kind of fault strikes, on average, and for how long."""

    every_s: float
    shortest_s: float = 0.0
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault."""

    at_s: float
    fault: str
    for_s: float
    chance: int
    """The seed of whatever else is left to chance in it."""


def storm(habits: Mapping[str, Habit], seconds: float, seed: str) -> tuple[Strike, ...]:
    """Return the faults of a storm of so many seconds, in order. Each kind strikes at least once.

    The same arguments give the same storm, on every machine.
    """
    strikes: list[Strike] = []
    for fault, habit in sorted(habits.items()):
        chance = random.Random(f"{seed}:{fault}")
        strikes += [_strike(fault, habit, at_s, chance) for at_s in _times(habit, seconds, chance)]
    return tuple(sorted(strikes, key=lambda strike: (strike.at_s, strike.fault)))


def _times(habit: Habit, seconds: float, chance: random.Random) -> list[float]:
    first, last = EARLIEST * seconds, LATEST * seconds
    times: list[float] = []
    at_s = first + chance.expovariate(1 / habit.every_s)
    while at_s < last:
        times.append(at_s)
        at_s += chance.expovariate(1 / habit.every_s)
    return times or [chance.uniform(first, last)]


def _strike(fault: str, habit: Habit, at_s: float, chance: random.Random) -> Strike:
    for_s = chance.uniform(habit.shortest_s, habit.longest_s)
    return Strike(at_s=round(at_s, 3), fault=fault, for_s=round(for_s, 3), chance=chance.getrandbits(32))
