# SPDX-License-Identifier: GPL-3.0-or-later
"""A room of our user's own, with nobody else in it: where a box is in no room, something has to happen somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from bridges.matrix.client import Client
from bridges.matrix.management.made import Made
from gateway.model import BridgeContext, BridgeError

log = structlog.get_logger()

PURPOSE = "wakeup"
ASK_AGAIN_S = 60.0
WISH: Mapping[str, Any] = {
    "preset": "private_chat",
    "name": "Crossband: wakes the homeserver",
    "topic": "The gateway makes events here, so that the homeserver sends what it kept. Nobody needs to be here.",
    "creation_content": {"m.federate": False, "type": "org.crossband.wakeup"},
}
"""Another type than a room for talk (``m.room.create``): clients and directories show none of it."""


class OwnRoom:
    """Makes the room once: it is found again by `Made`, also where what we knew is lost."""

    def __init__(self, client: Client, context: BridgeContext, made: Made) -> None:
        self._client = client
        self._context = context
        self._made = made
        self._refused_s: float | None = None
        self.trouble = ""
        """Why there is none, in words."""

    async def room(self) -> str | None:
        """Return its id, made if there is none; None where the homeserver makes none. No BridgeError."""
        now_s = self._context.clock.monotonic()
        if self._refused_s is not None and now_s - self._refused_s < ASK_AGAIN_S:
            return None
        try:
            # Of what other boxes made for themselves ours is told apart by its maker.
            room_id = await self._made.make(WISH, PURPOSE, though_forgotten=True)
        except BridgeError as error:
            self._refused_s = now_s
            self.trouble = f"the homeserver lets us make none: {error}"
            self._context.count("matrix_own_room_failed")
            log.warning("matrix_own_room_failed", bridge=self._context.name, reason=str(error))
            return None
        self._refused_s, self.trouble = None, ""
        return room_id
