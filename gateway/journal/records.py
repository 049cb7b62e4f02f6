# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the journal and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.model import Address, BridgeName, Delivery, DeliveryId, Message, MessageId, RemoteId, State

DAY_S = 24 * 60 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long and how much is kept of what is done with. Nothing that still has to leave is ever dropped."""

    age_s: int = 7 * DAY_S
    rows: int = 200_000
    """Messages. Twice as many, and nothing of it may go: the journal is full."""
    size_bytes: int = 256 * 1024 * 1024
    """In use in the database file. Twice as much is the hard limit here too."""
    min_age_s: int = DAY_S
    """A message's id is known at least so long, unless a hard limit is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The message is on the disk under this sequence."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The message was known already. `cancelled`: its deliveries to `origin`, where this copy came from."""

    seq: int
    origin: Address
    cancelled: tuple[DeliveryId, ...] = ()

    def by_bridge(self) -> Mapping[BridgeName, tuple[DeliveryId, ...]]:
        """Return what was cancelled, by the bridge it was bound for."""
        return {self.origin.bridge: self.cancelled} if self.cancelled else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A delivery's new state."""

    id: DeliveryId
    state: State
    at_ms: int
    reason: str = ""
    remote_id: RemoteId | None = None
    """What the network calls it there: becomes a counterpart."""
    generation: int | None = None
    """None: as it was."""
    only_from: State | frozenset[State] | None = None
    """Ignore this change unless the delivery is in that state now, or in one of those."""
    also: MessageId | None = None
    """What its message is called by whoever hears this delivery: an alias, stored whatever state it is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a delivery is, in short."""

    to: Address
    state: State
    remote_id: RemoteId | None
    generation: int
    tried_ms: int | None = None
    """Since when a network may have it: its first try, or earlier where its history is too long to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """One line of a delivery's history."""

    at_ms: int
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """What became of one part of a message for one address."""

    id: DeliveryId
    to: Address
    part: int
    parts: int
    state: State
    reason: str
    changed_ms: int
    remote_id: RemoteId | None
    history: tuple[StateChange, ...]
    """Oldest first; of very many, the first and the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """A message and what became of it."""

    message: Message
    seq: int
    deliveries: tuple[DeliveryRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Which messages: those for which all of this is so."""

    address: Address | None = None
    """They came from there or were bound for there."""
    state: State | None = None
    """Some delivery of theirs is in it."""
    since_ms: int | None = None
    """They were received then or later. Like `until_ms` it goes by the order of acceptance."""
    until_ms: int | None = None
    """They were received then or before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecords:
    """Some messages, in ascending order. `following`: the sequence to go on from; None: that was all."""

    messages: tuple[MessageRecord, ...]
    following: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One delivery with its message. `delivery`: as it would be sent again; None: that is no longer kept."""

    message: Message
    seq: int
    record: DeliveryRecord
    delivery: Delivery | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that failed for good."""

    id: DeliveryId
    message: Message
    seq: int
    """Its message's."""
    to: Address
    part: int
    parts: int
    reason: str
    changed_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """Which dead letters: those for which all of this is so."""

    destination: BridgeName | None = None
    reason: str = ""
    """Words that are in their reason, in whatever case."""
    upto: int | None = None
    """They were accepted up to this sequence, and not sent again by hand after it. No time: clocks are set."""
    ids: frozenset[DeliveryId] = frozenset()
    """They are among these; empty: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """Some dead letters. `following`: the sequence to go on from; None: that was all."""

    letters: tuple[DeadLetter, ...]
    following: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What still has to leave, of everything up to and including sequence `upto`."""

    upto: int
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How many wait, by conversation and age."""

    counts: Mapping[str, tuple[int, ...]]
    """Conversation (empty where they are counted together) → how many in each column."""
    complete: bool
    """False: there are more, and younger ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a message that a remote id stands for came from."""

    message_id: MessageId
    origin: Address
    direct: bool
    sender_name: str
