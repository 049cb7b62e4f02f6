# SPDX-License-Identifier: GPL-3.0-or-later
"""What this box says to another, and takes from it: until both have the same. Knows no network.

One exchange carries what each has (as a digest, or whole), and what of it the other lacks; whoever asked
goes on asking until both are equal, or neither has anything left that the other can take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bridges.lan.conduct import Asking, Conduct, Rates
from bridges.lan.event import BoxId, Event, FeedId, Malformed, box_of
from bridges.lan.held import Held, State
from bridges.lan.membership import Roll
from bridges.lan.own import Own
from bridges.lan.peer import Peer, beginnings
from bridges.lan.presence import Presence
from bridges.lan.wire import MOST_EVENTS, Offer, body_of, fitting, read
from gateway.model import Clock

ALONE_S = 10.0
"""After the start: before that, others may come who have what the first we meet has no more."""
FEW = 20
SHORT_BYTES = 16 * 1024
"""More events, or more bytes, than that are written and read beside the loop: a small computer takes 50 ms for 500."""


class Exchange:
    """This box's side of what boxes say to each other.

    `on_roll` is called when members changed, and what `watch` was given whenever there is anything new.
    """

    def __init__(
        self,
        held: Held,
        presence: Presence,
        *,
        clock: Clock,
        count: Callable[[str], None],
        port: Callable[[], int],
        start: Callable[[], int],
        alone_s: float = ALONE_S,
    ) -> None:
        """`start`: 64 random bits, for a new feed."""
        self._held = held
        self.presence = presence
        self._clock = clock
        self._count = count
        self._port = port
        self._own = Own(held, presence, clock=clock, count=count, start=start)
        self._alone_until_s = clock.monotonic() + alone_s
        self._watchers: list[Callable[[], None]] = []
        self.rates = Rates()
        self.conduct = Conduct()
        self.asking = Asking()
        self.peers: dict[BoxId, Peer] = {}
        self.lost: Counter[BoxId] = Counter()
        """Of each box, how many events no box that could be reached had any more."""
        self.on_roll: Callable[[Roll], None] = lambda _: None

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have it called whenever there is something new."""
        self._watchers.append(watcher)

    def changed(self) -> None:
        """Say that there is something new, of the log or of who is there."""
        for watcher in self._watchers:
            watcher()

    def peer(self, box: BoxId) -> Peer:
        """Return what is known of a box."""
        return self.peers.setdefault(box, Peer(box=box))

    def mine(self, peer: Peer) -> State:
        """Return what the log looks like, as we say it to a box."""
        return peer.told(self._held.state)

    def has_news_for(self, peer: Peer) -> bool:
        """Whether a box lacks what we have, and could take it."""
        mine = self.mine(peer)
        return peer.lacks(mine) and not peer.is_settled(mine, self._clock.monotonic())

    def is_behind(self) -> bool:
        """Whether a box that is there has what we lack, and it is on its way: page by page, or at a pace."""
        now_s = self._clock.monotonic()
        live = ((peer, self.mine(peer)) for peer in self.peers.values() if peer.is_live(now_s))
        return any(peer.is_ahead(mine) for peer, mine in live if not peer.is_settled(mine, now_s))

    def is_due(self, peer: Peer) -> bool:
        """Whether there is anything to tell a box at once, of the log or of who is there."""
        now_s = self._clock.monotonic()
        return self.has_news_for(peer) or self.presence.is_news_to(peer.box, peer.known, now_s)

    def lacking(self) -> int | None:
        """Return how many events other boxes that are there have and we lack; None if none of them said what it has."""
        now_s = self._clock.monotonic()
        known = [peer for peer in self.peers.values() if peer.is_known and peer.is_live(now_s)]
        return max((peer.more_than(self.mine(peer)) for peer in known), default=None)

    def hello(self) -> Offer:
        """Return what to say to a box that isn't known yet."""
        mine = self._held.state
        return Offer(feed=mine.feed, port=self._port(), have=mine.have, believe=mine.believe)

    async def offer(self, peer: Peer, *, is_asked: bool = True) -> Offer:
        """Return what to say to a box; `is_asked`: it wants to know what we have, whole."""
        now_s = self._clock.monotonic()
        mine = self.mine(peer)
        is_done = peer.is_equal(mine) or peer.is_settled(mine, now_s)
        events = await self._lacking(peer) if peer.is_known and self.has_news_for(peer) else []
        statements = [] if is_done or peer.believe == mine.believe else await self._statements(peer)
        mine = self.mine(peer)  # reading took a while
        peer.counts["events_sent"] += len(events)
        now_s = self._clock.monotonic()
        told = self.presence.told(peer.known, now_s, peer.to_answer)
        peer.was_told(told, now_s)
        return Offer(
            feed=mine.feed,
            port=self._port(),
            have=mine.have,
            believe=mine.believe,
            frontier=mine.frontier if is_asked and not is_done else None,
            bases=mine.bases if is_asked and not is_done else None,
            events=events,
            statements=statements,
            told=told,
            yours=peer.endings(mine, is_whole=(is_asked and not is_done) or peer.endings_told_to != peer.feed),
        )

    async def written(self, offer: Offer) -> bytes:
        """Return the body that says it."""
        if len(offer.events) + len(offer.statements) <= FEW:
            return body_of(offer)
        return await self._held.aside(lambda: body_of(offer))

    async def read(self, body: bytes) -> Offer:
        """Read what a box said; Malformed."""
        return read(body) if len(body) <= SHORT_BYTES else await self._held.aside(lambda: read(body))

    async def take(self, peer: Peer, offer: Offer) -> bool:
        """Take what a box said; return whether there is more to ask of it. Malformed: it lied."""
        if box_of(offer.feed) != peer.box:
            raise Malformed("it speaks for another box")
        before = self._held.state
        peer.said(offer, self._clock.monotonic())
        new = int(await self._own.compare(peer, offer.yours))
        new += await self._statements_of(peer, offer.statements) + await self._events_of(peer, offer.events)
        new += await self._skip(offer.events)
        roll = self._held.state.roll
        if roll != before.roll:
            self.on_roll(roll)
        is_news = self.presence.heard(offer.told, (m.box for m in roll.members), self._clock.monotonic(), by=peer.box)
        peer.to_answer.update(self.presence.to_answer(offer.told))
        if new or is_news:
            self.changed()
        return bool(new) or peer.has_more_to_show

    def misbehaved(self, box: BoxId, kinds: Mapping[str, int]) -> None:
        """Count what a box did, and shut it out for a while if that is too much."""
        peer = self.peer(box)
        for kind, times in kinds.items():
            peer.counts[kind] += times
            for _ in range(times):
                self._count(kind)
        if self.conduct.note(box, kinds, self._clock.monotonic()):
            peer.counts["shut_out"] += 1
            self._count("peer_shut_out")

    def unwritable(self) -> None:
        """Count that the disk refused what a box brought; it brings it again."""
        self._count("log_unwritable")

    def forget(self, roll: Roll) -> None:
        """Forget boxes that no longer belong."""
        members = [member.box for member in roll.members]
        self.presence.forget(members)
        self.rates.forget(members)
        self.asking.forget(members)
        for box in set(self.peers) - set(members):
            del self.peers[box]

    async def _lacking(self, peer: Peer) -> list[Event]:
        frontier, refused = peer.begins(self._held.state), peer.refused
        events = await self._held.read(lambda log: fitting(log.delta(frontier, limit=MOST_EVENTS, last=refused)))
        peer.was_offered(events)
        return events

    async def _statements(self, peer: Peer) -> list[Event]:
        """Return the next page of what boxes said of boxes; after the last the first again."""
        whole = await self._held.read(lambda log: log.statements())
        if peer.statements_told >= len(whole):
            peer.statements_told = 0
        page = fitting(whole[peer.statements_told :])
        peer.statements_told += len(page)
        return page

    async def _statements_of(self, peer: Peer, offered: Sequence[Event]) -> int:
        if not offered:
            return 0
        taken = await self._held.write(lambda log: log.take_statements(offered))
        self._note(peer, taken.skipped)
        return len(taken.new) + await self._own.restated(taken.new)

    async def _events_of(self, peer: Peer, offered: Sequence[Event]) -> int:
        again, offered = await self._own.reclaimed(peer, offered)
        have = self._held.state.frontier
        unknown = [event for event in offered if event.seq > have.get(event.feed, 0)]
        allowed, refused = self.rates.within(unknown, self._clock.monotonic())
        if refused:
            self._note(peer, {"event_too_fast": refused})
        if not allowed:
            return again
        taken = await self._held.write(lambda log: log.take(allowed, self._clock.now_ms()))
        self.rates.spend((*taken.new, *taken.passed), self._clock.monotonic())
        self._note(peer, taken.skipped)
        peer.counts["events_taken"] += len(taken.new)
        return again + len(taken.new) + len(taken.passed)

    async def _skip(self, offered: Sequence[Event]) -> int:
        """Go on where all who are there begin, if what comes before is kept by none of them.

        What comes next has to be on offer, signed: else one box's word would make us forget what another said.
        """
        now_s = self._clock.monotonic()
        if now_s < self._alone_until_s:
            return 0
        begins = beginnings((peer for peer in self.peers.values() if peer.is_live(now_s)), self._held.state.frontier)
        proven = {event.feed: event.seq - 1 for event in offered if self._proves(event, begins)}
        if not proven:
            return 0
        lacking = await self._held.write(lambda log: log.skip_to(proven))
        for feed, many in lacking.items():
            self.lost[box_of(feed)] += many
            self._count("log_gap_for_good")
        return len(lacking)

    def _proves(self, event: Event, begins: Mapping[FeedId, int]) -> bool:
        author = self._held.state.roll.boxes.get(event.box)
        return begins.get(event.feed) == event.seq - 1 and author is not None and event.is_by(author.key)

    def _note(self, peer: Peer, kinds: Mapping[str, int]) -> None:
        self.misbehaved(peer.box, {kind: times for kind, times in kinds.items() if kind != "event_known"})
