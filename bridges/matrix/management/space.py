# SPDX-License-Identifier: GPL-3.0-or-later
"""One Space for an account's bridged rooms, on request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from bridges.matrix.client import Client, Refused
from bridges.matrix.management import say
from bridges.matrix.management.command import Command
from bridges.matrix.management.company import Company
from bridges.matrix.management.confirmations import Confirmations
from bridges.matrix.management.made import Made
from bridges.matrix.management.people import is_person
from bridges.matrix.notices import Notices
from bridges.matrix.rooms import Rooms
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import Address, BridgeContext, Declined, Level, SenderId, Unconfirmed

MOST_CHANNELS = 10
"""Rooms made at one request."""
MAX_PAGES = 20
"""Of 100 changes of the Space that are read; past it a room that was taken out long ago is put in again."""
_CHILD, _PARENT = "m.space.child", "m.space.parent"
_CHILDREN = json.dumps({"types": [_CHILD]})


class Spaces:
    """Makes the Space, keeps in it what is bridged, and makes rooms for channels that have none."""

    def __init__(
        self,
        client: Client,
        context: BridgeContext,
        rooms: Rooms,
        *,
        made: Made,
        company: Company,
        confirmations: Confirmations,
        notices: Notices,
    ) -> None:
        self._client = client
        self._context = context
        self._rooms = rooms
        self._made = made
        self._company = company
        self._confirmations = confirmations
        self._notices = notices

    async def gather(self, command: Command, channels: Sequence[str]) -> str:
        """Gather what is bridged; ask for confirmation first where rooms for channels are to be made.

        Declined with the reason where it can't be.
        """
        if self._context.level_of(command.sender) < Level.COMMANDS:
            raise Declined("You may not make a Space here: ask who runs this gateway.")
        if len(channels) > MOST_CHANNELS:
            raise Declined(f"At most {MOST_CHANNELS} channels at once.")
        wanted = list(dict.fromkeys(map(self._context.desk.resolve, channels)))
        if people := [there.conversation for there in wanted if is_person(there, self._context.name)]:
            raise Declined(f"{', '.join(people)} is one person, not a channel.")
        missing = [there for there in wanted if self._room_of(there) is None]
        if not missing:
            return await self._gather(command)
        names = ", ".join(map(str, missing))
        self._confirmations.ask(
            command.sender,
            command.room_id,
            partial(self._make_rooms, command, missing),
            now_s=self._context.clock.monotonic(),
        )
        return f"A new room for each of {names}. {say.before_bridging(missing[0])}"

    async def _make_rooms(self, command: Command, missing: Sequence[Address]) -> str:
        if self._context.level_of(command.sender) < Level.COMMANDS:
            raise Declined("You may not make rooms here any more.")
        space = await self._space(command.sender)
        for there in missing:
            if self._room_of(there) is None:
                await self._make_room(space, there, command)
        return await self._gather(command)

    async def _make_room(self, space: str, there: Address, command: Command) -> None:
        allow = [{"type": "m.room_membership", "room_id": space}]
        wish: dict[str, Any] = {
            "preset": "trusted_private_chat",
            "invite": [command.sender],
            "name": f"{there.conversation} (mesh)",
            "topic": f"Bridged to {there}. What is sent by radio in clear, anyone in range can read.",
            "initial_state": [
                {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "restricted", "allow": allow}}
            ],
        }
        room_id = await self._made.make(wish, "channel", str(there))
        here = Address(self._context.name, self._rooms.origin(room_id))
        joined = await self._context.desk.join(here, there, by=command.sender)
        words = say.bridged(joined, here, there, f"{command.sender_name} ({command.sender})")
        if await self._notices.say(room_id, words, about=f"bridged {command.event_id}"):
            self._notices.told(room_id)

    async def _gather(self, command: Command) -> str:
        space = await self._space(command.sender)
        children, wanted = await self._children(space), self._bridged()
        for room_id, is_in in children.items():
            if is_in and room_id not in wanted:
                await self._client.put("rooms", space, "state", _CHILD, room_id, body={})
        for room_id in wanted:
            if not children.get(room_id):
                await self._client.put("rooms", space, "state", _CHILD, room_id, body={"via": [self._via()]})
                await self._name_parent(room_id, space)
        number = f"{len(wanted)} room{'' if len(wanted) == 1 else 's'}"
        return f"The Space has {number}: https://matrix.to/#/{quote(space)}?via={quote(self._via())}"

    async def _space(self, asker: SenderId) -> str:
        """Return the Space, with the asker in it or invited; made if there is none, or none any more."""
        name = f"Mesh ({self._context.name})"
        wish: dict[str, Any] = {
            "preset": "trusted_private_chat",
            "invite": [asker],
            "name": name,
            "topic": "The rooms that a Crossband gateway bridges.",
            "creation_content": {"type": "m.space"},
        }
        space = await self._made.make(wish, "space")
        if asker not in await self._company.others(space):
            try:
                await self._client.post("rooms", space, "invite", body={"user_id": asker})
            except Refused as refused:
                raise Declined(f"The Space can't invite you: {refused}") from refused
        return space

    async def _children(self, space: str) -> dict[str, bool]:
        """Return the rooms we put into the Space or took out, and whether each is in it; the newest word counts."""
        found: dict[str, bool] = {}
        token = ""
        for _ in range(MAX_PAGES):
            query: dict[str, str | int] = {"dir": "b", "limit": 100, "filter": _CHILDREN}
            page = await self._client.get("rooms", space, "messages", query=query | ({"from": token} if token else {}))
            for event in map(mapping, sequence(page.get("chunk"))):
                if event.get("type") == _CHILD:
                    found.setdefault(text(event.get("state_key")), bool(mapping(event.get("content")).get("via")))
            token, before = text(page.get("end")), token
            if token in ("", before):
                break
        return found

    async def _name_parent(self, room_id: str, space: str) -> None:
        try:
            body = {"via": [self._via()], "canonical": True}
            await self._client.put("rooms", room_id, "state", _PARENT, space, body=body)
        except (Refused, Unconfirmed):
            self._context.count("matrix_declaration_refused")  # it is in the Space all the same

    def _bridged(self) -> tuple[str, ...]:
        """Return the rooms that share their messages with channels."""
        rooms: dict[str, None] = {}
        for conversation in self._rooms.conversations:
            routes = self._context.desk.joined(Address(self._context.name, conversation.name))
            room_id = self._rooms.room(conversation.name)
            if room_id is not None and any(not joined.direct for joined in routes):
                rooms[room_id] = None
        return tuple(rooms)

    def _room_of(self, there: Address) -> str | None:
        for joined in self._context.desk.joined(there):
            for end in joined.ends:
                if end.bridge == self._context.name and (room_id := self._rooms.room(end.conversation)):
                    return room_id
        return None

    def _via(self) -> str:
        return self._client.user_id.partition(":")[2]
