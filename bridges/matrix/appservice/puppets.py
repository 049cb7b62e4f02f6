# SPDX-License-Identifier: GPL-3.0-or-later
"""The ghosts, as those who open direct chats need them."""

from __future__ import annotations

from bridges.matrix.appservice.ghosts import Ghosts
from bridges.matrix.appservice.names import ghost_of, node_of
from bridges.matrix.client import Client
from gateway.model import Sender


class GhostPuppets:
    """See `bridges.matrix.management.puppets.Puppets`."""

    def __init__(self, ghosts: Ghosts) -> None:
        self._ghosts = ghosts

    def node_of(self, user_id: str) -> str | None:
        """Return the radio node that a ghost stands for; None if the user is no node's ghost."""
        localpart = self._ghosts.localpart(user_id)
        return None if localpart is None else node_of(localpart)

    def is_ghost(self, user_id: str) -> bool:
        """Whether the user is a ghost, whichever box made it."""
        return self._ghosts.localpart(user_id) is not None

    async def acting(self, sender: Sender) -> Client | None:
        """Return a connection that speaks as this person's ghost; None: they have none. Fails as `Client.post` does."""
        ghost = ghost_of(sender)
        if ghost is None:
            return None
        # Without a name it keeps the one it has.
        return await (self._ghosts.ensure(ghost) if sender.name else self._ghosts.ensure_bare(ghost.localpart))

    async def registered(self, user_id: str) -> Client:
        """Return a connection that speaks as a ghost that is no more than registered. Fails as `Client.post` does."""
        localpart = self._ghosts.localpart(user_id)
        if localpart is None:
            raise ValueError(user_id)
        return await self._ghosts.registered(localpart)
