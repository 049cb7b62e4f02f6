# SPDX-License-Identifier: GPL-3.0-or-later
"""The names people have in rooms, as far as syncs told; bounded, forgotten at a restart."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from bridges.matrix.names import look_on_air
from bridges.matrix.plain import one_line, valid_id
from bridges.matrix.wire import mapping, text

MAX_MEMBERS = 5_000
_GONE = frozenset({"leave", "ban"})


class Members:
    """Display names by room and user, the last `MAX_MEMBERS` that were used."""

    def __init__(self) -> None:
        self._names: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._alike: dict[tuple[str, str], set[str]] = {}
        """User ids by room and what their names look like on air."""

    def learn(self, room_id: str, event: object) -> None:
        """Take the name in, if this is a member event."""
        member = mapping(event)
        user_id = valid_id(member.get("state_key"), "@")
        if member.get("type") != "m.room.member" or user_id is None:
            return
        self._forget(room_id, user_id)
        content = mapping(member.get("content"))
        name = self._names[room_id, user_id] = one_line(text(content.get("displayname")))
        if name and content.get("membership") not in _GONE:
            self._alike.setdefault((room_id, look_on_air(name)), set()).add(user_id)
        if len(self._names) > MAX_MEMBERS:
            self._forget(*next(iter(self._names)))

    def name(self, room_id: str, user_id: str) -> str:
        """Return the user's name in the room; empty if unknown."""
        if (room_id, user_id) not in self._names:
            return ""
        self._names.move_to_end((room_id, user_id))
        return self._names[room_id, user_id]

    def alike(self, room_id: str, name: str) -> frozenset[str]:
        """Return who in the room has a name that is the same on air."""
        return frozenset(self._alike.get((room_id, look_on_air(name)), ()))

    def others(self, user_id: str) -> Iterator[tuple[str, str]]:
        """Yield ids and names of everybody else in the rooms the user is known in."""
        rooms = {room for room, user in self._names if user == user_id}
        for (room, user), name in self._names.items():
            if room in rooms and user != user_id and name:
                yield user, name

    def _forget(self, room_id: str, user_id: str) -> None:
        name = self._names.pop((room_id, user_id), "")
        alike = self._alike.get((room_id, look_on_air(name)))
        if alike is not None:
            alike.discard(user_id)
            if not alike:
                del self._alike[room_id, look_on_air(name)]
