# SPDX-License-Identifier: GPL-3.0-or-later
"""Who said the last lines, kept in memory: whoever joins is compared with them, and waits for no disk. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

PAGE = "page"
"""The network whose nicknames are compared elsewhere."""


class Lately:
    """The names under which the last lines were said, on other networks than the page."""

    def __init__(self, most: int) -> None:
        """`most`: lines."""
        self._most = most
        self._names: deque[str] = deque()
        self._counts: Counter[str] = Counter()

    def begin(self, said: Iterable[tuple[str, str]]) -> None:
        """Go on from these lines alone: name and network, the oldest first."""
        self._names.clear()
        self._counts.clear()
        for name, network in said:
            self.add(name, network)

    def add(self, name: str, network: str) -> None:
        """Note one more line; past the most, the oldest goes."""
        shown = "" if network == PAGE else name
        self._names.append(shown)
        self._counts[shown] += 1
        if len(self._names) > self._most:
            oldest = self._names.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]

    def names(self) -> list[str]:
        """Return the names, each once."""
        return [name for name in self._counts if name]
