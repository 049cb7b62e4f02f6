# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the time a node hears or makes a transmission, in the firmware's own buckets. Pure."""

from __future__ import annotations

from collections import deque

BUCKET_S = 10.0
BUCKETS = 6


class Utilisation:
    """The last minute, as six buckets of ten seconds each (firmware `AirTime`); the one that runs is one of them."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, float]] = deque(maxlen=BUCKETS)

    def note(self, seconds: float, now: float) -> None:
        """Note a transmission of so many seconds, by anybody."""
        bucket = int(now // BUCKET_S)
        before = self._buckets.pop()[1] if self._buckets and self._buckets[-1][0] == bucket else 0.0
        self._buckets.append((bucket, before + seconds))

    def percent(self, now: float) -> float:
        """Return `channel_utilization`."""
        oldest = int(now // BUCKET_S) - BUCKETS + 1
        return 100 * sum(seconds for bucket, seconds in self._buckets if bucket >= oldest) / (BUCKETS * BUCKET_S)
