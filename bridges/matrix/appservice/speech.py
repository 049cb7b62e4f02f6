# SPDX-License-Identifier: GPL-3.0-or-later
"""Says messages in rooms through the ghosts of whoever said them; where a ghost can't, the bot speaks for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus

import structlog

from bridges.matrix.appservice.ghosts import Ghosts
from bridges.matrix.appservice.names import Ghost, ghost_of
from bridges.matrix.authors import Authors
from bridges.matrix.client import Client, Refused
from bridges.matrix.content import SAID_KEY, Around, Event, from_message
from bridges.matrix.lateness import stamp
from bridges.matrix.management.directs import Directs
from bridges.matrix.recall import Recall
from bridges.matrix.rooms import Rooms
from bridges.matrix.speech import Speech, put
from bridges.matrix.threads import Threads
from gateway.model import (
    Address,
    AuthFailed,
    BridgeContext,
    Edit,
    Message,
    Reaction,
    Receipt,
    Redaction,
    RemoteId,
)

log = structlog.get_logger()

KEPT_OUT_S = 15 * 60.0
"""How long the bot speaks for a ghost that a room didn't take, before the room is asked again."""
MOST_KEPT_OUT = 1_000


class GhostSpeech(Speech):
    """Says what radio nodes and LAN users said as their ghosts, everything else as `Speech` does.

    Ghosts join a room when they first speak there. They stay out of encrypted rooms: what they would
    encrypt, or not, clients that trust only known devices don't show.
    """

    def __init__(
        self,
        client: Client,
        context: BridgeContext,
        rooms: Rooms,
        recall: Recall,
        *,
        threads: Threads,
        directs: Directs,
        ghosts: Ghosts,
        authors: Authors,
    ) -> None:
        super().__init__(client, context, rooms, recall, threads=threads, directs=directs, authors=authors)
        self._ghosts = ghosts
        self._kept_out: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    async def say(self, message: Message, to: Address, key: str) -> Receipt:
        """Put the message into a room; the key is the transaction id. BridgeError only, never AuthFailed."""
        ghost = ghost_of(message.sender)
        try:
            receipt = None if ghost is None else await self._through(ghost, message, to, key)
        except AuthFailed:
            receipt = None  # of this ghost or of us all: as the bot we shall see
        return receipt or await super().say(message, to, key)

    def kept_out(self) -> dict[str, str]:
        """Return which rooms don't take ghosts at the moment, and why, in words."""
        now_s = self._context.clock.monotonic()
        return {
            self._rooms.origin(room_id): why
            for (_, room_id), (until_s, why) in self._kept_out.items()
            if until_s > now_s
        }

    async def _through(self, ghost: Ghost, message: Message, to: Address, key: str) -> Receipt | None:
        """Say it as the ghost; None if the room doesn't take it from a ghost."""
        room_id = await self._room(message, to)
        if self._is_kept_out(ghost, room_id):
            return None
        try:
            if await self._rooms.is_encrypted(room_id):
                return None
            return await self._say(ghost, await self._of_originals(room_id, message), room_id, key)
        except Refused as refused:
            if refused.errcode == "M_DUPLICATE_ANNOTATION" and isinstance(message.content, Reaction):
                return Receipt(remote_id=RemoteId(f"reaction:{key}"))
            if refused.status == HTTPStatus.FORBIDDEN and not isinstance(message.content, Redaction):
                self._keep_out(ghost, room_id, f"ghosts can't join or speak there: {refused}")
            return None

    async def _say(self, ghost: Ghost, message: Message, room_id: str, key: str) -> Receipt | None:
        speaker = await self._speaker(ghost, message, room_id)
        if speaker is None:
            return None
        said_ms = stamp(message.said_ms, self._context.clock.now_ms())
        event = _event(message, key, said_ms, await self._around(room_id, message))
        say = partial(put, room_id=room_id, event=event, key=key, stamp=said_ms)
        for is_last in (False, True):
            own = speaker == ghost.localpart
            client = await (self._ghosts.ensure(ghost) if own else self._ghosts.ensure_bare(speaker))
            try:
                return await self._once_joined(say, client, speaker, room_id)
            except Refused as refused:
                if is_last or refused.errcode == "M_DUPLICATE_ANNOTATION":
                    raise
            # The homeserver, or its device, may be another than the one we registered it with.
            self._ghosts.forget(speaker)
        return None

    async def _once_joined(
        self, say: Callable[[Client], Awaitable[Receipt]], client: Client, localpart: str, room_id: str
    ) -> Receipt:
        """Say it, and where that is forbidden join and say it: asked so, nobody has to remember who is where."""
        try:
            return await say(client)
        except Refused as refused:
            if refused.status != HTTPStatus.FORBIDDEN:
                raise
        await self._ghosts.join(localpart, room_id)
        return await say(client)

    async def _speaker(self, ghost: Ghost, message: Message, room_id: str) -> str | None:
        """Return the ghost that has to say it: what changes an event counts from its author only. None: the bot has."""
        if not isinstance(message.content, Edit | Redaction):
            return ghost.localpart
        author = await self._authors.author(room_id, message.content.target)
        return ghost.localpart if author is None else self._ghosts.localpart(author)

    def _is_kept_out(self, ghost: Ghost, room_id: str) -> bool:
        until_s, _ = self._kept_out.get((ghost.localpart, room_id), (0.0, ""))
        return until_s > self._context.clock.monotonic()

    def _keep_out(self, ghost: Ghost, room_id: str, why: str) -> None:
        self._context.count("matrix_ghost_kept_out")
        log.warning("matrix_ghost_kept_out", bridge=self._context.name, ghost=ghost.localpart, room=room_id, reason=why)
        self._kept_out[ghost.localpart, room_id] = self._context.clock.monotonic() + KEPT_OUT_S, why
        self._kept_out.move_to_end((ghost.localpart, room_id))
        if len(self._kept_out) > MOST_KEPT_OUT:
            self._kept_out.popitem(last=False)


def _event(message: Message, key: str, said_ms: int | None, around: Around) -> Event:
    """Return the event in the ghost's own words: no name before them, nor a time."""
    own = replace(message, sender=replace(message.sender, name=""))
    event = from_message(own, key, message.said_ms, around=around)
    return event if said_ms is None else replace(event, content=event.content | {SAID_KEY: said_ms})
