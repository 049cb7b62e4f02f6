# SPDX-License-Identifier: GPL-3.0-or-later
"""Who watches a room, and is told of each line that is new or changed there: as much as they keep up with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from bridges.lan.hall import Line
from bridges.lan.places import is_direct, person_in

MOST_WAITING = 256
"""Lines a slow reader may be behind; then it is ended, and comes again with the last one it had."""
_END = None


class Followers:
    """Everybody who watches."""

    def __init__(self) -> None:
        self._by_room: dict[str, set[asyncio.Queue[Line | None]]] = {}

    @property
    def are_there(self) -> bool:
        """Whether anybody watches anything."""
        return bool(self._by_room)

    def follow(self, room: str) -> AsyncGenerator[Line]:
        """Yield what is told of a room from now on, until it is too much, or the bridge closes."""
        queue: asyncio.Queue[Line | None] = asyncio.Queue(MOST_WAITING + 1)  # and the end
        self._by_room.setdefault(room, set()).add(queue)
        return self._following(room, queue)

    def tell(self, line: Line) -> None:
        """Tell those who watch its room; of what is said to one person, both of them."""
        rooms = {person_in(line.room), line.sender} if is_direct(line.room) else {line.room}
        for room in rooms:
            for queue in tuple(self._by_room.get(room, ())):
                self._tell(room, queue, line)

    def _tell(self, room: str, queue: asyncio.Queue[Line | None], line: Line) -> None:
        if queue.qsize() >= MOST_WAITING:
            self._leave(room, queue)
            queue.put_nowait(_END)
        else:
            queue.put_nowait(line)

    def end(self) -> None:
        """End all."""
        for room, queues in tuple(self._by_room.items()):
            for queue in tuple(queues):
                self._leave(room, queue)
                queue.put_nowait(_END)

    async def _following(self, room: str, queue: asyncio.Queue[Line | None]) -> AsyncGenerator[Line]:
        try:
            while (line := await queue.get()) is not _END:
                yield line
        finally:
            self._leave(room, queue)

    def _leave(self, room: str, queue: asyncio.Queue[Line | None]) -> None:
        there = self._by_room.get(room, set())
        there.discard(queue)
        if not there:
            self._by_room.pop(room, None)
