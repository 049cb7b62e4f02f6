# SPDX-License-Identifier: GPL-3.0-or-later
"""What Synapse does with transactions, by the text of 1.163 (`synapse/appservice/scheduler.py`), races included.

Each step that Synapse waits at (its database, the network) takes a while of its own here, too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

MOST_EVENTS = 100
LONGEST_BACKOFF = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One transaction as it arrives; one that is sent by a recovery has lost what passes."""

    number: int
    events: tuple[str, ...]
    passes: bool = False

    @property
    def txn_id(self) -> str:
        return str(self.number)


class Scheduler:
    """`_ServiceQueuer` and `_TransactionController` for one application service; also the client that pings it."""

    def __init__(self, deliver: Callable[[Sent], Awaitable[bool]], chance: random.Random, *, slowest_s: float) -> None:
        self._deliver = deliver
        self._chance = chance
        self._slowest_s = slowest_s
        self.is_up = True
        self.ends: Callable[[], None] = lambda: None
        """Called when a recovery has found nothing more, and hasn't written that down."""
        self.kept: dict[int, tuple[str, ...]] = {}
        self._last = 0
        self._events: list[str] = []
        self._passing = 0
        self._is_sending = False
        self._recoverer: Recoverer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def step(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, self._slowest_s))

    def run(self, what: Any) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def happens(self, *events: str, passing: int = 0) -> None:
        self._events += events
        self._passing += passing
        if not self._is_sending:
            self.run(self._send_all())

    async def _send_all(self) -> None:
        if self._is_sending:
            return
        self._is_sending = True
        while self._events or self._passing:
            events, self._events = tuple(self._events[:MOST_EVENTS]), self._events[MOST_EVENTS:]
            passes, self._passing = self._passing > 0, 0
            await self._send(events, passes=passes)
        self._is_sending = False

    async def _send(self, events: tuple[str, ...], *, passes: bool) -> None:
        await self.step()
        is_up = self.is_up
        if not is_up and not events:
            return
        await self.step()
        self._last += 1
        number = self._last
        self.kept[number] = events
        if not is_up:
            return
        if await self.try_to_send(Sent(number=number, events=events, passes=passes)):
            await self.complete(number)
        else:
            self.run(self._failed())

    async def try_to_send(self, sent: Sent) -> bool:
        await self.step()
        answer = await self._deliver(sent)
        await self.step()
        return answer

    async def complete(self, number: int) -> None:
        await self.step()
        self.kept.pop(number, None)

    async def oldest(self) -> Sent | None:
        await self.step()
        found = min(self.kept, default=None)
        await self.step()
        return None if found is None else Sent(number=found, events=self.kept.get(found, ()))

    async def _failed(self) -> None:
        await self.step()
        self.is_up = False
        if self._recoverer is None:  # an assertion there, which is caught
            self._recoverer = Recoverer(self)
            self._recoverer.recover()

    async def on_recovered(self) -> None:
        if self._recoverer is None:
            raise KeyError
        self._recoverer = None
        self.ends()
        await self.step()
        self.is_up = True

    # The part of `Client` that a wakeup uses.

    def acting_as(self, _user_id: str) -> Self:
        return self

    async def post(self, *_path: str, **_more: Any) -> Mapping[str, Any]:
        await self.step()
        if self._recoverer is not None:
            self._recoverer.force_retry()
        return {"duration_ms": 1}


class Recoverer:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._backoff = 1
        self._scheduled: asyncio.TimerHandle | None = None

    def recover(self) -> None:
        loop = asyncio.get_running_loop()
        self._scheduled = loop.call_later(2**self._backoff, lambda: self._scheduler.run(self._retry()))

    def force_retry(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
        self._scheduler.run(self._retry())

    async def _retry(self) -> None:
        try:
            while (sent := await self._scheduler.oldest()) is not None:
                if not await self._scheduler.try_to_send(sent):
                    break
                await self._scheduler.complete(sent.number)
                self._backoff = 1
            else:
                await self._scheduler.on_recovered()
                return
        except KeyError:
            pass  # a second one beside the first: it goes on for ever
        self._backoff = min(self._backoff + 1, LONGEST_BACKOFF)
        self.recover()


class Stirred:
    """What `Stirring` does, to the scheduler."""

    def __init__(self, scheduler: Scheduler, *, may: bool = True) -> None:
        self._scheduler = scheduler
        self._may = may
        self.typed = 0

    async def say(self) -> bool:
        await self._scheduler.step()
        if self._may:
            self._scheduler.happens("our own")
        return self._may

    async def type(self) -> bool:
        self.typed += 1
        for _ in range(2):
            await self._scheduler.step()
            if self._may:
                self._scheduler.happens(passing=1)
        return self._may
