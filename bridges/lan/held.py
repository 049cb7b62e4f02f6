# SPDX-License-Identifier: GPL-3.0-or-later
"""A log as the event loop uses it: every call is made on one thread of its own, for each waits for the disk.

What the log looks like is kept beside it, so that looking needs no thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from bridges.lan.event import FeedId
from bridges.lan.log import Log
from bridges.lan.membership import Roll
from gateway.model import LinkDown

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a log looks like after the last call that changed it."""

    feed: FeedId
    frontier: Mapping[FeedId, int]
    bases: Mapping[FeedId, int]
    heads: Mapping[FeedId, bytes]
    """The hash of the last event of each feed, where it is known."""
    have: str
    """The same at two boxes that have the same; feeds of which nothing is kept any more don't count."""
    believe: str
    """The same at two boxes that believe the same of boxes."""
    roll: Roll


class Held:
    """A log and its thread. It makes the log there, for what opens a database waits, too."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lan-log")
        self._log: Log | None = None
        self._state: State | None = None

    @property
    def state(self) -> State:
        """What it looks like."""
        if self._state is None:
            raise RuntimeError("the log isn't open")
        return self._state

    async def open(self, make: Callable[[], Log]) -> None:
        """Make the log, or another in its place."""

        def opened() -> None:
            self._log = make()
            self._state = state_of(self._log)

        await asyncio.get_running_loop().run_in_executor(self._thread, opened)

    async def read(self, ask: Callable[[Log], T]) -> T:
        """Ask it something."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: ask(self._opened()))

    async def write(self, change: Callable[[Log], T]) -> T:
        """Change it; what it looks like is new when this returns. LinkDown if the disk refuses."""

        def changed() -> T:
            log = self._opened()
            try:
                return change(log)
            except sqlite3.Error as error:
                raise LinkDown(f"the log of the LAN mesh can't be written: {error}") from error
            finally:
                self._state = state_of(log)

        return await asyncio.get_running_loop().run_in_executor(self._thread, changed)

    async def aside(self, work: Callable[[], T]) -> T:
        """Do what takes long enough for others to notice: on this thread the loop gets its turns meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let what is in hand end, and the thread with it."""
        self._thread.shutdown()

    def _opened(self) -> Log:
        if self._log is None:
            raise RuntimeError("the log isn't open")
        return self._log


def state_of(log: Log) -> State:
    """Return what a log looks like."""
    frontier = {feed: count for feed, count in log.frontier().items() if count}
    bases = log.bases()
    return State(
        feed=log.feed,
        frontier=frontier,
        bases=bases,
        heads=log.heads(),
        have=digest(kept(frontier, bases)),
        believe=log.statements_digest,
        roll=log.roll,
    )


def kept(frontier: Mapping[FeedId, int], bases: Mapping[FeedId, int]) -> dict[FeedId, int]:
    """Return how much there is of each feed of which anything is kept."""
    return {feed: count for feed, count in frontier.items() if count > bases.get(feed, 0)}


def digest(frontier: Mapping[FeedId, int]) -> str:
    """Return the same for equal frontiers, and for no others."""
    told = "\n".join(f"{feed} {count}" for feed, count in sorted(frontier.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:32]
