# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions on their way from the homeserver to the journal: answered when what they carried is stored.

The id of a transaction means nothing here: a Synapse on SQLite counts them from 1 again after a restart
(matrix-org/synapse#14556). What comes twice is known by its event ids, like everything.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from bridges.matrix.plain import valid_id
from bridges.matrix.wire import mapping, read_json, sequence, text
from gateway.model import Message, RateLimited, Unconfirmed

MOST_WAITING = 8
"""A homeserver sends one after the other; what is beyond is asked for again."""
STORED_WITHIN_S = 45.0
"""Synapse gives up after 60 s."""
HANDED_OVER_S = 600.0
"""How long after we came into a room transactions count there, too: our own sync leaves out what was before."""
MOST_ROOMS = 1_000

Events = Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What one transaction carries."""

    events: Events = field(repr=False)
    passes: bool = False
    """Whether it says that somebody types, or the like: Synapse never keeps that to send it again."""


def read_transaction(body: bytes) -> Transaction | None:
    """Read a transaction's body; None if it isn't one. Pure."""
    try:
        given = mapping(read_json(body))
    except (ValueError, RecursionError):
        return None
    events = given.get("events")
    if not isinstance(events, list):
        return None
    passing = given.get("ephemeral") or given.get("de.sorunome.msc2409.ephemeral")  # the latter before v1.13
    return Transaction(events=events, passes=bool(sequence(passing)))


def invited(event: object) -> tuple[str, str, str] | None:
    """Return who is invited into which room by whom, if the event says that. Pure."""
    given = mapping(event)
    if given.get("type") != "m.room.member" or mapping(given.get("content")).get("membership") != "invite":
        return None
    guest, host = valid_id(given.get("state_key"), "@"), valid_id(given.get("sender"), "@")
    room_id = valid_id(given.get("room_id"), "!")
    return (guest, room_id, host) if guest and host and room_id else None


def room_of(event: object) -> str:
    """Return the room an event is in; empty if it says none. Pure."""
    return text(valid_id(mapping(event).get("room_id"), "!"))


class GhostRooms:
    """Rooms that a ghost was asked into and we aren't in: only transactions tell of them. The last `MOST_ROOMS`."""

    def __init__(self) -> None:
        self._seen_s: OrderedDict[str, float] = OrderedDict()

    def note(self, room_id: str, now_s: float) -> None:
        """Take note that transactions count for this room."""
        self._seen_s[room_id] = now_s
        self._seen_s.move_to_end(room_id)
        if len(self._seen_s) > MOST_ROOMS:
            self._seen_s.popitem(last=False)

    def counts(self, room_id: str, *, is_synced: bool, is_routed: bool, now_s: float) -> bool:
        """Whether what a transaction brings of this room is to be carried.

        Not where our own sync has it: it could come in another order then. Nor where neither a ghost was
        asked in nor a route leads: that is another box's room, which shares the registration.
        """
        if is_synced:
            return room_id in self._seen_s and now_s - self._seen_s[room_id] < HANDED_OVER_S
        if is_routed or room_id in self._seen_s:
            self.note(room_id, now_s)
            return True
        return False


class Inbox:
    """Takes transactions in, and yields what they say."""

    def __init__(self, read: Callable[[Events], AsyncGenerator[Message]]) -> None:
        """`read`: yields the messages in events; asked for the next one, the last is stored."""
        self._read = read
        self._waiting: asyncio.Queue[tuple[Events, asyncio.Future[bool]]] | None = None

    def open(self) -> None:
        """Take transactions from now on: `messages` will be asked."""
        self._waiting = asyncio.Queue(MOST_WAITING)

    def close(self) -> None:
        """Take none any more, and give back those that wait."""
        waiting, self._waiting = self._waiting, None
        while waiting is not None and not waiting.empty():
            _settle(waiting.get_nowait()[1], is_stored=False)

    async def take(self, events: Events) -> bool:
        """Return whether everything that these events carry is stored; False: they must come again."""
        if self._waiting is None or self._waiting.full():
            return False
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((events, stored))
        try:
            async with asyncio.timeout(STORED_WITHIN_S):
                return await stored
        except TimeoutError:
            return False

    async def messages(self) -> AsyncGenerator[Message]:
        """Yield what comes in; asked for the next one, the last is stored. Raises what `read` raises."""
        while self._waiting is not None:
            events, stored = await self._waiting.get()
            try:
                async with aclosing(self._read(events)) as messages:
                    async for message in messages:
                        yield message
                _settle(stored, is_stored=True)
            except (RateLimited, Unconfirmed):
                pass  # not the link: it comes again
            finally:
                _settle(stored, is_stored=False)


def _settle(stored: asyncio.Future[bool], *, is_stored: bool) -> None:
    if not stored.done():
        stored.set_result(is_stored)
