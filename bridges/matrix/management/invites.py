# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may ask us where, and what comes of it."""

from __future__ import annotations

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.management.company import Company
from bridges.matrix.rooms import Rooms
from bridges.matrix.sync import Invite
from gateway.model import BridgeContext, Level, RateLimited, SenderId, Unconfirmed

log = structlog.get_logger()

MOST_ROOMS = 2_000
"""We are in; past it only rooms that a route names are entered."""
_NOT_YOU = "You may not invite this gateway: ask who runs it."
_FULL = "This gateway is in too many rooms already."


class Invites:
    """Comes where a route names the room, or who asks may; declines the rest with the reason."""

    def __init__(self, client: Client, context: BridgeContext, rooms: Rooms, company: Company) -> None:
        self._client = client
        self._context = context
        self._rooms = rooms
        self._company = company

    async def answer(self, invite: Invite, *, is_ours: bool = False) -> bool:
        """Join, or decline and say why; return whether it is a new direct chat with us.

        `is_ours`: one of our ghosts asks. Raises LinkDown, AuthFailed.
        """
        objection = "" if is_ours else await self._objection(invite)
        accepted = not objection
        self._context.count("matrix_invite_accepted" if accepted else "matrix_invite_declined")
        log.info("matrix_invited", bridge=self._context.name, room=invite.room_id, by=invite.inviter, accepted=accepted)
        try:
            if objection:
                await self._rooms.leave(invite.room_id, objection)
                return False
            await self._rooms.arrive(invite.room_id)
            if invite.is_direct and invite.inviter and not is_ours and not self._rooms.spellings(invite.room_id):
                await self._company.begin_chat(invite.room_id, invite.inviter)
                return True
        except (Refused, RateLimited, Unconfirmed) as error:
            log.warning("matrix_invite_failed", bridge=self._context.name, room=invite.room_id, reason=str(error))
        return False

    async def _objection(self, invite: Invite) -> str:
        """Return why we don't come; empty if we do."""
        if await self._rooms.names(invite.room_id):
            return ""
        needed = Level.TRANSMIT if invite.is_direct else Level.COMMANDS
        if invite.inviter is None or self._context.level_of(SenderId(invite.inviter)) < needed:
            return _NOT_YOU
        return _FULL if len(self._rooms.joined) >= MOST_ROOMS else ""
