# SPDX-License-Identifier: GPL-3.0-or-later
"""The chat of this box as its page sees it: rooms, lines, people, and what saying something would take.

The page shows and asks; the hall decides. Nothing here knows HTML or HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.model import NativeId, SenderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody at this box's page: a nickname that nobody proved."""

    id: SenderId
    """``~nick@box``."""
    nick: str
    key: str
    """Stands for the person in moderation and pacing; survives a change of nick. Never shown to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A conversation of the routes."""

    name: str
    members: Sequence[str] = ()
    """The networks it is joined with, in words: ``Matrix``, ``radio LongFast``."""
    notice: str = ""
    """What everybody in it should know now: "radio silence", "slow mode: one line a minute"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An emoji on a line, and from how many."""

    emoji: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What somebody said."""

    id: NativeId
    arrival: int
    """Grows in the order in which this box had them: what `lines` and `follow` go on from."""
    room: str
    sender: SenderId
    name: str
    network: str
    """Where it came from, for a badge: ``matrix``, ``radio``, ``lan``, ``page``."""
    verified: bool
    """Whether its network proved who said it."""
    text: str
    """Plain text; never markup."""
    said_ms: int
    late: bool = False
    """It was said long before it came."""
    reply_to: NativeId | None = None
    marks: Sequence[Mark] = ()
    state: str = ""
    """Of a line from this page: how far it got, in words ("radio: waiting, the channel is busy")."""
    gone: bool = False
    """Taken back, by its sender or a moderator: `text` is empty."""
    is_copy: bool = False
    """It turned out to be another line, heard elsewhere: it isn't shown any more. Only `follow` tells of such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What saying this would take."""

    bytes_left: int
    """Until it no longer fits one packet of the narrowest network; negative: so many too many."""
    packets: int
    airtime_ms: int
    """On radio; 0: it goes to none."""
    reaches: Sequence[str]
    """Where it would go, in words."""
    not_reached: Sequence[str] = ()
    """Where not, each with the reason: "radio: the operator has to approve you first"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """It was not taken, and why, in words for whoever said it."""

    reason: str
    retry_after_s: float | None = None


class Hall(Protocol):
    """What the page asks of the bridge."""

    def rooms(self) -> Sequence[Room]:
        """Return the rooms there are."""
        ...

    def own_room(self, person: Person) -> Room:
        """Return where somebody reads what they alone are told: `lines`, `follow` and `say` take it, for them only."""
        ...

    async def lines(self, room: str, *, after: int = 0, before: int | None = None, limit: int = 50) -> Sequence[Line]:
        """Return lines in order, at most `limit`: those after an arrival, or the last ones before one."""
        ...

    def follow(self, room: str) -> AsyncGenerator[Line]:
        """Yield each new line, and each that changed (its state, marks, or that it is gone).

        Bounded: a slow reader is ended, and comes again with the last arrival it had.
        """
        ...

    async def say(self, person: Person, room: str, text: str, *, reply_to: NativeId | None = None) -> Line | Refusal:
        """Take a line, durably, or say why not. Text that begins with ``/`` is a command."""
        ...

    async def react(self, person: Person, room: str, line: NativeId, emoji: str) -> Line | Refusal:
        """Put an emoji on a line."""
        ...

    def standing(self, person: Person) -> str:
        """Say what became of somebody's asking to be heard on radio, in words; empty: they didn't ask."""
        ...

    def cost(self, person: Person, room: str, text: str) -> Cost:
        """Say what it would take, before it is said."""
        ...

    def people(self, room: str) -> Sequence[Person]:
        """Return who is at the page now, at most a few hundred."""
        ...

    def join(self, nick: str, key: str) -> Person | Refusal:
        """Let somebody in under a nickname, or say why not: reserved, taken, looks like another's."""
        ...
