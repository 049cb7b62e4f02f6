# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens when, in the simulated world's own seconds. No clock is read here."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

Action = Callable[[float], None]
"""Called with the time it was due, not with the time somebody came to look."""


class Entry:
    """Something due; `cancel` takes it back."""

    __slots__ = ("_action",)

    def __init__(self, action: Action) -> None:
        self._action: Action | None = action

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        self._action = None

    @property
    def is_cancelled(self) -> bool:
        """Whether it was taken back, or has run."""
        return self._action is None

    def run(self, now: float) -> None:
        """Do it, once, unless it was cancelled."""
        action, self._action = self._action, None
        if action is not None:
            action(now)


class Agenda:
    """A time-ordered list of actions, driven from outside. Two due together run in the order they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Action) -> Entry:
        """Have `action` called once `advance` reaches `when` (seconds)."""
        entry = Entry(action)
        heapq.heappush(self._heap, (when, next(self._order), entry))
        return entry

    def advance(self, now: float) -> None:
        """Run everything due up to `now`, including what is added meanwhile and due already."""
        while self._heap and self._heap[0][0] <= now:
            when, _, entry = heapq.heappop(self._heap)
            entry.run(when)

    def next_due(self) -> float | None:
        """Return when the next action is due, or None."""
        while self._heap and self._heap[0][2].is_cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
