# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packets came already. Pure."""

from __future__ import annotations

from collections import OrderedDict

MOST = 2000


class Seen:
    """The last packets by (from, id), at most `limit`: past it the oldest is forgotten."""

    def __init__(self, limit: int = MOST) -> None:
        self._limit = limit
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()

    def __contains__(self, key: tuple[int, int]) -> bool:
        return key in self._seen

    def add(self, key: tuple[int, int]) -> None:
        """Note one."""
        self._seen[key] = None
        self._seen.move_to_end(key)
        while len(self._seen) > self._limit:
            self._seen.popitem(last=False)
