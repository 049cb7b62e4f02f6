# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody at any box's page says to one radio node is carried by whichever box has a radio, as a direct chat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from bridges.lan.chats import Chats
from bridges.lan.entries import Standing
from bridges.lan.places import other_in
from gateway.model import Address, BridgeContext, Declined, Full, JournalError, Message, Rejected, State

AGAIN_S = 5.0
NO_ROOM = "there are as many private chats as can be, and somebody wrote in each within a day: try again tomorrow"

log = structlog.get_logger()


class Introductions:
    """One box's. `tell`: lets the box where it was said know what became of it."""

    def __init__(self, context: BridgeContext, tell: Callable[[Standing], Awaitable[None]], chats: Chats) -> None:
        self.chats = chats
        self._desk = context.desk
        self._count = context.count
        self._clock = context.clock
        self._tell = tell

    async def is_carried(self, message: Message) -> bool:
        """Join such a chat with its node; False: it isn't for this box, or its sender may not, which they are told.

        What is no such chat is carried as ever. TransientError if they can't be told now.
        """
        node = other_in(message.origin.conversation)
        if not node:
            return True
        try:
            there = self._desk.resolve(node)
        except Declined:
            self._count("lan_chat_without_radio")  # another box may have one
            return False
        try:
            await self._joined(message, there)
        except Full as full:
            if await self.chats.make_room(message.origin.conversation):
                return await self.is_carried(message)
            log.info("lan_chats_full", reason=str(full))
            await self._refuse(message, there, NO_ROOM)
            return False
        except Declined as declined:
            await self._refuse(message, there, str(declined))
            return False
        return True

    async def _joined(self, message: Message, there: Address) -> None:
        """Join; as long as the journal can't keep that it is tried again, for it could keep no message either."""
        while True:
            try:
                await self._desk.join(message.origin, there, by=message.sender.id, direct=True)
            except JournalError as error:
                log.warning("lan_chat_postponed", reason=str(error))
                await self._clock.sleep(AGAIN_S)
            else:
                return

    async def _refuse(self, message: Message, there: Address, reason: str) -> None:
        refused = Standing(about=message.native_id, leg=str(there), state=State.CANCELLED.value, reason=reason)
        try:
            await self._tell(refused)
        except Rejected:
            self._count("lan_chat_not_told")  # the others put this box out
