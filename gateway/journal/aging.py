# SPDX-License-Identifier: GPL-3.0-or-later
"""The time by which things get old enough to be forgotten: the clock's, once it has proved steady."""

from __future__ import annotations

from typing import Final

from gateway.model import Clock

STEADY_S: Final = 24 * 60 * 60
"""A clock that wasn't set for so long is believed."""


class Aging:
    """Goes on as time really passes; follows a clock that was set, or that we start with, only a day later.

    So a clock that is years off, for minutes or for hours, makes nothing old.
    """

    def __init__(self, clock: Clock, last_ms: int) -> None:
        """`last_ms`: what `now_ms` was at the end of the last run; 0: there was none."""
        self._clock = clock
        self._base_ms = last_ms or clock.now_ms()
        self._base_s = self._steady_since_s = clock.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, never ahead of the clock."""
        return self._by(self._clock.now_ms(), self._clock.monotonic())

    def stepped(self, delta_ms: int) -> None:
        """The clock was set by so much, a moment ago."""
        at_s = self._clock.monotonic()
        self._base_ms = self._by(self._clock.now_ms() - delta_ms, at_s)
        self._base_s = self._steady_since_s = at_s

    def _by(self, now_ms: int, at_s: float) -> int:
        if at_s - self._steady_since_s >= STEADY_S:
            return now_ms
        return min(now_ms, self._base_ms + round((at_s - self._base_s) * 1000))
