# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what we sent in a room's recent past, by the key each event of ours carries.

Transaction ids don't do for long. The specification says for how long a homeserver must know them as little
as whether they survive its restart; it counts them per login. Synapse keeps them for a day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.content import SAID_KEY
from bridges.matrix.convert import ID_KEY
from bridges.matrix.plain import valid_id
from bridges.matrix.sync import PAGE
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import BridgeContext, NotThere, RemoteId

log = structlog.get_logger()

REMEMBERED_MS = 20 * 60_000
"""How long we rely on a transaction id, within one connection. Asking costs one request, and only repeats ask."""
MAX_PAGES = 10
"""Of 100 events of our own. Past it we give up looking, and send: while something waits to be repeated, nothing
that comes after it goes into its room, so it is among the latest unless other lanes or routes filled these."""
CLOCKS_APART_MS = 60 * 60_000
"""How far the homeserver's clock may be from ours before a page too few is read."""


class Recall:
    """Finds events of ours again."""

    def __init__(self, client: Client, context: BridgeContext, *, is_ours: Callable[[str], bool] | None = None) -> None:
        """`is_ours`: whether a user is one that speaks for us, where there are more than we can name."""
        self._client = client
        self._context = context
        self._connected_ms = 0
        self._speaks_for_us = is_ours or (lambda user_id: user_id == client.user_id)
        # Ghosts come by hundreds into a room: what they do there besides speaking is left out.
        self._filter = json.dumps({"not_types": ["m.room.member"]} if is_ours else {"senders": [client.user_id]})

    def connected(self) -> None:
        """Note that a connection begins: the homeserver, or our login, may be another than before."""
        self._connected_ms = self._context.clock.now_ms()

    def remembers_since_ms(self) -> int:
        """Return since when transaction ids can be relied on."""
        return max(self._connected_ms, self._context.clock.now_ms() - REMEMBERED_MS)

    async def find(self, room_id: str, key: str, since_ms: int) -> RemoteId | None:
        """Return our event with this key, not older than `since_ms`; None if it isn't there, or can't be seen.

        Raises LinkDown, RateLimited, AuthFailed; NotThere if we may not look.
        """
        token = ""
        for _ in range(MAX_PAGES):
            page = await self._page(room_id, token)
            if page is None:
                return None
            # Whoever else is on the page (a homeserver may ignore the filter) may say any time and any key.
            events = [event for event in map(mapping, sequence(page.get("chunk"))) if self._is_ours(event)]
            found = next((event for event in events if mapping(event.get("content")).get(ID_KEY) == key), None)
            if found is not None:
                return RemoteId(text(found.get("event_id")))
            token, before = text(page.get("end")), token
            if token in ("", before) or _reaches(events, since_ms - CLOCKS_APART_MS):
                return None
        self._context.count("matrix_recall_cut")
        log.warning("matrix_recall_cut", bridge=self._context.name, room=room_id)
        return None

    def _is_ours(self, event: Mapping[str, Any]) -> bool:
        return self._speaks_for_us(text(event.get("sender"))) and valid_id(event.get("event_id"), "$") is not None

    async def _page(self, room_id: str, token: str) -> Mapping[str, Any] | None:
        query: dict[str, str | int] = {"dir": "b", "limit": PAGE, "filter": self._filter}
        try:
            return await self._client.get(
                "rooms", room_id, "messages", query=query | ({"from": token} if token else {})
            )
        except Refused as refused:
            if refused.status == HTTPStatus.FORBIDDEN:
                raise NotThere(f"what was sent there before can't be looked for: {refused}") from refused
            # A homeserver that can't be asked so must not keep what waits for ever.
            self._context.count("matrix_recall_refused")
            log.warning("matrix_recall_refused", bridge=self._context.name, room=room_id, reason=str(refused))
            return None


def _reaches(events: list[Mapping[str, Any]], since_ms: int) -> bool:
    # What a ghost said late shows the time it gave, not that of its arrival.
    arrived = (event for event in events if SAID_KEY not in mapping(event.get("content")))
    times = (event.get("origin_server_ts") for event in arrived)
    return any(isinstance(ms, int) and ms < since_ms for ms in times)
