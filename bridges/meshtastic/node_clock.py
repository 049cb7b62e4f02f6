# SPDX-License-Identifier: GPL-3.0-or-later
"""What our node's clock shows, as the packets it stamps tell. Pure."""

from __future__ import annotations

from collections import deque

from gateway.model import NEVER_SET_MS

STALE_S = 10.0
"""So long after a greeting a packet may be one that was kept for us: its time says nothing of now."""
_LAST = 8


class NodeClock:
    """How far the node's clock is from ours; a packet that waited somewhere only makes it look late."""

    def __init__(self) -> None:
        self._fresh_at = 0.0
        self._off_s: deque[int] = deque(maxlen=_LAST)
        self._has_none = False

    def greeted(self, now: float) -> None:
        """A handshake is over, by a monotonic clock; what comes next may be old."""
        self._fresh_at = now + STALE_S
        self._off_s.clear()
        self._has_none = False

    def heard(self, stamped_s: int, *, now: float, now_ms: int) -> None:
        """Take the time that the node stamped on a packet; 0 means that it has none."""
        if now < self._fresh_at or now_ms < NEVER_SET_MS:
            return
        self._has_none = not stamped_s
        if stamped_s:
            self._off_s.append(stamped_s - now_ms // 1000)

    @property
    def is_unset(self) -> bool:
        """Whether it stamps packets with no time at all."""
        return self._has_none

    @property
    def off_s(self) -> int | None:
        """Seconds it is ahead of ours (behind: negative); None while that isn't known."""
        return max(self._off_s) if self._off_s and not self._has_none else None
