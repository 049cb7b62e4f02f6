# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks what other gateways said in a room just now: a stream may be behind, as it is after an outage."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.overheard import overheard_in
from bridges.matrix.sync import PAGE
from bridges.matrix.wire import mapping, sequence, text
from gateway.model import AuthFailed, BridgeContext, LinkDown, NotThere

log = structlog.get_logger()

MAX_PAGES = 10
"""Of 100 messages of others. What is behind these comes by the stream."""
_TYPES = ["m.room.message", "m.reaction", "m.room.encrypted"]
"""What is sealed has its key outside, too."""
MOST_ROOMS = 256
"""Of which it is known how far was looked; past it the whole way is looked at again."""


class Looking:
    """Each look goes back to where the one before it began."""

    def __init__(
        self, client: Client, context: BridgeContext, name: Callable[[str, str], str], is_ours: Callable[[str], bool]
    ) -> None:
        """`name`: what a user is called in a room. `is_ours`: whether a user speaks for this box."""
        self._client = client
        self._context = context
        self._name = name
        self._is_ours = is_ours
        self._newest: OrderedDict[str, str] = OrderedDict()
        self._filter = json.dumps({"types": _TYPES, "not_senders": [client.user_id]})

    async def look(self, room_id: str, conversation: str) -> None:
        """Tell of them. Raises LinkDown, RateLimited; NotThere if we may not look."""
        known, newest, token = self._newest.get(room_id), "", ""
        for _ in range(MAX_PAGES):
            page = await self._page(room_id, token)
            events = [mapping(event) for event in sequence(page.get("chunk"))]
            for event in events:
                event_id = text(event.get("event_id"))
                if event_id and event_id == known:
                    break
                newest = newest or event_id
                if (said := overheard_in(event, partial(self._name, room_id), self._is_ours)) is not None:
                    self._context.overheard(conversation, said)
            else:
                token, before = text(page.get("end")), token
                if token not in ("", before):
                    continue
            self._looked(room_id, newest)
            return
        self._context.count("matrix_look_cut")
        self._looked(room_id, newest)

    def _looked(self, room_id: str, newest: str) -> None:
        if newest:
            self._newest[room_id] = newest
            self._newest.move_to_end(room_id)
        if len(self._newest) > MOST_ROOMS:
            self._newest.popitem(last=False)

    async def _page(self, room_id: str, token: str) -> Mapping[str, Any]:
        query: dict[str, str | int] = {"dir": "b", "limit": PAGE, "filter": self._filter}
        try:
            return await self._client.get(
                "rooms", room_id, "messages", query=query | ({"from": token} if token else {})
            )
        except AuthFailed as error:
            raise LinkDown(str(error)) from error  # the receiving side stops the bridge for this
        except Refused as refused:
            if refused.status == HTTPStatus.FORBIDDEN:
                raise NotThere(f"what others said there can't be looked for: {refused}") from refused
            # A homeserver that can't be asked so must not keep what waits for ever.
            self._context.count("matrix_look_refused")
            log.warning("matrix_look_refused", bridge=self._context.name, room=room_id, reason=str(refused))
            return {}
