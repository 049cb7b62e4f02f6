# SPDX-License-Identifier: GPL-3.0-or-later
"""What boxes of a community decide together: which people at pages are muted, and how slow rooms are.

What somebody may on a radio is none of it: each box decides that for its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from gateway.model.message import BridgeName, SenderId


class Matter(StrEnum):
    """What a verdict is about."""

    MUTE = "mute"
    """Somebody whose messages are carried nowhere: `about` is their id."""
    SLOW = "slow"
    """A room in which each person says one line in so long: `about` is its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a box decided. The latest about somebody, or a room, stands, whichever box it is from."""

    matter: Matter
    about: str
    by: SenderId
    at_ms: int
    box: str = ""
    """What people call the box that decided; empty: none yet."""
    is_ours: bool = False
    over: bool = False
    """It takes back what was decided before."""
    for_s: int | None = None
    """How long a mute holds; None: until it is taken back."""
    ban: bool = False
    """A mute that only admins make and take back."""
    every_s: int = 0
    """Of a slow room; 0: as they like."""
    why: str = ""


@runtime_checkable
class Community(Protocol):
    """A bridge by which boxes tell each other what they decide, signed. Nothing but `declare` waits for anything."""

    @property
    def name(self) -> BridgeName:
        """Its name in the configuration."""
        ...

    def shares(self, matter: Matter, about: str) -> bool:
        """Whether this is for all boxes to decide: somebody at a page, a room of the LAN."""
        ...

    def verdict(self, matter: Matter, about: str) -> Verdict | None:
        """Return the latest of the boxes that belong, ours with them; None: none is known."""
        ...

    def verdicts(self) -> Sequence[Verdict]:
        """Return all of those, the oldest first."""
        ...

    async def declare(self, verdict: Verdict) -> None:
        """Tell all boxes, durably. Raises BridgeError."""
        ...

    def fades(self, matter: Matter, about: str) -> bool:
        """Whether the log will soon forget ours: whoever still means it says it again."""
        ...
