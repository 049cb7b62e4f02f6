# SPDX-License-Identifier: GPL-3.0-or-later
"""What people say, and the names of who, where and what.

Every identifier is a string of its own type, opaque outside the place that made it. Times are
integers: milliseconds since the Unix epoch by the gateway's own clock, never by a radio's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Literal, NewType, Self, assert_never

from gateway.model.location import Location

BridgeName = NewType("BridgeName", str)
"""The name of a bridge in the configuration: ``home`` in ``[bridges.home]``."""

NativeId = NewType("NativeId", str)
"""A message's id in the world: ``mx:$event``, ``mt:from:id``, ``web:box:uuid``, ``api:key``."""

MessageId = NewType("MessageId", str)
"""26 hexadecimal digits, a hash of the native id: the same on every box and replay."""

RemoteId = NewType("RemoteId", str)
"""What one network calls one message: a Matrix event id, a packet id. Opaque outside its bridge."""

SenderId = NewType("SenderId", str)
"""Who spoke, in their network's spelling: ``@ali:example.org``, ``!a1b2c301``. Permissions match it."""

ResumePoint = NewType("ResumePoint", str)
"""Where a source goes on after a restart: a Matrix sync token, a log position."""


def short_hash(*parts: str) -> str:
    """Return 26 hexadecimal digits (104 bits) that depend on every part and on where they end."""
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=13).hexdigest()


@lru_cache(maxsize=4096)
def message_id(native_id: NativeId) -> MessageId:
    """Return the id that every box computes for this native id."""
    return MessageId(short_hash("message", native_id))


MOST_LATE_MS = 30 * 86_400_000
"""What a network tells to be said longer than this before it came, is not believed: a clock is wrong."""


class Level(IntEnum):
    """Who may do what; each level includes those before it."""

    NONE = 0
    READ = 1
    TRANSMIT = 2
    COMMANDS = 3
    ADMIN = 4


class Lane(StrEnum):
    """Which queue of a conversation a message waits in; `emergency` overtakes."""

    EMERGENCY = "emergency"
    NORMAL = "normal"
    GUEST = "guest"


class Topic(StrEnum):
    """What kind of thing is said: which of them go where is each route's choice, by these words."""

    TALK = "talk"
    """What people say to each other; every route carries it."""
    POSITION = "positions"
    """Where somebody is, as their device tells on its own; a place that somebody shows others is talk."""
    WAYPOINT = "waypoints"
    """A place that somebody marked on the map for all."""
    ALERT = "alerts"
    """A call for help by a device's own means."""
    SENSOR = "sensors"
    """What a sensor has detected."""
    TELEMETRY = "telemetry"
    """What instruments measure, in summary: the least of all."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where people talk on one network, written ``bridge/conversation``."""

    bridge: BridgeName
    conversation: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``bridge/conversation``, split at the first slash only; ValueError if either is empty."""
        bridge, slash, conversation = text.partition("/")
        if not (bridge and slash and conversation):
            msg = f"{text!r} is not an address: write bridge/conversation"
            raise ValueError(msg)
        return cls(BridgeName(bridge), conversation)

    def __str__(self) -> str:
        """Return what `parse` reads."""
        return f"{self.bridge}/{self.conversation}"


API_ADDRESS = Address(BridgeName("api"), "local")
"""Where messages posted to the API come from. What they reply to is named by our own message id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who said it, as their network names them. Names are shown, never trusted."""

    id: SenderId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words. `emote` is what ``/me`` makes. The body is plain text, never markup."""

    body: str
    emote: bool = False
    link: str = ""
    """Where what the words name can be fetched (a file): the first thing to go where there is no room."""
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """An emoji on the message `target`."""

    target: RemoteId
    emoji: str
    kind: Literal["reaction"] = "reaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """New words for the message `target`."""

    target: RemoteId
    body: str
    kind: Literal["edit"] = "edit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """The sender takes the message `target` back."""

    target: RemoteId
    kind: Literal["redaction"] = "redaction"


Content = Text | Reaction | Edit | Redaction | Location


def words_of(content: Content) -> str:
    """Return what a content says, as a line for people; empty for a redaction."""
    match content:
        case Text():
            return f"{content.body} {content.link}".strip() if content.link else content.body
        case Edit():
            return content.body
        case Reaction():
            return content.emoji
        case Redaction():
            return ""
        case Location():
            return str(content)
        case _:
            assert_never(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What someone said, once.

    Remote ids in it (`remote_id`, `reply_to`, a content's `target`) are those of the network the
    message is on: the origin's when a bridge yields it, the destination's when a bridge is asked
    to send it. There the core has put the counterpart in, or None where there is none.
    """

    native_id: NativeId
    origin: Address
    sender: Sender
    content: Content
    received_ms: int
    """When this gateway first had it, by its own clock."""
    late_ms: int = 0
    """How long before that it was said, as far as its network tells and can be believed; 0: at once, or nobody knows.

    No time of its own, so that it holds whatever becomes of this box's clock. It is for showing only: what expires,
    what is stale and what goes first is decided by `received_ms`.
    """
    remote_id: RemoteId | None = None
    """Its id at the origin: what replies to it will name."""
    reply_to: RemoteId | None = None
    lane: Lane = Lane.NORMAL
    topic: Topic = Topic.TALK
    direct: bool = False
    """Said to the gateway itself: `origin` is a direct chat, routed by the bridge's ``direct``."""
    resume: ResumePoint | None = None
    """Where the source goes on once this message is stored; stored with it, atomically."""
    said_in: str | None = field(default=None, compare=False)
    """The common name of the conversation it was said in: see `Commons`. Put in when the bridge between boxes
    is asked to send it, so that no box says it there again, and as it comes in from there; kept nowhere else."""
    id: MessageId = field(init=False, repr=False, compare=False)
    """Computed from its native id."""

    @property
    def said_ms(self) -> int:
        """When it was said, by this gateway's clock, as near as that is known; never after it was received."""
        return max(0, self.received_ms - self.late_ms)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", message_id(self.native_id))
