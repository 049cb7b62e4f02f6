# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bridge needs of the log that all boxes have: to write into it, and to read what is new as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from bridges.lan.event import BoxId
from bridges.lan.membership import Roll
from bridges.lan.store import Arrived


class SharedLog(Protocol):
    """This box's copy of the log, and whatever keeps it equal to others'.

    sqlite3.Error or LinkDown where it can't be used.
    """

    @property
    def box(self) -> BoxId:
        """Who we are."""
        ...

    @property
    def roll(self) -> Roll:
        """Who belongs."""
        ...

    async def last_arrival(self) -> int:
        """Return the latest arrival there ever was here."""
        ...

    async def __aenter__(self) -> Self:
        """Open it."""
        ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it."""
        ...

    async def append(self, native: str, body: str) -> bool:
        """Write an event, durably, and tell the others; False if any box logged its native id already."""
        ...

    async def news(self, after: int, limit: int = 64) -> Sequence[Arrived]:
        """Return what is news to this box after an arrival, in the order it came."""
        ...

    async def wait(self, after: int) -> None:
        """Return when `news` has something after this arrival, and not before: whoever waits asks it next."""
        ...

    async def refill(self) -> None:
        """Return once the other boxes gave back what this one lost of the log, or can't for now."""
        ...

    def present(self) -> Mapping[BoxId, int]:
        """Return the other boxes that were heard of lately, and when (ms)."""
        ...

    async def retain(self, since_ms: int) -> None:
        """Drop what was stored before that time, unless it sees to that itself."""
        ...


def mark_of(arrived: Arrived) -> str:
    """Return a place in the log that `go_on` finds again."""
    return f"{arrived.arrival}:{arrived.event.hash.hex()}"


async def go_on(log: SharedLog, mark: str | None) -> int | None:
    """Return after which arrival to go on from a mark; None: there is none, or this log never was that far.

    A log that lost its end, or was put back from an image, numbers other events with the numbers after that.
    """
    number, colon, told = (mark or "").partition(":")
    if not (colon and number.isascii() and number.isdigit()):
        return None
    arrival = int(number)
    if arrival > await log.last_arrival():
        return None
    there = await log.news(arrival - 1, 1)
    if there and there[0].arrival == arrival:
        return arrival if there[0].event.hash.hex() == told else None
    return arrival  # retention took it
