# SPDX-License-Identifier: GPL-3.0-or-later
"""All of a bridge's management, put together: what it takes from the stream of events, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.config import MatrixConfig
from bridges.matrix.management.clerk import Clerk
from bridges.matrix.management.command import Command, command_in
from bridges.matrix.management.company import Company
from bridges.matrix.management.confirmations import Confirmations
from bridges.matrix.management.consents import Consents
from bridges.matrix.management.declarations import Declarations
from bridges.matrix.management.directs import Directs
from bridges.matrix.management.invites import Invites
from bridges.matrix.management.linking import Linking
from bridges.matrix.management.made import Made
from bridges.matrix.management.puppets import NoPuppets, Puppets
from bridges.matrix.management.space import Spaces
from bridges.matrix.nicks import Nicks
from bridges.matrix.notices import Notices
from bridges.matrix.rooms import Rooms
from bridges.matrix.sync import Batch
from gateway.model import Address, BridgeContext, Message, RateLimited, Unconfirmed

log = structlog.get_logger()

DECLARED_AT_ONCE = 10
"""Rooms that are asked what they say of themselves between two syncs, after a start."""
FEW = 50
"""Members of a room, ghosts among them, that are looked at to tell whether all people have left it."""
LATE_MS = 300_000
"""An encrypted command whose key comes later than that isn't done: who gave it may have given up, or done without."""
WELCOME = "This is the gateway. Everything you say here is a command; `help` tells which there are."

UNREADABLE = (
    "This is the gateway. This chat is encrypted and I have no keys: nothing you say here can be read. Begin one "
    'without encryption, or ask who runs the gateway to set allow_encrypted = "ask".'
)


class Office:
    """Commands, invitations, routes that people make, and what rooms say of themselves."""

    def __init__(
        self,
        client: Client,
        context: BridgeContext,
        config: MatrixConfig,
        rooms: Rooms,
        *,
        notices: Notices,
        consents: Consents,
        nicks: Nicks,
    ) -> None:
        self._client = client
        self._context = context
        self._control = config.control_room
        self._rooms = rooms
        self._notices = notices
        self._puppets: Puppets = NoPuppets()
        self._undeclared: list[str] = []
        self._company = company = Company(client, self._is_ghost)
        self.made = made = Made(client, rooms, context.state_dir / "made.json")
        """Rooms that the gateway made."""
        confirmations = Confirmations()
        self._invites = Invites(client, context, rooms, company)
        self._declarations = Declarations(client, context)
        self._linking = Linking(
            client,
            context,
            rooms,
            consents=consents,
            confirmations=confirmations,
            notices=notices,
            declarations=self._declarations,
        )
        self.directs = Directs(client, context, rooms, made=made, company=company, notices=notices)
        self._clerk = Clerk(
            client,
            context,
            confirmations=confirmations,
            linking=self._linking,
            directs=self.directs,
            spaces=Spaces(
                client,
                context,
                rooms,
                made=made,
                company=company,
                confirmations=confirmations,
                notices=notices,
            ),
            nicks=nicks,
        )

    def use(self, puppets: Puppets) -> None:
        """Let direct chats be those of ghosts, in appservice mode."""
        self._puppets = self.directs.puppets = puppets

    def _is_ghost(self, user_id: str) -> bool:
        return self._puppets.is_ghost(user_id)

    async def open(self) -> None:
        """Begin a connection: know which rooms are chats with us, and look at what rooms say of themselves.

        Raises LinkDown, RateLimited, AuthFailed.
        """
        await self._company.open()
        self._undeclared = [conversation.name for conversation in self._rooms.conversations]

    def reroute(self, names: list[str]) -> None:
        """Note that these conversations may share their messages with others than before."""
        self._undeclared += [name for name in names if name not in self._undeclared]

    def facts(self) -> Mapping[str, str]:
        """Return which rooms are no longer bridged, and which don't say that they are, in words."""
        refused = len(self._declarations.refused)
        facts = dict(self._linking.facts())
        if refused:
            rooms = "1 room's" if refused == 1 else f"{refused} rooms'"
            facts["not_declared"] = f"{rooms} settings don't let us put into their details what they share"
        return facts

    async def tend(self, batch: Batch) -> bool:
        """Take in what changed around rooms; return whether we may be in more of them. Raises LinkDown, AuthFailed."""
        for room_id in batch.left:
            # Also of one that we weren't let in again, at this start, after we had been put out.
            self._rooms.left(room_id)
            await self.directs.ended(room_id, await self._linking.gone(room_id, "we were put out of the room"))
            await self._end_chat(room_id)
        for news in batch.rooms:
            self._rooms.here(news.room_id)
            events = (*news.state, *news.events)
            left = [event for event in events if self._company.learn(news.room_id, event)]
            if left and news.members is not None and news.members <= FEW:
                await self._leave_if_empty(news.room_id)
        for invite in batch.invites:
            is_ours = invite.inviter is not None and self._puppets.is_ghost(invite.inviter)
            if await self._invites.answer(invite, is_ours=is_ours):
                is_shut = self._rooms.seems_encrypted(invite.room_id) and not self._rooms.has_keys
                await self._notices.say(invite.room_id, UNREADABLE if is_shut else WELCOME, about="welcome")
        return bool(batch.invites)

    async def settle(self) -> None:
        """Do what isn't urgent: routes of rooms that were replaced, and what rooms say. Raises AuthFailed only."""
        await self._linking.move()
        for name in self._undeclared[:DECLARED_AT_ONCE]:
            room_id, here = self._rooms.room(name), Address(self._context.name, name)
            self._undeclared.remove(name)
            if room_id is not None:
                await self._declarations.declare(room_id, here, self._context.desk.joined(here))

    async def command(self, event: object, message: Message, room_id: str) -> Command | None:
        """Return the command that a message gives; None if it gives none."""
        command = command_in(event, message, room_id, all_are=await self.is_office(room_id))
        if command is None:
            return None
        age_ms = self._context.clock.now_ms() - message.received_ms
        return replace(command, is_late=abs(age_ms) > LATE_MS)

    async def is_office(self, room_id: str) -> bool:
        """Whether the room is for commands alone: the control room, or a direct chat that leads nowhere else."""
        if self.is_control(room_id):
            return True
        if not await self._company.is_chat(room_id):
            return False
        return not self._context.desk.joined(Address(self._context.name, self._rooms.origin(room_id)))

    def is_control(self, room_id: str) -> bool:
        """Whether this is the control room."""
        return self._control is not None and self._rooms.room(self._control) == room_id

    async def carry_out(self, command: Command) -> Message | None:
        """Do what it asks and answer; return what it says for others."""
        is_office = await self.is_office(command.room_id)
        is_private = is_office or await self._company.is_chat(command.room_id)
        return await self._clerk.carry_out(command, is_private=is_private, is_office=is_office)

    async def _leave_if_empty(self, room_id: str) -> None:
        try:
            if await self._company.others(room_id):
                return
            await self.directs.ended(room_id, await self._linking.gone(room_id, "everybody else left the room"))
            await self._end_chat(room_id)
            if not self.is_control(room_id) and not self._rooms.spellings(room_id):
                await self._rooms.leave(room_id)
        except (Refused, RateLimited, Unconfirmed) as error:
            log.info("matrix_leave_failed", bridge=self._context.name, room=room_id, reason=str(error))

    async def _end_chat(self, room_id: str) -> None:
        try:
            await self._company.end_chat(room_id)
        except (Refused, RateLimited, Unconfirmed) as error:
            log.info("matrix_chat_not_ended", bridge=self._context.name, room=room_id, reason=str(error))
