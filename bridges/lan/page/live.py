# SPDX-License-Identifier: GPL-3.0-or-later
"""New lines to everybody who has the page open: one reader of the hall a room, one rendering a language."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

import structlog

from bridges.lan.hall import Hall, Line
from bridges.lan.page.telling import Telling, Told

log = structlog.get_logger()

MOST_WAITING = 64
"""Lines that a slow reader may be behind: it is ended then, and comes again with the last it had."""
CATCH_UP = 50
FOLLOW_AGAIN_S = 1.0
LOOK_EVERY_S = 15.0
"""How often the hall is asked for what following it may have missed."""


@dataclass(frozen=True, slots=True)
class Whispered:
    """Something was said to the reader alone, in another room."""

    count: int
    """What they haven't seen of that."""


class Listening:
    """What one reader has not read yet."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Told | Whispered | None] = asyncio.Queue(MOST_WAITING + 1)
        self.is_over = False

    def put(self, told: Told | Whispered) -> None:
        """Tell it; one that is too slow is over."""
        if self._waiting.qsize() >= MOST_WAITING:
            self.end()
        elif not self.is_over:
            self._waiting.put_nowait(told)

    def end(self) -> None:
        """Nothing comes after what waits already."""
        if not self.is_over:
            self.is_over = True
            self._waiting.put_nowait(None)

    async def next(self) -> Told | Whispered | None:
        """Return the next one; None: it is over."""
        return await self._waiting.get()


class Live:
    """The rooms that somebody reads now."""

    def __init__(self, hall: Hall, telling: Telling) -> None:
        self._hall = hall
        self._telling = telling
        self._rooms: dict[str, _Followed] = {}

    @contextmanager
    def listening(self, room: str) -> Iterator[Listening]:
        """Hear what is said in a room from now on. The first to listen has it followed, the last one leaves it."""
        followed = self._rooms.get(room)
        if followed is None:
            followed = self._rooms[room] = _Followed(self._hall, self._telling, room)
        listening = Listening()
        followed.listeners.add(listening)
        try:
            yield listening
        finally:
            followed.listeners.discard(listening)
            if not followed.listeners and self._rooms.get(room) is followed:
                del self._rooms[room]
                followed.task.cancel()

    async def close(self) -> None:
        """End every reader: browsers come again when the box is back."""
        followed = list(self._rooms.values())
        for one in followed:
            one.task.cancel()
            for listening in list(one.listeners):
                listening.end()
        await asyncio.gather(*(one.task for one in followed), return_exceptions=True)


class _Followed:
    """One room."""

    def __init__(self, hall: Hall, telling: Telling, room: str) -> None:
        self._hall = hall
        self._telling = telling
        self._room = room
        self._last: int | None = None
        self.listeners: set[Listening] = set()
        self.task = asyncio.create_task(self._follow(), name=f"page follows {room}")

    async def _follow(self) -> None:
        """Until cancelled: whatever happens to a follower, a look finds what it missed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again())
            while True:
                try:
                    async with aclosing(self._hall.follow(self._room)) as lines:
                        async for line in lines:
                            self._tell(line)
                except Exception as error:  # noqa: BLE001  # readers stay; it is said, and tried again
                    log.warning("following a room failed", room=self._room, kind=type(error).__name__)
                await asyncio.sleep(FOLLOW_AGAIN_S)
                await self._look()

    async def _look_again(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Tell what following missed. The first look only learns where the room is."""
        try:
            if self._last is None:
                newest = await self._hall.lines(self._room, limit=1)
                self._last = max((self._last or 0, *(line.arrival for line in newest)))
                return
            for line in await self._hall.lines(self._room, after=self._last, limit=CATCH_UP):
                self._tell(line)
        except Exception as error:  # noqa: BLE001  # the next look finds it
            log.warning("reading a room failed", room=self._room, kind=type(error).__name__)

    def _tell(self, line: Line) -> None:
        self._last = max(self._last or 0, line.arrival)
        told = self._telling.of(line)
        for listening in list(self.listeners):
            listening.put(told)
