# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that come together: which of them follow on what there is, and why the others don't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from bridges.lan.event import BEFORE_FIRST, BoxId, Event, FeedId
from bridges.lan.hlc import COUNTS
from bridges.lan.membership import Member, Roll, Statement, roll
from bridges.lan.statements import statement_of
from bridges.lan.store import Feed, Store
from gateway.model import NEVER_SET_MS

MOST_FEEDS = 4096
"""A box that comes with more is not followed into them; it says so."""

EMPTY = Feed(base=0, count=0, head=BEFORE_FIRST)
"""A feed of which there is nothing."""

MOST_STATEMENTS = 4096
"""Of boxes about boxes: what comes beyond is not believed."""


class Batch:
    """Events that are looked at together, before anything of it is written."""

    def __init__(
        self,
        store: Store,
        root: Member,
        feeds: Mapping[FeedId, Feed],
        statements: Mapping[tuple[FeedId, int], Statement],
        known: Roll,
        *,
        forgotten: Mapping[BoxId, int],
    ) -> None:
        """`forgotten`: no feed of these boxes begins with that stamp or before, unless its box had no clock."""
        self._store = store
        self._root = root
        self._feeds = feeds
        self._forgotten = forgotten
        self.heads: dict[FeedId, Feed] = {}
        """The feeds that are longer with it."""
        self.staged: list[Event] = []
        self.skipped: Counter[str] = Counter()
        self.statements = dict(statements)
        self.roll = known
        self._new_feeds = 0

    def feed(self, name: FeedId) -> Feed:
        """Return how much there is of a feed, with this."""
        return self.heads.get(name) or self._feeds.get(name, EMPTY)

    def stage(self, event: Event) -> None:
        """Have it in."""
        self._new_feeds += event.feed not in self._feeds and event.feed not in self.heads
        self.heads[event.feed] = replace(self.feed(event.feed), count=event.seq, head=event.hash)
        self.staged.append(event)
        statement = statement_of(event)
        if statement is not None and len(self.statements) < MOST_STATEMENTS:
            self.statements[event.feed, event.seq] = statement
            self.roll = roll(self._root, self.statements.values())

    def has_news_of_boxes(self) -> bool:
        """Whether something in it says who belongs."""
        return any(not event.native for event in self.staged)

    def offer(self, event: Event) -> bool:
        """Stage what is the next of its feed, count what isn't; False if its box is unknown so far."""
        kind = self._why_not(event)
        if not kind:
            self.stage(event)
        elif kind != "event_alien":
            self.skipped[kind] += 1
        return kind != "event_alien"

    def _why_not(self, event: Event) -> str:
        have = self.feed(event.feed)
        if event.box not in self.roll.boxes:
            return "event_alien"
        if event.seq <= have.count:
            return "event_known" if self._is_same(event) else "feed_forked"
        if not self.roll.counts(event.feed, event.seq):
            return "event_of_removed_box"
        if event.seq > have.count + 1:
            return "event_gap"
        return self._why_not_next(event, have)

    def _why_not_next(self, event: Event, have: Feed) -> str:
        if not event.is_by(self.roll.boxes[event.box].key):
            return "event_forged"
        if have.head and event.previous != have.head:
            return "feed_forked"
        if have is EMPTY and NEVER_SET_MS * COUNTS <= event.hlc <= self._forgotten.get(event.box, 0):
            return "event_too_old"
        is_full = have is EMPTY and len(self._feeds) + self._new_feeds >= MOST_FEEDS
        return "feeds_full" if is_full else ""

    def _is_same(self, event: Event) -> bool:
        kept = next((one for one in self.staged if (one.feed, one.seq) == (event.feed, event.seq)), None)
        kept = kept or self._store.event(event.feed, event.seq)
        return kept is None or kept.signed == event.signed
