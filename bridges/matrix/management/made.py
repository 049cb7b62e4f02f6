# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms that the gateway made, each once for its purpose, whatever breaks off in between."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridges.matrix.client import Client, Refused
from bridges.matrix.login import keep, read_kept
from bridges.matrix.plain import valid_id
from bridges.matrix.rooms import Rooms
from bridges.matrix.wire import mapping, sequence
from gateway.model import LinkDown, Unconfirmed, short_hash

MADE_KEY = "org.crossband.made"
"""In a room's ``m.room.create``: a hash of what it was made for, by which it is found again."""
MOST = 1_000
"""Rooms that are remembered; for the purpose of one that is forgotten a new one is made."""


class Made:
    """Makes rooms. `createRoom` has no transaction id: before it is asked, the wish is written down.

    What was wished and never answered is looked for among the rooms its maker is in, and is made only if
    it isn't there.
    """

    def __init__(self, client: Client, rooms: Rooms, file: Path) -> None:
        self._client = client
        self._rooms = rooms
        self._file = file
        self._known: OrderedDict[str, str] | None = None
        self._turn = asyncio.Lock()

    def room(self, *purpose: str) -> str | None:
        """Return the room made for a purpose, if we are still in it and nothing has replaced it."""
        return self._there(self._read().get(_name(purpose), ""))

    def rooms(self, *purpose: str) -> tuple[str, ...]:
        """Return the rooms made for purposes that begin so."""
        begin = f"{_name(purpose)} "
        found = (self._there(room_id) for name, room_id in self._read().items() if name.startswith(begin))
        return tuple(room_id for room_id in found if room_id)

    async def make(
        self, wish: Mapping[str, Any], *purpose: str, by: Client | None = None, though_forgotten: bool = False
    ) -> str:
        """Return the room for a purpose; made as `createRoom` is asked to where there is none.

        `by`: who makes it, and invites us. `though_forgotten`: look for one also where we know of no wish: a request
        for each room we are in. Raises Refused, RateLimited, LinkDown, AuthFailed.
        """
        async with self._turn:
            if (room_id := self.room(*purpose)) is not None:
                return room_id
            name, mark = _name(purpose), short_hash(*purpose)
            was_wished = self._read().get(name) == "" or though_forgotten
            found = await self._find(mark, by or self._client) if was_wished else None
            if found is None:
                self._keep(name, "")
                found = await self._make({**mapping(wish.get("creation_content")), MADE_KEY: mark}, wish, by)
            self._keep(name, found)
            return found

    async def _make(self, creation: Mapping[str, Any], wish: Mapping[str, Any], by: Client | None) -> str:
        answer = await (by or self._client).post("createRoom", body={**wish, "creation_content": creation})
        room_id = valid_id(answer.get("room_id"), "!")
        if room_id is None:
            raise LinkDown("the homeserver's answer to a createRoom has no room id")
        await self._rooms.arrive(room_id)
        return room_id

    async def _find(self, mark: str, maker: Client) -> str | None:
        """Return the room of this mark that `maker` made: anybody can make a room with it, and invite us."""
        joined = sequence((await maker.get("joined_rooms")).get("joined_rooms"))
        for room_id in (room for room in joined if valid_id(room, "!")):
            try:
                query: dict[str, str | int] = {"format": "event"}
                created = await maker.get("rooms", room_id, "state", "m.room.create", "", query=query)
                if created.get("sender") == maker.user_id and mapping(created.get("content")).get(MADE_KEY) == mark:
                    await self._rooms.arrive(room_id)  # its maker may have got no further; into an old one we can't
                    return str(room_id)
            except (Refused, Unconfirmed):
                continue
        return None

    def _there(self, room_id: str) -> str | None:
        return room_id if room_id and self._rooms.is_in_use(room_id) else None

    def _keep(self, name: str, room_id: str) -> None:
        known = self._read()
        known[name] = room_id
        known.move_to_end(name)
        while len(known) > MOST:
            known.popitem(last=False)
        keep(self._file, json.dumps({"made": known}))

    def _read(self) -> OrderedDict[str, str]:
        if self._known is None:
            kept = mapping(read_kept(self._file).get("made"))
            self._known = OrderedDict((name, room) for name, room in kept.items() if isinstance(room, str))
        return self._known


def _name(purpose: tuple[str, ...]) -> str:
    return " ".join(purpose)
