# SPDX-License-Identifier: GPL-3.0-or-later
"""What our node put on the air for us within the last hour, and what it may still put there. Pure.

The firmware sends a packet again, up to three or five times, while it hears nobody relay it. How often it did is known
only afterwards: until then all of it is reserved, so that whatever happens the budget holds.
Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW_S = 3600.0
"""Duty cycles are of an hour (firmware `AirTime`)."""
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One packet of ours of which it isn't known yet how often it was sent."""

    at: float
    ms: int
    """Once on the air."""
    tries: int
    """So often at most."""
    gap_s: float
    """So long at least between two of them."""
    until: float
    """If nothing was said by then, it counts in full."""


class Ledger:
    """Airtime used within a window that slides along; what is older is forgotten."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self._spent: deque[tuple[float, int]] = deque()
        self._spent_ms = 0
        self._reserved: dict[int, Reservation] = {}

    @property
    def is_undecided(self) -> bool:
        """Whether some of it is reserved only: it may turn out to be less."""
        return bool(self._reserved)

    def holds(self, id: int) -> bool:
        """Whether a packet is reserved."""
        return id in self._reserved

    def reserve(self, id: int, reservation: Reservation) -> None:
        """Note that a packet is given to the radio now. One that is reserved already was, under the same id."""
        self._reserved.setdefault(id, reservation)

    def release(self, id: int) -> None:
        """Note that it never went on the air."""
        self._reserved.pop(id, None)

    def settle(self, id: int, now: float, *, is_final: bool = False) -> None:
        """Note that it will not be sent again; `is_final`: because it was sent as often as that is done."""
        held = self._reserved.pop(id, None)
        if held is not None:
            passed = held.tries if is_final else 1 + int((now - held.at) / held.gap_s)
            self.spend(held.ms * min(passed, held.tries), now)

    def spend(self, ms: int, at: float) -> None:
        """Note what was on the air."""
        # In the order of time: rather a little younger than it is.
        self._spent.append((max(at, self._spent[-1][0]) if self._spent else at, ms))
        self._spent_ms += ms

    def used_ms(self, now: float) -> int:
        """Return what was used of the window that ends now, with all that is reserved."""
        self._advance(now)
        return self._spent_ms + self._reserved_ms

    def wait_s(self, ms: int, *, tries: int, gap_s: float, limit_ms: int, now: float) -> float:
        """Return the seconds until a packet fits, sent as often as it may be, if nothing else is sent; inf: never."""
        over_ms = self.used_ms(now) - limit_ms
        # The n-th try comes so much later, and by then some of what was used is forgotten.
        return max(self._freed_in_s(over_ms + (n + 1) * ms, now) - n * gap_s for n in range(tries))

    def freed_in_s(self, ms: int, now: float) -> float:
        """Return the seconds until so much less is used than now, if nothing is sent; inf if it never is."""
        self._advance(now)
        return self._freed_in_s(ms, now)

    def open_s(self, now: float, *, beside: int = 0) -> float:
        """Return for how long a packet may still be on its first way out; 0 once more is known, or it is late.

        `beside`: so many more than one may be.
        """
        self._advance(now)
        left = sorted((min(held.at + held.gap_s, held.until) - now for held in self._reserved.values()), reverse=True)
        return left[beside] if len(left) > beside else 0.0

    def level_ms(self, rate: float, now: float) -> float:
        """Return what is in a bucket that airtime was poured into as it was used, and that leaks `rate` ms each ms."""
        self._advance(now)
        level, before = 0.0, now - self.window_s
        for at, ms in self._spent:
            level = max(0.0, level - (at - before) * 1000 * rate) + ms
            before = at
        level = max(0.0, level - (now - before) * 1000 * rate)
        return level + sum(each.ms for each in self._reserved.values())

    def minutes(self, now: float) -> list[tuple[int, int]]:
        """Return (seconds ago, ms) by the minute, for `restore`: none older than it was, and all that is reserved."""
        self._advance(now)
        sums: dict[int, int] = {0: self._reserved_ms} if self._reserved else {}
        for at, ms in self._spent:
            minute = max(0, int((now - at) / _MINUTE_S))
            sums[minute] = sums.get(minute, 0) + ms
        return [(round(minute * _MINUTE_S), ms) for minute, ms in sorted(sums.items())]

    def restore(self, minutes: Iterable[tuple[float, int]], now: float) -> None:
        """Take what `minutes` returned, of so many seconds ago, in place of what is known."""
        kept = sorted((now - ago_s, ms) for ago_s, ms in minutes)
        self._spent = deque(kept)
        self._spent_ms = sum(ms for _, ms in kept)

    @property
    def _reserved_ms(self) -> int:
        return sum(each.ms * each.tries for each in self._reserved.values())

    def _freed_in_s(self, ms: int, now: float) -> float:
        if ms <= 0:
            return 0.0
        for at, spent_ms in self._spent:
            ms -= spent_ms
            if ms <= 0:
                return at + self.window_s - now
        # What is reserved is gone a whole window from now, at the latest.
        return self.window_s if ms <= self._reserved_ms else float("inf")

    def _advance(self, now: float) -> None:
        for packet, held in list(self._reserved.items()):
            if held.until <= now:
                self.settle(packet, held.until, is_final=True)
        while self._spent and self._spent[0][0] <= now - self.window_s:
            self._spent_ms -= self._spent.popleft()[1]
