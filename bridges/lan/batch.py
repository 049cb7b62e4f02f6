# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that come together: which of them follow on what there is, and why the others don't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from bridges.lan.event import BEFORE_FIRST, BoxId, Event, FeedId, box_of
from bridges.lan.hlc import COUNTS
from bridges.lan.membership import Member, Roll, Statement, roll
from bridges.lan.statements import statement_of
from bridges.lan.store import Feed, Store
from gateway.model import NEVER_SET_MS

MOST_FEEDS = 4096
"""A box that comes with more is not followed into them; it says so."""
MOST_FEEDS_OF_ONE = 1024
"""So many of one box: no box fills the place of the others' next starts."""

TOO_OLD = "event_too_old"

EMPTY = Feed(base=0, count=0, head=BEFORE_FIRST)
"""A feed of which there is nothing."""


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
        """`forgotten`: of these boxes nothing that old is kept where nothing later is, unless its box had no clock."""
        self._store = store
        self._root = root
        self._feeds = feeds
        self._forgotten = forgotten
        self.heads: dict[FeedId, Feed] = {}
        """The feeds that are longer with it."""
        self.staged: list[Event] = []
        self.passed: list[Event] = []
        """Too old to be kept: a feed that was forgotten, and of which more may follow."""
        self.skipped: Counter[str] = Counter()
        self.statements = dict(statements)
        self.roll = known
        self._begun: Counter[BoxId] | None = None
        self._has_news_of_boxes = False

    def feed(self, name: FeedId) -> Feed:
        """Return how much there is of a feed, with this."""
        return self.heads.get(name) or self._feeds.get(name, EMPTY)

    def stage(self, event: Event, *, is_kept: bool = True) -> None:
        """Have it in, or have had it."""
        have = self.feed(event.feed)
        if self._begun is not None and have is EMPTY:
            self._begun[event.box] += 1
        base = have.base if is_kept else event.seq
        self.heads[event.feed] = replace(have, base=base, count=event.seq, head=event.hash)
        (self.staged if is_kept else self.passed).append(event)
        statement = statement_of(event)
        if statement is not None:
            self.statements[event.feed, event.seq] = statement
        else:  # a box that was put out may have told of another event in its place
            self._has_news_of_boxes |= self.statements.pop((event.feed, event.seq), None) is not None
        self._has_news_of_boxes |= statement is not None

    def reads_of_boxes(self) -> bool:
        """Believe what it says of boxes so far; False if it says nothing more of them."""
        has_news, self._has_news_of_boxes = self._has_news_of_boxes, False
        if has_news:
            self.roll = roll(self._root, self.statements.values())
        return has_news

    def offer(self, event: Event) -> bool:
        """Stage what is the next of its feed, count what isn't, or is too old; False if its box is unknown so far."""
        kind = self._why_not(event)
        if kind in {"", TOO_OLD}:
            self.stage(event, is_kept=not kind)
        if kind not in {"", "event_alien"}:
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
        if have is EMPTY and self._is_full(event.box):
            return "feeds_full"
        is_old = NEVER_SET_MS * COUNTS <= event.hlc <= self._forgotten.get(event.box, 0)
        return TOO_OLD if is_old and have.base == have.count else ""

    def _is_full(self, box: BoxId) -> bool:
        if self._begun is None:
            self._begun = Counter(map(box_of, {*self._feeds, *self.heads}))
        return self._begun.total() >= MOST_FEEDS or self._begun[box] >= MOST_FEEDS_OF_ONE

    def _is_same(self, event: Event) -> bool:
        kept = next((one for one in self.staged if (one.feed, one.seq) == (event.feed, event.seq)), None)
        kept = kept or self._store.event(event.feed, event.seq)
        return kept is None or kept.signed == event.signed
