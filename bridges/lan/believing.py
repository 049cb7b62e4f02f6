# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes in what boxes say of boxes: who is believed may be said by what comes with it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridges.lan.event import Event, FeedId
from bridges.lan.membership import Member, Roll, Statement, believed, roll
from bridges.lan.statements import statement_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is believed."""

    statements: dict[tuple[FeedId, int], Statement]
    """By feed and number: as many as are kept."""
    roll: Roll
    """Who belongs by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What came of statements that were offered."""

    new: tuple[Event, ...]
    belief: Belief
    skipped: Counter[str]
    """By kind: ``event_known``, ``statement_alien`` (no member said it)."""


def learn(offered: Iterable[Event], belief: Belief, root: Member, *, is_rewritten: Callable[[Event], bool]) -> Learned:
    """Believe what members say of boxes, in whatever order it comes, on top of what is believed already.

    `is_rewritten`: whether something else stands in the log in an event's place.
    """
    taken, known = dict(belief.statements), belief.roll
    waiting = {(event.feed, event.seq): event for event in offered}
    had = waiting.keys() & taken.keys()
    for name in had:
        del waiting[name]
    new: list[Event] = []
    while found := [one for one in waiting.values() if _is_said(one, known) and not is_rewritten(one)]:
        for event in found:
            del waiting[event.feed, event.seq]
            if (statement := statement_of(event)) is not None:
                taken[event.feed, event.seq] = statement
                new.append(event)
        known = roll(root, taken.values())
    becomes = within(taken, known, root)
    kept = tuple(event for event in new if (event.feed, event.seq) in becomes.statements)
    skipped = Counter(event_known=len(had), statement_alien=len(waiting))
    return Learned(new=kept, belief=becomes, skipped=+skipped)


def within(statements: dict[tuple[FeedId, int], Statement], known: Roll, root: Member) -> Belief:
    """Return as many statements as are kept, and who belongs by them."""
    kept = believed(known, statements.values())
    if len(kept) == len(statements):
        return Belief(statements=statements, roll=known)
    return Belief(statements={(each.feed, each.seq): each for each in kept}, roll=roll(root, kept))


def _is_said(event: Event, known: Roll) -> bool:
    author = known.boxes.get(event.box)
    return author is not None and not event.native and event.is_by(author.key)
