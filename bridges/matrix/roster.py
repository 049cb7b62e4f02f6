# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in a room now, by name: asked for only when words seem to speak to somebody."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import one_line, valid_id
from bridges.matrix.wire import mapping, text
from gateway.model import Clock, RateLimited

MAX_ROOMS = 32
MAX_MEMBERS = 2_000
"""In a larger room nobody is spoken to by name."""
KNOWN_FOR_S = 600.0


def unambiguous(joined: Mapping[str, Any], *, but: str) -> dict[str, str]:
    """Return user ids by name, of those whose name nobody else there has; without `but`, who is ourselves. Pure."""
    names: dict[str, str | None] = {}
    for user_id, member in joined.items():
        name = one_line(text(mapping(member).get("display_name")))
        if name and valid_id(user_id, "@") is not None:
            names[name] = None if name in names else user_id
    return {name: user_id for name, user_id in names.items() if user_id is not None and user_id != but}


class Roster:
    """The names of rooms' members, for `KNOWN_FOR_S` at most."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._rooms: OrderedDict[str, tuple[float, dict[str, str]]] = OrderedDict()

    async def names(self, room_id: str) -> Mapping[str, str]:
        """Return user ids by name; none where it can't be told now: words matter more than whom they ping.

        Raises LinkDown, AuthFailed.
        """
        until_s, names = self._rooms.get(room_id, (0.0, {}))
        if room_id in self._rooms and self._clock.monotonic() < until_s:
            return names
        try:
            answer = await self._client.get("rooms", room_id, "joined_members")
        except (Refused, RateLimited):
            return {}
        joined = mapping(answer.get("joined"))
        names = unambiguous(joined, but=self._client.user_id) if len(joined) <= MAX_MEMBERS else {}
        self._rooms[room_id] = (self._clock.monotonic() + KNOWN_FOR_S, names)
        self._rooms.move_to_end(room_id)
        if len(self._rooms) > MAX_ROOMS:
            self._rooms.popitem(last=False)
        return names
