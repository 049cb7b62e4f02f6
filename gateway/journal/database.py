# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening the database file, and SQLite's errors in words."""

from __future__ import annotations

import errno
import math
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from gateway.journal.reserve import size_on
from gateway.model import JournalError

log = structlog.get_logger()

VERSION: Final = 5
PAGE_BYTES: Final = 4096
CHECK_S: Final = 0.5
"""How long a database that wasn't closed cleanly is looked through; the rest is found when it is read."""

_REASONS: Final = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "the disk or the file is read-only",
    "SQLITE_CORRUPT": "the file is damaged; started again, the gateway moves it aside",
    "SQLITE_NOTADB": "the file is damaged: it is no database",
    "SQLITE_IOERR": "the disk fails",
    "SQLITE_CANTOPEN": "the file can't be opened",
    "SQLITE_BUSY": "another process holds it",
    "SQLITE_LOCKED": "another process holds it",
    "SQLITE_PERM": "the file may not be written",
    "SQLITE_NOMEM": "there is no memory left",
}
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_FULL: Final = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_SUSPECT: Final = ".suspect"


class Damaged(Exception):
    """The file is no database, or one that contradicts itself."""


def in_words(error: Exception) -> str:
    """Return why the journal can't be used, with SQLite's own name for it."""
    if isinstance(error, OSError):
        return f"the journal can't be used: {error.strerror}: {error.filename}"
    name: str = getattr(error, "sqlite_errorname", "") or type(error).__name__
    for start, reason in _REASONS.items():
        if name.startswith(start):
            return f"the journal can't be used: {reason} ({name})"
    return f"the journal can't be used: {error} ({name})"


def is_of_the_store(error: Exception) -> bool:
    """Whether it is the disk's or the file's trouble, and not that of what was to be written."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def is_full(error: BaseException | None) -> bool:
    """Whether it is for want of room on the disk."""
    return getattr(error, "sqlite_errorname", "").startswith(_FULL) or getattr(error, "errno", None) == errno.ENOSPC


def is_damage(error: Exception) -> bool:
    """Whether the file contradicts itself."""
    return getattr(error, "sqlite_errorname", "").startswith(_DAMAGE)


def suspect(path: Path) -> None:
    """Leave word that the file was found damaged in use, so that it is looked through when it is opened next."""
    with suppress(OSError):
        _beside(path, _SUSPECT).touch(mode=0o600)


def open_journal(path: Path, now_ms: Callable[[], int]) -> sqlite3.Connection:
    """Open the journal for writing; a damaged one is moved aside and a new one begun. Raises JournalError."""
    try:
        try:
            return _open(path)
        except Damaged as damage:
            aside = _move_aside(path, now_ms())
            log.critical("journal_damaged", reason=str(damage), moved_to=str(aside), mend="a new journal was begun")
            return _open(path)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(in_words(error)) from error


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the journal for reading beside the writer. Raises JournalError."""
    try:
        connection = _connect(path)
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise JournalError(in_words(error)) from error
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    # Each connection stays with one thread after this one has opened it.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0, cached_statements=256)


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    suspected = _beside(path, _SUSPECT).exists()
    unclean = _beside(path, "-wal").exists()
    connection = _connect(path)
    try:
        if suspected or unclean:
            _look_through(connection, for_s=math.inf if suspected else CHECK_S)
        _prepare(connection, log_bytes=size_on(path.parent))
    except sqlite3.DatabaseError as error:
        connection.close()
        if is_damage(error):
            raise Damaged(str(error)) from error
        raise
    except BaseException:
        connection.close()
        raise
    _beside(path, _SUSPECT).unlink(missing_ok=True)
    return connection


def _prepare(connection: sqlite3.Connection, *, log_bytes: int) -> None:
    """`log_bytes`: a longer write-ahead log is copied into the database by the commit that made it so."""
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {max(1, log_bytes // PAGE_BYTES)}").fetchone()
    connection.execute(f"PRAGMA journal_size_limit = {4 * log_bytes}").fetchone()
    connection.execute("PRAGMA temp_store = MEMORY")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise JournalError(f"the journal was written by a newer release (version {version}): upgrade, or restore")
    if version == 0:
        _create(connection)
    for older in range(version or 1, VERSION):
        _run(connection, f"upgrade_to_{older + 1}.sql", version=older + 1)
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'opening'")
    connection.execute("SELECT count(*) FROM message").fetchone()


def _look_through(connection: sqlite3.Connection, *, for_s: float) -> None:
    """Raise Damaged if a look of so many seconds finds something."""
    until = time.monotonic() + for_s
    connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        found = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError:
        return  # out of time
    finally:
        connection.set_progress_handler(None, 0)
    if found != ["ok"]:
        raise Damaged("; ".join(map(str, found)))


def _create(connection: sqlite3.Connection) -> None:
    # 32 digits of our own making, not somebody's words.
    begin = f"INSERT INTO meta VALUES ('source', '{uuid.uuid4().hex}'), ('head', 0), ('opening', 0), ('pruned_ms', 0);"  # noqa: S608
    _run(connection, "schema.sql", begin, version=1)


def _run(connection: sqlite3.Connection, file: str, then: str = "", *, version: int) -> None:
    """Run one of our files and say which version that makes of the database, in one transaction."""
    script = Path(__file__).with_name(file).read_text(encoding="utf-8")
    connection.executescript(f"BEGIN IMMEDIATE; {script} {then} PRAGMA user_version = {version}; COMMIT;")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _move_aside(path: Path, now_ms: int) -> Path:
    stamp = datetime.fromtimestamp(now_ms / 1000, tz=UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = _beside(path, f".damaged-{stamp}")
    again = 1
    while aside.exists():
        again += 1
        aside = _beside(path, f".damaged-{stamp}-{again}")
    path.rename(aside)
    _beside(path, _SUSPECT).unlink(missing_ok=True)
    for suffix in ("-wal", "-shm"):
        if (part := _beside(path, suffix)).exists():
            part.rename(_beside(aside, suffix))
    return aside
