# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes something happen that the homeserver has to tell us of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from bridges.matrix.appservice.own_room import OwnRoom
from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.rooms import Rooms
from bridges.matrix.wire import text
from gateway.model import BridgeContext, BridgeError

log = structlog.get_logger()

STATUS_TYPE = "org.crossband.status"
"""The type of our own event; clients show nothing of it."""
TYPING_MS = 1_000
MOST_TRIED = 3
"""Open rooms that are tried before our own."""


class Stirring:
    """Acts in the first open room that lets us, else in our own: an event is kept by every server in a room."""

    def __init__(self, client: Client, context: BridgeContext, rooms: Rooms, own: OwnRoom) -> None:
        self._client = client
        self._context = context
        self._rooms = rooms
        self._own = own
        self._said = 0

    async def say(self) -> bool:
        """Make an event that stays; False where none could be made. No BridgeError."""
        return await self._in_some_room(self._say)

    async def type(self) -> bool:
        """Seem to type: while the homeserver thinks us up, that makes a transaction, and leaves nothing behind."""
        return await self._in_some_room(self._type)

    async def _in_some_room(self, act: Callable[[str], Awaitable[bool]]) -> bool:
        async for room_id in self._places():
            try:
                if await act(room_id):
                    return True
            except BridgeError as error:
                log.info("matrix_not_stirred", bridge=self._context.name, room=room_id, reason=str(error))
        return False

    async def _places(self) -> AsyncIterator[str]:
        found = (self._rooms.open_id(conversation.name) for conversation in self._rooms.conversations)
        for room_id in [room_id for room_id in found if room_id is not None][:MOST_TRIED]:
            yield room_id
        if (own := await self._own.room()) is not None:
            yield own

    async def _say(self, room_id: str) -> bool:
        """Say that we are here: as state where we may, else as an event that passes."""
        self._said += 1
        here = {"bridge": self._context.name, "connected_ms": self._context.clock.now_ms()}
        try:
            answer = await self._client.put("rooms", room_id, "state", STATUS_TYPE, self._client.user_id, body=here)
        except Refused:
            key = f"status.{self._context.clock.now_ms()}.{self._said}"
            answer = await self._client.put("rooms", room_id, "send", STATUS_TYPE, key, body=here)
        return valid_id(text(answer.get("event_id")), "$") is not None

    async def _type(self, room_id: str) -> bool:
        path = ("rooms", room_id, "typing", self._client.user_id)
        await self._client.put(*path, body={"typing": True, "timeout": TYPING_MS})
        await self._client.put(*path, body={"typing": False})
        return True
