# SPDX-License-Identifier: GPL-3.0-or-later
"""What direct chats need of an application service's ghosts; in bot mode there are none."""

from __future__ import annotations

from typing import Protocol

from bridges.matrix.client import Client
from gateway.model import Sender


class Puppets(Protocol):
    """The ghosts of our namespace."""

    def node_of(self, user_id: str) -> str | None:
        """Return the node that a ghost stands for (``!a1b2c301``); None if the user is no node's ghost of ours."""
        ...

    def is_ghost(self, user_id: str) -> bool:
        """Whether the user is a ghost of ours, of a node or of anyone else."""
        ...

    async def acting(self, sender: Sender) -> Client | None:
        """Return a connection that speaks as this person's ghost, who is registered then; None: they have none.

        BridgeError if the homeserver doesn't let us.
        """
        ...

    async def registered(self, user_id: str) -> Client:
        """Return a connection that speaks as a ghost, which has neither name nor picture for it: to decline.

        BridgeError if the homeserver doesn't let us; ValueError if the user is no ghost of ours.
        """
        ...


class NoPuppets:
    """Bot mode."""

    def node_of(self, user_id: str) -> str | None:
        """Know of none."""
        del user_id
        return None

    def is_ghost(self, user_id: str) -> bool:
        """Know of none."""
        del user_id
        return False

    async def acting(self, sender: Sender) -> Client | None:
        """Have none."""
        del sender
        return None

    async def registered(self, user_id: str) -> Client:
        """Have none."""
        raise ValueError(user_id)
