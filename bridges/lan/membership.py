# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boxes belong to the community, by what its boxes signed. Pure: the same statements say the same everywhere.

The first box is the root, whose id is pinned at every other. Any member adds others; any member removes
others. Of a removed box counts what the remover had of it then, and nothing else. Where two boxes remove
each other, the senior one's word stands: who is nearer to the root by who added whom, then who was added
first. A stolen box can so never put out those who let it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridges.lan.event import BoxId, FeedId, box_id, box_of

MOST_BOXES = 256


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
        """Return how much of a feed counts; None: all of it."""
        limits = self.limits.get(box_of(feed))
        return None if limits is None else limits.get(feed, 0)

    def counts(self, feed: FeedId, seq: int) -> bool:
        """Whether an event of a box that was let in counts."""
        limit = self.limit(feed)
        return limit is None or seq <= limit


def roll(root: Member, statements: Iterable[Statement]) -> Roll:
    """Return who belongs. Statements in any order; those by boxes that never belonged say nothing."""
    said = sorted(statements, key=lambda s: (s.hlc, s.feed, s.seq))
    limits: Mapping[BoxId, Mapping[FeedId, int]] = {}
    boxes: Mapping[BoxId, Member] = {root.box: root}
    for _ in range(len(said) + 1):
        boxes = _added(root, said, Roll(boxes=boxes, limits=limits))
        following = _removed(boxes, said)
        if following == limits:
            break
        limits = following
    return Roll(boxes=boxes, limits=limits)


def root_of(key: Ed25519PublicKey, name: str) -> Member:
    """Return the first box of a community."""
    return Member(box=box_id(key), key=key, name=name, depth=0, since=0)


def _added(root: Member, said: Sequence[Statement], before: Roll) -> dict[BoxId, Member]:
    """Return who was let in by members whose word counted. A box is added once, by the first who did."""
    boxes = {root.box: root}
    found = True
    while found:
        found = False
        for statement in said:
            adder = boxes.get(box_of(statement.feed))
            if adder is None or not isinstance(statement.says, Add) or len(boxes) >= MOST_BOXES:
                continue
            added = _member(statement.says, adder, statement.hlc)
            if added.box not in boxes and before.counts(statement.feed, statement.seq):
                boxes[added.box] = added
                found = True
    return boxes


def _member(says: Add, adder: Member, hlc: int) -> Member:
    key = Ed25519PublicKey.from_public_bytes(says.key)
    return Member(box=box_id(key), key=key, name=says.name, depth=adder.depth + 1, since=hlc)


def _removed(boxes: Mapping[BoxId, Member], said: Sequence[Statement]) -> dict[BoxId, dict[FeedId, int]]:
    limits: dict[BoxId, dict[FeedId, int]] = {}
    for remover in sorted(boxes.values(), key=lambda m: m.seniority):
        for statement in said:
            says = statement.says
            if box_of(statement.feed) != remover.box or not isinstance(says, Remove) or says.box not in boxes:
                continue
            own = limits.get(remover.box)
            if own is None or statement.seq <= own.get(statement.feed, 0):
                limits[says.box] = _least(limits.get(says.box), says.frontier)
    return limits


def _least(one: Mapping[FeedId, int] | None, other: Mapping[FeedId, int]) -> dict[FeedId, int]:
    """Return what both let count."""
    if one is None:
        return dict(other)
    return {feed: min(count, other[feed]) for feed, count in one.items() if feed in other}
