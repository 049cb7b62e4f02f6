# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets a homeserver to send what it kept for us: it may not try again by itself for many minutes.

Read in Synapse 1.163 (`appservice/scheduler.py`) and measured: it sends what it kept only to a service that
it thinks down, from the oldest on. A ping makes it try at once. Restarted meanwhile, it begins to think of
us only with the next event that concerns us: so we make one. Killed with a transaction on its way, it thinks
us up, and keeps that transaction until it next thinks us down: so the first one is refused, once, and comes
again behind those that are older. What it makes just as that ends it may keep, too (see `numbering`): so
something that passes is made after each recovery, to see whether its number follows. What passes is only ever
sent at once, never kept: one that carries it was made when the recovery was over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import structlog

from bridges.matrix.appservice.numbering import Numbering
from bridges.matrix.appservice.registration import Registration
from bridges.matrix.appservice.stirring import Stirring
from bridges.matrix.client import CLIENT_V1, Client
from gateway.model import BridgeContext, BridgeError

log = structlog.get_logger()

KICK_EVERY_S = 60.0
"""However often the link comes back: each is an event that every server in the room keeps."""
PING_AGAIN_S = 60.0
PING_WITHIN_S = 20.0
REFUSED_WITHIN_S = 10.0
"""How long our own event may take to come back in a transaction."""
PROBE_AFTER_S = 1.0
"""How long the homeserver has to send what it kept before we look whether that was all."""
LONGEST_PROBE_S = 16.0
"""Each waits twice as long as the one before, up to this."""
MOST_SILENT = 5
"""Probes in a row after which nothing comes: it seems to push nothing."""
MOST_PROBES = 64
"""For one recovery, some 20 minutes: where others are pushed and what passes never is, nothing more is to be seen."""
_SILENT = "what we do doesn't come back: what the homeserver keeps for us may come late"


class Wakeup:
    """Wakes the homeserver after each connection, and sees after each recovery that it kept nothing."""

    def __init__(self, client: Client, context: BridgeContext, stirring: Stirring) -> None:
        self._client = client
        self._context = context
        self._stirring = stirring
        self._kicked_s: float | None = None
        self._refused = asyncio.Event()
        """Whether a transaction was refused in this connection, or since we last pinged for one."""
        self._came = asyncio.Event()
        self._recovers = asyncio.Event()
        """Whether the homeserver recovers, or did, since we last saw that it kept nothing."""
        self._numbering = Numbering()
        self._has_refused = False
        self._at_work: set[str] = set()
        """Transactions that came and aren't answered."""
        self._ping_words = "not yet"
        self._push_words = ""

    def facts(self) -> Mapping[str, str]:
        """Return what became of the last ping, and what keeps us from seeing that everything comes, in words."""
        return {"ping": self._ping_words} | ({"pushes": self._push_words} if self._push_words else {})

    def connected(self) -> None:
        """Note that a connection begins: the next transaction is to be refused."""
        self._has_refused = False
        self._refused.clear()
        self._recovers.clear()
        self._numbering.begin()

    def refuses(self, txn_id: str) -> bool:
        """Whether to refuse a transaction that just came, for the sake of older ones."""
        if not self._has_refused:
            self._numbering.refused(txn_id)
        elif not self._numbering.is_behind_a_gap(txn_id):
            self._begins(txn_id)
            return False
        else:
            self._context.count("matrix_transaction_gap")
            log.info("matrix_transaction_gap", bridge=self._context.name, txn_id=txn_id)
        self._has_refused = True
        self._refused.set()
        self.failed(txn_id)
        return True

    def failed(self, txn_id: str) -> None:
        """Take note that a transaction is answered with an error: it comes again, in a recovery."""
        self._at_work.discard(txn_id)
        self._recovers.set()
        self._came.set()

    def took(self, txn_id: str, *, passes: bool) -> None:
        """Take note that what a transaction carried is stored. `passes`: something that is never sent again."""
        self._at_work.discard(txn_id)
        if passes:
            self._recovers.clear()
        self._numbering.took(txn_id)
        self._came.set()

    def _begins(self, txn_id: str) -> None:
        if self._numbering.is_repeated(txn_id):
            self._recovers.set()  # our answer was lost
        self._at_work.add(txn_id)

    async def wake(self, registration: Registration, *, listens: bool = True) -> None:
        """Ping, again until it succeeds, make one event, and see that everything kept comes. No BridgeError.

        It goes on as long as the connection: each recovery is seen to its end. Where it is another box that `listens`,
        it is that one's to wake it.
        """
        if registration.url is None:
            self._ping_words = "none: the registration has no url"
            return
        while not await self._ping(registration.id):
            await self._context.clock.sleep(PING_AGAIN_S)
        if not listens:
            return
        await self._kick()
        if not await _within(REFUSED_WITHIN_S, self._refused):
            log.info("matrix_no_transaction", bridge=self._context.name)
        self._recovers.set()
        while True:
            await self._recovers.wait()
            await self._see_that_it_was_all(registration.id)

    async def _see_that_it_was_all(self, appservice_id: str) -> None:
        """Make transactions until one is taken in its turn; one behind a gap gets the others sent before it."""
        wait_s, silent, probes = PROBE_AFTER_S, 0, 0
        while self._recovers.is_set() and silent < MOST_SILENT and (probes := probes + 1) <= MOST_PROBES:
            if self._refused.is_set() or silent:
                self._refused.clear()
                await self._ping(appservice_id)  # otherwise it tries again in 2 s or more
            await self._context.clock.sleep(wait_s)
            self._came.clear()
            await self._stirring.type()
            # To ping while a recovery goes on begins a second one beside it, and Synapse stumbles over that.
            silent = 0 if await _within(wait_s, self._came) or self._at_work else silent + 1
            wait_s = min(2 * wait_s, LONGEST_PROBE_S)
        self._push_words = _SILENT if self._recovers.is_set() else ""
        if self._recovers.is_set():
            self._recovers.clear()
            self._context.count("matrix_probe_unanswered")
            log.warning("matrix_probe_unanswered", bridge=self._context.name)

    async def _ping(self, appservice_id: str) -> bool:
        try:
            answer = await self._client.acting_as("").post(
                "appservice", appservice_id, "ping", body={}, base=CLIENT_V1, timeout_s=PING_WITHIN_S
            )
        except BridgeError as error:
            # The homeserver's answer for "I can't reach you there" is a 502 in Matrix's own words.
            before, self._ping_words = self._ping_words, f"the homeserver doesn't reach us: {error}"
            self._context.count("matrix_ping_failed")
            if self._ping_words != before:
                log.warning("matrix_ping_failed", bridge=self._context.name, reason=str(error))
            return False
        took = answer.get("duration_ms")
        self._ping_words = f"ok, {took} ms" if isinstance(took, int) else "ok"
        log.info("matrix_pinged", bridge=self._context.name, took_ms=took)
        return True

    async def _kick(self) -> None:
        """Make an event, as soon as one may be made; none where somebody else's came meanwhile."""
        now_s = self._context.clock.monotonic()
        wait_s = 0.0 if self._kicked_s is None else self._kicked_s + KICK_EVERY_S - now_s
        if wait_s > 0 and await _within(wait_s, self._refused):
            return
        self._kicked_s = self._context.clock.monotonic()
        await self._stirring.say()


async def _within(seconds: float, what: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await what.wait()
    return what.is_set()
