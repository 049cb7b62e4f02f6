# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches what everything else stands on: the queue's server, the journal, the wall clock, the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Protocol

import structlog

from gateway.drain import Drain
from gateway.intake import Intake
from gateway.journal import Journal
from gateway.model import Clock, JournalError, OutboxError, StoreRefused
from gateway.notify import Notifier
from gateway.outbox.outbox import Outbox
from gateway.pace import Pace
from gateway.status import JournalStatus, QueueStatus, StoreState

log = structlog.get_logger()

QUEUE_EVERY_S = 2.0
QUEUE_EVERY_WHEN_DOWN_S = 0.25
CLOCK_EVERY_S = 5.0
PRUNE_EVERY_S = 600.0
JOURNAL_EVERY_S = 1.0


class SteppingClock(Clock, Protocol):
    """A clock that can tell when the wall clock was set."""

    def measure(self) -> int:
        """Return by how many milliseconds the wall clock was set, 0 if it wasn't; adopt nothing yet."""
        ...

    def adopt(self, step_ms: int) -> None:
        """Follow a step that was measured."""
        ...


class Watcher(Protocol):
    """Who keeps a record of that; told again and again."""

    def queue(self, state: StoreState, reason: str) -> None:
        """How the queue's server is."""
        ...

    def journal(self, state: StoreState, reason: str) -> None:
        """How the journal is."""
        ...

    def clock_stepped(self) -> None:
        """The wall clock was set."""
        ...


class Health:
    """What is known of the stores, refreshed by its own tasks."""

    def __init__(
        self,
        *,
        journal: Journal,
        outbox: Outbox,
        clock: SteppingClock,
        intake: Intake,
        drains: Sequence[Drain],
        engine: Callable[[], tuple[str, str]],
        queue_back: Callable[[], None],
        watcher: Watcher | None = None,
        stepped: Callable[[int], None] = lambda _: None,
        dated_anew: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`engine` names the server, and says why it is not there if it is ours and isn't.

        `stepped` is told by how many milliseconds the clock was set, as that is followed; `dated_anew` is called
        when the journal's times have followed too.
        """
        self.queue = QueueStatus(state=StoreState.DOWN, reason="not tried yet")
        self.journal = JournalStatus(state=StoreState.UP)
        self._trouble = ""
        """Why the journal can't be written, as of the last try."""
        self._queue_pace = Pace("an answer")
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._intake = intake
        self._drains = drains
        self._engine = engine
        self._queue_back = queue_back
        self._watcher = watcher
        self._stepped = stepped
        self._dated_anew = dated_anew

    async def watch_queue(self) -> None:
        """Ask the queue's server for ever; tell when it is back."""
        answered = False
        while True:
            status = await self._ask()
            came_back, answered = status.state.is_usable and not answered, status.state.is_usable
            self._note_queue(self._as_it_takes(status))
            if came_back:
                self._queue_back()
            await asyncio.sleep(QUEUE_EVERY_S if self.queue.state.is_usable else QUEUE_EVERY_WHEN_DOWN_S)

    def _note_queue(self, status: QueueStatus) -> None:
        is_news = status.state is not StoreState.SLOW and status.reason != self.queue.reason
        if status.state is not self.queue.state or is_news:
            tell = log.info if status.state is StoreState.UP else log.warning
            tell(f"queue_{status.state.value}", engine=status.engine, reason=status.reason)
        self.queue = status
        if self._watcher:
            self._watcher.queue(status.state, status.reason)

    def _as_it_takes(self, status: QueueStatus) -> QueueStatus:
        """A server may answer and yet take nothing: it has no memory or replicas left, or our user may not."""
        refused = next((drain.refused for drain in self._drains if drain.refused), None)
        if refused is None or not status.state.is_usable:
            return status
        state = StoreState.REFUSED if isinstance(refused, StoreRefused) else StoreState.DOWN
        return replace(status, state=state, reason=str(refused))

    async def _ask(self) -> QueueStatus:
        engine, trouble = self._engine()
        self._queue_pace.begin(time.monotonic())
        try:
            await self._outbox.ping()
        except StoreRefused as error:
            return QueueStatus(state=StoreState.REFUSED, reason=str(error), engine=engine)
        except OutboxError as error:
            return QueueStatus(state=StoreState.DOWN, reason=trouble or str(error), engine=engine)
        finally:
            self._queue_pace.end(time.monotonic())
        slow = self._queue_pace.slow(time.monotonic())
        engine = self._engine()[0]  # it has told its version by now
        return QueueStatus(state=StoreState.SLOW if slow else StoreState.UP, reason=slow, engine=engine)

    async def watch_clock(self) -> None:
        """Follow the wall clock when it is set: what is scheduled keeps its distance from now."""
        while True:
            step_ms = self._clock.measure()
            if step_ms:
                log.warning("clock_stepped", by_s=step_ms / 1000)
                if self._watcher:
                    self._watcher.clock_stepped()
                await self._follow(step_ms)
            await asyncio.sleep(CLOCK_EVERY_S)

    async def _follow(self, step_ms: int) -> None:
        """Move our own time and the queue's at one stroke, then what is journalled.

        Nothing is drained meanwhile: what was journalled before would look long expired, or far from due.
        """
        async with AsyncExitStack() as held:
            for drain in self._drains:
                await held.enter_async_context(drain.lock)
            self._clock.adopt(step_ms)
            self._outbox.shift(step_ms)
            self._intake.stepped(step_ms)
            self._stepped(step_ms)
            self._read_back()  # what is at hand has the times of before
            await self._shift_journal(step_ms)
            self._read_back()  # so has what was being journalled
        if self._dated_anew is not None:
            await self._dated_anew()

    def _read_back(self) -> None:
        for drain in self._drains:
            drain.read_back()

    async def _shift_journal(self, step_ms: int) -> None:
        """Insist: a disk that is full now can be written later."""
        left_ms, said = step_ms, False
        while True:
            try:
                await self._journal.upkeep.shift(left_ms)
            except JournalError as error:
                left_ms = 0
                if not said:
                    log.warning("journal_shift_postponed", reason=str(error))
                said = True
                await asyncio.sleep(JOURNAL_EVERY_S)
                continue
            return

    async def keep_journal(self) -> None:
        """Prune the journal now and then; when it refused something, find out whether it can be written again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._prune_now_and_then(), name="prune journal")
            group.create_task(self._watch_journal(), name="watch journal")

    async def _prune_now_and_then(self) -> None:
        pruned = -PRUNE_EVERY_S
        while True:
            if self._intake.trouble or self._trouble or self._clock.monotonic() - pruned >= PRUNE_EVERY_S:
                self._trouble = await self._prune()
                pruned = self._clock.monotonic()
            await asyncio.sleep(JOURNAL_EVERY_S)

    async def _watch_journal(self) -> None:
        """Say how it is, also while a disk that hangs keeps a prune waiting."""
        while True:
            trouble, slow = self._trouble, self._journal.slow()
            state = StoreState.DOWN if trouble else StoreState.SLOW if slow else StoreState.UP
            if state is not self.journal.state:
                tell = log.info if state is StoreState.UP else log.warning if state is StoreState.SLOW else log.error
                tell(f"journal_{state.value}", reason=trouble or slow)
            self.journal = JournalStatus(state=state, reason=trouble or slow)
            if self._watcher:
                self._watcher.journal(state, trouble)
            await asyncio.sleep(JOURNAL_EVERY_S)

    async def _prune(self) -> str:
        """Return why it can't be written; empty if it can."""
        refused = self._intake.trouble
        try:
            await self._journal.upkeep.prune()
        except JournalError as error:
            return str(error)
        if self._intake.trouble == refused:
            self._intake.trouble = ""
        return ""

    async def watchdog(self, notifier: Notifier, troubles: Callable[[], Iterable[str]]) -> None:
        """Tell systemd that the loop moves, and in one line how we are."""
        every_s = notifier.watchdog_every_s or 30.0
        while True:
            notifier.watchdog()
            found = list(troubles())
            notifier.status("; ".join(found) if found else "everything is up")
            await asyncio.sleep(every_s)
