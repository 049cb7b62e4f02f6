# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what happens and tells whoever watches. No message text passes through here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from gateway.journal import Change
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.model import BridgeName, Message
from gateway.planning import Plan
from gateway.status import Event, EventHub

MOST_KINDS = 200
"""Kinds of skipped things counted per bridge; what comes after is counted as `other`."""


class Follower(Protocol):
    """Who wants to know what becomes of messages."""

    def accepted(self, message: Message, plan: Plan) -> None:
        """A message is journalled."""
        ...

    def changed(self, bridge: BridgeName, change: Change) -> None:
        """A delivery to this bridge has a new state."""
        ...


class Tally:
    """What happened since this process started, counted, and told to the event streams."""

    def __init__(
        self, events: EventHub, metrics: Metrics, *, link: Callable[[BridgeName, Link], None] = lambda *_: None
    ) -> None:
        """`link` is told of every bridge that comes up or goes down, too."""
        self.skipped: dict[BridgeName, Counter[str]] = {}
        self.followers: tuple[Follower, ...] = ()
        """Who else is told of messages and changes; in passing, so they must be quick."""
        self._events = events
        self._metrics = metrics
        self._link = link

    def accepted(self, message: Message, plan: Plan) -> None:
        """Count a message that is journalled now."""
        self._metrics.received(message.origin.bridge)
        for delivery, state, _ in plan.ended:
            self._metrics.changed(delivery.to.bridge, state)
        if plan.muted:
            self.skip(message.origin.bridge, "muted")
        for follower in self.followers:
            follower.accepted(message, plan)
        if not self._events.has_listeners:
            return
        self._events.publish(
            Event(
                name="message",
                data={
                    "id": message.id,
                    "origin": str(message.origin),
                    "deliveries": [d.id for d in plan.deliveries],
                },
            )
        )

    def changed(self, bridge: BridgeName, change: Change) -> None:
        """Count a delivery's new state; `bridge` is its destination."""
        self._metrics.changed(bridge, change.state)
        for follower in self.followers:
            follower.changed(bridge, change)
        if not self._events.has_listeners:
            return
        self._events.publish(
            Event(
                name="delivery",
                data={"id": change.id, "state": change.state.value, "reason": change.reason, "at_ms": change.at_ms},
            )
        )

    def sent(self, bridge: BridgeName, seconds: float) -> None:
        """Note how long a delivery took, from receiving its message to the far network having it."""
        self._metrics.sent(bridge, seconds)

    def link(self, bridge: BridgeName, link: Link) -> None:
        """Tell that a bridge came up or went down."""
        self._link(bridge, link)
        self._events.publish(
            Event(name="bridge", data={"name": bridge, "state": link.state.value, "reason": link.reason})
        )

    def skip(self, bridge: BridgeName, kind: str) -> None:
        """Count a thing that a bridge skipped or noticed."""
        counter = self.skipped.setdefault(bridge, Counter())
        counter[kind if kind in counter or len(counter) < MOST_KINDS else "other"] += 1
