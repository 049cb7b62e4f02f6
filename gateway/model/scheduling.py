# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the waiting deliveries goes next, where a network is too narrow for all of them: asked of its bridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.model.delivery import Delivery, DeliveryId


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The first that waits of one conversation in one lane, and is due."""

    delivery: Delivery
    """As it would be sent now: with the words of an edit that came meanwhile. `lane`, `direct`, its message's
    sender, topic, content and (any but None: it is a reply) `reply_to` are what classes go by; ids in it are
    the origin's still."""
    attempt: int = 1
    """1 for the first try."""
    is_digest: bool = False
    """It stands for a stale backlog: its sender is the box, its words are of all that was folded into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Send this one now."""

    id: DeliveryId


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """None of them may go yet."""

    for_s: float
    """Ask again after so long, or when something new is queued."""
    reason: str
    """In words, for the operator and for whoever waits: "the channel is busy: 31 %"."""
    is_brief: bool = False
    """It is how the network is worked, and over in a moment: nobody is told, unless it lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """This one will not be carried at all: it fails with this reason, and the rest is asked for again."""

    id: DeliveryId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Airtime:
    """What a bridge may use of the channel it shares with everyone in range, by the rules it goes by."""

    used_ms: int
    """Of the window that ends now."""
    allowed_ms: int
    """In one window."""
    window_s: int
    busy_percent: float | None = None
    """How much of the time anybody transmits, as the network last said."""
    held: str = ""
    """Why nothing is sent just now; empty while it is."""


@runtime_checkable
class Schedules(Protocol):
    """A bridge that orders what waits for it, conversation against conversation.

    Within one conversation and lane the order is the queue's and stays. Where a bridge isn't one of these,
    lanes go first and then the conversation that is due longest.
    """

    def choose(self, waiting: Sequence[Candidate]) -> Go | Hold | Refuse:
        """Say what becomes of these: at least one, emergency lane first, at most a few hundred. No I/O; never raises.

        Asked only while the bridge is connected, and before every send; what is sent afterwards may differ
        (the lease may be lost): count what is used when it is sent.
        """
        ...

    def airtime(self) -> Airtime:
        """Return what is used and left. No I/O."""
        ...

    def drain_s(self, cost_ms: int) -> float:
        """Return the seconds until so much airtime will have gone out, besides what was used already. No I/O."""
        ...
