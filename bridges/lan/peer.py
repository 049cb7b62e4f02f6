# SPDX-License-Identifier: GPL-3.0-or-later
"""What this box knows of what another box has: so that little is said twice. Pure; time is monotonic."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bridges.lan.batch import MOST_FEEDS
from bridges.lan.event import BoxId, Event, FeedId, box_of
from bridges.lan.held import State, digest, kept
from bridges.lan.presence import LIVE_S, MOST_TOLD, Shown, Told
from bridges.lan.wire import MOST_YOURS, Ending, Offer

SETTLED_S = 60.0
"""Two logs that differ and can't become equal (a feed was forked) are compared anew after so long."""

REFUSED_AFTER = 2
"""Offers of a feed of which nothing was taken: it was forked, or is more than a box may write just now."""

MOST_KNOWN = 4 * MOST_TOLD
"""Boxes, and starts of them, of which is noted what it knows; of more it is told again."""
WORD_S = 86_400.0
"""So long after a box's mere word made us begin a feed no other word of it does: one that lies fills no log."""
KNOWN_S = 3600.0
"""What a box showed to know of one that wasn't mentioned for so long is forgotten, and told again."""


@dataclass(slots=True, kw_only=True)
class Peer:
    """Another box, as it showed itself to this one. `counts`: what came of it, for the operator."""

    box: BoxId
    feed: FeedId | None = None
    """Its feed of this start."""
    have: str = ""
    believe: str = ""
    frontier: dict[FeedId, int] = field(default_factory=dict)
    """What it has at least."""
    bases: Mapping[FeedId, int] = field(default_factory=dict)
    is_known: bool = False
    """It has said what it has, all of it, in this start."""
    known: dict[FeedId, Shown] = field(default_factory=dict)
    """What it knows of who is there."""
    to_answer: set[FeedId] = field(default_factory=set)
    """Of whom it told us, and hasn't heard yet whether we have the detail."""
    heard_s: float = float("-inf")
    statements_told: int = 0
    offered: dict[FeedId, tuple[int, int]] = field(default_factory=dict)
    """Of feeds that we offered it: how much it had, and how often it has said since that it has no more."""
    counts: Counter[str] = field(default_factory=Counter)
    endings_told_to: FeedId | None = None
    """In which start it was told how all its feeds end here."""
    retold: dict[FeedId, int] = field(default_factory=dict)
    """How much of feeds of our own we say to have, that it shows us what it has: they were written two ways."""
    word_s: float = float("-inf")
    """When its mere word made us begin a feed."""
    _doubted: dict[FeedId, bytes] = field(default_factory=dict)
    _settled: tuple[str, str, str, str] | None = None
    _settled_s: float = float("-inf")

    def said(self, offer: Offer, now_s: float) -> None:
        """Note what it said of itself."""
        if offer.feed != self.feed:  # it started anew, and may have lost what it had
            self.feed, self.frontier, self.is_known, self.statements_told = offer.feed, {}, False, 0
            self.known, self.to_answer, self.offered = {}, set(), {}
            self.retold, self._doubted = {}, {}  # what that start showed, this one may lack
        self.have, self.believe, self.heard_s = offer.have, offer.believe, now_s
        for told in offer.told:
            heard_s = now_s - told.age_ms / 1000
            self.known.pop(told.feed, None)  # the last that was told is last
            self.known[told.feed] = Shown(since=told.since, heard_s=heard_s, noted_s=now_s)
        for feed in list(self.known)[:-MOST_KNOWN]:
            del self.known[feed]
        if offer.frontier is not None:
            self.frontier, self.bases, self.is_known = dict(offer.frontier), offer.bases or {}, True
            self._note_refused()
        self.has(offer.events)

    def was_told(self, told: Iterable[Told], now_s: float) -> None:
        """Note what we tell it of who is there. That it has the details it has to show."""
        for each in told:
            if each.detail is None and (shown := self.known.get(each.feed)) is not None:
                self.known[each.feed] = replace(shown, heard_s=now_s - each.age_ms / 1000, noted_s=now_s)
        self.to_answer.clear()
        self.known = {feed: shown for feed, shown in self.known.items() if now_s - shown.noted_s < KNOWN_S}

    def begins(self, mine: State) -> dict[FeedId, int]:
        """Return from where on it is offered each feed; nothing of those it shall show, or it took us to have that."""
        return self.frontier | {feed: mine.frontier.get(feed, 0) for feed in self.retold}

    def was_offered(self, events: Iterable[Event]) -> None:
        """Note what we offer it: it will say how much of that it has taken."""
        for feed in {event.feed for event in events}:
            self.offered.setdefault(feed, (self.frontier.get(feed, 0), 0))

    @property
    def refused(self) -> frozenset[FeedId]:
        """Of which feeds it takes nothing for now."""
        return frozenset(feed for feed, (_, times) in self.offered.items() if times >= REFUSED_AFTER)

    def _note_refused(self) -> None:
        still = {feed: one for feed, one in self.offered.items() if self.frontier.get(feed, 0) == one[0]}
        self.offered = {feed: (had, min(times + 1, REFUSED_AFTER)) for feed, (had, times) in still.items()}

    def has(self, events: Iterable[Event]) -> None:
        """Note that it has these."""
        for event in events:
            if event.feed not in self.frontier and len(self.frontier) >= MOST_FEEDS:
                continue
            self.frontier[event.feed] = max(self.frontier.get(event.feed, 0), event.seq)

    def doubt(self, feed: FeedId, why: bytes) -> None:
        """Have it show a feed of ours from the beginning; once for each event (its hash) that gives cause."""
        if self._doubted.get(feed) != why:
            self._doubted[feed] = why
            self.retold[feed] = 0

    def can_show(self, feed: FeedId) -> bool:
        """Whether it keeps anything of a feed, as far as it has said."""
        return self.bases.get(feed, 0) < self.frontier.get(feed, 0) or not self.is_known

    def has_had_more(self, mine: State) -> bool:
        """Whether it says to have had more of what we write into than we wrote, and keeps nothing to show."""
        have = mine.frontier.get(mine.feed, 0)
        return self.is_known and self.bases.get(mine.feed, 0) > have and not self.can_show(mine.feed)

    def takes_word(self, feeds: Collection[FeedId], now_s: float) -> bool:
        """Whether its mere word is to be taken of these; then there is nothing more to show of them."""
        if not feeds or now_s - self.word_s < WORD_S:
            return False
        self.word_s = now_s
        for feed in feeds:
            self.retold.pop(feed, None)
        return True

    def showed(self, own: Iterable[Event], mine: State) -> None:
        """Note which events of our own it showed; `mine`: after they were looked at."""
        for event in own:
            if event.feed in self.retold or event.seq > mine.frontier.get(event.feed, 0):
                self.retold[event.feed] = max(self.retold.get(event.feed, 0), event.seq)
        for feed, shown in list(self.retold.items()):
            if self.frontier.get(feed, 0) <= shown <= mine.frontier.get(feed, 0):
                del self.retold[feed]

    @property
    def has_more_to_show(self) -> bool:
        """Whether it has more of a feed that we doubt."""
        return any(shown < self.frontier.get(feed, 0) for feed, shown in self.retold.items())

    def told(self, mine: State) -> State:
        """Return what we have, as we say it to this box."""
        if not self.retold:
            return mine
        frontier = {feed: count for feed, count in {**mine.frontier, **self.retold}.items() if count}
        bases = {feed: base for feed, base in mine.bases.items() if base <= frontier.get(feed, 0)}
        return replace(mine, frontier=frontier, bases=bases, have=digest(kept(frontier, bases)))

    def endings(self, mine: State, *, is_whole: bool) -> dict[FeedId, Ending]:
        """Return how its feeds end here, or only its present one."""
        feeds = [self.feed, *(each for each in mine.frontier if is_whole and box_of(each) == self.box)]
        self.endings_told_to = self.feed if is_whole else self.endings_told_to
        found = {
            feed: Ending(count=mine.frontier[feed], head=mine.heads[feed])
            for feed in feeds
            if feed is not None and feed in mine.heads
        }
        return dict(itertools.islice(found.items(), MOST_YOURS))

    def is_equal(self, mine: State) -> bool:
        """Whether it has and believes what we do, by its last word; then we know what it has."""
        if self.have == mine.have:
            self.frontier, self.is_known = dict(mine.frontier), True
        return self.have == mine.have and self.believe == mine.believe

    def is_live(self, now_s: float) -> bool:
        """Whether it was heard lately."""
        return now_s - self.heard_s < LIVE_S

    def lacks(self, mine: State) -> bool:
        """Whether we have what it hasn't, as far as we know."""
        return any(_between(self.frontier, count, mine.bases, feed) for feed, count in mine.frontier.items())

    def less_than(self, mine: State) -> int:
        """Return how many events we have that it lacks."""
        return sum(_between(self.frontier, count, mine.bases, feed) for feed, count in mine.frontier.items())

    def more_than(self, mine: State) -> int:
        """Return how many events it has that we lack."""
        return sum(_between(mine.frontier, count, self.bases, feed) for feed, count in self.frontier.items())

    def is_ahead(self, mine: State) -> bool:
        """Whether it has what comes next here in any feed."""
        if self.have == mine.have:
            return False
        return any(self.can_give(feed, mine.frontier.get(feed, 0)) for feed in self.frontier)

    def settle(self, mine: State, now_s: float) -> None:
        """Note that neither had anything the other could take."""
        self._settled, self._settled_s = self.compared(mine), now_s

    def is_settled(self, mine: State, now_s: float) -> bool:
        """Whether that was so, and neither has changed."""
        return self._settled == self.compared(mine) and now_s - self._settled_s < SETTLED_S

    def can_give(self, feed: FeedId, have: int) -> bool:
        """Whether it has what comes next in a feed."""
        return self.frontier.get(feed, 0) > have >= self.bases.get(feed, 0)

    def counted(self, mine: State) -> tuple[int, int]:
        """Return how much both had, ever: what isn't kept shows in no digest, and has to be passed all the same."""
        return sum(mine.frontier.values()), sum(self.frontier.values())

    def compared(self, mine: State) -> tuple[str, str, str, str]:
        """Return what both have and believe: the same as long as neither changes."""
        return (mine.have, mine.believe, self.have, self.believe)


def _between(has: Mapping[FeedId, int], count: int, bases: Mapping[FeedId, int], feed: FeedId) -> int:
    """Return how many of a feed one lacks that another still keeps: what that one dropped it can't give."""
    return max(0, count - max(has.get(feed, 0), bases.get(feed, 0)))


def beginnings(peers: Iterable[Peer], mine: Mapping[FeedId, int]) -> dict[FeedId, int]:
    """Return where feeds begin of which nobody of these has what we lack before that.

    Nothing as long as one of them hasn't said what it has: it may be the one.
    """
    asked = list(peers)
    if not all(peer.is_known for peer in asked):
        return {}
    begins: dict[FeedId, int] = {}
    for peer in asked:
        for feed, base in peer.bases.items():
            have = mine.get(feed, 0)
            gives = peer.frontier.get(feed, 0) > base
            if base > have and gives and not any(other.can_give(feed, have) for other in asked):
                begins[feed] = min(base, begins.get(feed, base))
    return begins
