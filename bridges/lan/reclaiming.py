# SPDX-License-Identifier: GPL-3.0-or-later
"""What a box does that finds a feed of its own written two ways: it was put back with its memory, or runs twice. Pure.

No start shows either, so it goes on under numbers that it used, or that its twin uses. Others keep the first they
had of a number; the box begins a new feed, says there what they refused, and leaves the old one as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.batch import EMPTY
from bridges.lan.event import Event, FeedId, written
from bridges.lan.hlc import COUNTS
from bridges.lan.membership import Statement
from bridges.lan.statements import statement_of
from bridges.lan.store import Feed

SAME_TIME = 86_400_000 * COUNTS
"""Of stamps: what a box that was put back far says since is no earlier than that before what it had said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimed:
    """What became of events that others have of our own."""

    left: list[Event]
    """To be taken as any other's."""
    again: list[Event]
    """What was nowhere here, and is said again."""
    doubted: dict[FeedId, bytes]
    """Feeds whose beginning the other end has to show, too, and the hash of the event that made us doubt."""
    is_begun: bool = False
    """This box writes into another feed from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What an event of ours that another shows, and that doesn't stand here so, says of its feed."""

    fits: bool
    """It names the one that stands before it here; where none is known it may."""
    parts_after: int | None = None
    """From there on the feed was written two ways."""
    since: int = 0
    """What was said before that stamp nobody else kept."""
    is_doubted: bool = False
    """What comes before differs, too, and the other can show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Events as they stood, and as they stand in a new feed."""

    pairs: list[tuple[Event, Event]]
    name: FeedId
    end: Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """A feed whose end moved to a new one: how both end then, and what is believed."""

    feeds: dict[FeedId, Feed]
    statements: dict[tuple[FeedId, int], Statement]


def compared(event: Event, have: Feed, before: Event | None, begins: int, *, is_written: bool) -> Compared:
    """Say where one of our feeds parts from what another has of it, by an event of it that isn't here.

    `have`, `before`: how much is here, and the event before it; `begins`: from where on the other keeps the feed;
    `is_written`: this start wrote into it.
    """
    fits = _fits(event, have, before)
    if event.seq <= have.count and fits:
        return Compared(fits=fits, parts_after=event.seq - 1)
    is_gap = event.seq > have.count + 1
    if event.seq - 1 == begins and (not fits or (is_gap and is_written)):  # nobody has more to compare
        return Compared(fits=fits, parts_after=have.base, since=event.hlc - SAME_TIME)
    return Compared(fits=fits, is_doubted=not fits)


def _fits(event: Event, have: Feed, before: Event | None) -> bool:
    if event.seq == have.count + 1:
        return not have.head or event.previous == have.head
    return before is None or event.previous == before.hash


def moved_to(feed: FeedId, key: Ed25519PrivateKey, events: Iterable[Event]) -> Moved:
    """Write events into a new feed: the same words, and the same time."""
    pairs: list[tuple[Event, Event]] = []
    previous = EMPTY.head
    for old in events:
        new = written(
            key,
            feed=feed,
            seq=len(pairs) + 1,
            hlc=old.hlc,
            previous=previous,
            native=old.native,
            body=old.body,
        )
        pairs.append((old, new))
        previous = new.hash
    return Moved(pairs=pairs, name=feed, end=Feed(base=0, count=len(pairs), head=previous) if pairs else EMPTY)


def parted_after(
    after: int, have: Feed, tail: Sequence[Event], moved: Moved, statements: Mapping[tuple[FeedId, int], Statement]
) -> Parted:
    """Return how a feed ends whose `tail`, all that is here after that, moved; what of it didn't is gone."""
    head = tail[0].previous if tail[0].seq == after + 1 else b""
    feeds = {tail[0].feed: Feed(base=min(have.base, after), count=after, head=head)}
    feeds |= {} if moved.end is EMPTY else {moved.name: moved.end}
    gone = {(event.feed, event.seq) for event in tail}
    stated = {name: each for name, each in statements.items() if name not in gone}
    stated |= {(e.feed, e.seq): each for _, e in moved.pairs if (each := statement_of(e)) is not None}
    return Parted(feeds=feeds, statements=stated)
