# SPDX-License-Identifier: GPL-3.0-or-later
"""The names people have in rooms, as far as syncs told; bounded, forgotten at a restart."""

from __future__ import annotations

from collections import OrderedDict

from bridges.matrix.plain import one_line, valid_id
from bridges.matrix.wire import mapping, text

MAX_MEMBERS = 5_000


class Members:
    """Display names by room and user, the last `MAX_MEMBERS` that were used."""

    def __init__(self) -> None:
        self._names: OrderedDict[tuple[str, str], str] = OrderedDict()

    def learn(self, room_id: str, event: object) -> None:
        """Take the name in, if this is a member event."""
        member = mapping(event)
        user_id = valid_id(member.get("state_key"), "@")
        if member.get("type") != "m.room.member" or user_id is None:
            return
        self._names[room_id, user_id] = one_line(text(mapping(member.get("content")).get("displayname")))
        self._names.move_to_end((room_id, user_id))
        if len(self._names) > MAX_MEMBERS:
            self._names.popitem(last=False)

    def name(self, room_id: str, user_id: str) -> str:
        """Return the user's name in the room; empty if unknown."""
        if (room_id, user_id) not in self._names:
            return ""
        self._names.move_to_end((room_id, user_id))
        return self._names[room_id, user_id]
