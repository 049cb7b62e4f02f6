# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets a homeserver to send what it kept for us: it may not try again by itself for many minutes.

Read in Synapse 1.163 (`appservice/scheduler.py`) and measured: it sends what it kept only to a service that
it thinks down, from the oldest on. A ping makes it try at once. Restarted meanwhile, it begins to think of
us only with the next event that concerns us: so we make one. Killed with a transaction on its way, it thinks
us up, and keeps that transaction until it next thinks us down: so the first one is refused, once, and comes
again behind those that are older. What it makes just as that ends it may keep, too (see `numbering`): so
something that passes is made after it, to see whether its number follows.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from bridges.matrix.appservice.numbering import Numbering
from bridges.matrix.appservice.registration import Registration
from bridges.matrix.client import CLIENT_V1, Client, Refused
from bridges.matrix.plain import valid_id
from bridges.matrix.rooms import Rooms
from bridges.matrix.wire import text
from gateway.model import BridgeContext, BridgeError

log = structlog.get_logger()

STATUS_TYPE = "org.crossband.status"
"""The type of our own event; clients show nothing of it."""
KICK_EVERY_S = 60.0
"""However often the link comes back: each is an event that every server in the room keeps."""
PING_AGAIN_S = 60.0
PING_WITHIN_S = 20.0
REFUSED_WITHIN_S = 10.0
"""How long our own event may take to come back in a transaction."""
PROBE_AFTER_S = 1.0
"""How long the homeserver has to send what it kept before we look whether that was all."""
MOST_PROBES = 5
"""Each waits twice as long as the one before."""
TYPING_MS = 1_000


class Wakeup:
    """Wakes the homeserver after each connection."""

    def __init__(self, client: Client, context: BridgeContext, rooms: Rooms) -> None:
        self._client = client
        self._context = context
        self._rooms = rooms
        self._kicked_s: float | None = None
        self._kicks = 0
        self._refused = asyncio.Event()
        self._came = asyncio.Event()
        self._was_in_turn = False
        self._numbering = Numbering()
        self.ping = "not yet"
        """What became of the last ping, in words."""

    def connected(self) -> None:
        """Note that a connection begins: the next transaction is to be refused."""
        self._refused.clear()
        self._numbering.begin()

    def refuses(self, txn_id: str) -> bool:
        """Whether to refuse a transaction that just came, for the sake of older ones."""
        if not self._refused.is_set():
            self._numbering.refused(txn_id)
        elif not self._numbering.is_behind_a_gap(txn_id):
            return False
        else:
            self._context.count("matrix_transaction_gap")
            log.info("matrix_transaction_gap", bridge=self._context.name, txn_id=txn_id)
        self._refused.set()
        self._came.set()
        self._was_in_turn = False
        return True

    def took(self, txn_id: str) -> None:
        """Take note that what a transaction carried is stored."""
        self._numbering.took(txn_id)
        self._was_in_turn = True
        self._came.set()

    async def wake(self, registration: Registration) -> None:
        """Ping, again until it succeeds, make one event, and see that everything kept comes. No BridgeError."""
        if registration.url is None:
            self.ping = "none: the registration has no url"
            return
        while not await self._ping(registration.id):
            await self._context.clock.sleep(PING_AGAIN_S)
        await self._kick()
        if not await self._came_within(REFUSED_WITHIN_S, self._refused):
            log.info("matrix_no_transaction", bridge=self._context.name)
            return
        await self._ping(registration.id)  # otherwise it tries again in 2 s or more
        await self._see_that_it_was_all(registration.id)

    async def _see_that_it_was_all(self, appservice_id: str) -> None:
        """Make transactions until one is taken in its turn; one behind a gap gets the others sent before it."""
        wait_s = PROBE_AFTER_S
        for _ in range(MOST_PROBES):
            await self._context.clock.sleep(wait_s)
            self._came.clear()
            await self._probe()
            if await self._came_within(wait_s, self._came) and self._was_in_turn:
                return
            await self._ping(appservice_id)
            wait_s *= 2
        log.info("matrix_probe_unanswered", bridge=self._context.name)

    @staticmethod
    async def _came_within(seconds: float, what: asyncio.Event) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await what.wait()
        return what.is_set()

    async def _probe(self) -> None:
        """Seem to type: while the homeserver thinks us up, that makes a transaction, and leaves nothing behind."""
        for room_id in self._open_rooms()[:1]:
            path = ("rooms", room_id, "typing", self._client.user_id)
            try:
                await self._client.put(*path, body={"typing": True, "timeout": TYPING_MS})
                await self._client.put(*path, body={"typing": False})
            except BridgeError as error:
                log.info("matrix_probe_failed", bridge=self._context.name, room=room_id, reason=str(error))

    async def _ping(self, appservice_id: str) -> bool:
        try:
            answer = await self._client.acting_as("").post(
                "appservice", appservice_id, "ping", body={}, base=CLIENT_V1, timeout_s=PING_WITHIN_S
            )
        except BridgeError as error:
            # The homeserver's answer for "I can't reach you there" is a 502 in Matrix's own words.
            before, self.ping = self.ping, f"the homeserver doesn't reach us: {error}"
            self._context.count("matrix_ping_failed")
            if self.ping != before:
                log.warning("matrix_ping_failed", bridge=self._context.name, reason=str(error))
            return False
        took = answer.get("duration_ms")
        self.ping = f"ok, {took} ms" if isinstance(took, int) else "ok"
        log.info("matrix_pinged", bridge=self._context.name, took_ms=took)
        return True

    async def _kick(self) -> None:
        """Make an event, as soon as one may be made; none where somebody else's came meanwhile."""
        now_s = self._context.clock.monotonic()
        wait_s = 0.0 if self._kicked_s is None else self._kicked_s + KICK_EVERY_S - now_s
        if wait_s > 0 and await self._came_within(wait_s, self._refused):
            return
        for room_id in self._open_rooms():
            self._kicked_s = self._context.clock.monotonic()
            try:
                if await self._say(room_id):
                    return
            except BridgeError as error:
                log.info("matrix_status_not_said", bridge=self._context.name, room=room_id, reason=str(error))

    def _open_rooms(self) -> list[str]:
        found = (self._rooms.open_id(conversation.name) for conversation in self._rooms.conversations)
        return [room_id for room_id in found if room_id is not None][:3]

    async def _say(self, room_id: str) -> bool:
        """Say that we are here: as state where we may, else as an event that passes."""
        self._kicks += 1
        here = {"bridge": self._context.name, "connected_ms": self._context.clock.now_ms()}
        try:
            answer = await self._client.put("rooms", room_id, "state", STATUS_TYPE, self._client.user_id, body=here)
        except Refused:
            key = f"status.{self._context.clock.now_ms()}.{self._kicks}"
            answer = await self._client.put("rooms", room_id, "send", STATUS_TYPE, key, body=here)
        return valid_id(text(answer.get("event_id")), "$") is not None
