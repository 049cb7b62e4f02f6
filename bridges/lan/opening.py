# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the log on disk. A damaged one is put aside and begun anew: the other boxes have what was in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import structlog

from bridges.lan.store import Store
from gateway.model import LinkDown

LOG_FILE = "log.db"
MOST_DAMAGED = 3
"""So many damaged ones are kept; beyond that the oldest goes."""
_BESIDE = ("-wal", "-shm")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

log = structlog.get_logger()


def open_store(folder: Path, count: Callable[[str], None]) -> Store:
    """Open the log, or begin one; LinkDown if the disk refuses, or a later release wrote it."""
    path = folder / LOG_FILE
    try:
        return _sound(path)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) not in _DAMAGED:
            raise LinkDown(f"{path} can't be opened: {error}") from error
    count("log_damaged")
    aside = _put_aside(path)
    log.warning("lan_log_damaged", moved_to=aside.name, mend="other boxes fill it again; delete the old one")
    return _sound(path)


def _sound(path: Path) -> Store:
    store = Store(path)
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store


def _put_aside(path: Path) -> Path:
    for number in range(MOST_DAMAGED, 0, -1):
        older = path.with_name(f"{path.name}.damaged.{number}")
        if older.exists() and number == MOST_DAMAGED:
            older.unlink()
        elif older.exists():
            older.rename(path.with_name(f"{path.name}.damaged.{number + 1}"))
    aside = path.with_name(f"{path.name}.damaged.1")
    path.rename(aside)
    for suffix in _BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
