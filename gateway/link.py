# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a bridge's network is there: what the supervisor knows and delivery waits for."""

from __future__ import annotations

import asyncio
from enum import StrEnum


class LinkState(StrEnum):
    """What a bridge's connection is doing."""

    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"
    STANDBY = "standby"
    """Another gateway on the same queue has this bridge; it is taken over when that one is gone."""
    STOPPED = "stopped"
    """Its login was refused: only the operator can mend that."""

    @property
    def is_well(self) -> bool:
        """Whether nothing need be done: connected, or another gateway is."""
        return self in {LinkState.UP, LinkState.STANDBY}


class Link:
    """One bridge's connection: its state, why, and since when (milliseconds of the gateway's clock)."""

    def __init__(self, since_ms: int) -> None:
        self.state = LinkState.CONNECTING
        self.reason = "no answer yet"
        self.since_ms = since_ms
        self._up = asyncio.Event()

    def set(self, state: LinkState, reason: str, since_ms: int) -> bool:
        """Note the state; True if it differs from the last one."""
        changed = state is not self.state
        self.reason = reason
        if changed:
            self.state = state
            self.since_ms = since_ms
        if state is LinkState.UP:
            self._up.set()
        else:
            self._up.clear()
        return changed

    @property
    def is_up(self) -> bool:
        """Whether messages can be sent now."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Wait until messages can be sent."""
        await self._up.wait()
