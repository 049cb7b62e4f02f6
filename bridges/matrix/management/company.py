# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in a room with us, where that matters: direct chats, and rooms that empty."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping, sequence, text

MOST_ROOMS = 500
ACCOUNT_DATA = "m.direct"
_THERE = frozenset({"join", "invite", "knock"})


class Company:
    """Members of few rooms, asked for once and again when they change; and which rooms are chats with us.

    Which are is kept where clients keep it: in our account's ``m.direct``, so that another box knows it too.
    """

    def __init__(self, client: Client, is_ghost: Callable[[str], bool]) -> None:
        self._client = client
        self._is_ghost = is_ghost
        self._others: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._chats: dict[str, tuple[str, ...]] | None = None

    async def open(self) -> None:
        """Read anew which rooms are chats with us; fails as `Client.get` does, but knows none where that is refused."""
        self._chats = None
        await self._known_chats()

    def learn(self, room_id: str, event: object) -> bool:
        """Take note of an event; return whether somebody else left the room by it."""
        member = mapping(event)
        if member.get("type") != "m.room.member":
            return False
        self._others.pop(room_id, None)
        membership = mapping(member.get("content")).get("membership")
        return membership in ("leave", "ban") and member.get("state_key") != self._client.user_id

    async def others(self, room_id: str) -> frozenset[str]:
        """Return who else is in the room or asked to come in, but our ghosts; fails as `Client.get` does."""
        if room_id not in self._others:
            query: dict[str, str | int] = {"not_membership": "leave"}
            answer = await self._client.get("rooms", room_id, "members", query=query)
            found = (mapping(event) for event in sequence(answer.get("chunk")))
            there = {text(one.get("state_key")) for one in found if _membership(one.get("content")) in _THERE}
            self._others[room_id] = frozenset(user for user in there if user and not self._is_ours(user))
            if len(self._others) > MOST_ROOMS:
                self._others.popitem(last=False)
        return self._others[room_id]

    async def is_chat(self, room_id: str) -> bool:
        """Whether the room is a direct chat of one person with us: nobody else reads what is said there."""
        chats = await self._known_chats()
        if not any(room_id in rooms for rooms in chats.values()):
            return False
        try:
            return len(await self.others(room_id)) <= 1
        except Refused:
            return False

    async def begin_chat(self, room_id: str, user_id: str) -> None:
        """Note that somebody opened a direct chat with us; fails as `Client.put` does."""
        chats = await self._known_chats()
        if room_id in chats.get(user_id, ()):
            return
        chats[user_id] = (*chats.get(user_id, ()), room_id)
        await self._write(chats)

    async def end_chat(self, room_id: str) -> None:
        """Note that it is over."""
        chats = await self._known_chats()
        left = {user: tuple(room for room in rooms if room != room_id) for user, rooms in chats.items()}
        if left != chats:
            self._chats = {user: rooms for user, rooms in left.items() if rooms}
            await self._write(self._chats)

    async def _known_chats(self) -> dict[str, tuple[str, ...]]:
        if self._chats is None:
            try:
                kept = await self._client.get("user", self._client.user_id, "account_data", ACCOUNT_DATA)
            except Refused:
                kept = {}
            ids = {user: [valid_id(room, "!") for room in sequence(rooms)] for user, rooms in kept.items()}
            self._chats = {user: tuple(room for room in rooms if room) for user, rooms in ids.items()}
        return self._chats

    async def _write(self, chats: dict[str, tuple[str, ...]]) -> None:
        body = {user: list(rooms) for user, rooms in chats.items()}
        await self._client.put("user", self._client.user_id, "account_data", ACCOUNT_DATA, body=body)

    def _is_ours(self, user_id: str) -> bool:
        return user_id == self._client.user_id or self._is_ghost(user_id)


def _membership(content: object) -> str:
    return text(mapping(content).get("membership"))
