# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms that were replaced by others (``m.room.tombstone``), and whether those own up to it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping

MAX_ROOMS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """The room that one was replaced by."""

    room_id: str
    via: str
    """A server that is in it: the room's id names none since room version 12."""
    is_false: bool = False
    """It names no predecessor, or another: whoever replaced the room has no say over this one."""


class Upgrades:
    """Successors by room, of the last `MAX_ROOMS` replaced ones."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._successors: OrderedDict[str, Successor] = OrderedDict()

    def successor(self, room_id: str) -> Successor | None:
        """Return what the room was replaced by, as far as is known; None if it wasn't."""
        return self._successors.get(room_id)

    def replaced_by(self, room_id: str) -> tuple[str, ...]:
        """Return the rooms that say they were replaced by this one."""
        return tuple(old for old, heir in self._successors.items() if heir.room_id == room_id and not heir.is_false)

    def see(self, room_id: str, event: object) -> bool:
        """Take note of a tombstone; return whether it says something new."""
        seen = mapping(event)
        if seen.get("type") != "m.room.tombstone" or seen.get("state_key") != "":
            return False
        heir = valid_id(mapping(seen.get("content")).get("replacement_room"), "!")
        known = self._successors.get(room_id)
        if heir is None or heir == room_id:
            return self._successors.pop(room_id, None) is not None
        if known is not None and known.room_id == heir:
            return False
        sender = valid_id(seen.get("sender"), "@") or ""
        self._successors[room_id] = Successor(room_id=heir, via=sender.partition(":")[2])
        if len(self._successors) > MAX_ROOMS:
            self._successors.popitem(last=False)
        return True

    async def learn(self, room_id: str) -> None:
        """Ask whether the room was replaced; fails as `Client.get` does."""
        try:
            event = await self._client.get("rooms", room_id, "state", "m.room.tombstone", "", query={"format": "event"})
        except Refused as refused:
            if refused.errcode != "M_NOT_FOUND":
                raise
            return
        self.see(room_id, {"type": "m.room.tombstone", "state_key": "", **event})

    async def is_true(self, room_id: str) -> bool:
        """Whether the successor, which we must be in, names this room as the one it replaces."""
        heir = self._successors[room_id]
        if heir.is_false:
            return False
        created = await self._client.get("rooms", heir.room_id, "state", "m.room.create", "")
        if mapping(created.get("predecessor")).get("room_id") == room_id:
            return True
        self._successors[room_id] = replace(heir, is_false=True)
        return False
