# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the journal and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    changes: tuple[tuple[BridgeName, Change], ...] = ()
    """What it changed of earlier messages' deliveries, and of its own, by the bridge they are bound for."""


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
    revised: Delivery | None = None
    """What to send instead of the queue's copy, if it was changed after it was queued."""
    is_digest: bool = False
    """It carries a digest, or has gone into one."""


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
    is_digest: bool = False
    """It carries a digest: its message is only one of those it stands for."""


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
    generations: Mapping[DeliveryId, int] = field(default_factory=dict)
    """Of their keys, where it isn't the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How many wait, by conversation and age."""

    counts: Mapping[str, tuple[int, ...]]
    """Conversation (empty where they are counted together) → how many in each column."""
    complete: bool
    """False: there are more, and younger ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The message that an edit or a redaction is about."""

    message: Message
    seq: int
    is_own: bool
    """It came from the address where it was asked for, and isn't a copy that was sent there."""
    expires_ms: Mapping[Address, int | None]
    """Where it is bound for, and until when."""
    touches: Mapping[BridgeName, tuple[DeliveryId, ...]]
    """Deliveries that may be another's after a change: its own, its edits', and digests that name it."""
    waits: frozenset[Address] = frozenset()
    """Where some of it must still leave."""
    is_there: frozenset[Address] = frozenset()
    """Where the far end has some of it, or may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a digest stands for. Edits aren't counted: what they changed is as they left it."""

    count: int
    """Messages."""
    first_ms: int
    last_ms: int
    """When the first and the last were said."""
    origins: tuple[Address, ...]
    """Where they came from: the first few."""
    latest: tuple[Message, ...]
    """The last few, in order, as they came in and as their senders left them."""


Rewrite = Callable[[Delivery, Folded], Delivery]
"""Gives a delivery the digest's words. Pure: it is called on the journal's thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What an edit or a redaction does to the deliveries of its target that have not left."""

    target: int
    """Its sequence."""
    says: Message | None
    """The target as it is now; None: it is taken back."""
    fitted: Mapping[Address, tuple[Delivery, ...]] = field(default_factory=dict)
    """The same, fitted, where that can be done."""
    within: frozenset[Address]
    """Only there."""
    rewrite: Rewrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One delivery of a backlog."""

    id: DeliveryId
    no: int
    """Its place: grows along the conversation, but for what was sent again by hand."""
    seq: int
    """Its message's."""
    part: int
    parts: int
    message: Message
    """As it came in."""
    expires_ms: int | None
    is_tried: bool
    """It may have gone out already."""
    is_digest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a message that a remote id stands for came from, and where it went."""

    message_id: MessageId
    origin: Address
    direct: bool
    sender_name: str
    bound_for: tuple[Address, ...] = ()
    """Each address once; also where it was refused, or never arrived."""
