# SPDX-License-Identifier: GPL-3.0-or-later
"""Slow mode as it is decided while the gateway runs: in one room each person says one line in so long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.journal import Decision, Decisions, Deed
from gateway.journal.decisions import must_fit
from gateway.model import Address, SenderId

SLOW: Final = "slow"
MOST_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """How slow one room is."""

    room: Address
    every_s: int
    """0: as they like, whatever the file says."""
    by: SenderId
    at_ms: int
    box: str = ""
    """Which other box decided it; empty: this one."""


class SlowRooms:
    """Those that this box decided. JournalError when they can't be kept."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._held: Mapping[Address, Slow] = {}

    async def read(self) -> None:
        """Read them (again)."""
        found = filter(None, map(_slow, await self._decisions.of(SLOW)))
        self._held = {one.room: one for one in found}

    def of(self, room: Address) -> Slow | None:
        """Return what was decided of a room; None: nothing, the file decides."""
        return self._held.get(room)

    def all(self) -> Sequence[Slow]:
        """Return all of them, the oldest first."""
        return list(self._held.values())

    def must_fit(self, room: Address) -> None:
        """Full if there are as many others as are kept: to be asked before anybody is told of one more."""
        must_fit(sum(one.room != room for one in self.all()))

    async def keep(self, room: Address, every_s: int, deed: Deed) -> None:
        """Slow a room, or let them speak as they like (0)."""
        value = {"every_s": every_s}
        await self._decisions.keep(Decision(kind=SLOW, key=str(room), by=deed.by, at_ms=deed.at_ms, value=value), deed)
        await self.read()

    async def drop(self, room: Address, deed: Deed | None = None) -> bool:
        """Let the file decide again; whether something was decided. `deed` None: it is in the audit already."""
        gone = await self._decisions.drop(SLOW, str(room), deed)
        await self.read()
        return gone


def _slow(decision: Decision) -> Slow | None:
    every_s = decision.value.get("every_s")
    if not isinstance(every_s, int) or isinstance(every_s, bool):
        return None
    return Slow(room=Address.parse(decision.key), every_s=every_s, by=decision.by, at_ms=decision.at_ms)
