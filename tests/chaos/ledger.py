# SPDX-License-Identifier: GPL-3.0-or-later
"""What was accepted and what was seen at the far ends: written down outside the gateway, and compared.

A *stream* is one conversation in one direction from one source (``east/room1>west/room1``); what is said in
it is numbered from 1. The file is appended to, a line a fact, so that a killed run leaves it readable.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

Excuse = Callable[[str, int], str | None]
"""Why a message of a stream needn't be there, in words, as somebody can see it; None: it must be."""


class Kind(Enum):
    """What a line says."""

    ACCEPTED = "+"
    SEEN = "="
    NOTE = "#"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. A note has its words in `stream`."""

    kind: Kind
    at_s: float
    stream: str
    number: int


class Ledger:
    """Appends to the file; counts what is on its way, so that a run can hold back and knows when it is done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.accepted = 0
        self.arrived = 0
        """Of the accepted, how many have been seen."""
        self.seen = 0
        """How many lines say that something was seen."""
        self._file = path.open("a", buffering=1)
        self._began = time.monotonic()
        self._missing: set[tuple[str, int]] = set()
        self._early: set[tuple[str, int]] = set()

    @property
    def missing(self) -> frozenset[tuple[str, int]]:
        """What was accepted and not seen."""
        return frozenset(self._missing)

    @property
    def on_its_way(self) -> int:
        """How many were accepted and not seen."""
        return len(self._missing)

    @property
    def seen_early(self) -> int:
        """How many were seen that `accept` hasn't been told of."""
        return len(self._early)

    def now_s(self) -> float:
        """Return the seconds since this ledger was opened."""
        return time.monotonic() - self._began

    def accept(self, stream: str, number: int) -> None:
        """Write down that this must arrive."""
        self.accepted += 1
        if (stream, number) in self._early:
            self._early.remove((stream, number))
            self.arrived += 1
        else:
            self._missing.add((stream, number))
        self._write(Kind.ACCEPTED, stream, number)

    def see(self, stream: str, number: int, *, is_early: bool = False) -> None:
        """Write down that it was seen at the far end; `is_early`: perhaps before `accept` is called."""
        self.seen += 1
        if (stream, number) in self._missing:
            self._missing.remove((stream, number))
            self.arrived += 1
        elif is_early:
            self._early.add((stream, number))
        self._write(Kind.SEEN, stream, number)

    def note(self, words: str) -> None:
        """Write down anything else, a fault say."""
        self._write(Kind.NOTE, words.replace("\t", " ").replace("\n", " "), 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, kind: Kind, stream: str, number: int) -> None:
        self._file.write(f"{kind.value}\t{self.now_s():.3f}\t{number}\t{stream}\n")


def read(path: Path) -> Iterator[Entry]:
    """Yield what a ledger's file says; a last line that is cut short is left out."""
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                kind, at_s, number, stream = line.rstrip("\n").split("\t", 3)
                yield Entry(Kind(kind), float(at_s), stream, int(number))


@dataclass(slots=True, kw_only=True)
class Figures:
    """What became of a stream, or of several."""

    accepted: int = 0
    arrived: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    strange: int = 0
    """Seen, though nobody had said it there."""
    allowed_twice: int = 0
    """Second copies that the network's rule allows (direct messages on radio)."""
    excused: Counter[str] = field(default_factory=Counter)
    """Not there for a reason that somebody can see, by reason."""

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.out_of_order or self.strange)

    def add(self, other: Figures) -> None:
        """Add another's figures to these."""
        self.accepted += other.accepted
        self.arrived += other.arrived
        self.lost += other.lost
        self.doubled += other.doubled
        self.out_of_order += other.out_of_order
        self.strange += other.strange
        self.allowed_twice += other.allowed_twice
        self.excused += other.excused


@dataclass(slots=True)
class _Stream:
    accepted: dict[int, None] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)


def reconcile(
    entries: Iterable[Entry],
    *,
    excuse: Excuse = lambda _stream, _number: None,
    copies: Callable[[str, int], int] = lambda _stream, _number: 1,
    as_accepted: Callable[[str], bool] = lambda _stream: False,
) -> dict[str, Figures]:
    """Compare what was accepted with what was seen, per stream. Pure.

    `as_accepted`: streams whose order is that in which they were accepted, not said: a radio that nobody heard
    says a thing again, and what it said after that may be heard first.
    `copies` says how often a message may be seen at most; one that may be seen more than once is one that
    was sent again, out of its place. What was seen before it was written down as accepted counts as
    accepted: the far end may be quicker than who waits for the answer.
    """
    streams: dict[str, _Stream] = {}
    for entry in entries:
        if entry.kind is Kind.NOTE:
            continue
        stream = streams.setdefault(entry.stream, _Stream())
        if entry.kind is Kind.ACCEPTED:
            stream.accepted[entry.number] = None
        else:
            stream.seen.append(entry.number)
    return {name: _figures(name, stream, excuse, copies, as_accepted(name)) for name, stream in streams.items()}


def _figures(
    name: str, stream: _Stream, excuse: Excuse, copies: Callable[[str, int], int], as_accepted: bool
) -> Figures:
    count = Counter(stream.seen)
    figures = Figures(accepted=len(stream.accepted), arrived=sum(number in count for number in stream.accepted))
    for number in stream.accepted:
        if number not in count:
            reason = excuse(name, number)
            figures.lost += reason is None
            figures.excused.update([reason] if reason else [])
    for number, times in count.items():
        if number not in stream.accepted:
            figures.strange += times
            continue
        allowed = min(times, copies(name, number)) if times > 1 else 1
        figures.allowed_twice += allowed - 1
        figures.doubled += times - allowed
    place = {number: nth for nth, number in enumerate(stream.accepted)} if as_accepted else {}
    figures.out_of_order = _overtaken(place.get(number, number) for number in count if copies(name, number) == 1)
    return figures


def _overtaken(numbers: Iterable[int]) -> int:
    """Count what was first seen after something that had been said later."""
    latest = overtaken = 0
    for number in numbers:
        overtaken += number < latest
        latest = max(latest, number)
    return overtaken
