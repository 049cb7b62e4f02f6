# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether another client takes a node from us, and how long to leave it that one. Pure.

A node has room for one client on TCP and drops the first at once when a second comes. An app that connects
again by itself does to us what we do to it, for ever; so it is we who give way.
"""

from __future__ import annotations

SOON_S = 60.0
"""Closed by the node within so long after we connected: it isn't its 15 minutes of silence."""
SUSPICIOUS = 3
"""So often in a row, and every time it took us at once: a node that restarts would refuse meanwhile."""
FIRST_PAUSE_S = 15.0
LONGEST_PAUSE_S = 300.0

WORDS = (
    "was closed by the node soon after we connected, {count} times in a row: another client seems to use it (the app "
    "on a phone, another gateway), and a node takes one at a time. Close that one; trying again in {pause:.0f} s"
)


class Rivalry:
    """What one node's TCP port did to us."""

    def __init__(self) -> None:
        self._connected_at = 0.0
        self._count = 0

    def connected(self, now: float) -> None:
        """Note that it took us."""
        self._connected_at = now

    def failed(self) -> None:
        """Note that it didn't, or that we left for another reason."""
        self._count = 0

    def closed(self, now: float) -> tuple[str, float] | None:
        """Note that it closed the connection; return what to say and how long to stay away, if a rival is behind it."""
        self._count = self._count + 1 if now - self._connected_at < SOON_S else 1
        if self._count < SUSPICIOUS:
            return None
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._count - SUSPICIOUS))
        return WORDS.format(count=self._count, pause=pause), pause
