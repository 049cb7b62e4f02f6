# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridging rooms, and ending it: by those with the say in the room, by our leaving, by the room's replacement."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.management import say
from bridges.matrix.management.command import Command
from bridges.matrix.management.confirmations import Confirmations
from bridges.matrix.management.consents import Consents
from bridges.matrix.management.declarations import Declarations
from bridges.matrix.management.people import is_person
from bridges.matrix.management.power import Powers
from bridges.matrix.notices import Notices
from bridges.matrix.rooms import Rooms
from gateway.model import Address, BridgeContext, Declined, Joined, JournalError, Level, NotThere, RateLimited, SenderId

log = structlog.get_logger()

MOST_STUCK = 1_000
"""Routes whose room was replaced that could not be moved; past it the oldest is tried again."""
MOST_ENDED = 20
"""Of which status says why they are no more, until the next start."""


class Linking:
    """Makes and ends the routes of rooms by what people and homeservers say."""

    def __init__(
        self,
        client: Client,
        context: BridgeContext,
        rooms: Rooms,
        *,
        consents: Consents,
        confirmations: Confirmations,
        notices: Notices,
        declarations: Declarations,
    ) -> None:
        self._client = client
        self._context = context
        self._rooms = rooms
        self._consents = consents
        self._confirmations = confirmations
        self._notices = notices
        self._declarations = declarations
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._stuck: OrderedDict[tuple[str, str], None] = OrderedDict()

    def here(self, room_id: str) -> Address:
        """Return the room as routes spell it."""
        return Address(self._context.name, self._rooms.origin(room_id))

    async def bridge(self, command: Command, wished: str) -> str:
        """Ask for the confirmation that bridging takes. Declined with the reason where it can't be."""
        here, there = self.here(command.room_id), self._there(wished)
        if self._joined(here, there) and not self._rooms.is_closed(command.room_id):
            return f"This room is bridged to {there} already."
        await self.check(command)
        encrypted = await self._rooms.is_encrypted(command.room_id)
        if encrypted and not self._rooms.has_keys:
            raise Declined('This room is encrypted, and the gateway has no keys: it needs allow_encrypted = "ask".')
        self._confirmations.ask(
            command.sender,
            command.room_id,
            partial(self._bridge, command, there, was_encrypted=encrypted),
            now_s=self._context.clock.monotonic(),
            again=say.before_bridging(there) if encrypted else "",
        )
        return say.before_bridging_encrypted(there) if encrypted else say.before_bridging(there)

    async def unbridge(self, command: Command, wished: str) -> str:
        """End what was made in a chat. Declined with the reason where it can't be."""
        here = self.here(command.room_id)
        there = self._context.desk.resolve(wished) if wished else None
        if self._context.level_of(command.sender) < Level.ADMIN:
            await self._check_power(command)
        parted = await self._context.desk.part(here, there, by=command.sender)
        if not parted and not wished and self._consents.has(command.room_id):
            self._consents.take_back(command.room_id)
            return say.CLOSED_AGAIN
        if not parted:
            left = say.standing(self._context.desk.joined(here), here)
            raise Declined(f"Nothing was bridged here in a chat. {left}".strip())
        if not self._context.desk.joined(here):
            self._consents.take_back(command.room_id)
        await self._declare(command.room_id, here)
        return say.unbridged(parted, here)

    async def check(self, command: Command) -> None:
        """Raise Declined, with the reason, unless who asks may command us and has the say in the room."""
        if self._context.level_of(command.sender) < Level.COMMANDS:
            raise Declined("You may not bridge rooms here: ask who runs this gateway.")
        await self._check_power(command)

    async def gone(self, room_id: str, why: str) -> Sequence[Joined]:
        """End what was joined with a room that we are no longer in, or alone in; return what it was."""
        ended: list[Joined] = []
        for spelling in self._rooms.spellings(room_id) or (room_id,):
            here = Address(self._context.name, spelling)
            try:
                parted = await self._context.desk.part(here, by=None)
            except (Declined, JournalError) as error:
                log.warning("matrix_unbridge_failed", bridge=self._context.name, room=spelling, reason=str(error))
                continue
            if parted:
                ended += parted
                self._context.count("matrix_unbridged")
                log.warning("matrix_unbridged", bridge=self._context.name, room=spelling, reason=why)
                self._ended[spelling] = f"no longer bridged: {why}"
                self._ended.move_to_end(spelling)
                if len(self._ended) > MOST_ENDED:
                    self._ended.popitem(last=False)
        try:
            self._consents.take_back(room_id)
        except Declined as error:
            log.warning("matrix_state_not_kept", bridge=self._context.name, room=room_id, reason=str(error))
        return ended

    async def move(self) -> None:
        """Let routes that people made name the room that replaced theirs: a room's id is its address."""
        for conversation in self._rooms.conversations:
            old, new = conversation.name, self._rooms.room(conversation.name)
            if new is None or not old.startswith("!") or new == old:
                continue
            made = [one for one in self._context.desk.joined(Address(self._context.name, old)) if one.by is not None]
            if made and (old, new) not in self._stuck:
                await self._take_consent(old, new)
                for joined in made:
                    await self._move(joined, old, new)

    def facts(self) -> Mapping[str, str]:
        """Return which rooms are no longer bridged and why, in words."""
        return dict(self._ended)

    async def _take_consent(self, old: str, new: str) -> None:
        try:
            if self._consents.has(old) and await self._rooms.is_encrypted(new):
                self._consents.give(new, old)
        except (Declined, Refused, RateLimited) as error:
            self._is_stuck(old, new, error)

    def _is_stuck(self, old: str, new: str, error: Exception) -> None:
        """Note, once, that a route goes on under the old room's name, which leads to the new one."""
        self._stuck[old, new] = None
        if len(self._stuck) > MOST_STUCK:
            self._stuck.popitem(last=False)
        self._context.count("matrix_move_failed")
        log.warning("matrix_move_failed", bridge=self._context.name, room=old, reason=str(error))

    async def _move(self, joined: Joined, old: str, new: str) -> None:
        by = joined.by or SenderId("")
        before, after = Address(self._context.name, old), self.here(new)
        desk = self._context.desk
        after = Address(self._context.name, new) if after == before else after
        for there in joined.ends:
            if there == before:
                continue
            try:
                # First the new one: what breaks off in between leaves two names of one room, and is ended next time.
                if not any(there in known.ends for known in desk.joined(after)):
                    await desk.join(after, there, by=by, direct=joined.direct)
                await desk.part(before, there, by=by)
            except (Declined, JournalError) as error:
                self._is_stuck(old, new, error)
            else:
                log.info("matrix_moved", bridge=self._context.name, room=old, to=new)

    def _there(self, wished: str) -> Address:
        if not wished:
            raise Declined("Say which channel: `!mesh bridge LongFast`.")
        there = self._context.desk.resolve(wished)
        if is_person(there, self._context.name):
            raise Declined(f"{there.conversation} is one person, not a channel: say `!mesh dm {there.conversation}`.")
        return there

    async def _bridge(self, command: Command, there: Address, *, was_encrypted: bool) -> str:
        room_id = command.room_id
        encrypted = await self._rooms.is_encrypted(room_id)
        if encrypted and not was_encrypted:
            raise Declined("This room was encrypted meanwhile: ask again, and you will be asked twice.")
        await self.check(command)
        is_new = encrypted and not self._consents.has(room_id)
        if is_new:
            self._consents.give(room_id, command.sender)
        here = self.here(room_id)
        try:
            known = self._joined(here, there)
            joined = known or await self._context.desk.join(here, there, by=command.sender)
        except BaseException:
            if is_new:
                self._consents.take_back(room_id)
            raise
        self._ended.pop(here.conversation, None)
        said = await self._settle(room_id, here)
        words = say.bridged(joined, here, there, f"{command.sender_name} ({command.sender})")
        if await self._notices.say(room_id, words, about=f"bridged {command.event_id}"):
            self._notices.told(room_id)
        return f"{'Bridged' if known is None else 'It is carried on'} to {there}, as route {joined.route}.{said}"

    def _joined(self, here: Address, there: Address) -> Joined | None:
        return next((joined for joined in self._context.desk.joined(here) if there in joined.ends), None)

    async def _settle(self, room_id: str, here: Address) -> str:
        """Be in the room under its new spelling and let it say what it is; return what it doesn't let us."""
        try:
            await self._rooms.ready(here.conversation)
        except NotThere as error:
            return f" But: {error}."
        if await self._declare(room_id, here):
            return ""
        return " (The room's settings don't let me put that into its details; that changes nothing else.)"

    async def _declare(self, room_id: str, here: Address) -> bool:
        return await self._declarations.declare(room_id, here, self._context.desk.joined(here))

    async def _check_power(self, command: Command) -> None:
        if not (await self.powers(command.room_id)).may_send_state(command.sender, "m.bridge"):
            raise Declined("In this room you haven't the power for that: it takes as much as changing its settings.")

    async def powers(self, room_id: str) -> Powers:
        """Return who has the say in a room; Declined if the homeserver doesn't tell us."""
        try:
            create = await self._client.get("rooms", room_id, "state", "m.room.create", "", query={"format": "event"})
            try:
                levels = await self._client.get("rooms", room_id, "state", "m.room.power_levels", "")
            except Refused as refused:
                if refused.errcode != "M_NOT_FOUND":
                    raise
                return Powers(create=create)
        except Refused as refused:
            raise Declined(f"The homeserver doesn't tell who has the say in this room: {refused}") from refused
        return Powers(create=create, levels=levels)
