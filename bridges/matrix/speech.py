# SPDX-License-Identifier: GPL-3.0-or-later
"""Says messages in rooms."""

from __future__ import annotations

from dataclasses import replace

from bridges.matrix.authors import Authors
from bridges.matrix.client import Client, Refused
from bridges.matrix.content import Around, Event, from_message
from bridges.matrix.management.directs import Directs
from bridges.matrix.management.people import is_user
from bridges.matrix.mentions import named_in
from bridges.matrix.plain import valid_id
from bridges.matrix.recall import Recall
from bridges.matrix.rooms import Rooms
from bridges.matrix.roster import Roster
from bridges.matrix.threads import Threads
from gateway.model import (
    Address,
    AuthFailed,
    BridgeContext,
    Edit,
    LinkDown,
    Message,
    Reaction,
    Receipt,
    RemoteId,
    Text,
    Unconfirmed,
)

CORRECTED = "*corrected: "
"""Begins new words for what can't be given them."""


class Speech:
    """Puts messages into rooms, and finds them there again."""

    def __init__(
        self,
        client: Client,
        context: BridgeContext,
        rooms: Rooms,
        recall: Recall,
        *,
        threads: Threads,
        directs: Directs,
        authors: Authors,
    ) -> None:
        self._authors = authors
        self._client = client
        self._context = context
        self._rooms = rooms
        self._recall = recall
        self._threads = threads
        self._roster = Roster(client, context.clock)
        self._directs = directs

    async def say(self, message: Message, to: Address, key: str) -> Receipt:
        """Put the message into a room; the key is the transaction id. BridgeError only, never AuthFailed."""
        try:
            room_id = await self._room(message, to)
            message = await self._as_ours(room_id, await self._of_originals(room_id, message))
            around = await self._around(room_id, message)
            event = from_message(message, key, self._context.clock.now_ms(), around=around)
            try:
                return await self._put(room_id, event, key)
            except Refused as refused:
                if refused.errcode != "M_FORBIDDEN" or is_user(to.conversation):
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

    async def _of_originals(self, room_id: str, message: Message) -> Message:
        """Let an answer or a reaction to a correction be one to what was corrected: rooms show no others."""
        if message.reply_to is not None:
            original = await self._threads.original(room_id, message.reply_to)
            message = replace(message, reply_to=RemoteId(original))
        if isinstance(message.content, Reaction):
            original = await self._threads.original(room_id, message.content.target)
            message = replace(message, content=replace(message.content, target=RemoteId(original)))
        return message

    async def _as_ours(self, room_id: str, message: Message) -> Message:
        """Say a correction of what another account said, such as another box's, in words: only that may replace it."""
        said = message.content
        if not isinstance(said, Edit):
            return message
        author = await self._authors.author(room_id, said.target)
        if author is None or author == self._client.user_id:
            return message
        return replace(message, content=Text(body=f"{CORRECTED}{said.body}"), reply_to=said.target)

    async def _around(self, room_id: str, message: Message) -> Around:
        if not isinstance(message.content, Text):
            return Around()
        body = message.content.body
        return Around(
            thread="" if message.reply_to is None else await self._threads.root(room_id, message.reply_to),
            mentions=named_in(body, await self._roster.names(room_id)) if "@" in body else (),
        )

    async def recall(self, to: Address, key: str, since_ms: int) -> Receipt | None:
        """Return the receipt of what was said under this key not before `since_ms`; None if it isn't there."""
        try:
            if is_user(to.conversation):
                rooms = self._directs.rooms_of(to.conversation)
            else:
                rooms = (await self._rooms.ready(to.conversation),)
            for room_id in rooms:
                if (found := await self._recall.find(room_id, key, since_ms)) is not None:
                    return Receipt(remote_id=found)
        except AuthFailed as error:
            raise LinkDown(str(error)) from error
        return None

    async def _room(self, message: Message, to: Address) -> str:
        """Return the room to say it in: a user's is their direct chat with whoever said it."""
        if is_user(to.conversation):
            return await self._directs.room_for(message, to.conversation)
        return await self._rooms.ready(to.conversation)

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
