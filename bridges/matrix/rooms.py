# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rooms we are in, under which names, and whether we may speak there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.config import MatrixConfig
from bridges.matrix.places import Place, malformed, words
from bridges.matrix.plain import valid_id
from bridges.matrix.upgrades import Upgrades
from bridges.matrix.wire import mapping, sequence
from gateway.model import BridgeContext, NotThere, RateLimited, RoutedConversation

log = structlog.get_logger()

LOOK_AGAIN_S = 15.0
MAX_ROOMS = 1_000
"""Conversations that are remembered besides the configured ones'."""
MAX_UPGRADES = 10
"""How often one room may have been replaced."""

_ENCRYPTED = "room is encrypted: set allow_encrypted = true"
_NOT_AGREED = "room is encrypted: say `!mesh bridge CHANNEL` there, or name it in allow_encrypted"
_FALSE = "the room was replaced by one that doesn't say so: name the right one in the route"


class Rooms:
    """Resolves conversations to room ids, once each, and keeps us in those rooms."""

    def __init__(
        self,
        client: Client,
        config: MatrixConfig,
        context: BridgeContext,
        is_consented: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`is_consented`: whether people let an encrypted room be bridged that the configuration doesn't name."""
        self._client = client
        self._config = config
        self._context = context
        self._is_consented = is_consented
        self.conversations = self._known(context.conversations)
        self._places: OrderedDict[str, Place] = OrderedDict((c.name, Place()) for c in self.conversations)
        self._joined: set[str] = set()
        self._encrypted: dict[str, bool] = {}
        self._upgrades = Upgrades(client)

    async def enter(self) -> None:
        """Look for every configured room and join it; what isn't there stays in trouble, in words.

        Raises LinkDown, AuthFailed.
        """
        joined = sequence((await self._client.get("joined_rooms")).get("joined_rooms"))
        self._joined = {room for room in joined if isinstance(room, str)}
        self._encrypted.clear()
        for conversation in self.conversations:
            place = self._places[conversation.name]
            place.looked_at_s = None
            await self._try(conversation.name)

    def reroute(self, conversations: Iterable[RoutedConversation]) -> None:
        """Know these as the routed conversations from now on. A room we are in is known at once."""
        self.conversations = self._known(conversations)
        for conversation in self.conversations:
            place = self._places.setdefault(conversation.name, Place())
            if place.room_id is None and conversation.name in self._joined and conversation.name in self._encrypted:
                place.room_id, place.trouble = conversation.name, ""

    async def enter_new(self) -> bool:
        """Enter what was never looked for, and say whether anything was; fails as `enter` does."""
        new = [c.name for c in self.conversations if self._places[c.name].is_new]
        for name in new:
            await self._try(name)
        return bool(new)

    async def ready(self, conversation: str) -> str:
        """Return the id of a room that may be spoken in; NotThere with the reason in words.

        Where it wasn't there, it is looked for again at most every `LOOK_AGAIN_S`.
        """
        place = self._place(conversation)
        room_id = self._where(place) or await self._look_for(conversation, place)
        if self.is_closed(room_id):
            raise NotThere(self._closed_because, retry_after_s=LOOK_AGAIN_S)
        return room_id

    def open_id(self, conversation: str) -> str | None:
        """Return the id of a room that may be spoken in, as far as is known without asking."""
        room_id = self._where(self._place(conversation))
        return room_id if room_id and not self.is_closed(room_id) else None

    def origin(self, room_id: str) -> str:
        """Return how the configuration spells this room: its first conversation that is it; else its id."""
        names = (c.name for c in self.conversations if self._places[c.name].has(room_id))
        return next(names, room_id)

    def is_routed(self, room_id: str) -> bool:
        """Whether a route names this room."""
        return any(c.name == room_id or self._places[c.name].has(room_id) for c in self.conversations)

    def is_in(self, room_id: str) -> bool:
        """Whether we are in the room, as far as is known without asking."""
        return room_id in self._joined

    def spellings(self, room_id: str) -> tuple[str, ...]:
        """Return every routed conversation that is this room now."""
        return tuple(c.name for c in self.conversations if self._places[c.name].room_id == room_id)

    def room(self, conversation: str) -> str | None:
        """Return the room a routed conversation is now, closed or not, as far as is known; None if we aren't there."""
        place = self._places.get(conversation)
        return None if place is None else self._where(place)

    @property
    def joined(self) -> tuple[str, ...]:
        """The rooms we are in."""
        return tuple(self._joined)

    def is_in_use(self, room_id: str) -> bool:
        """Whether we are in the room and nothing has replaced it."""
        return room_id in self._joined and self._upgrades.successor(room_id) is None

    def seems_encrypted(self, room_id: str) -> bool:
        """Whether the room is encrypted, as far as is known without asking."""
        return self._encrypted.get(room_id, False)

    async def is_encrypted(self, room_id: str) -> bool:
        """Whether what is said there has to be encrypted; asks where that isn't known. Fails as the homeserver does."""
        if room_id not in self._encrypted:
            await self._learn_encryption(room_id)
        return self._encrypted[room_id]

    def is_closed(self, room_id: str) -> bool:
        """Whether the room is encrypted and neither the configuration nor its people allow that."""
        allowed = self._config.allow_encrypted
        if not self._encrypted.get(room_id, False):
            return False
        if isinstance(allowed, bool):  # without it there are no keys, whoever consented before it was taken out
            return not allowed
        if self._is_consented(room_id):
            return False
        named = room_id in allowed or any(
            place.has(room_id) and name in allowed for name, place in self._places.items()
        )
        return not named

    @property
    def has_keys(self) -> bool:
        """Whether encrypted rooms can be read and written at all: the configuration allows some, or to ask."""
        return self._config.allow_encrypted is not False

    @property
    def _closed_because(self) -> str:
        return _NOT_AGREED if self.has_keys else _ENCRYPTED

    def encrypted(self) -> frozenset[str]:
        """Return the encrypted rooms we are in and may speak in."""
        return frozenset(
            room
            for room, is_so in self._encrypted.items()
            if is_so and room in self._joined and not self.is_closed(room)
        )

    def here(self, room_id: str) -> None:
        """Note that we are in the room."""
        if room_id not in self._joined:
            self._joined.add(room_id)
            self._look_anew(room_id)
            self._context.appeared(self.origin(room_id))

    def see(self, room_id: str, event: object) -> None:
        """Take note of a state event: a room can be replaced; encryption can be turned on, and never off."""
        seen = mapping(event)
        if self._upgrades.see(room_id, event):
            self._look_anew(room_id)
        if seen.get("type") == "m.room.encryption" and seen.get("state_key") == "" and not self._encrypted.get(room_id):
            self._encrypted[room_id] = True
            if self.is_closed(room_id):
                log.warning("matrix_room_encrypted", bridge=self._context.name, room=self.origin(room_id))

    def left(self, room_id: str) -> None:
        """Note that we are out of the room."""
        if room_id in self._joined:
            self._joined.discard(room_id)
            log.warning("matrix_room_left", bridge=self._context.name, room=self.origin(room_id))

    async def arrive(self, room_id: str) -> None:
        """Join a room and learn what matters of it; fails as `Client.post` does."""
        await self._arrive(room_id)
        for old in self._upgrades.replaced_by(room_id):
            self._look_anew(old)

    async def leave(self, room_id: str, reason: str = "") -> None:
        """Leave a room, or decline to come in; fails as `Client.post` does."""
        await self._client.post("rooms", room_id, "leave", body={"reason": reason} if reason else {})
        self._joined.discard(room_id)

    async def names(self, room_id: str) -> bool:
        """Whether a routed conversation is this room, or the one it replaced; aliases are looked up for it."""
        for conversation in self.conversations:
            place = self._places[conversation.name]
            if place.room_id is None:
                await self._resolve_quietly(conversation.name, place)
            if place.room_id == room_id or place.room_id in self._upgrades.replaced_by(room_id):
                return True
        return False

    async def follow(self) -> bool:
        """Go where rooms were replaced by others, under the same spelling; whether any was.

        Raises LinkDown, AuthFailed; what doesn't let us in stays in trouble, in words.
        """
        moved = False
        for conversation in self.conversations:
            place = self._places[conversation.name]
            if place.room_id is None:
                continue
            for old in self._upgrades.replaced_by(place.room_id):
                # Its alias led us here at once, and the old room still holds what we missed.
                if old not in place.former and await self._is_true(old):
                    place.former.append(old)
            if self._upgrades.successor(place.room_id) is not None:
                moved |= await self._moves(conversation.name, place)
        return moved

    async def rejoin(self, conversation: str) -> str:
        """Join again a room that said we aren't in it; NotThere if it doesn't let us."""
        place = self._place(conversation)
        self._joined.discard(place.room_id or "")
        place.looked_at_s = None
        return await self.ready(conversation)

    def facts(self) -> dict[str, str]:
        """Return how many of the configured rooms are there, and what keeps the others, in words."""
        there = [c.name for c in self.conversations if self._where(self._places[c.name])]
        closed = [name for name in there if self.is_closed(self._places[name].room_id or "")]
        missing = [c.name for c in self.conversations if c.name not in there]
        facts = {"rooms": f"{len(there) - len(closed)} of {len(self.conversations)}"}
        return (
            facts | {name: self._places[name].trouble for name in missing} | dict.fromkeys(closed, self._closed_because)
        )

    def _known(self, given: Iterable[RoutedConversation]) -> tuple[RoutedConversation, ...]:
        """Return the rooms among them (a person's is made when it is needed), with the control room."""
        rooms = tuple(conversation for conversation in given if not conversation.name.startswith("@"))
        control = self._config.control_room
        if control is None or any(conversation.name == control for conversation in rooms):
            return rooms
        return (*rooms, RoutedConversation(name=control))

    async def _try(self, conversation: str) -> None:
        try:
            await self.ready(conversation)
        except (NotThere, RateLimited) as error:
            self._context.count("matrix_room_not_there")
            log.warning("matrix_room_not_there", bridge=self._context.name, room=conversation, reason=str(error))

    def _where(self, place: Place) -> str | None:
        room_id = place.room_id
        if room_id not in self._joined or room_id not in self._encrypted:
            return None
        return room_id if self._upgrades.successor(room_id) is None else None

    def _look_anew(self, room_id: str) -> None:
        for place in self._places.values():
            if place.room_id == room_id:
                place.looked_at_s = None

    async def _moves(self, conversation: str, place: Place) -> bool:
        before = place.trouble
        try:
            await self.ready(conversation)
        except (NotThere, RateLimited) as error:
            if str(error) != before:
                self._context.count("matrix_room_not_there")
                log.warning("matrix_room_not_there", bridge=self._context.name, room=conversation, reason=str(error))
            return False
        return True

    async def _is_true(self, old: str) -> bool:
        try:
            return await self._upgrades.is_true(old)
        except (Refused, RateLimited):
            return False

    def _place(self, conversation: str) -> Place:
        place = self._places.get(conversation)
        if place is None:
            place = self._places[conversation] = Place()
            if len(self._places) > MAX_ROOMS + len(self.conversations):
                configured = {c.name for c in self.conversations}
                self._places.pop(next(name for name in self._places if name not in configured))
        return place

    async def _look_for(self, conversation: str, place: Place) -> str:
        now_s = self._context.clock.monotonic()
        if place.looked_at_s is not None and now_s - place.looked_at_s < LOOK_AGAIN_S:
            raise NotThere(place.trouble, retry_after_s=LOOK_AGAIN_S)
        place.looked_at_s = now_s
        try:
            room_id = place.room_id or await self._resolve(conversation)
            await self._arrive(room_id, by=conversation if conversation.startswith("#") and not place.former else "")
            room_id = await self._latest(place, room_id)
        except (Refused, NotThere) as error:
            place.trouble = words(error)
            raise NotThere(place.trouble, retry_after_s=LOOK_AGAIN_S) from error
        place.room_id, place.trouble = room_id, ""
        return room_id

    async def _arrive(self, room_id: str, *, by: str = "", via: str = "") -> None:
        if room_id not in self._joined:
            await self._join(room_id, by=by, via=via)
        await self._learn_encryption(room_id)
        await self._upgrades.learn(room_id)

    async def _latest(self, place: Place, room_id: str) -> str:
        """Return the room that is in use now, joined; NotThere if it was replaced by one we can't follow to."""
        for _ in range(MAX_UPGRADES):
            successor = self._upgrades.successor(room_id)
            if successor is None:
                return room_id
            place.room_id = room_id
            if successor.is_false:
                raise NotThere(_FALSE)
            try:
                await self._arrive(successor.room_id, via=successor.via)
            except Refused as refused:
                raise NotThere(f"the room was replaced; its successor: {words(refused)}") from refused
            if not await self._upgrades.is_true(room_id):
                # Not left again: it may be in use for another conversation.
                raise NotThere(_FALSE)
            place.former.append(room_id)
            place.room_id = room_id = successor.room_id
            log.info("matrix_room_replaced", bridge=self._context.name, room=self.origin(room_id), by=room_id)
        raise NotThere("the room was replaced too often")

    async def _resolve(self, conversation: str) -> str:
        """Return the room id: opaque, without a server's name since room version 12."""
        if valid_id(conversation, "!"):
            return conversation
        if reason := malformed(conversation):
            raise NotThere(reason)
        answer = await self._client.get("directory", "room", conversation)
        room_id = valid_id(answer.get("room_id"), "!")
        if room_id is None:
            raise NotThere("the homeserver's answer for this alias has no room id")
        return room_id

    async def _resolve_quietly(self, conversation: str, place: Place) -> None:
        try:
            place.room_id = await self._resolve(conversation)
        except (Refused, NotThere, RateLimited) as error:
            place.trouble = str(error)

    async def _join(self, room_id: str, *, by: str = "", via: str = "") -> None:
        query: dict[str, str | int] = {"via": via, "server_name": via} if via else {}  # the latter before v1.12
        await self._client.post("join", by or room_id, body={}, query=query)
        self.here(room_id)
        log.info("matrix_room_joined", bridge=self._context.name, room=room_id)

    async def _learn_encryption(self, room_id: str) -> None:
        try:
            await self._client.get("rooms", room_id, "state", "m.room.encryption", "")
        except Refused as refused:
            if refused.errcode != "M_NOT_FOUND":
                raise
            self._encrypted.setdefault(room_id, False)
        else:
            # Whatever is in it: emptied or taken back it says no less that clients encrypt there.
            self._encrypted[room_id] = True
