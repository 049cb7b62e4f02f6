# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing behind: whoever changes something goes on; a thread writes it, many changes at once on a slow disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

MOST_WAITING = 20_000
"""Changes; past it no more are taken until the disk is back."""
_Row = TypeVar("_Row")


class Behind(Generic[_Row]):
    """Rows by name; the latest of a name is written. What a crash takes is what was changed in the last moments."""

    def __init__(self, write: Callable[[Mapping[str, _Row]], None]) -> None:
        """`write`: writes them all or none; is called in a thread. Raises sqlite3.Error or OSError."""
        self._write = write
        self._waiting: dict[str, _Row] = {}
        self._trouble: Exception | None = None
        self._lock = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._is_working = False
        """The thread will look again for what waits. Changed under the lock, as what waits is."""

    def put(self, name: str, row: _Row) -> None:
        """Have it written soon. Raises, and takes nothing, while what came before can't be; that is tried again."""
        trouble = self._trouble
        if trouble is None and len(self._waiting) < MOST_WAITING:
            with self._lock:
                self._waiting[name] = row
        self._begin()
        if trouble is not None:
            raise OSError(str(trouble)) from trouble
        if name not in self._waiting and len(self._waiting) >= MOST_WAITING:
            raise OSError("the disk is too slow: too much waits to be written")

    def close(self) -> None:
        """Write what waits, as far as that can be, and end the thread."""
        self._begin()
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        self._thread = None

    def _begin(self) -> None:
        with self._lock:
            if not self._waiting or self._is_working:
                return
            self._is_working = True
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lan nicknames")
        self._thread.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                rows, self._waiting = self._waiting, {}
                self._is_working = bool(rows)
            if not rows:
                return
            try:
                self._write(rows)
                self._trouble = None
            except (sqlite3.Error, OSError) as error:
                self._trouble = error
                log.warning("lan_nicknames_unwritable", reason=str(error))
                with self._lock:
                    self._waiting = rows | self._waiting
                    self._is_working = False
                return
