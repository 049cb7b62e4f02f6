# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer to an event must name: the original of an edit, and the thread it is in, or readers miss it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridges.matrix.client import Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping

MAX_EVENTS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an event stands among others."""

    root: str = ""
    """The first event of the thread it is in; empty if it is in none."""
    original: str = ""
    """The event that it edits; empty if it is no edit."""


def standing_of(event: object) -> Standing:
    """Return where an event of any shape stands. Pure.

    The relation is outside of what is encrypted (client-server API, "Relationships between events").
    """
    relation = mapping(mapping(mapping(event).get("content")).get("m.relates_to"))
    target = valid_id(relation.get("event_id"), "$") or ""
    match relation.get("rel_type"):
        case "m.thread":
            return Standing(root=target)
        case "m.replace":
            return Standing(original=target)
        case _:
            return Standing()


class Threads:
    """Where events stand, of the last `MAX_EVENTS`; others are asked for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._standings: OrderedDict[str, Standing] = OrderedDict()

    def learn(self, event: object) -> None:
        """Take note of where an event stands."""
        event_id = valid_id(mapping(event).get("event_id"), "$")
        if event_id is None:
            return
        self._standings[event_id] = standing_of(event)
        self._standings.move_to_end(event_id)
        if len(self._standings) > MAX_EVENTS:
            self._standings.popitem(last=False)

    async def original(self, room_id: str, event_id: str) -> str:
        """Return what an answer or a reaction to this event names: the event itself, or what it edits. As `root`."""
        return (await self._standing(room_id, event_id)).original or event_id

    async def root(self, room_id: str, event_id: str) -> str:
        """Return the root of the thread an event is in; empty if in none, or the homeserver doesn't know the event.

        Raises LinkDown, RateLimited, AuthFailed if it can't be asked.
        """
        return (await self._standing(room_id, event_id)).root

    async def _standing(self, room_id: str, event_id: str) -> Standing:
        if event_id not in self._standings:
            try:
                event: Mapping[str, Any] = await self._client.get("rooms", room_id, "event", event_id)
            except Refused:
                return Standing()
            self.learn({**event, "event_id": event_id})
        return self._standings.get(event_id, Standing())
