# SPDX-License-Identifier: GPL-3.0-or-later
"""What other boxes have of this box's own feeds: where that isn't what stands here, it was put back, or runs twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from bridges.lan.event import Event, FeedId, box_of
from bridges.lan.held import Held
from bridges.lan.peer import Peer
from bridges.lan.presence import Presence
from bridges.lan.wire import Ending
from gateway.model import Clock


class Own:
    """Compares our own feeds with what boxes say and show of them."""

    def __init__(
        self, held: Held, presence: Presence, *, clock: Clock, count: Callable[[str], None], start: Callable[[], int]
    ) -> None:
        """`start`: 64 random bits, for a new feed."""
        self._held = held
        self._presence = presence
        self._clock = clock
        self._count = count
        self._start = start

    async def compare(self, peer: Peer, yours: Mapping[FeedId, Ending]) -> bool:
        """Doubt what of our own feeds ends otherwise at a box; it has to show that, signed, before anything is done.

        Where it keeps nothing of it that it could show, its word is enough, now and then: return whether it was.
        """
        mine = self._held.state
        own = {feed: each for feed, each in yours.items() if box_of(feed) == box_of(mine.feed)}
        looked_at = {feed: each for feed, each in own.items() if mine.heads.get(feed) != each.head}
        differing: list[FeedId] = []
        if looked_at:
            differing = await self._held.read(
                lambda log: [feed for feed, at in looked_at.items() if log.ends_otherwise(feed, at.count, at.head)]
            )
        for feed in filter(peer.can_show, differing):
            peer.doubt(feed, looked_at[feed].head)
        gone = {feed for feed in differing if not peer.can_show(feed)}
        gone |= {mine.feed} if peer.has_had_more(mine) else set()
        if not peer.takes_word(gone, self._clock.monotonic()):
            return False
        now_ms = self._clock.now_ms()
        await self._held.write(lambda log: log.leave(gone, now_ms, start=self._start))
        self._begun()
        return True

    async def restated(self, new: Iterable[Event]) -> int:
        """Say again what we said of boxes, if any of it is new to us, in feeds that we left; return how much."""
        me, now_ms = box_of(self._held.state.feed), self._clock.now_ms()
        if all(event.box != me for event in new):
            return 0
        return await self._held.write(lambda log: log.restate(now_ms))

    async def reclaimed(self, peer: Peer, offered: Sequence[Event]) -> tuple[int, Sequence[Event]]:
        """Look at what of ours a box brings; return how much we said again, and what is to be taken."""
        me = box_of(self._held.state.feed)
        own = [event for event in offered if event.box == me]
        if not own:
            return 0, offered
        now_ms, start, bases = self._clock.now_ms(), self._start, dict(peer.bases)
        found = await self._held.write(lambda log: log.reclaim(own, bases, now_ms, start=start))
        left = {(event.feed, event.seq) for event in found.left}
        peer.showed((event for event in own if (event.feed, event.seq) not in left), self._held.state)
        for feed, why in found.doubted.items():
            peer.doubt(feed, why)
        if found.is_begun:
            self._begun()
        return len(found.again) + found.is_begun, [*(e for e in offered if e.box != me), *found.left]

    def _begun(self) -> None:
        self._count("feed_begun_anew")
        self._presence.restart(self._held.state.feed)
