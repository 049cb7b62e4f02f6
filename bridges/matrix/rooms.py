# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rooms we are in, under which names, and whether we may speak there."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.config import MatrixConfig
from bridges.matrix.plain import valid_id
from bridges.matrix.sync import Invite
from bridges.matrix.wire import mapping, sequence
from gateway.model import BridgeContext, Level, NotThere, RateLimited, SenderId

log = structlog.get_logger()

LOOK_AGAIN_S = 15.0
MAX_ROOMS = 1_000
"""Conversations that are remembered besides the configured ones'."""

_ENCRYPTED = "room is encrypted: set allow_encrypted = true"


@dataclass(slots=True)
class _Place:
    """One conversation, as it is spelled: where it is, or why it isn't there."""

    room_id: str | None = None
    trouble: str = "not looked for yet"
    looked_at_s: float | None = None


class Rooms:
    """Resolves conversations to room ids, once each, and keeps us in those rooms."""

    def __init__(self, client: Client, config: MatrixConfig, context: BridgeContext) -> None:
        self._client = client
        self._config = config
        self._context = context
        self._places: OrderedDict[str, _Place] = OrderedDict((c.name, _Place()) for c in context.conversations)
        self._joined: set[str] = set()
        self._encrypted: dict[str, bool] = {}

    async def enter(self) -> None:
        """Look for every configured room and join it; what isn't there stays in trouble, in words.

        Raises LinkDown, AuthFailed.
        """
        joined = sequence((await self._client.get("joined_rooms")).get("joined_rooms"))
        self._joined = {room for room in joined if isinstance(room, str)}
        self._encrypted.clear()
        for conversation in self._context.conversations:
            place = self._places[conversation.name]
            place.looked_at_s = None
            try:
                await self.ready(conversation.name)
            except (NotThere, RateLimited) as error:
                self._context.count("matrix_room_not_there")
                log.warning(
                    "matrix_room_not_there", bridge=self._context.name, room=conversation.name, reason=str(error)
                )

    async def ready(self, conversation: str) -> str:
        """Return the id of a room that may be spoken in; NotThere with the reason in words.

        Where it wasn't there, it is looked for again at most every `LOOK_AGAIN_S`.
        """
        place = self._place(conversation)
        room_id = self._where(place) or await self._look_for(conversation, place)
        if self.is_closed(room_id):
            raise NotThere(_ENCRYPTED, retry_after_s=LOOK_AGAIN_S)
        return room_id

    def open_id(self, conversation: str) -> str | None:
        """Return the id of a room that may be spoken in, as far as is known without asking."""
        room_id = self._where(self._place(conversation))
        return room_id if room_id and not self.is_closed(room_id) else None

    def origin(self, room_id: str) -> str:
        """Return how the configuration spells this room: its first conversation that is it; else its id."""
        names = (c.name for c in self._context.conversations if self._places[c.name].room_id == room_id)
        return next(names, room_id)

    def is_closed(self, room_id: str) -> bool:
        """Whether the room is encrypted and the configuration doesn't allow that."""
        allowed = self._config.allow_encrypted
        if isinstance(allowed, bool):
            return self._encrypted.get(room_id, False) and not allowed
        named = room_id in allowed or any(
            place.room_id == room_id and name in allowed for name, place in self._places.items()
        )
        return self._encrypted.get(room_id, False) and not named

    def here(self, room_id: str) -> None:
        """Note that we are in the room."""
        self._joined.add(room_id)

    def see(self, room_id: str, event: object) -> None:
        """Take note of a state event: encryption can be turned on, and never off."""
        seen = mapping(event)
        if seen.get("type") == "m.room.encryption" and seen.get("state_key") == "" and not self._encrypted.get(room_id):
            self._encrypted[room_id] = True
            if self.is_closed(room_id):
                log.warning("matrix_room_encrypted", bridge=self._context.name, room=self.origin(room_id))

    def left(self, room_id: str) -> None:
        """Note that we are out of the room."""
        if room_id in self._joined:
            self._joined.discard(room_id)
            log.warning("matrix_room_left", bridge=self._context.name, room=self.origin(room_id))

    async def answer(self, invite: Invite) -> None:
        """Join if the inviter may command us or the room is a configured one; else decline."""
        wanted = await self._is_wanted(invite)
        self._context.count("matrix_invite_accepted" if wanted else "matrix_invite_declined")
        log.info("matrix_invited", bridge=self._context.name, room=invite.room_id, by=invite.inviter, accepted=wanted)
        try:
            if wanted:
                await self._join(invite.room_id)
                await self._learn_encryption(invite.room_id)
            else:
                await self._client.post("rooms", invite.room_id, "leave", body={})
        except (Refused, RateLimited) as error:
            log.warning("matrix_invite_failed", bridge=self._context.name, room=invite.room_id, reason=str(error))

    async def rejoin(self, conversation: str) -> str:
        """Join again a room that said we aren't in it; NotThere if it doesn't let us."""
        place = self._place(conversation)
        self._joined.discard(place.room_id or "")
        place.looked_at_s = None
        return await self.ready(conversation)

    def facts(self) -> dict[str, str]:
        """Return how many of the configured rooms are there, and what keeps the others, in words."""
        there = [c.name for c in self._context.conversations if self._places[c.name].room_id in self._joined]
        closed = [name for name in there if self.is_closed(self._places[name].room_id or "")]
        missing = [c.name for c in self._context.conversations if c.name not in there]
        facts = {"rooms": f"{len(there) - len(closed)} of {len(self._context.conversations)}"}
        return facts | {name: self._places[name].trouble for name in missing} | dict.fromkeys(closed, _ENCRYPTED)

    def _where(self, place: _Place) -> str | None:
        return place.room_id if place.room_id in self._joined and place.room_id in self._encrypted else None

    def _place(self, conversation: str) -> _Place:
        place = self._places.get(conversation)
        if place is None:
            place = self._places[conversation] = _Place()
            if len(self._places) > MAX_ROOMS + len(self._context.conversations):
                configured = {c.name for c in self._context.conversations}
                self._places.pop(next(name for name in self._places if name not in configured))
        return place

    async def _is_wanted(self, invite: Invite) -> bool:
        if invite.inviter and self._context.level_of(SenderId(invite.inviter)) >= Level.COMMANDS:
            return True
        for conversation in self._context.conversations:
            place = self._places[conversation.name]
            if place.room_id is None:
                await self._resolve_quietly(conversation.name, place)
            if place.room_id == invite.room_id:
                return True
        return False

    async def _look_for(self, conversation: str, place: _Place) -> str:
        now_s = self._context.clock.monotonic()
        if place.looked_at_s is not None and now_s - place.looked_at_s < LOOK_AGAIN_S:
            raise NotThere(place.trouble, retry_after_s=LOOK_AGAIN_S)
        place.looked_at_s = now_s
        try:
            room_id = place.room_id or await self._resolve(conversation)
            if room_id not in self._joined:
                await self._join(room_id, conversation if conversation.startswith("#") else room_id)
            await self._learn_encryption(room_id)
        except (Refused, NotThere) as error:
            place.trouble = _words(error)
            raise NotThere(place.trouble, retry_after_s=LOOK_AGAIN_S) from error
        place.room_id, place.trouble = room_id, ""
        return room_id

    async def _resolve(self, conversation: str) -> str:
        """Return the room id: opaque, without a server's name since room version 12."""
        if valid_id(conversation, "!"):
            return conversation
        if not (conversation.startswith("#") and ":" in conversation):  # its own part may be in any script
            raise NotThere(f"{conversation!r} is neither a room id (!...) nor an alias (#...:server)")
        answer = await self._client.get("directory", "room", conversation)
        room_id = valid_id(answer.get("room_id"), "!")
        if room_id is None:
            raise NotThere("the homeserver's answer for this alias has no room id")
        return room_id

    async def _resolve_quietly(self, conversation: str, place: _Place) -> None:
        try:
            place.room_id = await self._resolve(conversation)
        except (Refused, NotThere, RateLimited) as error:
            place.trouble = str(error)

    async def _join(self, room_id: str, by: str | None = None) -> None:
        await self._client.post("join", by or room_id, body={})
        self._joined.add(room_id)
        log.info("matrix_room_joined", bridge=self._context.name, room=room_id)

    async def _learn_encryption(self, room_id: str) -> None:
        try:
            state = await self._client.get("rooms", room_id, "state", "m.room.encryption", "")
        except Refused as refused:
            if refused.errcode != "M_NOT_FOUND":
                raise
            self._encrypted.setdefault(room_id, False)
        else:
            self._encrypted[room_id] = bool(state)


def _words(error: Refused | NotThere) -> str:
    known = {
        "M_NOT_FOUND": "there is no such room or alias",
        "M_FORBIDDEN": "not in the room and not allowed to join: invite us",
    }
    return known.get(error.errcode, str(error)) if isinstance(error, Refused) else str(error)
