# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody at any box's page says to one radio node is carried by whichever box has a radio, as a direct chat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bridges.lan.entries import Standing
from bridges.lan.places import other_in
from gateway.model import BridgeContext, Declined, Message, State


class Introductions:
    """One box's. `tell`: lets the box where it was said know what became of it."""

    def __init__(self, context: BridgeContext, tell: Callable[[Standing], Awaitable[None]]) -> None:
        self._desk = context.desk
        self._count = context.count
        self._tell = tell

    async def is_carried(self, message: Message) -> bool:
        """Join such a chat with its node; False: it isn't for this box, or its sender may not, which they are told.

        What is no such chat is carried as ever. BridgeError if they can't be told.
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
            await self._desk.join(message.origin, there, by=message.sender.id, direct=True)
        except Declined as declined:
            refused = Standing(
                about=message.native_id, leg=str(there), state=State.CANCELLED.value, reason=str(declined)
            )
            await self._tell(refused)
            return False
        return True
