# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the node directory across restarts. It holds no messages: whatever goes wrong here, the radio goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import structlog

from bridges.meshtastic.nodes import Changes, NodeBook
from bridges.meshtastic.nodestore import FILE, DamagedError, NodeStore
from gateway.model import Clock

log = structlog.get_logger()

SAVE_EVERY_S = 600.0
"""What changed is written so often at most, and when the gateway stops: what a power cut may lose."""


class KeptNodes:
    """Between the directory and its file. Nothing raises; what could not be read or kept is counted and logged."""

    def __init__(
        self, book: NodeBook, folder: Path, *, clock: Clock, count: Callable[[str], None], bridge: str
    ) -> None:
        self._book = book
        self._store = NodeStore(folder / FILE)
        self._clock = clock
        self._count = count
        self._log = log.bind(bridge=bridge)
        self._is_loaded = False
        self._saved_at = clock.monotonic()
        self._saving = asyncio.Lock()
        self._told = ("", "")

    async def load(self) -> None:
        """Give the book what was kept, once. A damaged file is set aside, and the directory begins anew."""
        if self._is_loaded:
            return
        try:
            rows = await asyncio.to_thread(self._store.load)
        except DamagedError as error:
            self._is_loaded = await self._set_aside(error)
            return
        except (OSError, sqlite3.Error) as error:
            self._trouble("node_directory_unread", error)
            return
        self._is_loaded = True
        self._book.recall(rows)
        # Places that are not to be kept any more, and rows nobody can read.
        await self.save()

    async def keep(self) -> None:
        """Save what changed, now and then, for ever."""
        while True:
            await self._clock.sleep(self._saved_at + SAVE_EVERY_S - self._clock.monotonic())
            await self.save()

    async def close(self, *, for_good: bool) -> None:
        """Save what changed. A link that is lost again and again (not `for_good`) makes no more writes than any."""
        if for_good or self._clock.monotonic() - self._saved_at >= SAVE_EVERY_S:
            await self.save()

    async def save(self) -> None:
        """Write what changed since the last time, if anything did."""
        async with self._saving:
            self._saved_at = self._clock.monotonic()
            if changes := self._book.changes():
                await self._save(changes)

    async def _save(self, changes: Changes) -> None:
        try:
            await asyncio.to_thread(self._store.save, changes.entries, changes.forgotten)
        except DamagedError as error:
            if await self._set_aside(error):
                self._book.keep_all()
        except (OSError, sqlite3.Error) as error:
            self._trouble("node_directory_unsaved", error)
        except asyncio.CancelledError:
            self._book.not_kept(changes)
            raise
        else:
            return
        self._book.not_kept(changes)

    async def _set_aside(self, error: DamagedError) -> bool:
        try:
            aside = await asyncio.to_thread(self._store.set_aside)
        except OSError as failed:
            self._trouble("node_directory_unread", failed)
            return False
        self._count("node_directory_damaged")
        self._log.warning("node_directory_damaged", reason=str(error), moved_to=aside.name)
        return True

    def _trouble(self, kind: str, error: Exception) -> None:
        self._count(kind)
        if (kind, str(error)) != self._told:  # a radio that is away is looked for every few seconds
            self._told = kind, str(error)
            self._log.warning(kind, reason=str(error))
