# SPDX-License-Identifier: GPL-3.0-or-later
"""What the running gateway says of itself: states in words, and a stream of events for whoever watches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from gateway.breaker import Look
from gateway.choosing import Schedule
from gateway.link import LinkState
from gateway.model import Address, BridgeName, GatewayError, State

MAX_SUBSCRIBERS = 32
MAX_PENDING_EVENTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeStatus:
    """One bridge, as `crossband status` shows it."""

    name: BridgeName
    kind: str
    state: LinkState
    reason: str
    """Why it isn't up; empty when it is."""
    since_ms: int
    describe: Mapping[str, str] = field(default_factory=dict)
    """Short facts in words: firmware, preset, who we are."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Things skipped or noticed, a kind each."""
    sending: Look | None = None
    """Whether messages are sent there, as its circuit breaker has it."""
    held_back: int = 0
    """How often sending was held back since the start."""
    schedule: Schedule | None = None
    """Where it says itself what goes next: its airtime, and what it holds back."""
    untaken: str = ""
    """Why nothing more gets into its queue, in words; empty while it does."""

    @property
    def keeps(self) -> str:
        """Why the bridge sends nothing of what waits for it just now, in words; empty while it does."""
        if not self.state.is_well:
            return self.reason
        if self.sending is not None and self.sending.holds_back:
            return self.sending.words
        return "" if self.schedule is None else self.schedule.airtime.held


class StoreState(StrEnum):
    """Whether a store can be used."""

    UP = "up"
    SLOW = "slow"
    """All goes on, and everything waits for it."""
    DOWN = "down"
    """Not now; what comes in waits."""
    REFUSED = "refused"
    """Not this one: only the operator can mend that."""

    @property
    def is_usable(self) -> bool:
        """Whether what is asked of it is done."""
        return self in {StoreState.UP, StoreState.SLOW}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """The queue's server."""

    state: StoreState
    reason: str = ""
    engine: str = ""
    """``valkey 8.1.1 (embedded)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatus:
    """The journal. Not up means not ready: nothing can be accepted."""

    state: StoreState
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryPart:
    """What one address would be sent, if this were not a test."""

    to: Address
    part: int = 1
    parts: int = 1
    body: str = ""
    note: str = ""
    """Why it would not go, or what it would lose; empty if it goes as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, for event streams. No message text."""

    name: str
    data: Mapping[str, Any]


class TooManySubscribers(GatewayError):
    """As many event streams are open as this box serves."""


Keeps = Callable[[BridgeName, State], str]
"""Why a delivery to a bridge that is in this state is not sent just now; empty where nothing keeps it but its turn."""


def keeps_of(bridges: Iterable[BridgeStatus], queue: QueueStatus) -> Keeps:
    """Return what tells it of these bridges, with the queue as it is. Pure."""
    away = "" if queue.state.is_usable else queue.reason
    by_name = {one.name: one for one in bridges}

    def keeps(name: BridgeName, state: State) -> str:
        one = by_name.get(name)
        if one is None or state not in {State.WAITING, State.QUEUED}:
            return ""
        return one.keeps or away or (one.untaken if state is State.WAITING else "")

    return keeps


class EventHub:
    """Tells every subscriber of every event, and never waits for a slow one."""

    def __init__(self, *, subscribers: int = MAX_SUBSCRIBERS, pending: int = MAX_PENDING_EVENTS) -> None:
        """`pending`: how many events wait for one subscriber; past it the oldest is dropped, and it is told."""
        self._most = subscribers
        self._pending = pending
        self._open: set[Subscription] = set()
        self._closed = False

    @property
    def has_listeners(self) -> bool:
        """Whether anybody would get an event."""
        return bool(self._open)

    def publish(self, event: Event) -> None:
        """Give the event to everyone who listens now. Never blocks, never raises."""
        for subscription in self._open:
            subscription.put(event)

    def subscribe(self) -> Subscription:
        """Return a stream of what happens from now on; TooManySubscribers if there is no room.

        Use it as a context manager, or `close` it: it holds one of the places until then.
        """
        if len(self._open) >= self._most:
            raise TooManySubscribers(f"{self._most} event streams are open already; close one")
        subscription = Subscription(self._pending, self._open.discard)
        if self._closed:
            subscription.end()
        else:
            self._open.add(subscription)
        return subscription

    def close(self) -> None:
        """End every stream after what it still holds, now and from now on."""
        self._closed = True
        for subscription in tuple(self._open):
            subscription.end()


class Subscription(AsyncIterator[Event]):
    """One listener's events. For one reader; `anext` may be cancelled without losing an event."""

    def __init__(self, pending: int, leave: Callable[[Subscription], None]) -> None:
        self._events: deque[Event] = deque(maxlen=pending)
        self._leave = leave
        self._dropped = 0
        self._woken = asyncio.Event()
        self._ended = False

    def put(self, event: Event) -> None:
        """Add an event; the oldest gives way when there is no room."""
        if len(self._events) == self._events.maxlen:
            self._dropped += 1
        self._events.append(event)
        self._woken.set()

    def end(self) -> None:
        """Stop after the events that are waiting."""
        self._ended = True
        self._woken.set()

    def close(self) -> None:
        """Give the place back."""
        self.end()
        self._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __anext__(self) -> Event:
        while True:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                return Event(name="dropped", data={"count": dropped})
            if self._events:
                return self._events.popleft()
            if self._ended:
                raise StopAsyncIteration
            self._woken.clear()
            await self._woken.wait()
