# SPDX-License-Identifier: GPL-3.0-or-later
"""The outage log, kept in the journal: what was away, when and why, and what became of what had to wait."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from gateway.journal import outages
from gateway.journal.outage_records import Became, Outage, OutageKind
from gateway.journal.reader import Reader
from gateway.journal.writer import Writer
from gateway.model import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """What the run before left behind."""

    alive_ms: int
    """When it last gave a sign of life: by itself, or by accepting a message."""
    stopped: bool
    """Whether it was told to stop."""


class OutageLog:
    """Every call raises JournalError when the disk or the file can't be used."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock

    # What happens.

    async def begin(self, kind: OutageKind, name: str, at_ms: int, reason: str) -> Outage:
        """Note that something is away since then; one of it that was still open ends there."""
        return await self._writer.task(lambda store, _: outages.begin(store, kind, name, at_ms, reason))

    async def explain(self, no: int, reason: str) -> None:
        """Note why it is away now."""
        await self._writer.task(lambda store, _: outages.explain(store, no, reason))

    async def end(self, no: int, at_ms: int) -> Outage | None:
        """Note that it is back; None if the log has forgotten it meanwhile."""
        return await self._writer.task(lambda store, _: outages.end(store, no, at_ms))

    async def was_away(self, last: LastRun, reason: str) -> Outage | None:
        """Note that the gateway itself was away since the last run's last sign of life, until now."""
        now_ms = self._clock.now_ms()
        return await self._writer.task(lambda store, _: outages.was_away(store, last.alive_ms, now_ms, reason))

    async def alive(self, *, stopped: bool = False) -> None:
        """Leave a sign of life; `stopped`: the last one, for we were told to stop."""
        now_ms = self._clock.now_ms()
        await self._writer.task(lambda store, _: outages.alive(store, now_ms, stopped=stopped))

    # What is known.

    async def last_run(self) -> LastRun | None:
        """Return what the run before left behind; None if there was none. Asked before `alive`."""
        found = await self._reader.ask(outages.last_sign)
        return None if found is None else LastRun(alive_ms=found[0], stopped=found[1])

    async def still_open(self) -> tuple[Outage, ...]:
        """Return those that have not ended, oldest first."""
        return await self._reader.ask(outages.still_open)

    async def unsettled(self) -> tuple[Outage, ...]:
        """Return those whose counts may still change."""
        return await self._reader.ask(outages.unsettled)

    async def latest(self) -> tuple[Outage, ...]:
        """Return the latest of each bridge and of each kind."""
        return await self._reader.ask(outages.latest)

    async def listed(
        self, *, before: int | None = None, limit: int = 100, kind: OutageKind | None = None, name: str | None = None
    ) -> tuple[Outage, ...]:
        """Return outages, the latest first, of before a number."""
        return await self._reader.ask(lambda connection: outages.listed(connection, before, limit, kind, name))

    async def counted(self, outage: Outage, *, for_s: float) -> Outage:
        """Count what became of what had to wait; return it with that, which is kept.

        `for_s`: how long that may take; it is returned as it was if that does not suffice.
        """
        if await self._reader.ask(lambda connection: outages.is_as_counted(connection, outage)):
            return outage
        until = self._clock.monotonic() + for_s
        became = Became()
        after: int | None = outage.low - 1
        while after is not None:
            step = partial(outages.count, outage=outage, after=after, head=self._writer.head)
            after, more = await self._reader.ask(step)
            became += more
            if after is not None and self._clock.monotonic() >= until:
                return outage
        now_ms = self._clock.now_ms()
        await self._writer.task(lambda store, _: outages.save_counts(store, outage.no, became, now_ms))
        return replace(outage, became=became, counted_ms=now_ms)
