# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway itself says in rooms, once: that radios carry them, or that something was lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.content import notice
from bridges.matrix.login import keep
from bridges.matrix.rooms import Rooms
from bridges.matrix.wire import mapping, read_json
from gateway.model import BridgeContext, NotThere, RateLimited, Unconfirmed, short_hash

log = structlog.get_logger()


def words(exposed_to: frozenset[str]) -> str:
    """Return what the room is told."""
    via = ", ".join(sorted(exposed_to))
    return f"Messages in this room are sent by radio in clear text (via {via}), anyone in range can read them."


class Notices:
    """Remembers in a file which rooms were told; the transaction id covers the moment between."""

    def __init__(self, client: Client, context: BridgeContext) -> None:
        self._client = client
        self._context = context
        self._file = context.state_dir / "notices.json"
        self._told: set[str] | None = None

    async def tell(self, rooms: Rooms) -> None:
        """Tell every configured room that is there and wasn't told; LinkDown, AuthFailed if that fails."""
        for room_id, exposed_to in self._exposures(rooms.open_id).items():
            if room_id not in self._known():
                await self._tell(room_id, words(frozenset(exposed_to)))

    async def say(self, room_id: str, said: str, *, about: str) -> bool:
        """Put a notice into a room, once per `about`; False if the room doesn't take it."""
        key = f"notice.{short_hash('notice', self._context.name, room_id, about)}"
        return await self._put(room_id, said, key)

    def _exposures(self, id_of: Callable[[str], str | None]) -> dict[str, set[str]]:
        exposures: dict[str, set[str]] = {}
        for conversation in self._context.conversations:
            room_id = id_of(conversation.name)
            if room_id is not None and conversation.exposed_to:
                exposures.setdefault(room_id, set()).update(map(str, conversation.exposed_to))
        return exposures

    async def _tell(self, room_id: str, said: str) -> None:
        key = f"notice.{short_hash('notice', self._context.name, room_id)}"
        if await self._put(room_id, said, key):
            told = self._known()
            told.add(room_id)
            keep(self._file, json.dumps({"rooms": dict.fromkeys(sorted(told), True)}))

    async def _put(self, room_id: str, said: str, key: str) -> bool:
        try:
            await self._client.put("rooms", room_id, "send", "m.room.message", key, body=notice(said))
        except (Refused, RateLimited, Unconfirmed, NotThere) as error:
            self._context.count("matrix_notice_failed")
            log.warning("matrix_notice_failed", bridge=self._context.name, room=room_id, reason=str(error))
            return False
        return True

    def _known(self) -> set[str]:
        if self._told is None:
            try:
                self._told = set(mapping(mapping(read_json(self._file.read_bytes())).get("rooms")))
            except (OSError, ValueError):
                self._told = set()
        return self._told
