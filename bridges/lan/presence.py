# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boxes are there just now, and what they serve: volatile, passed on from box to box. Pure; time is monotonic.

Each box counts up a beat whenever it speaks to another; only a higher beat says that it was heard again, so
boxes that tell each other of a dead one do not keep it alive. A box's word about others is believed as its
events are: it is a member. What a box says of itself counts more, as long as it says so itself; of boxes further
away a bad one can say that they are gone, or there: others then wait for their turn, or say a line twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bridges.lan.event import BoxId, FeedId, box_of

LIVE_S = 30.0
"""A box that wasn't heard for so long is taken for gone."""
FORGOTTEN_S = 24 * 3600.0
MOST_SERVED = 128
MOST_SERVED_BYTES = 320
"""A Matrix room's id has up to 255; a channel's name, its radio's preset and hash come to less."""
MOST_ADDRESSES = 8
MOST_TOLD = 256
MOST_LATE = 1_000
"""Beats by which a box's own word may come too late; one further back shows that another counted in its name."""
MOST_DETAIL_BYTES = 64 * 1024
"""So much detail is told at once; the rest with the next exchange."""
FRESHER_S = 2.0
"""Of a third box is told what is so much later than what the other end has: among boxes that all hear each other
that is little, and where one stands between the others all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What a box says of itself."""

    name: str = ""
    serving: frozenset[str] = frozenset()
    """Common names: see `gateway.model.chorus`."""
    addresses: tuple[str, ...] = ()
    """``host:port`` where others reach it; the last that worked first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one box tells another of a third, or of itself."""

    feed: FeedId
    """The box and its start."""
    beat: int
    since: int
    """The beat from which on `detail` holds."""
    age_ms: int
    """How long ago it was heard."""
    detail: Detail | None = None
    """None: as the other end has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a box."""

    feed: FeedId
    beat: int
    since: int
    heard_s: float
    detail: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What another box has shown, or was told, to know of a third, or of us."""

    since: int = 0
    """The beat from which on the detail it has holds; 0: it has none."""
    heard_s: float = float("-inf")
    """When it heard that one last."""
    noted_s: float = float("-inf")
    """When that was; for whoever keeps it."""


NOTHING = Shown()


class Presence:
    """Who is there, as one box knows it."""

    def __init__(self, me: FeedId, detail: Detail) -> None:
        self._me = me
        self._beat = self._since = 1
        self.own = detail
        self._seen: dict[BoxId, Seen] = {}
        self._direct_s: dict[BoxId, float] = {}
        """When a box last spoke of itself, itself."""

    def become(self, detail: Detail) -> bool:
        """Say this of ourselves from now on; return whether that is something else than before."""
        if detail == self.own:
            return False
        self._beat += 1
        self._since = self._beat
        self.own = detail
        return True

    def restart(self, me: FeedId) -> None:
        """Go on as another start of this box."""
        self._me = me

    def told(self, known: Mapping[FeedId, Shown], now_s: float, answer: Iterable[FeedId] = ()) -> list[Told]:
        """Return what to tell a box that has shown to know this much; a beat of our own.

        `answer`: of whom it told us, and waits to hear whether we have the detail.
        """
        self._beat += 1
        answered = frozenset(answer)
        own = Told(feed=self._me, beat=self._beat, since=self._since, age_ms=0, detail=self.own)
        others = (
            Told(feed=s.feed, beat=s.beat, since=s.since, age_ms=_ms(now_s - s.heard_s), detail=s.detail)
            for s in self._seen.values()
            if s.feed in answered or (now_s - s.heard_s < LIVE_S and _is_worth(s, known.get(s.feed, NOTHING)))
        )
        room = MOST_DETAIL_BYTES
        found: list[Told] = []
        for each in (own, *others):
            size = 0 if _has_detail(known, each.feed, each.since) else _size(each.detail)
            room -= size
            found.append(each if size and room >= 0 else replace(each, detail=None))
        lacking = (Told(feed=feed, beat=0, since=0, age_ms=0) for feed in answered if not self.has(feed))
        return [*found, *lacking][:MOST_TOLD]

    def has(self, feed: FeedId, since: int = 1) -> bool:
        """Whether the detail of a box is known that holds from this beat on."""
        seen = self._seen.get(box_of(feed))
        return seen is not None and seen.feed == feed and seen.since >= since

    def to_answer(self, told: Iterable[Told]) -> list[FeedId]:
        """Return of which of these whoever told them wants to hear: we have the detail now, or still lack it."""
        others = (each for each in told if box_of(each.feed) != box_of(self._me))
        return [each.feed for each in others if (each.detail is not None) == self.has(each.feed, each.since)]

    def is_news_to(self, box: BoxId, known: Mapping[FeedId, Shown], now_s: float) -> bool:
        """Whether a box that has shown to know this much lacks a detail that we have."""
        if not _has_detail(known, self._me, self._since):
            return True
        there = (seen for other, seen in self._seen.items() if other != box and now_s - seen.heard_s < LIVE_S)
        return not all(_has_detail(known, seen.feed, seen.since) for seen in there)

    def heard(self, told: Iterable[Told], members: Iterable[BoxId], now_s: float, *, by: BoxId | None = None) -> bool:
        """Note what a box told; return whether anything but the time changed. Of strangers nothing is noted."""
        belonging = frozenset(members) - {box_of(self._me)}
        changed = [self._note(each, now_s, by) for each in told if box_of(each.feed) in belonging]
        return any(changed)

    def live(self, now_s: float) -> dict[BoxId, frozenset[str]]:
        """Return the boxes that are there, this one with them, and what each serves."""
        there = {box: s.detail.serving for box, s in self._seen.items() if now_s - s.heard_s < LIVE_S}
        return there | {box_of(self._me): self.own.serving}

    def seen(self, now_s: float) -> dict[BoxId, Seen]:
        """Return what is known of others, those who are gone for less than a day with them."""
        self._seen = {box: s for box, s in self._seen.items() if now_s - s.heard_s < FORGOTTEN_S}
        return dict(self._seen)

    def forget(self, members: Iterable[BoxId]) -> None:
        """Forget all but these."""
        belonging = frozenset(members)
        self._seen = {box: seen for box, seen in self._seen.items() if box in belonging}
        self._direct_s = {box: at_s for box, at_s in self._direct_s.items() if box in belonging}

    def _note(self, told: Told, now_s: float, by: BoxId | None) -> bool:
        box = box_of(told.feed)
        have = self._seen.get(box)
        if by == box:
            self._direct_s[box] = now_s
            if have is not None and have.feed == told.feed and have.beat - told.beat > MOST_LATE:
                del self._seen[box]  # somebody else counted on, not the box; what holds is told anew
                have = None
        elif now_s - self._direct_s.get(box, float("-inf")) < LIVE_S:
            return False
        heard_s = now_s - told.age_ms / 1000
        is_same = have is not None and have.feed == told.feed
        if have is not None and (told.beat <= have.beat if is_same else heard_s <= have.heard_s):
            return False
        if have is not None and is_same and told.since <= have.since:
            self._seen[box] = replace(have, beat=told.beat, heard_s=max(heard_s, have.heard_s))
            return now_s - have.heard_s >= LIVE_S  # it is back
        if told.detail is None:
            return False  # it will come: what we know of it is told with every answer
        detail = told.detail
        self._seen[box] = Seen(feed=told.feed, beat=told.beat, since=told.since, heard_s=heard_s, detail=detail)
        return True


def _has_detail(known: Mapping[FeedId, Shown], feed: FeedId, since: int) -> bool:
    return known.get(feed, NOTHING).since >= since


def _is_worth(seen: Seen, shown: Shown) -> bool:
    return shown.since < seen.since or seen.heard_s - shown.heard_s > FRESHER_S


def _ms(seconds: float) -> int:
    return max(0, int(seconds * 1000))


def _size(detail: Detail | None) -> int:
    """Return about how many bytes it takes; its own box's, at most 41 KiB of names and what JSON makes of them."""
    words = () if detail is None else (detail.name, *detail.serving, *detail.addresses)
    return 16 + sum(len(word.encode()) + 4 for word in words)
