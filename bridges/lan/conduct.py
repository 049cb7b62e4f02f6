# SPDX-License-Identifier: GPL-3.0-or-later
"""What a box may cost us: how fast each may write, and when one that misbehaves is shut out for a while. Pure.

Time is monotonic, in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridges.lan.event import BoxId, Event

BURST = 20_000
"""So many events of one box are taken at once: what a split of days leaves behind."""
PER_MINUTE = 6_000
"""Then so many a minute; the rest stays with whoever offers it, and is taken later."""
FAULTS: Mapping[str, float] = {
    "event_forged": 10.0,  # an honest box checks before it passes on
    "request_malformed": 10.0,
    "request_oversized": 10.0,
    "event_alien": 0.2,
    "statement_alien": 0.2,
}
"""How bad each is. Forks, gaps and what is known already happen to honest boxes."""
ENOUGH = 35.0
"""Of faults, before a box is shut out."""
FORGIVEN_PER_S = 0.1
SHUT_OUT_S = 30.0
"""At first; twice as long each time."""
LONGEST_S = 3600.0


ASKS = 1_000
"""So many requests of one box are answered at once: a page each of what a split of days leaves behind."""
ASKS_PER_S = 100.0
"""Then so many."""


class Asking:
    """How often each box asks. Bounded by who is a member."""

    def __init__(self) -> None:
        self._left: dict[BoxId, tuple[float, float]] = {}

    def wait_s(self, box: BoxId, now_s: float) -> float:
        """Take one request; return how long its box is to wait before the next, this one left undone. 0: it is done."""
        left, at_s = self._left.get(box, (float(ASKS), now_s))
        left = min(ASKS, left + (now_s - at_s) * ASKS_PER_S)
        is_done = left >= 1
        self._left[box] = (left - is_done, now_s)
        return 0.0 if is_done else (1 - left) / ASKS_PER_S

    def forget(self, members: Iterable[BoxId]) -> None:
        """Forget all but these."""
        belonging = frozenset(members)
        self._left = {box: left for box, left in self._left.items() if box in belonging}


class Rates:
    """How much of each box's writing is taken."""

    def __init__(self) -> None:
        self._left: dict[BoxId, tuple[float, float]] = {}

    def within(self, events: Iterable[Event], now_s: float) -> tuple[list[Event], int]:
        """Return those that may be taken now, and how many may not. Who wrote them is not proven yet."""
        offered: Counter[BoxId] = Counter()
        taken: list[Event] = []
        refused = 0
        for event in events:
            offered[event.box] += 1
            if offered[event.box] <= self._left_of(event.box, now_s):
                taken.append(event)
            else:
                refused += 1
        return taken, refused

    def spend(self, taken: Iterable[Event], now_s: float) -> None:
        """Count what was taken, which its box has signed."""
        for box, count in Counter(event.box for event in taken).items():
            self._left[box] = (self._left_of(box, now_s) - count, now_s)

    def _left_of(self, box: BoxId, now_s: float) -> float:
        left, at_s = self._left.get(box, (float(BURST), now_s))
        return min(BURST, left + (now_s - at_s) * PER_MINUTE / 60)

    def forget(self, members: Iterable[BoxId]) -> None:
        """Forget all but these: strangers would fill the memory."""
        belonging = frozenset(members)
        self._left = {box: left for box, left in self._left.items() if box in belonging}


@dataclass(slots=True, kw_only=True)
class _Record:
    faults: float = 0.0
    at_s: float = 0.0
    times: int = 0
    until_s: float = 0.0


class Conduct:
    """How each box that speaks to us behaves. Bounded by who is a member."""

    def __init__(self) -> None:
        self._records: dict[BoxId, _Record] = {}

    def note(self, box: BoxId, kinds: Mapping[str, int] | Counter[str], now_s: float) -> bool:
        """Note what it did; return whether it is shut out by that."""
        bad = sum(FAULTS.get(kind, 0.0) * count for kind, count in kinds.items())
        if not bad:
            return False
        record = self._records.setdefault(box, _Record(at_s=now_s))
        record.faults = max(0.0, record.faults - (now_s - record.at_s) * FORGIVEN_PER_S) + bad
        record.at_s = now_s
        if record.faults < ENOUGH or now_s < record.until_s:
            return False
        record.until_s = now_s + min(LONGEST_S, SHUT_OUT_S * 2**record.times)
        record.times += 1
        record.faults = 0.0
        return True

    def shut_out_s(self, box: BoxId, now_s: float) -> float:
        """Return for how long it is still shut out; 0: it isn't."""
        record = self._records.get(box)
        return 0.0 if record is None else max(0.0, record.until_s - now_s)
