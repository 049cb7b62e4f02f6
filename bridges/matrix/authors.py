# SPDX-License-Identifier: GPL-3.0-or-later
"""Who said what: a homeserver passes on an edit by anybody, but only the author's counts."""

from __future__ import annotations

from collections import OrderedDict

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping

MAX_EVENTS = 5_000


class Authors:
    """Senders by event id, of the last `MAX_EVENTS` events; others are asked for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._senders: OrderedDict[str, str] = OrderedDict()

    def learn(self, event: object) -> None:
        """Take note of an event's sender."""
        event_id, sender = valid_id(mapping(event).get("event_id"), "$"), valid_id(mapping(event).get("sender"), "@")
        if event_id is None or sender is None:
            return
        self._senders[event_id] = sender
        if len(self._senders) > MAX_EVENTS:
            self._senders.popitem(last=False)

    async def author(self, room_id: str, event_id: str) -> str | None:
        """Return who sent the event; None if the homeserver doesn't know it. LinkDown if it can't be asked."""
        if event_id not in self._senders:
            try:
                self.learn(await self._client.get("rooms", room_id, "event", event_id))
            except Refused:
                return None
        return self._senders.get(event_id)
