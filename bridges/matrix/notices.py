# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway itself says in rooms, once: that radios carry them, or that something was lost."""

from __future__ import annotations

import json

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.content import notice
from bridges.matrix.login import keep, read_kept
from bridges.matrix.management.people import is_person
from bridges.matrix.rooms import Rooms
from bridges.matrix.wire import mapping
from gateway.model import BridgeContext, NotThere, RateLimited, Unconfirmed, short_hash

log = structlog.get_logger()


def words(exposed_to: frozenset[str], *, has_links: bool = False) -> str:
    """Return what the room is told. `has_links`: files get links that the radios say."""
    via = ", ".join(sorted(exposed_to))
    said = f"Messages in this room are sent by radio in clear text (via {via}), anyone in range can read them."
    if not has_links:
        return said
    return f"{said} Files are not sent, but a link to each is: whoever is on the gateway's own network can fetch it."


class Notices:
    """Remembers in a file which rooms were told; the transaction id covers the moment between."""

    def __init__(self, client: Client, context: BridgeContext) -> None:
        self._client = client
        self._context = context
        self._file = context.state_dir / "notices.json"
        self._told: set[str] | None = None

    async def tell(self, rooms: Rooms) -> None:
        """Tell every configured room that is there and wasn't told; LinkDown, AuthFailed if that fails."""
        for room_id, exposed_to in self._exposures(rooms).items():
            await self.tell_once(room_id, words(frozenset(exposed_to), has_links="files" in self._context.table))

    async def say(self, room_id: str, said: str, *, about: str) -> bool:
        """Put a notice into a room, once per `about`; False if the room doesn't take it."""
        key = f"notice.{short_hash('notice', self._context.name, room_id, about)}"
        return await self._put(room_id, said, key)

    def told(self, room_id: str) -> None:
        """Note that a room knows."""
        self._known().add(room_id)
        self._keep()

    def _exposures(self, rooms: Rooms) -> dict[str, set[str]]:
        exposures: dict[str, set[str]] = {}
        for conversation in rooms.conversations:
            room_id = rooms.open_id(conversation.name)
            heard = [to for to in conversation.exposed_to if not is_person(to, self._context.name)]
            if room_id is not None and heard:
                exposures.setdefault(room_id, set()).update(map(str, heard))
        return exposures

    async def tell_once(self, room_id: str, said: str) -> None:
        """Tell a room what its messages are in for, unless it was told; LinkDown, AuthFailed if that fails."""
        if room_id in self._known():
            return
        key = f"notice.{short_hash('notice', self._context.name, room_id)}"
        if await self._put(room_id, said, key):
            self.told(room_id)

    def _keep(self) -> None:
        keep(self._file, json.dumps({"rooms": dict.fromkeys(sorted(self._known()), True)}))

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
            self._told = set(mapping(read_kept(self._file).get("rooms")))
        return self._told
