# SPDX-License-Identifier: GPL-3.0-or-later
"""How much waits for each destination, by age: the table that Postfix's ``qshape`` made known.

All of it comes from the journal, so it is there while the queue is away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.ages import AGE_NAMES, limits_ms
from gateway.config import Settings
from gateway.journal import Journal
from gateway.model import PENDING, BridgeName, Clock, State

COUNT_FOR_S = 2.0
"""How long one look at the ages may take, for each destination."""
MOST_CONVERSATIONS = 200
"""Shown of a destination, the deepest."""


class Kept(Protocol):
    """What a backlog is read from."""

    @property
    def settings(self) -> Settings:
        """Which destinations there are."""
        ...

    @property
    def journal(self) -> Journal:
        """What waits."""
        ...

    @property
    def clock(self) -> Clock:
        """How old it is."""
        ...


Tallied = Mapping[tuple[BridgeName, State], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What one destination has before it: known without counting."""

    destination: BridgeName
    waiting: int
    """Deliveries that still have to leave this box."""
    oldest_ms: int | None
    """When the oldest of them was received."""
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One destination's row."""

    backlog: Backlog
    ages: tuple[int, ...]
    """How many wait by age, as `gateway.ages.AGE_NAMES`."""
    younger: int
    """How many more there are, each younger than those: what the time did not suffice for."""
    conversations: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The ages of each conversation, the deepest first; empty unless asked for."""


async def backlogs(kept: Kept, tally: Tallied) -> tuple[Backlog, ...]:
    """Return every destination's, in the order of the configuration."""
    oldest = await kept.journal.oldest_pending()
    return tuple(
        Backlog(
            destination=BridgeName(name),
            waiting=sum(tally.get((BridgeName(name), state), 0) for state in PENDING),
            oldest_ms=oldest.get(BridgeName(name)),
            dead=tally.get((BridgeName(name), State.FAILED), 0),
        )
        for name in kept.settings.bridges
    )


async def shapes(kept: Kept, *, by_conversation: bool = False, for_s: float | None = None) -> tuple[Shape, ...]:
    """Return every destination's row, in the order of the configuration."""
    rows = await backlogs(kept, await kept.journal.tally())
    return tuple(
        [
            await _shape(kept, row, by_conversation=by_conversation, for_s=COUNT_FOR_S if for_s is None else for_s)
            for row in rows
        ]
    )


async def _shape(kept: Kept, row: Backlog, *, by_conversation: bool, for_s: float) -> Shape:
    if not row.waiting:
        return Shape(backlog=row, ages=(0,) * len(AGE_NAMES), younger=0)
    times = limits_ms(kept.clock.now_ms())
    found = await kept.journal.overview.ages(row.destination, times, for_s=for_s, by_conversation=by_conversation)
    ages = total([*found.counts.values(), (0,) * len(AGE_NAMES)])
    deepest = sorted(found.counts.items(), key=lambda one: -sum(one[1]))[:MOST_CONVERSATIONS]
    return Shape(
        backlog=row,
        ages=ages,
        younger=0 if found.complete else max(0, row.waiting - sum(ages)),
        conversations=dict(deepest) if by_conversation else {},
    )


def total(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Add columns up."""
    return tuple(map(sum, zip(*rows, strict=True)))
