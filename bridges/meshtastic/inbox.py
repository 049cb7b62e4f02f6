# SPDX-License-Identifier: GPL-3.0-or-later
"""What came from the radio and isn't stored yet: kept across connections, in order."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.model import BridgeError, LinkDown, Message, Report

HIGH_WATER = 64
LOW_WATER = 16


class Inbox:
    """A queue whose head stays until it is said to be stored.

    Bounded by its users: above `HIGH_WATER` the line is left unread, and what is then still in
    hand is at most one read of it.
    """

    def __init__(self) -> None:
        self._items: deque[Message | Report] = deque()
        self._changed = asyncio.Event()
        self._failure: BridgeError | None = LinkDown("the radio is not connected")

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether no more should be read."""
        return len(self._items) >= HIGH_WATER

    @property
    def has_room(self) -> bool:
        """Whether reading may go on."""
        return len(self._items) <= LOW_WATER

    def open(self) -> None:
        """The link is up."""
        self._failure = None

    def fail(self, error: BridgeError) -> None:
        """The link is lost: said to the reader after all that came before."""
        self._failure = error
        self._changed.set()

    def put(self, item: Message | Report) -> None:
        """Add what came."""
        self._items.append(item)
        self._changed.set()

    async def head(self) -> Message | Report:
        """Return the first that isn't stored; the link's failure once there is none."""
        while not self._items:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        return self._items[0]

    def stored(self) -> None:
        """Drop the head."""
        self._items.popleft()
