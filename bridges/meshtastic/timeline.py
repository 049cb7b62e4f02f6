# SPDX-License-Identifier: GPL-3.0-or-later
"""When things were heard, on a box whose clock may start in 1970 and be set while it runs. Pure, but for the clock.

What was heard in this run is timed by the clock that only grows, so it keeps its age when the wall clock is set.
What is kept from earlier runs has the wall time it had then, and was heard before this run whatever that says.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model import NEVER_SET_MS, Clock


@dataclass(frozen=True, slots=True)
class Instant:
    """When: seconds of the clock that only grows; or, of an earlier run, milliseconds of wall time."""

    at_s: float | None = None
    kept_ms: int = 0


class Timeline:
    """Puts instants in order and into words for others, by what the clock shows now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = clock.monotonic()
        self._latest_kept_ms = 0

    def now(self) -> Instant:
        """Return this moment."""
        return Instant(at_s=self._clock.monotonic())

    def at(self, wall_ms: int) -> Instant | None:
        """Return the moment that somebody else's clock names; None where that can't be, or ours was never set."""
        age_ms = self._clock.now_ms() - wall_ms
        if wall_ms < NEVER_SET_MS or age_ms < 0:
            return None
        return Instant(at_s=self._clock.monotonic() - age_ms / 1000)

    def kept(self, wall_ms: int) -> Instant:
        """Return a moment of an earlier run that was kept as `to_keep` gave it."""
        self._latest_kept_ms = max(self._latest_kept_ms, wall_ms)
        return Instant(kept_ms=wall_ms)

    def wall_ms(self, instant: Instant) -> int | None:
        """Return when that was by the gateway's clock; None if an earlier run's clock and this one's disagree."""
        if instant.at_s is not None:
            return self._wall_ms(instant.at_s)
        return instant.kept_ms if instant.kept_ms <= self._wall_ms(self._began_s) else None

    def order(self, instant: Instant | None) -> tuple[int, int]:
        """Return what puts moments in order: never, then the oldest first."""
        if instant is None:
            return (-1, 0)
        if instant.at_s is not None:
            return (max(0, self._wall_ms(instant.at_s)), 0)
        return (max(0, min(instant.kept_ms, self._wall_ms(self._began_s) - 1)), instant.kept_ms)

    def age_s(self, instant: Instant) -> float:
        """Return how long ago that was; at least, where only its order is known."""
        return (self._clock.now_ms() - self.order(instant)[0]) / 1000

    def to_keep(self, instant: Instant) -> int:
        """Return the wall time to keep. A clock that was never set counts on from the latest that is kept."""
        if instant.at_s is None:
            return instant.kept_ms
        wall_ms = self._wall_ms(instant.at_s)
        if wall_ms >= NEVER_SET_MS:
            return wall_ms
        return max(self._latest_kept_ms, NEVER_SET_MS) + 1 + max(0, round((instant.at_s - self._began_s) * 1000))

    def _wall_ms(self, at_s: float) -> int:
        return self._clock.now_ms() - round((self._clock.monotonic() - at_s) * 1000)
