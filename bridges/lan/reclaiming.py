# SPDX-License-Identifier: GPL-3.0-or-later
"""What a box does that finds a feed of its own written two ways: it was put back with its memory, or runs twice. Pure.

No start shows either, so it goes on under numbers that it used, or that its twin uses. Others keep the first they
had of a number; the box begins a new feed, says there what they refused, and leaves the old one as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.batch import EMPTY
from bridges.lan.event import Event, FeedId, written
from bridges.lan.store import Feed


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
class Moved:
    """Events as they stood, and as they stand in a new feed."""

    pairs: list[tuple[Event, Event]]
    end: Feed


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
    return Moved(pairs=pairs, end=Feed(base=0, count=len(pairs), head=previous) if pairs else EMPTY)
