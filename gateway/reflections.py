# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the bridge a message came from what became of it, so that people see it where they said it.

Beside the way a message takes: told of changes in passing, it looks them up in the journal, many at a time.
What it can't keep up with it drops and counts; the next change of the same message heals that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from heapq import heappop, heappush
from typing import Any

import structlog

from gateway.changes import COME_TOO_LATE
from gateway.journal import Change, Journal, MessageRecord
from gateway.link import Link
from gateway.mirror import Mirror
from gateway.model import (
    Address,
    Bridge,
    BridgeName,
    Clock,
    DeliveryId,
    JournalError,
    Message,
    Reflects,
    Showing,
    State,
)
from gateway.planning import Plan
from gateway.progress import lately, progress_of
from gateway.routing import RoutingTable

log = structlog.get_logger()

GATHER_S = 0.25
"""How long changes are gathered before they are looked up together."""
LOOK_UP = 128
MOST_NEWS = 4096
"""Changes that wait to be looked up, and messages that are looked at later; past each the newest is dropped."""
AGAIN_S = 2.0
AT_START = 200
"""So many of the last messages are looked at when the gateway starts: it may have stopped before it told."""
AT_START_SINCE_S = 600.0


class Reflections:
    """Follows deliveries of messages that came from bridges which show progress."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        table: RoutingTable,
        *,
        is_direct: Callable[[Address], bool],
        count: Callable[[BridgeName, str], None],
        held: Callable[[BridgeName], str] = lambda _: "",
    ) -> None:
        """`count`: one more of a kind of thing that a bridge's reflections dropped.

        `held`: why a bridge lets nothing out just now, though it is connected; empty while it does.
        """
        self._held = held
        self._journal = journal
        self._clock = clock
        self._table = table
        self._is_direct = is_direct
        self._count = count
        self._links: dict[BridgeName, Link] = {}
        self._showing: dict[BridgeName, Showing] = {}
        self._mirrors: dict[BridgeName, Mirror] = {}
        self._followed: frozenset[BridgeName] = frozenset()
        self._news: dict[DeliveryId, None] = {}
        self._later: list[tuple[float, DeliveryId]] = []
        self._woken = asyncio.Event()

    def follow(self, bridges: Mapping[BridgeName, Bridge], links: Mapping[BridgeName, Link]) -> None:
        """Follow what comes from those of these bridges that show progress. Before anything happens."""
        self._links = dict(links)
        for name, bridge in bridges.items():
            if isinstance(bridge, Reflects) and (showing := bridge.showing) is not None:
                self._showing[name] = showing
                self._mirrors[name] = Mirror(name, bridge, links[name], self._clock, self._count)
        self.reroute(self._table)

    def reroute(self, table: RoutingTable) -> None:
        """Go by these routes from now on."""
        self._table = table
        self._followed |= destinations(table, frozenset(self._showing))

    @property
    def are_wanted(self) -> bool:
        """Whether anybody shows anything."""
        return bool(self._mirrors)

    # Told in passing: as good as free, unless it concerns somebody.

    def accepted(self, message: Message, plan: Plan) -> None:
        """A message is journalled: look at it when it should be through, and at once where it can't go out."""
        showing = self._showing.get(message.origin.bridge)
        if showing is None or message.remote_id is None:
            return
        for delivery, state, reason in plan.ended:
            if state is State.FAILED or reason in COME_TOO_LATE or showing.stopped:
                self._note(delivery.id, message.origin.bridge)
        if showing.waiting_after_s is not None and plan.deliveries:
            self._look_later(plan.deliveries[0].id, showing.waiting_after_s, message.origin.bridge)

    def changed(self, bridge: BridgeName, change: Change) -> None:
        """A delivery has a new state; `bridge` is its destination."""
        if bridge in self._followed and not change.state.is_pending:
            self._note(change.id, bridge)

    def jobs(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Yield what must run, by name; nothing if nobody shows anything."""
        if self._mirrors:
            yield "reflections", self.run()
        for name, mirror in self._mirrors.items():
            yield f"reflect {name}", mirror.run()

    async def run(self) -> None:
        """Look up what changed, for ever."""
        await self._insist(self._begin)
        while True:
            await self._rest()
            await self._insist(self._look_up)

    async def _insist(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                return await step()
            except JournalError as error:
                log.debug("reflections_postponed", reason=str(error))
                await self._clock.sleep(AGAIN_S)

    async def _begin(self) -> None:
        records = await self._journal.messages(latest=True, limit=AT_START)
        now_ms = self._clock.now_ms()
        for record in lately(records, now_ms - round(AT_START_SINCE_S * 1000)):
            origin = record.message.origin.bridge
            showing = self._showing.get(origin)
            if showing is None:
                continue
            ident = record.deliveries[0].id
            age_s = max(0, now_ms - record.message.received_ms) / 1000
            if showing.waiting_after_s is not None and age_s < showing.waiting_after_s:
                self._look_later(ident, showing.waiting_after_s - age_s, origin)
            self._note(ident, origin)

    async def _look_up(self) -> None:
        ids = tuple(self._news)[:LOOK_UP]
        # Taken off before: what changes while it is looked up is news again.
        for ident in ids:
            del self._news[ident]
        try:
            records = await self._journal.messages_of(ids)
        except JournalError:
            self._news = dict.fromkeys(ids) | self._news
            raise
        for record in records:
            self._give(record)

    def _give(self, record: MessageRecord) -> None:
        mirror = self._mirrors.get(record.message.origin.bridge)
        progress = progress_of(record, is_direct=self._is_direct, trouble=self._trouble, held=self._held)
        if mirror is not None and progress is not None:
            mirror.add(progress)

    def _trouble(self, bridge: BridgeName) -> str:
        link = self._links.get(bridge)
        return "" if link is None or link.is_up else link.reason

    def _note(self, ident: DeliveryId, whose: BridgeName) -> None:
        if len(self._news) >= MOST_NEWS and ident not in self._news:
            self._count(whose, "progress_not_followed")
            return
        self._news[ident] = None
        self._woken.set()

    def _look_later(self, ident: DeliveryId, after_s: float, whose: BridgeName) -> None:
        if len(self._later) >= MOST_NEWS:
            self._count(whose, "progress_not_followed")
            return
        heappush(self._later, (self._clock.monotonic() + after_s, ident))
        self._woken.set()

    async def _rest(self) -> None:
        """Wait until there is something to look up, and a little longer for more of it."""
        while True:
            self._woken.clear()
            self._take_due()
            if self._news:
                break
            wait_s = self._later[0][0] - self._clock.monotonic() if self._later else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
        await self._clock.sleep(GATHER_S)

    def _take_due(self) -> None:
        now_s = self._clock.monotonic()
        while self._later and self._later[0][0] <= now_s and len(self._news) < MOST_NEWS:
            _, ident = heappop(self._later)
            self._news[ident] = None


def destinations(table: RoutingTable, sources: frozenset[BridgeName]) -> frozenset[BridgeName]:
    """Return the bridges that get messages from these. Pure."""
    routed = {
        to.bridge
        for route in table.routes
        for source in route.sources
        if source.bridge in sources
        for to in route.targets
        if to != source
    }
    # Direct messages go one way by `direct`, and their answers the other.
    there = {to.bridge for name, to in table.direct.items() if name in sources}
    back = {name for name, to in table.direct.items() if to.bridge in sources}
    return frozenset(routed | there | back)
