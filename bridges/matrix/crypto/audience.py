# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in an encrypted room, all of them, and how often it wants a new key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bridges.matrix.client import Client
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping, sequence, text

MEGOLM = "m.megolm.v1.aes-sha2"
_MAY_READ = ("join", "invite")  # who is invited reads from then on, where the room lets them
_AGE_MS, _LEAST_AGE_MS, _MOST_AGE_MS = 604_800_000, 3_600_000, 31_536_000_000
_MESSAGES, _MOST_MESSAGES = 100, 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """After how long, and how many messages, a room's key is replaced."""

    max_age: timedelta = timedelta(milliseconds=_AGE_MS)
    max_messages: int = _MESSAGES

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Rotation:
        """Read ``m.room.encryption``, within bounds: a key a message would cost everybody their time."""
        age = _between(content.get("rotation_period_ms"), _AGE_MS, _LEAST_AGE_MS, _MOST_AGE_MS)
        messages = _between(content.get("rotation_period_msgs"), _MESSAGES, 1, _MOST_MESSAGES)
        return cls(max_age=timedelta(milliseconds=age), max_messages=messages)


@dataclass(slots=True, kw_only=True)
class Room:
    """One encrypted room."""

    algorithm: str
    rotation: Rotation
    members: set[str] = field(default_factory=set)


class Audience:
    """The encrypted rooms we speak in; each is asked for once a connection, and after a gap in what we were told."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._rooms: dict[str, Room] = {}
        self._outdated: set[str] = set()
        """Rooms where somebody came or went while their members were asked for."""

    def forget(self, room_id: str | None = None) -> None:
        """Ask again for this room, or for all."""
        if room_id is None:
            self._rooms.clear()
        else:
            self._rooms.pop(room_id, None)

    def see(self, room_id: str, event: object) -> None:
        """Take note of a state event: who comes and goes."""
        seen = mapping(event)
        room = self._rooms.get(room_id)
        if room is None:
            self._outdated.add(room_id)
            return
        if seen.get("type") == "m.room.encryption" and seen.get("state_key") == "":
            self.forget(room_id)
        user = valid_id(seen.get("state_key"), "@")
        if seen.get("type") == "m.room.member" and user is not None:
            is_in = mapping(seen.get("content")).get("membership") in _MAY_READ
            (room.members.add if is_in else room.members.discard)(user)

    async def room(self, room_id: str) -> Room:
        """Return the room, with all its members. Fails as the homeserver does."""
        while (room := self._rooms.get(room_id)) is None:
            self._outdated.discard(room_id)
            asked = await self._ask(room_id)
            if room_id not in self._outdated:
                self._rooms[room_id] = asked
        return room

    async def _ask(self, room_id: str) -> Room:
        content = await self._client.get("rooms", room_id, "state", "m.room.encryption", "")
        # Without lazy loading, as the sync does it: whoever is missing here could not read what we say.
        answer = await self._client.get("rooms", room_id, "members", query={"not_membership": "leave"})
        members = {_member(event) for event in sequence(answer.get("chunk"))} - {""}
        return Room(algorithm=text(content.get("algorithm")), rotation=Rotation.from_content(content), members=members)


def _member(event: object) -> str:
    membership = mapping(mapping(event).get("content")).get("membership")
    return valid_id(mapping(event).get("state_key"), "@") or "" if membership in _MAY_READ else ""


def _between(value: object, default: int, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return default
    return min(max(value, least), most)
