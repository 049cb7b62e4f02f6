# SPDX-License-Identifier: GPL-3.0-or-later
"""Says messages in rooms."""

from __future__ import annotations

from bridges.matrix.client import Client, Refused
from bridges.matrix.content import Event, from_message
from bridges.matrix.plain import valid_id
from bridges.matrix.recall import Recall
from bridges.matrix.rooms import Rooms
from gateway.model import (
    Address,
    AuthFailed,
    BridgeContext,
    LinkDown,
    Message,
    Reaction,
    Receipt,
    RemoteId,
    Unconfirmed,
)


class Speech:
    """Puts messages into rooms, and finds them there again."""

    def __init__(self, client: Client, context: BridgeContext, rooms: Rooms, recall: Recall) -> None:
        self._client = client
        self._context = context
        self._rooms = rooms
        self._recall = recall

    async def say(self, message: Message, to: Address, key: str) -> Receipt:
        """Put the message into a room; the key is the transaction id. BridgeError only, never AuthFailed."""
        event = from_message(message, key, self._context.clock.now_ms())
        try:
            room_id = await self._rooms.ready(to.conversation)
            try:
                return await self._put(room_id, event, key)
            except Refused as refused:
                if refused.errcode != "M_FORBIDDEN":
                    raise
            # Either we were put out of the room, or may not speak in it: joining tells which.
            return await self._put(await self._rooms.rejoin(to.conversation), event, key)
        except AuthFailed as error:
            # The receiving side stops the bridge for this; the message is as good as before, and waits.
            raise LinkDown(str(error)) from error
        except Refused as refused:
            if refused.errcode == "M_DUPLICATE_ANNOTATION" and isinstance(message.content, Reaction):
                # Somebody we speak for has put the same emoji there: it is shown, once.
                return Receipt(remote_id=RemoteId(f"reaction:{key}"))
            raise

    async def recall(self, to: Address, key: str, since_ms: int) -> Receipt | None:
        """Return the receipt of what was said under this key not before `since_ms`; None if it isn't there."""
        try:
            found = await self._recall.find(await self._rooms.ready(to.conversation), key, since_ms)
        except AuthFailed as error:
            raise LinkDown(str(error)) from error
        return None if found is None else Receipt(remote_id=found)

    async def _put(self, room_id: str, event: Event, key: str) -> Receipt:
        return await put(self._client, room_id, event, key)


async def put(client: Client, room_id: str, event: Event, key: str, *, stamp: int | None = None) -> Receipt:
    """Put an event into a room; fails as `Client.put` does. `stamp`: the time it shows, for a ghost."""
    if event.redacts is not None:
        answer = await client.put("rooms", room_id, "redact", event.redacts, key, body=event.content)
    else:
        query = None if stamp is None else {"ts": stamp}
        answer = await client.put("rooms", room_id, "send", event.type, key, body=event.content, query=query)
    event_id = valid_id(answer.get("event_id"), "$")
    if event_id is None:
        raise Unconfirmed("the homeserver's answer to a send has no event id")
    return Receipt(remote_id=RemoteId(event_id))
