# SPDX-License-Identifier: GPL-3.0-or-later
"""What two boxes said in the same conversation, each before it could hear the other: one of them takes its own back.

Which one, each finds by itself, from what the network shows to both: of two events with one key the earlier stands,
by the time and then the id that are part of them. Of words and their copy, heard elsewhere and carried there, the
words stand. Pure; bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from gateway.model import Address, DeliveryId, Overheard, RemoteId

MOST_SEEN = 8192
"""Keys, and copies, whose double is known when it comes; past it both stand."""
MOST_ALIKE = 8
"""Events with one key; past it what comes is left: who writes one key again and again only does harm."""
MOST_OWED = 1024
"""Doubles that are to be taken back; past it the oldest stands."""
SAME_WORDS_S = 600.0
"""For so long the words of one box stand for a copy of them that another carried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Double:
    """What this box said and is to take back."""

    at: Address
    delivery: DeliveryId
    ours: RemoteId
    theirs: RemoteId
    """What stands."""


@dataclass(frozen=True, slots=True)
class _Event:
    at_ms: int
    remote_id: RemoteId
    is_own: bool


@dataclass(frozen=True, slots=True)
class _Copy:
    delivery: DeliveryId
    remote_id: RemoteId
    at_s: float


class Doubles:
    """What is known of them."""

    def __init__(self) -> None:
        self.owed: OrderedDict[tuple[Address, RemoteId], Double] = OrderedDict()
        """By where it is and what it is called there."""
        self._said: OrderedDict[tuple[Address, str], tuple[_Event, ...]] = OrderedDict()
        self._carried: OrderedDict[DeliveryId, str] = OrderedDict()
        self._copies: OrderedDict[tuple[Address, str], tuple[_Copy, ...]] = OrderedDict()

    def carries(self, delivery: DeliveryId, words: str) -> None:
        """Know that what this box says there may be a copy of words that another says there itself."""
        self._carried[delivery] = words
        while len(self._carried) > MOST_SEEN:
            self._carried.popitem(last=False)

    def see(self, at: Address, delivery: DeliveryId, said: Overheard, *, is_own: bool) -> None:
        """Take an event of ours, or one of another box; the same again changes nothing.

        What is sent anew on purpose has another key, and is no double.
        """
        before = self._said.get((at, said.key), ())
        if any(event.remote_id == said.remote_id for event in before) or len(before) >= MOST_ALIKE:
            return
        events = (*before, _Event(said.at_ms, said.remote_id, is_own))
        first = min(events, key=lambda event: (event.at_ms, event.remote_id))
        self._said[at, said.key] = events
        for event in () if first.is_own else events:  # where ours stands, the others take theirs back
            if event.is_own:
                self._owe(Double(at=at, delivery=delivery, ours=event.remote_id, theirs=first.remote_id))
        while len(self._said) > MOST_SEEN:
            self._said.popitem(last=False)

    def copy(self, at: Address, delivery: DeliveryId, remote_id: RemoteId, now_s: float) -> str | None:
        """Take what this box said; return the words that it is a copy of, None if it is none, or was known."""
        words = self._carried.pop(delivery, None)
        if words is not None:
            copies = (*self._copies.get((at, words), ()), _Copy(delivery, remote_id, now_s))
            self._copies[at, words] = copies
            while len(self._copies) > MOST_SEEN:
                self._copies.popitem(last=False)
        return words

    def original(self, at: Address, said: Overheard, now_s: float) -> bool:
        """Take the words of another box; whether a copy of ours goes for them."""
        copies = [one for one in self._copies.pop((at, said.words), ()) if now_s - one.at_s <= SAME_WORDS_S]
        if not copies:
            return False
        copy, *others = copies
        if others:
            self._copies[at, said.words] = tuple(others)
        self._owe(Double(at=at, delivery=copy.delivery, ours=copy.remote_id, theirs=said.remote_id))
        return True

    def _owe(self, double: Double) -> None:
        for known in self.owed.values():  # what stands for one may itself be owed: then what stands for that
            if known.ours == double.theirs:
                double = replace(double, theirs=known.theirs)
        self.owed[double.at, double.ours] = double
        while len(self.owed) > MOST_OWED:
            self.owed.popitem(last=False)
