# SPDX-License-Identifier: GPL-3.0-or-later
"""A hybrid logical clock: later than all that was seen, and close to the wall clock where that is right. Pure.

Boxes have no clock of their own: one may say 1970 until it hears from another. A stamp is milliseconds
since the epoch times 1024, plus a counter (Kulkarni et al. 2014, "Logical Physical Clocks").
"""

from __future__ import annotations

from gateway.model import NEVER_SET_MS

COUNTS = 1024
MOST_AHEAD_MS = 60_000
"""So far another box's stamp may take ours ahead of our own wall clock: one with a wrong clock takes nobody along."""
LATEST_MS = 4_102_444_800_000
"""2100. No further does a box go along that has no clock: what it says must stay readable for the others."""


def ms_of(stamp: int) -> int:
    """Return the milliseconds of a stamp."""
    return stamp // COUNTS


class HybridClock:
    """Gives stamps that only grow."""

    def __init__(self, last: int = 0) -> None:
        self._last = last

    def next(self, now_ms: int) -> int:
        """Return the stamp for something said now."""
        self._last = max(self._last + 1, now_ms * COUNTS)
        return self._last

    def saw(self, stamp: int, now_ms: int) -> None:
        """Note a stamp of another box: what is said here from now on is later, as far as its clock can be believed."""
        is_set = now_ms >= NEVER_SET_MS  # a clock that was never set knows less than anybody's
        latest_ms = now_ms + MOST_AHEAD_MS if is_set else LATEST_MS
        self._last = max(self._last, min(stamp, latest_ms * COUNTS))
