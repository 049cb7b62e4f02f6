# SPDX-License-Identifier: GPL-3.0-or-later
"""How much there is here of each feed, in memory as on disk; and how it becomes less: retention, skips, forgetting."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

from bridges.lan.batch import EMPTY, MOST_FEEDS, MOST_FEEDS_OF_ONE
from bridges.lan.event import Event, FeedId, box_of
from bridges.lan.store import Feed, Store
from gateway.model import NEVER_SET_MS

FORGOTTEN_MS = 90 * 86_400_000
"""A feed of which nothing has been here for so long is forgotten; of the same box nothing older is kept."""

Frontier = Mapping[FeedId, int]
"""How much one has of each feed."""


class Feeds(Mapping[FeedId, Feed]):
    """The feeds of which anything is, or was lately, here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._here: dict[FeedId, Feed] = store.feeds()
        self.forgotten = store.forgotten()
        """Of each box the last stamp of what was in its feeds that were forgotten."""

    def __getitem__(self, name: FeedId) -> Feed:
        """Return how much there is of one."""
        return self._here[name]

    def __iter__(self) -> Iterator[FeedId]:
        """Yield their names."""
        return iter(self._here)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._here)

    def frontier(self) -> dict[FeedId, int]:
        """Return how much there is of each feed."""
        return {name: feed.count for name, feed in self._here.items()}

    def bases(self) -> dict[FeedId, int]:
        """Return of which feeds the beginning is no longer kept, and up to where."""
        return {name: feed.base for name, feed in self._here.items() if feed.base}

    def heads(self) -> dict[FeedId, bytes]:
        """Return the hash of the last event of each feed, where it is known."""
        return {name: feed.head for name, feed in self._here.items() if feed.head}

    def delta(self, frontier: Frontier, *, limit: int, last: Collection[FeedId]) -> list[Event]:
        """Return what somebody with that frontier lacks; the rest: `Log.delta`'s."""
        lacking = {name: max(frontier.get(name, 0), feed.base) for name, feed in self._here.items()}
        runs = [self._store.run(name, after) for name, after in lacking.items() if after < self._here[name].count]
        with ExitStack() as reading:
            for run in runs:
                reading.callback(run.close)
            return list(itertools.islice(heapq.merge(*runs, key=lambda event: (event.feed in last, event.hlc)), limit))

    def keep(self, feeds: Mapping[FeedId, Feed]) -> None:
        """Note these as they are now on disk."""
        self._here |= feeds

    def skip_to(self, bases: Frontier) -> dict[FeedId, int]:
        """Go on where others begin, so far as there is room. Return how many each feed lacks for good."""
        lacking: dict[FeedId, int] = {}
        skipping: dict[FeedId, Feed] = {}
        for name, base in bases.items():
            have = self._here.get(name, EMPTY)
            if base > have.count and (name in self._here or not self._is_full(name, skipping)):
                lacking[name] = base - have.count
                skipping[name] = Feed(base=base, count=base, head=b"")
        self.shorten(skipping)
        return lacking

    def drop(self, up_to: Frontier) -> int:
        """Keep nothing of these feeds up to there. Return how many events that were."""
        shorter = {
            name: replace(self._here[name], base=upto) for name, upto in up_to.items() if upto > self._here[name].base
        }
        dropped = sum(feed.base - self._here[name].base for name, feed in shorter.items())
        self.shorten(shorter)
        return dropped

    def compact(self, now_ms: int, *, but: FeedId) -> int:
        """Forget those of which nothing has been here for long, but for one. Return how many; the rest: `Log`'s."""
        if now_ms < NEVER_SET_MS:
            return 0
        with self._store.writing():
            gone = self._store.forget_empty(now_ms, now_ms - FORGOTTEN_MS, but=but)
        self._here = {name: feed for name, feed in self._here.items() if name not in gone}
        self.forgotten = self._store.forgotten()
        return len(gone)

    def shorten(self, feeds: Mapping[FeedId, Feed]) -> None:
        """Have these be no more than that."""
        if not feeds:
            return
        with self._store.writing():
            for name, feed in feeds.items():
                self._store.drop_up_to(name, feed.base)
                self._store.drop_above(name, feed.count)
            self._store.keep_feeds(feeds)
        self._here |= feeds

    def remove(self, names: Iterable[FeedId]) -> None:
        """Have nothing of these, and not remember that there was."""
        gone = frozenset(names)
        if gone:
            with self._store.writing():
                self._store.drop_feeds(gone)
            self._here = {name: feed for name, feed in self._here.items() if name not in gone}

    def _is_full(self, feed: FeedId, more: Mapping[FeedId, Feed]) -> bool:
        names = {*self._here, *more}
        of_box = sum(box_of(name) == box_of(feed) for name in names)
        return len(names) >= MOST_FEEDS or of_box >= MOST_FEEDS_OF_ONE
