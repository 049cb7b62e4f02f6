# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody noticed, in order, and waiting for what is still to come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")

KEPT = 50_000


class Timeline(Generic[Item]):
    """The last 50,000 items. `told` is called with each new one, as it is added."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque(maxlen=KEPT)
        self._count = 0
        self._grown = asyncio.Event()
        self.told: list[Callable[[Item], None]] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Append, tell, and wake whoever waits."""
        self._items.append(item)
        self._count += 1
        self._grown.set()
        self._grown = asyncio.Event()
        for told in tuple(self.told):
            told(item)

    async def wait_for(self, predicate: Callable[[Item], bool], timeout_s: float = 30.0) -> Item:
        """Return the first item, there already or soon, that fits; TimeoutError after `timeout_s`."""
        looked = 0
        async with asyncio.timeout(timeout_s):
            while True:
                grown = self._grown
                fresh = min(self._count - looked, len(self._items))
                for item in tuple(islice(self._items, len(self._items) - fresh, None)):
                    if predicate(item):
                        return item
                looked = self._count
                await grown.wait()
