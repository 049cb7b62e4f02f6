# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boxes belong to the community, by what its boxes signed. Pure: the same statements say the same everywhere.

The first box is the root, whose id is pinned at every other. Any member adds others; any member removes
others. Of a removed box counts what the remover had of it then, and nothing else. Seniority is who is nearer
to the root by who added whom, then who was added first.

Statements are read from the senior ones down, so what a box states is judged by the words of its seniors alone: no
junior can make what let it in uncounted. Where two boxes remove each other the senior one's word stands, whatever it
had heard before: a stolen box never puts out for good those who let it in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridges.lan.event import BoxId, FeedId, box_id, box_of

MOST_BOXES = 256
"""Who belong at once. Beyond it those whom the junior ones let in stay out."""
MOST_STATED = 512
"""Statements of one box that are believed: as many as let everybody in, and put everybody out."""
MOST_STATEMENTS = 4096
"""Of all; beyond it those of the junior boxes go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """A box was let in."""

    key: bytes
    """Its public key, 32 bytes."""
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """A box was put out; of each of its feeds so much counts, of others nothing."""

    box: BoxId
    frontier: Mapping[FeedId, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Where in the log one of them stands."""

    feed: FeedId
    seq: int
    hlc: int
    says: Add | Remove


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A box that belongs, or belonged."""

    box: BoxId
    key: Ed25519PublicKey
    name: str
    depth: int
    """Steps from the root by who added whom."""
    since: int
    """`hlc` of the statement that added it."""
    by: BoxId | None = None
    """Who let it in; None: it is the root."""

    @property
    def seniority(self) -> tuple[int, int, str]:
        """Sorts the senior ones first."""
        return (self.depth, self.since, self.box)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """Everyone who was ever let in, and what is left of those who were put out."""

    boxes: Mapping[BoxId, Member]
    limits: Mapping[BoxId, Mapping[FeedId, int]]
    """Of those who were put out: how much of each feed counts."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Those who belong now, senior ones first."""
        return tuple(sorted((m for m in self.boxes.values() if m.box not in self.limits), key=lambda m: m.seniority))

    def is_member(self, box: BoxId) -> bool:
        """Whether a box belongs now."""
        return box in self.boxes and box not in self.limits

    def limit(self, feed: FeedId) -> int | None:
        """Return how much of a feed counts; None: all of it. Nothing of a box that nobody let in whose word counts."""
        if box_of(feed) not in self.boxes:
            return 0
        limits = self.limits.get(box_of(feed))
        return None if limits is None else limits.get(feed, 0)

    def counts(self, feed: FeedId, seq: int) -> bool:
        """Whether an event of a box that was let in counts."""
        limit = self.limit(feed)
        return limit is None or seq <= limit


def roll(root: Member, statements: Iterable[Statement]) -> Roll:
    """Return who belongs. Statements in any order; those by boxes that never belonged say nothing."""
    return _Reading(root, statements).roll


def believed(known: Roll, statements: Iterable[Statement]) -> list[Statement]:
    """Return those of statements that are kept: of each box so many, and of the senior boxes first."""
    by_box = _by_box(statements)
    senior_first = sorted(known.boxes.values(), key=lambda member: member.seniority)
    kept = (s for member in senior_first for s in _in_feed_order(by_box[member.box])[:MOST_STATED])
    return [statement for statement, _ in zip(kept, range(MOST_STATEMENTS), strict=False)]


def root_of(key: Ed25519PublicKey, name: str) -> Member:
    """Return the first box of a community."""
    return Member(box=box_id(key), key=key, name=name, depth=0, since=0)


class _Reading:
    """Reads statements, level by level from the root: a level are the boxes equally far from it."""

    def __init__(self, root: Member, statements: Iterable[Statement]) -> None:
        self._by_box = _by_box(statements)
        self._boxes = {root.box: root}
        self._limits: dict[BoxId, Mapping[FeedId, int]] = {}
        self._read: set[BoxId] = set()
        self._upward: list[tuple[BoxId, Remove]] = []
        level = [root]
        while level:
            level = self._next_level(level)
        self._put_seniors_out()
        limits = {box: limits for box, limits in self._limits.items() if box in self._boxes}
        self.roll = Roll(boxes=self._boxes, limits=limits)

    def _next_level(self, level: Sequence[Member]) -> list[Member]:
        """Read what a level states; return those whom it let in, senior ones first."""
        found: dict[BoxId, Member] = {}
        for author in level:
            for added in self._stated_by(author):
                before = found.get(added.box)
                if added.box not in self._boxes and (before is None or added.since < before.since):
                    found[added.box] = added
            self._read.add(author.box)
        free = MOST_BOXES - sum(box not in self._limits for box in self._boxes)
        # Who is kept out may not depend on what was heard first: that differs from box to box.
        order = {author.box: number for number, author in enumerate(level)}
        for added in sorted(found.values(), key=lambda one: (order[one.by or one.box], one.seniority)):
            free -= added.box not in self._limits
            if free >= 0:
                self._boxes[added.box] = added
        return sorted((one for one in found.values() if one.box in self._boxes), key=lambda one: one.seniority)

    def _stated_by(self, author: Member) -> Iterator[Member]:
        """Note whom a box put out; yield whom it let in."""
        limit = self._limits.get(author.box)
        for statement in self._by_box[author.box]:
            if limit is not None and statement.seq > limit.get(statement.feed, 0):
                continue
            match statement.says:
                case Add() as says:
                    yield _member(says, author, statement.hlc)
                case Remove(box=box) as says if box in self._read:
                    self._upward.append((author.box, says))
                case Remove(box=box, frontier=frontier) if box != author.box:
                    self._limits[box] = _least(self._limits.get(box), frontier)

    def _put_seniors_out(self) -> None:
        """Let juniors' removals of seniors count, unless a senior put the junior out."""
        put_out = frozenset(self._limits)
        for author, says in self._upward:
            if author not in put_out:
                self._limits[says.box] = _least(self._limits.get(says.box), says.frontier)


def _by_box(statements: Iterable[Statement]) -> defaultdict[BoxId, list[Statement]]:
    by_box: defaultdict[BoxId, list[Statement]] = defaultdict(list)
    for statement in statements:
        by_box[box_of(statement.feed)].append(statement)
    return by_box


def _in_feed_order(statements: Iterable[Statement]) -> list[Statement]:
    return sorted(statements, key=lambda s: (s.feed, s.seq))


def _member(says: Add, adder: Member, hlc: int) -> Member:
    box, key = _named(says.key)
    return Member(box=box, key=key, name=says.name, depth=adder.depth + 1, since=hlc, by=adder.box)


@lru_cache(maxsize=2 * MOST_STATEMENTS)
def _named(raw: bytes) -> tuple[BoxId, Ed25519PublicKey]:
    key = Ed25519PublicKey.from_public_bytes(raw)
    return box_id(key), key


def _least(one: Mapping[FeedId, int] | None, other: Mapping[FeedId, int]) -> dict[FeedId, int]:
    """Return what both let count."""
    if one is None:
        return dict(other)
    return {feed: min(count, other[feed]) for feed, count in one.items() if feed in other}
