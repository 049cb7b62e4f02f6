# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the outage log: notices what goes away and comes back, also over the end of a run.

Who notices never waits: what happened is kept here until the journal has it. A kill in the middle leaves
an outage open; the next run goes on with it until that is up again, and adds that the gateway was away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import asdict, dataclass

import structlog

from gateway.journal import Outage, OutageKind, OutageLog
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.model import BridgeName, Clock, JournalError
from gateway.status import Event, EventHub, StoreState

log = structlog.get_logger()

ALIVE_EVERY_S = 30.0
"""How well it is known when a killed gateway went away."""
AGAIN_S = 2.0
COUNT_EVERY_S = 30.0
COUNT_FOR_S = 60.0
"""In steps of milliseconds each: only a very large journal on a very slow card takes longer, and goes uncounted."""
REST_TIMES = 50
"""Counting takes at most one in so many seconds of the thread that reads."""
STARTING_S = 5.0
"""A queue that was not there yet at the start may take so long without an outage."""
MOST_UNSAVED = 256
KILLED = "it was killed, crashed or lost power"
STOPPED = "it was stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What can be away."""

    kind: OutageKind
    name: str = ""


QUEUE = Thing(kind=OutageKind.QUEUE)
JOURNAL = Thing(kind=OutageKind.JOURNAL)


@dataclass(slots=True, kw_only=True, eq=False)
class Spell:
    """One outage, as far as it is known here."""

    thing: Thing
    began_ms: int
    state: str
    reason: str
    ended_ms: int | None = None
    no: int | None = None
    """Its number in the log; None: the log has not got it yet."""


class Outages:
    """The outage log's keeper."""

    def __init__(self, clock: Clock, events: EventHub, metrics: Metrics) -> None:
        self.lost = 0
        """Outages that came and went while the journal could not be written for long: not in the log."""
        self._clock = clock
        self._events = events
        self._metrics = metrics
        self._started_ms = clock.now_ms()
        self._open: dict[Thing, Spell] = {}
        self._unsaved: deque[Spell] = deque()
        self._queue_seen = False
        self._woken = asyncio.Event()
        self._count_at = 0.0
        self._alive_at = 0.0

    # Who notices.

    def link(self, bridge: BridgeName, link: Link) -> None:
        """Note how a bridge's connection is."""
        thing = Thing(kind=OutageKind.BRIDGE, name=bridge)
        self._see(thing, link.state, link.reason, since_ms=link.since_ms, is_up=link.state.is_well)

    def queue(self, state: StoreState, reason: str) -> None:
        """Note how the queue's server is; may be told again and again."""
        now_ms = self._clock.now_ms()
        is_up = state.is_usable
        if not is_up and not self._queue_seen and now_ms < self._started_ms + 1000 * STARTING_S:
            return
        self._see(QUEUE, state, reason, since_ms=now_ms if self._queue_seen else self._started_ms, is_up=is_up)
        self._queue_seen |= is_up

    def journal(self, state: StoreState, reason: str) -> None:
        """Note how the journal is; may be told again and again."""
        self._see(JOURNAL, state, reason, since_ms=self._clock.now_ms(), is_up=state.is_usable)

    def clock_stepped(self) -> None:
        """Count that the wall clock was set: it makes no outage."""
        self._metrics.clock_stepped()

    def _see(self, thing: Thing, state: str, reason: str, *, since_ms: int, is_up: bool) -> None:
        spell = self._open.get(thing)
        if spell is None:
            if not is_up:
                self._begin(Spell(thing=thing, began_ms=since_ms, state=state, reason=reason or state))
        elif is_up:
            del self._open[thing]
            spell.ended_ms = self._clock.now_ms()
            self._save_soon(spell)
            self._tell("ended", spell)
        elif state != spell.state:
            spell.state, spell.reason = state, reason or state
            self._save_soon(spell)

    def _begin(self, spell: Spell) -> None:
        self._open[spell.thing] = spell
        self._metrics.outage(spell.thing.kind.value, spell.thing.name)
        self._save_soon(spell)
        self._tell("began", spell)

    def _save_soon(self, spell: Spell) -> None:
        if spell not in self._unsaved:
            if len(self._unsaved) >= MOST_UNSAVED:
                self._unsaved.popleft()
                self.lost += 1
                log.error("outage_not_logged", in_all=self.lost)
            self._unsaved.append(spell)
        self._woken.set()

    def _tell(self, what: str, spell: Spell) -> None:
        data = {"what": what, "kind": spell.thing.kind.value, "name": spell.thing.name, "reason": spell.reason}
        self._events.publish(Event(name="outage", data=data | {"began_ms": spell.began_ms, "ended_ms": spell.ended_ms}))

    def _tell_settled(self, outage: Outage) -> None:
        became = asdict(outage.became) | {"buffered": outage.became.buffered}
        data = {"what": "settled", "kind": outage.kind.value, "name": outage.name, "reason": outage.reason}
        times = {"began_ms": outage.began_ms, "ended_ms": outage.ended_ms}
        self._events.publish(Event(name="outage", data=data | times | became))

    # The log.

    async def open(self, outages: OutageLog, bridges: Collection[BridgeName]) -> None:
        """Go on where the last run ended: what was away then still is until it is seen; the gateway was too."""
        try:
            last = await outages.last_run()
            if last is not None:
                await outages.was_away(last, STOPPED if last.stopped else KILLED)
                self._metrics.outage(OutageKind.GATEWAY.value, "")
            for outage in await outages.still_open():
                await self._go_on(outages, outage, bridges)
            await outages.alive()
        except JournalError as error:
            log.warning("outages_not_continued", reason=str(error))

    async def _go_on(self, outages: OutageLog, outage: Outage, bridges: Collection[BridgeName]) -> None:
        if outage.kind is OutageKind.BRIDGE and outage.name not in bridges:
            await outages.explain(outage.no, f"{outage.reason}; it is no longer configured")
            await outages.end(outage.no, self._clock.now_ms())
            return
        thing = Thing(kind=outage.kind, name=outage.name)
        self._open[thing] = Spell(thing=thing, began_ms=outage.began_ms, state="", reason=outage.reason, no=outage.no)

    async def close(self, outages: OutageLog) -> None:
        """Leave word that the gateway was stopped; what is away stays so for the next run."""
        try:
            await self._save(outages)
            await outages.alive(stopped=True)
        except JournalError as error:
            log.warning("stop_not_logged", reason=str(error))

    async def keep(self, outages: OutageLog) -> None:
        """Write what happens into the log, and what became of what had to wait, for ever."""
        while True:
            self._woken.clear()
            try:
                await self._save(outages)
                await self._be_alive(outages)
                await self._count(outages)
            except JournalError as error:
                log.debug("outages_postponed", reason=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            await self._rest()

    async def _rest(self) -> None:
        until = min(self._count_at, self._alive_at) - self._clock.monotonic()
        try:
            async with asyncio.timeout(max(0.01, until)):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _save(self, outages: OutageLog) -> None:
        while self._unsaved:
            spell = self._unsaved[0]
            await self._save_one(outages, spell)
            # It may have given way meanwhile.
            if self._unsaved and self._unsaved[0] is spell:
                self._unsaved.popleft()

    async def _save_one(self, outages: OutageLog, spell: Spell) -> None:
        said = None
        while said != (spell.reason, spell.ended_ms):  # it may change while it is written
            said = reason, ended_ms = spell.reason, spell.ended_ms
            if spell.no is None:
                spell.no = (await outages.begin(spell.thing.kind, spell.thing.name, spell.began_ms, reason)).no
            else:
                await outages.explain(spell.no, reason)
            if ended_ms is not None:
                await outages.end(spell.no, ended_ms)
                self._count_at = self._clock.monotonic()

    async def _be_alive(self, outages: OutageLog) -> None:
        if self._clock.monotonic() >= self._alive_at:
            await outages.alive()
            self._alive_at = self._clock.monotonic() + ALIVE_EVERY_S

    async def _count(self, outages: OutageLog) -> None:
        began = self._clock.monotonic()
        if began < self._count_at:
            return
        for outage in await outages.unsettled():
            counted = await outages.counted(outage, for_s=COUNT_FOR_S)
            if counted.is_settled:
                self._tell_settled(counted)
        took = self._clock.monotonic() - began
        self._count_at = began + took + max(COUNT_EVERY_S, REST_TIMES * took)
