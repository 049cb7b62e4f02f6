# SPDX-License-Identifier: GPL-3.0-or-later
"""The log every box has whole: a set of events that only grows, so that any two boxes that talk become equal.

Merging is taking in what one lacks; it does not matter in what order, how often, or over whom it came.
Time is an argument; what is on disk is the store's.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.lan.batch import EMPTY, Batch
from bridges.lan.believing import Belief, learn, within
from bridges.lan.event import BoxId, Event, FeedId, box_id, box_of, feed_id, written
from bridges.lan.feeds import Feeds, Frontier
from bridges.lan.hlc import HybridClock
from bridges.lan.membership import Add, Member, Remove, Roll, Statement, roll
from bridges.lan.reclaiming import Reclaimed, compared, moved_to, parted_after
from bridges.lan.statements import MOST_LIMITS, body_of, statement_of
from bridges.lan.store import Arrived, Feed, Store
from gateway.model import NEVER_SET_MS

_Statements = dict[tuple[FeedId, int], Statement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of events that were offered."""

    new: tuple[Event, ...] = ()
    passed: tuple[Event, ...] = ()
    """Of feeds that were forgotten: not kept, but what follows on them is."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """By kind: ``event_known``, ``event_gap`` (what comes before it is missing), ``event_alien`` (no member's),
    ``event_forged``, ``event_of_removed_box``, ``feed_forked`` (its feed was written two ways), ``feeds_full``,
    ``event_too_old`` (these were passed)."""


class Log:
    """One box's copy. `start`: 64 random bits, new at every start: it begins a new feed."""

    def __init__(self, store: Store, key: Ed25519PrivateKey, root: Member, *, start: int) -> None:
        self._store = store
        self._key = key
        self._root = root
        self.feed = feed_id(box_id(key.public_key()), start)
        """What this box writes into."""
        self._feeds = Feeds(store)
        self._closed: set[FeedId] = set()
        """Feeds of ours that were written two ways: nothing is taken into them in this start."""
        self._statements: _Statements = {}
        for statement in filter(None, map(statement_of, store.statements())):
            self._statements[statement.feed, statement.seq] = statement
        self._digested: _Statements | None = None
        """Of which statements `_digest` was reckoned."""
        self._digest = ""
        # Others' stamps only as far as `saw` believes them.
        self._clock = HybridClock(store.latest_hlc(box_of(self.feed)))
        self.roll: Roll = roll(root, self._statements.values())
        """Who belongs, by all that is in it."""

    # What there is.

    def frontier(self) -> dict[FeedId, int]:
        """Return how much there is of each feed."""
        return self._feeds.frontier()

    def bases(self) -> dict[FeedId, int]:
        """Return of which feeds the beginning is no longer kept, and up to where."""
        return self._feeds.bases()

    def heads(self) -> dict[FeedId, bytes]:
        """Return the hash of the last event of each feed, where it is known."""
        return self._feeds.heads()

    def ends_otherwise(self, feed: FeedId, count: int, head: bytes) -> bool:
        """Whether another event stands, or stood, here under this number of a feed than the one with that hash."""
        if count == self._feeds.get(feed, EMPTY).count:
            here = self._feeds.get(feed, EMPTY).head
        elif (event := self._store.event(feed, count)) is not None:
            here = event.hash
        else:
            follows = self._store.event(feed, count + 1)
            here = b"" if follows is None else follows.previous
        return here not in {b"", head}

    def knows(self, native: str) -> bool:
        """Whether any box logged what the world calls so."""
        return self._store.knows(native)

    def logged_by(self, native: str) -> BoxId | None:
        """Return which box logged first here what the world calls so."""
        return self._store.logged_by(native)

    def news(self, after: int, limit: int = 64) -> list[Arrived]:
        """Return what is news to this box, in the order it came."""
        return self._store.news(after, limit)

    def has_news(self, after: int) -> bool:
        """Whether there is news after an arrival."""
        return self._store.has_news(after)

    def named_from(self, prefix: str) -> list[Arrived]:
        """Return every event whose native id begins so (with a colon at its end), in the order they came."""
        return self._store.named_from(prefix)

    @property
    def last_arrival(self) -> int:
        """The latest arrival there ever was here."""
        return self._store.last_arrival()

    def delta(self, frontier: Frontier, *, limit: int = 500, last: Collection[FeedId] = ()) -> list[Event]:
        """Return what somebody with that frontier lacks, at most `limit`: what was said first, but each feed in order.

        Not feed by feed: a box writes another one after each start, and a person may be heard by several boxes.
        `last`: feeds of which they take nothing for now; else those, being old, would fill every page.
        """
        return self._feeds.delta(frontier, limit=limit, last=last)

    def statements(self) -> list[Event]:
        """Return all that boxes said of boxes: offered whole, for a new box must believe them before all else."""
        return self._store.statements()

    @property
    def statements_digest(self) -> str:
        """The same at two boxes that believe the same of boxes: then neither need offer its statements."""
        if self._digested != self._statements:  # it is asked for after every write, and few say anything of boxes
            said = {f"{box_of(each.feed)} {each.hlc} {body_of(each.says)}\n" for each in self._statements.values()}
            told = "".join(sorted(said))  # by what it says: it may stand in a second feed, too
            self._digest, self._digested = hashlib.sha256(told.encode()).hexdigest()[:32], dict(self._statements)
        return self._digest

    # What comes in.

    def append(self, native: str, body: str, now_ms: int) -> Event | None:
        """Write an event of our own, durably; None if any box logged its native id already."""
        if native and self._store.knows(native):
            return None
        return self._write(native, body, self._clock.next(now_ms), now_ms)

    def state(self, says: Add | Remove, now_ms: int) -> None:
        """Say something of membership; it holds here at once."""
        self.append("", body_of(says), now_ms)

    def reclaim(self, offered: Iterable[Event], bases: Frontier, now_ms: int, *, start: Callable[[], int]) -> Reclaimed:
        """Look at what another has of our own; what of it stands otherwise here is said again in a new feed.

        It was signed by us, so this box was put back while it ran, or runs twice. `bases`: of what the other has;
        `start`: 64 random bits.
        """
        before = self.feed
        found = Reclaimed(left=[], again=[], doubted={})
        for event in sorted(offered, key=lambda event: (event.feed, event.seq)):
            if self.roll.is_member(event.box) and event.is_by(self._key.public_key()):
                self._look_at_own(event, bases.get(event.feed, 0), found, now_ms, start)
            else:
                found.left.append(event)
        return replace(found, is_begun=self.feed != before)

    def leave(self, feeds: Iterable[FeedId], now_ms: int, *, start: Callable[[], int]) -> None:
        """Write into a new feed from now on, and have what is kept of these there: others had them otherwise."""
        for feed in sorted(feeds):
            self._split(feed, self._feeds.get(feed, EMPTY).base, start())
            self._close(feed, start)
        self.restate(now_ms)

    def restate(self, now_ms: int) -> int:
        """Say again what this box said of boxes in feeds that it left; return how many that were.

        Where something else stands in its place it isn't believed; a box that dropped both can show neither.
        """
        own = [event for event in self._store.statements() if event.box == box_of(self.feed)]
        stands = {(event.hlc, event.body) for event in own if event.feed not in self._closed}
        left = {(event.hlc, event.body) for event in own} - stands if self.roll.is_member(box_of(self.feed)) else set()
        for hlc, body in sorted(left):
            self._write("", body, hlc, now_ms)
        return len(left)

    def without(self, box: BoxId) -> dict[FeedId, int]:
        """Return what of a box's feeds is here: what will count of it once it is removed.

        Of more than a statement holds the latest, after those in which it let others in: a box that starts so
        often wrote little into each.
        """
        stating = (feed for feed, _ in self._statements if box_of(feed) == box and feed in self._feeds)
        named = dict.fromkeys((*stating, *self._store.latest_of(box, MOST_LIMITS)))
        return {name: self._feeds[name].count for name in itertools.islice(named, MOST_LIMITS)}

    def take(self, offered: Iterable[Event], now_ms: int) -> Taken:
        """Take in what is new of these; it is durable when this returns."""
        batch = self._batch()
        waiting = sorted(offered, key=lambda event: (event.feed, event.seq))
        while waiting:
            # Who let a box in may stand in the same batch, after what that box says.
            alien = [event for event in waiting if not batch.offer(event)]
            if not batch.reads_of_boxes():
                batch.skipped["event_alien"] += len(alien)
                break
            waiting = alien
        if batch.heads:
            self._commit(batch, now_ms)
        return Taken(new=tuple(batch.staged), passed=tuple(batch.passed), skipped=+batch.skipped)

    def take_statements(self, offered: Iterable[Event]) -> Taken:
        """Take in what boxes said of boxes, however much of their feeds is here; it is durable when this returns."""
        belief = Belief(statements=self._statements, roll=self.roll)
        learned = learn(offered, belief, self._root, is_rewritten=self._is_rewritten)
        if learned.new:
            with self._store.writing():
                self._keep_statements(learned.new, learned.belief.statements)
            self._statements, self.roll = learned.belief.statements, learned.belief.roll
            self._cut()
        return Taken(new=learned.new, skipped=learned.skipped)

    def skip_to(self, bases: Frontier) -> dict[FeedId, int]:
        """Go on where others begin: what comes before is kept by nobody. Return how many each feed lacks for good.

        To be called only when nobody who can be reached has them.
        """
        members = {name: base for name, base in bases.items() if box_of(name) in self.roll.boxes}
        return self._feeds.skip_to({name: base for name, base in members.items() if not self._is_written(name)})

    def date(self, now_ms: int) -> None:
        """Take what was stored while this box had no clock for stored now: else it would be too old at once."""
        if now_ms >= NEVER_SET_MS:
            with self._store.writing():
                self._store.date(before_ms=NEVER_SET_MS, as_of_ms=now_ms)

    def retain(self, since_ms: int) -> int:
        """Drop what was stored before that time, but for what boxes said of boxes. Return how many."""
        return self._feeds.drop(self._store.old_up_to(since_ms))

    def retain_most(self, most: int, most_bytes: int) -> int:
        """Drop the oldest, so that no more than so many stay, and about so many bytes; as `retain`."""
        count, size = self._store.size()
        return self._feeds.drop(self._store.beyond(min(most, count * most_bytes // max(size, most_bytes))))

    def compact(self, now_ms: int) -> int:
        """Forget feeds of which nothing has been here for long: a box begins one at every start. Return how many.

        A peer that comes back after longer may offer them again. What is older than what is remembered of their box
        is passed, not kept: a box that ran on without a word goes on after that, and nobody can tell before it does.
        Nobody's clock is asked: one that is wrong would keep nothing of all that others begin.
        """
        return self._feeds.compact(now_ms, but=self.feed)

    def _write(self, native: str, body: str, hlc: int, now_ms: int) -> Event:
        batch = self._batch()
        mine = batch.feed(self.feed)
        event = written(
            self._key, feed=self.feed, seq=mine.count + 1, hlc=hlc, previous=mine.head, native=native, body=body
        )
        batch.stage(event)
        batch.reads_of_boxes()
        self._commit(batch, now_ms)
        return event

    def _look_at_own(self, event: Event, begins: int, found: Reclaimed, now_ms: int, start: Callable[[], int]) -> None:
        have = self._feeds.get(event.feed, EMPTY)
        if event.seq <= have.count and not self.ends_otherwise(event.feed, event.seq, event.hash):
            return
        before, is_written = self._store.event(event.feed, event.seq - 1), self._is_written(event.feed)
        seen = compared(event, have, before, begins, is_written=is_written)
        if seen.parts_after is not None:
            self._split(event.feed, seen.parts_after, start(), since=seen.since)
        if seen.is_doubted:
            found.doubted[event.feed] = event.hash
        self._close(event.feed, start)
        if event.feed not in self._closed:
            if seen.fits:
                found.left.append(event)
        elif not self._store.knows(event.native) and not self._store.is_elsewhere(event):
            found.again.append(self._write(event.native, event.body, event.hlc, now_ms))

    def _close(self, feed: FeedId, start: Callable[[], int]) -> None:
        if feed == self.feed:
            self._closed.add(feed)
            self.feed = feed_id(box_of(feed), start())

    def _is_written(self, feed: FeedId) -> bool:
        """Whether this start wrote into it."""
        return feed == self.feed or feed in self._closed

    def _split(self, feed: FeedId, after: int, start: int, *, since: int = 0) -> None:
        """Have what comes after that in one of our feeds stand in a new one, into which this box writes from now on.

        What was said before `since` goes: nobody else kept it.
        """
        tail = list(self._store.run(feed, after))
        if not tail:
            return
        # What people read moves even if it stands elsewhere, too: it keeps its place among what they have read.
        stays = (e for e in tail if e.hlc >= since and (e.native or not self._store.is_elsewhere(e)))
        moved = moved_to(feed_id(box_of(feed), start), self._key, stays)
        parted = parted_after(after, self._feeds[feed], tail, moved, self._statements)
        with self._store.writing():
            for old, event in moved.pairs:
                self._store.move(old, event)
            self._store.drop_above(feed, after)
            self._keep_statements((event for _, event in moved.pairs), parted.statements)
            self._store.keep_feeds(parted.feeds)
        self._feeds.keep(parted.feeds)
        self._statements, self.roll = parted.statements, roll(self._root, parted.statements.values())
        self._closed.add(feed)
        self.feed = feed_id(box_of(feed), start)

    def _batch(self) -> Batch:
        return Batch(self._store, self._root, self._feeds, self._statements, self.roll, forgotten=self._feeds.forgotten)

    def _commit(self, batch: Batch, now_ms: int) -> None:
        batch.staged.sort(key=lambda event: (event.hlc, event.feed, event.seq))
        belief = within(batch.statements, batch.roll, self._root)
        with self._store.writing():
            for event in in_feed_order(batch.staged):
                self._store.add(event, now_ms)
            self._keep_statements((*batch.staged, *batch.passed), belief.statements)
            self._store.keep_feeds(batch.heads)
        for event in batch.staged:
            self._clock.saw(event.hlc, now_ms)
        self._feeds.keep(batch.heads)
        self._statements, self.roll = belief.statements, belief.roll
        self._cut()

    def _keep_statements(self, new: Iterable[Event], statements: _Statements) -> None:
        for event in new:
            if (event.feed, event.seq) in statements:
                self._store.keep_statement(event)
        self._store.drop_statements(self._statements.keys() - statements.keys())

    def _is_rewritten(self, event: Event) -> bool:
        """Whether something else stands in its place: what is kept of its feed was looked through for statements.

        What came before that is believed of boxes that belong: it may be that this one never had it.
        """
        have = self._feeds.get(event.feed, EMPTY)
        return event.seq <= have.count and (event.seq > have.base or event.box in self.roll.limits)

    def _cut(self) -> None:
        """Forget what doesn't count of boxes that were put out, or let in by them, so that it is offered to nobody.

        What is our own stays: where a senior box overrules the removal the others have it back from here.
        """
        shorter = {}
        for name, feed in self._feeds.items():
            limit = self.roll.limit(name)
            if limit is not None and feed.count > limit and box_of(name) != box_of(self.feed):
                last = self._store.event(name, limit)
                head = last.hash if last else EMPTY.head if limit == 0 else b""
                shorter[name] = Feed(base=min(feed.base, limit), count=limit, head=head)
        self._feeds.shorten(shorter)
        self._feeds.remove(name for name, feed in shorter.items() if not feed.count)


def in_feed_order(events: Sequence[Event]) -> list[Event]:
    """Return events as they come, but each feed's in its own order: a box with a bad clock stamps backwards."""
    queues: dict[FeedId, list[Event]] = {}
    for event in sorted(events, key=lambda event: (event.feed, event.seq), reverse=True):
        queues.setdefault(event.feed, []).append(event)
    return [queues[event.feed].pop() for event in events]
