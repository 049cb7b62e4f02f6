# SPDX-License-Identifier: GPL-3.0-or-later
"""What was said, where it came out, and whether it all did: once, in order, replies with their target. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum


class Side(Enum):
    """Where people talk."""

    ROOM = "room"
    RADIO = "radio"

    @property
    def other(self) -> Side:
        """The side it crosses to."""
        return Side.RADIO if self is Side.ROOM else Side.ROOM


@dataclass(slots=True, kw_only=True)
class Line:
    """Something said. `ids` is how the networks know it: where it was said at once, beyond once it is there."""

    side: Side
    """Where it was said."""
    number: int
    """From 1, per side."""
    text: str
    """With its number, so that no two are the same."""
    answers: Line | None
    ids: dict[Side, str | int] = field(default_factory=dict)
    arrivals: int = 0
    is_answer_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One direction, counted."""

    direction: str
    sent: int
    arrived: int
    lost: int
    doubled: int
    out_of_order: int
    replies: int
    replies_kept: int

    @property
    def is_clean(self) -> bool:
        """Whether everything arrived once, in order, and every reply still answers what it answered."""
        return not (self.lost or self.doubled or self.out_of_order) and self.replies == self.replies_kept


class Ledger:
    """Both directions of a conversation."""

    def __init__(self) -> None:
        self._said: dict[Side, list[Line]] = {Side.ROOM: [], Side.RADIO: []}
        self._order: dict[Side, list[int]] = {Side.ROOM: [], Side.RADIO: []}
        self._by_text: dict[str, Line] = {}
        self._echoes: dict[Side, int] = {Side.ROOM: 0, Side.RADIO: 0}

    def say(self, side: Side, words: str, *, answers: Line | None = None) -> Line:
        """Write down what is about to be said; its text is the words with their number in front."""
        number = len(self._said[side]) + 1
        line = Line(side=side, number=number, text=f"{side.value} {number:02}: {words}", answers=answers)
        self._said[side].append(line)
        self._by_text[line.text] = line
        return line

    def arrive(self, side: Side, text: str, *, id: str | int, answers: str | int | None) -> Line | None:
        """Write down that the gateway brought `text` to `side`; return the line it was, None if nobody said it."""
        line = self._by_text.get(text)
        if line is None:
            return None
        if line.side is side:  # it came back to where it was said
            self._echoes[side] += 1
            return line
        line.arrivals += 1
        if line.arrivals == 1:
            line.ids[side] = id
            self._order[line.side].append(line.number)
            line.is_answer_kept = line.answers is not None and answers == line.answers.ids.get(side)
        return line

    def is_complete(self) -> bool:
        """Whether everything said has arrived."""
        return all(self.has_all_from(side) for side in Side)

    def has_all_from(self, side: Side) -> bool:
        """Whether everything said on this side has arrived on the other."""
        return all(line.arrivals for line in self._said[side])

    def missing(self) -> tuple[Line, ...]:
        """Return what was said and hasn't arrived."""
        return tuple(line for lines in self._said.values() for line in lines if not line.arrivals)

    def rows(self) -> tuple[Row, ...]:
        """Count."""
        return tuple(self._row(side) for side in Side)

    def _row(self, side: Side) -> Row:
        lines = self._said[side]
        replies = [line for line in lines if line.answers is not None]
        return Row(
            direction=f"{side.value} -> {side.other.value}",
            sent=len(lines),
            arrived=sum(line.arrivals > 0 for line in lines),
            lost=sum(not line.arrivals for line in lines),
            doubled=sum(max(line.arrivals - 1, 0) for line in lines) + self._echoes[side],
            out_of_order=_overtaken(self._order[side]),
            replies=len(replies),
            replies_kept=sum(line.is_answer_kept for line in replies),
        )


def _overtaken(numbers: Iterable[int]) -> int:
    """Count what arrived after something that was said later."""
    latest = count = 0
    for number in numbers:
        count += number < latest
        latest = max(latest, number)
    return count
