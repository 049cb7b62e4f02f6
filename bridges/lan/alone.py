# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of a box that knows no other: the page and the gateway work without any."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bridges.lan.event import BoxId, Event, box_id
from bridges.lan.identity import box_key
from bridges.lan.log import Log
from bridges.lan.membership import Roll, root_of
from bridges.lan.store import Arrived, Store
from gateway.model import Clock, LinkDown

LOG_FILE = "log.db"


class Alone:
    """A `SharedLog` that is shared with nobody. Reusable, not reentrant."""

    def __init__(self, state_dir: Path, name: str, clock: Clock) -> None:
        self._state_dir = state_dir
        self._name = name
        self._clock = clock
        self._store: Store | None = None
        self._log: Log | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        key = box_key(self._state_dir)
        self._store = Store(self._state_dir / LOG_FILE)
        try:
            root = root_of(key.public_key(), self._name)
            self._log = Log(self._store, key, root, start=secrets.randbits(64))
        except BaseException:
            self._store.close()
            raise
        self._box = box_id(key.public_key())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()
        self._store = self._log = None

    @property
    def box(self) -> BoxId:
        """Who we are."""
        return self._box

    @property
    def roll(self) -> Roll:
        """Who belongs: we."""
        return self._open.roll

    async def last_arrival(self) -> int:
        """Return the latest arrival there ever was here."""
        return self._open.last_arrival

    async def append(self, native: str, body: str) -> bool:
        """Write an event; False if it is there already."""
        event = self._open.append(native, body, self._clock.now_ms())
        self._news.set()
        return event is not None

    async def news(self, after: int, limit: int = 64) -> Sequence[Arrived]:
        """Return what came after an arrival."""
        return self._open.news(after, limit)

    async def wait(self, after: int) -> None:
        """Return when there is news after this arrival."""
        while not self._open.has_news(after):
            self._news.clear()
            await self._news.wait()

    async def refill(self) -> None:
        """Do nothing: nobody else has it."""

    def present(self) -> Mapping[BoxId, int]:
        """Return no box."""
        return {}

    def take(self, events: Sequence[Event]) -> None:
        """Have events of boxes that were let in, however they came."""
        self._open.take(events, self._clock.now_ms())
        self._news.set()

    async def retain(self, since_ms: int) -> None:
        """Drop what is older."""
        self._open.retain(since_ms)

    @property
    def _open(self) -> Log:
        if self._log is None:
            raise LinkDown("the log is closed")
        return self._log
