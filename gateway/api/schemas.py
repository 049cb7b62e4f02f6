# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API takes and answers, as JSON. Times are milliseconds since the epoch, by the gateway's clock."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.model import Topic

MAX_TEXT = 16_000


class Said(BaseModel):
    """Something the API answers."""

    model_config = ConfigDict(frozen=True)


class Asked(BaseModel):
    """Something the API is told; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreOut(Said):
    """A store's state."""

    state: str
    reason: str = ""
    engine: str = ""


class SendingOut(Said):
    """Whether messages are sent to a bridge: its circuit breaker."""

    state: str = Field(description="closed: they are; open: held back; half-open: the next one finds out")
    reason: str
    since_ms: int
    next_try_ms: int | None = Field(description="When the next message may find out; null: one does now, or no need")
    held_back: int = Field(description="How often they were held back since the start")
    words: str = Field(description="The same for people; empty while nothing is held back")


class AirtimeOut(Said):
    """What a bridge that schedules uses of the channel it shares, and what waits for it."""

    used_ms: int = Field(description="In the window that ends now")
    allowed_ms: int = Field(description="In one window")
    window_s: int
    busy_percent: float | None = Field(description="How much of the time anybody transmits; null: not told")
    held: str = Field(description="Why nothing that waits is sent just now; empty while it is")
    held_for_s: float | None = Field(description="How long that has been so")
    refused: int = Field(description="Deliveries it would not carry, since the start")
    waiting: int | None = Field(description="Deliveries that wait; null, as what follows, while the journal is away")
    priced: int | None = Field(description="How many of these, the oldest, were reckoned one by one; the rest by them")
    cost_ms: int | None = Field(description="How long they all are on the air, each sent once")
    drain_s: float | None = Field(description="How long until they will have gone out; null: not by these rules")
    words: str = Field(description="The same for people")


class BridgeOut(Said):
    """One bridge."""

    name: str
    kind: str
    state: str = Field(description="up, connecting, down or stopped")
    reason: str
    since_ms: int
    describe: dict[str, str]
    counters: dict[str, int] = Field(description="Things skipped or noticed, a kind each")
    sending: SendingOut | None = None
    airtime: AirtimeOut | None = Field(default=None, description="Of a bridge that keeps to a share of its channel")


class StatusOut(Said):
    """The gateway at a glance."""

    name: str
    version: str
    now_ms: int
    started_ms: int
    ready: bool = Field(description="Whether messages can be accepted")
    journal: StoreOut
    queue: StoreOut
    bridges: list[BridgeOut]
    deliveries: dict[str, dict[str, int]] = Field(description="By destination and state")
    chat_permissions: int = Field(description="How many permissions were changed in chats: GET /api/v1/permissions")
    muted: int = Field(description="Whose messages are not carried: GET /api/v1/mutes")


class RouteOut(Said):
    """One route."""

    name: str
    sources: list[str]
    targets: list[str]
    expires_s: dict[str, int]
    digest_after_s: dict[str, int]
    also: list[str] = Field(description="What it carries besides talk")
    direct: bool = Field(description="A direct chat with one person")
    by: str | None = Field(description="Who made it in a chat; null: the configuration file")
    at_ms: int | None = Field(description="When it was made in a chat")


class ShapeOut(Said):
    """How much waits, by age: in all, for one destination, or for one conversation of it."""

    destination: str | None = Field(description="Null: all of them")
    conversation: str | None = Field(description="Null: all of them")
    waiting: int
    ages: dict[str, int] = Field(description="How many, by age")
    younger: int = Field(description="More there are, each younger: counting them all would take too long")
    oldest_age_s: float | None = Field(description="Of the oldest that waits; null if none does, or not looked up")
    dead: int
    waits_for: str = Field(
        default="", description="Of a destination: what keeps all of it just now; empty: nothing known"
    )
    airtime: AirtimeOut | None = Field(
        default=None, description="Of a destination that keeps to a share of its channel"
    )


class LaneOut(Said):
    """How much of the queue is one conversation's, in one lane."""

    destination: str
    lane: str
    conversation: str
    waiting: int
    oldest_age_s: float | None


class QueueOut(Said):
    """Everything that waits."""

    queue: StoreOut
    total: ShapeOut
    destinations: list[ShapeOut]
    conversations: list[ShapeOut] = Field(description="With `by=conversation`: of each destination the 200 deepest")
    lanes: list[LaneOut] = Field(description="As the queue has it, deepest first; empty while it is away")


class WaitingOut(Said):
    """One delivery that waits."""

    id: str
    message: str
    to: str
    part: int
    parts: int
    state: str
    lane: str
    sender: str
    text: str
    received_ms: int
    expires_ms: int | None
    waits_for: str = Field(default="", description="What keeps it just now; empty: its turn, or nothing known")


class WaitingPage(Said):
    """Deliveries that wait, oldest first."""

    deliveries: list[WaitingOut]
    next_after: int | None


class ChangeOut(Said):
    """A delivery's state, at a time."""

    at_ms: int
    state: str
    reason: str


class DeliveryOut(Said):
    """One part of a message, bound for one address."""

    id: str
    to: str
    part: int
    parts: int
    state: str
    reason: str
    changed_ms: int
    remote_id: str | None
    history: list[ChangeOut]
    waits_for: str = Field(
        default="", description="What keeps one that waits just now; empty: its turn, or nothing known"
    )


class LocationOut(Said):
    """A place, in degrees of WGS 84 and metres."""

    latitude: float
    longitude: float
    altitude_m: float | None
    accuracy_m: float | None
    words: str


class MessageOut(Said):
    """A message and what became of it."""

    id: str
    seq: int
    native_id: str
    origin: str
    sender_id: str
    sender: str
    kind: str
    text: str
    location: LocationOut | None = Field(description="Where `kind` is `location`; `text` says it in words")
    lane: str
    topic: str
    direct: bool
    received_ms: int
    said_ms: int = Field(description="As far as its network tells: earlier than received, where it couldn't be reached")
    deliveries: list[DeliveryOut]


class MessagePage(Said):
    """Messages in the order they were accepted."""

    messages: list[MessageOut]
    next_after: int | None = Field(description="Give it as `after` for newer ones; null: this is all so far")
    next_before: int | None = Field(description="Give it as `before` for older ones; null: there are none")


class Post(Asked):
    """A message to send: to exactly one address, or along a route."""

    text: str = Field(min_length=1, max_length=MAX_TEXT)
    to: str | None = Field(None, description="bridge/conversation: this address only")
    route: str | None = Field(None, description="A route's name: all of its addresses")
    reply_to: str | None = Field(None, min_length=26, max_length=26, description="The id of the message it answers")
    name: str | None = Field(None, min_length=1, max_length=64, description="Who says it; the gateway's name if absent")


class PostedOut(Said):
    """The message is on this box's disk."""

    id: str
    seq: int
    seen: bool = Field(description="This Idempotency-Key was used before; nothing was added")
    deliveries: list[str]


class RetryIn(Asked):
    """What to try now: a destination, some deliveries, or everything."""

    destination: str | None = None
    ids: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(default_factory=list, max_length=500)


class IdsOut(Said):
    """The deliveries it was done to."""

    ids: list[str]


class RetriedOut(Said):
    """The destinations that try again now."""

    destinations: list[str]


class TestIn(Asked):
    """A text to try a route with. Nothing is sent."""

    text: str = Field(min_length=1, max_length=MAX_TEXT)
    topic: Topic = Field(default=Topic.TALK, description="What kind of thing it says")


class PartOut(Said):
    """What one address would be sent."""

    to: str
    part: int
    parts: int
    body: str
    size_bytes: int
    note: str
