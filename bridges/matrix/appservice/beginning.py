# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody said in a direct chat between inviting a ghost and its coming.

A client may invite and speak at once (Element makes the room with the first message). The homeserver pushes
nothing of a room before a ghost is in it, and our own sync begins where we came in. The words were meant for
the node: who said them had just invited it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bridges.matrix.client import Client
from bridges.matrix.sync import PAGE, RoomNews
from bridges.matrix.wire import mapping, sequence

_FILTER = json.dumps({"lazy_load_members": True})
"""With the messages come the members who sent them: nobody told us what they are called."""


async def said_since_invited(ghost: Client, room_id: str, host: str) -> RoomNews:
    """Return what `host` did since they last invited the ghost, oldest first; fails as `Client.get` does.

    Of the last `PAGE` events, and as far as the room lets those who come see what was before.
    """
    query: dict[str, str | int] = {"dir": "b", "limit": PAGE, "filter": _FILTER}
    page = await ghost.get("rooms", room_id, "messages", query=query)
    events = since_invited(sequence(page.get("chunk")), ghost.user_id, host)
    return RoomNews(room_id=room_id, state=sequence(page.get("state")), events=events)


def since_invited(newest_first: Sequence[Any], guest: str, host: str) -> Sequence[Mapping[str, Any]]:
    """Return the host's events that are newer than the guest's last invitation, oldest first. Pure."""
    found: list[Mapping[str, Any]] = []
    for event in map(mapping, newest_first):
        if event.get("sender") == host:
            if _invites(event, guest):
                return found[::-1]
            found.append(event)
    return ()


def _invites(event: Mapping[str, Any], guest: str) -> bool:
    member = event.get("type") == "m.room.member" and event.get("state_key") == guest
    return member and mapping(event.get("content")).get("membership") == "invite"
