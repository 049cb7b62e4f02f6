# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends many dead letters again: a few at a time, at a pace, and on after a restart where it stopped.

One such job at a time. It takes letters in the order their messages were accepted, only those accepted
before it began, each once, and waits while much is before them at their destination: what is new goes first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog

from gateway.journal import DeadLetters, Journal
from gateway.model import PENDING, BridgeName, Clock, DeliveryId, GatewayError, JournalError, OutboxError

log = structlog.get_logger()

PER_MINUTE = 60
MOST_PER_MINUTE = 6000
MOST_AT_ONCE = 16
"""Messages whose letters are sent again in one step."""
MOST_BEFORE = 64
"""Deliveries that may wait at a destination: with more, no letter is added to them."""
AGAIN_S = 2.0
NOTE = "redrive"


class Redriving(GatewayError):
    """Dead letters are being sent again already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is."""

    which: DeadLetters
    per_minute: int
    began_ms: int
    total: int
    """Letters there were when it began, or at least that many."""
    sent: int = 0
    """Handed to the queue again."""
    left: int = 0
    """That can't be: they don't fit their network any more, or were sent or dropped meanwhile."""
    place: int = 0
    """Messages up to this sequence are done."""
    ended_ms: int | None = None
    held: str = ""
    """Why it is not going on just now."""


Redrive = Callable[[Sequence[DeliveryId]], Awaitable[tuple[DeliveryId, ...]]]


class Redrives:
    """Runs the job."""

    def __init__(self, journal: Journal, clock: Clock, redrive: Redrive) -> None:
        """`redrive` sends letters again at once and returns which."""
        self.progress: Progress | None = None
        """Of the job that runs, or of the last one."""
        self._journal = journal
        self._clock = clock
        self._redrive = redrive
        self._woken = asyncio.Event()
        self._recalling = asyncio.Lock()
        self._recalled = False

    @property
    def is_running(self) -> bool:
        """Whether there is more to do."""
        return self.progress is not None and self.progress.ended_ms is None

    async def start(self, which: DeadLetters, per_minute: int, total: int) -> Progress:
        """Begin a job; Redriving if one runs. `total`: how many letters it is going to be."""
        await self._recall()
        if self.is_running:
            raise Redriving("dead letters are being sent again already: wait for that, or stop it first")
        now_ms = self._clock.now_ms()
        which = replace(which, upto=await self._journal.head())
        job = Progress(which=which, per_minute=per_minute, began_ms=now_ms, total=total)
        await self._keep(job)
        self._woken.set()
        return job

    async def stop(self) -> bool:
        """End the job where it is; False if none runs."""
        await self._recall()
        if self.progress is None or not self.is_running:
            return False
        await self._keep(replace(self.progress, ended_ms=self._clock.now_ms(), held="stopped by hand"))
        return True

    async def run(self) -> None:
        """Work for ever: first on what the last run left."""
        await self._recall()
        while True:
            self._woken.clear()
            if self.progress is None or not self.is_running:
                await self._woken.wait()
                continue
            try:
                pause_s = await self._step(self.progress)
            except (JournalError, OutboxError) as error:
                self._say(str(error))
                pause_s = AGAIN_S
            await self._clock.sleep(pause_s)

    async def _recall(self) -> None:
        """Learn once what the last run left, before anything else is done."""
        async with self._recalling:
            if self._recalled:
                return
            try:
                kept = await self._journal.recalled(NOTE)
                self.progress = _read(json.loads(kept)) if kept else None
            except (JournalError, ValueError, TypeError, KeyError) as error:
                log.warning("redrive_not_resumed", reason=str(error))
            self._recalled = True

    async def _step(self, job: Progress) -> float:
        """Do a few; return how long to wait before the next."""
        at_once = max(1, min(MOST_AT_ONCE, job.per_minute // 60))
        page = await self._journal.overview.letters(job.which, after=job.place, limit=at_once)
        if page.letters:
            held = await self._held({letter.to.bridge for letter in page.letters})
            if held:
                self._say(held)
                return AGAIN_S
            ids = [letter.id for letter in page.letters]
            sent = await self._redrive(ids)
            job = replace(job, sent=job.sent + len(sent), left=job.left + len(ids) - len(sent), held="")
            job = replace(job, total=max(job.total, job.sent + job.left))
        if self._is_replaced(job):
            return 0.0
        job = replace(job, place=page.following or job.place)
        if page.following is None:
            job = replace(job, ended_ms=self._clock.now_ms(), held="")
            log.info("redrive_ended", sent=job.sent, left=job.left)
        if not self.is_running:  # it was stopped meanwhile
            job = replace(self.progress or job, sent=job.sent, left=job.left, place=job.place)
        await self._keep(job)
        return 60 * len(page.letters) / job.per_minute

    def _is_replaced(self, job: Progress) -> bool:
        """Whether this one was stopped and another begun: only the one of now is kept."""
        return self.progress is not None and self.progress.which is not job.which

    async def _held(self, destinations: set[BridgeName]) -> str:
        tally = await self._journal.tally()
        for bridge in sorted(destinations):
            waiting = sum(tally.get((bridge, state), 0) for state in PENDING)
            if waiting >= MOST_BEFORE:
                return f"{waiting} deliveries wait for {bridge} before them"
        return ""

    def _say(self, held: str) -> None:
        if self.progress is not None and self.is_running:
            self.progress = replace(self.progress, held=held)

    async def _keep(self, job: Progress) -> None:
        self.progress = job
        await self._journal.remember(NOTE, json.dumps(asdict(job) | {"which": _written(job.which)}))


def _written(which: DeadLetters) -> Mapping[str, Any]:
    return asdict(which) | {"ids": sorted(which.ids)}


def _read(kept: Mapping[str, Any]) -> Progress:
    which = DeadLetters(**(kept["which"] | {"ids": frozenset(kept["which"]["ids"])}))
    return Progress(**(dict(kept) | {"which": which}))
