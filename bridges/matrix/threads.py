# SPDX-License-Identifier: GPL-3.0-or-later
"""Which events are in a thread: an answer to one belongs there too, or people who read the thread miss it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping

MAX_EVENTS = 5_000


def root_of(event: object) -> str:
    """Return the first event of the thread that this one is in; empty if it is in none. Pure.

    The relation is outside of what is encrypted (client-server API, "End-to-end encryption, relations").
    """
    relation = mapping(mapping(mapping(event).get("content")).get("m.relates_to"))
    return valid_id(relation.get("event_id"), "$") or "" if relation.get("rel_type") == "m.thread" else ""


class Threads:
    """Thread roots by event id, of the last `MAX_EVENTS` events; others are asked for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._roots: OrderedDict[str, str] = OrderedDict()

    def learn(self, event: object) -> None:
        """Take note of which thread an event is in, if in any."""
        event_id = valid_id(mapping(event).get("event_id"), "$")
        if event_id is None:
            return
        self._roots[event_id] = root_of(event)
        self._roots.move_to_end(event_id)
        if len(self._roots) > MAX_EVENTS:
            self._roots.popitem(last=False)

    async def root(self, room_id: str, event_id: str) -> str:
        """Return the root of the thread an event is in; empty if in none, or the homeserver doesn't know the event.

        Raises LinkDown, RateLimited, AuthFailed if it can't be asked.
        """
        if event_id not in self._roots:
            try:
                event: Mapping[str, Any] = await self._client.get("rooms", room_id, "event", event_id)
            except Refused:
                return ""
            self.learn({**event, "event_id": event_id})
        return self._roots.get(event_id, "")
