# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a device's keys: matrix-nio's tables, written a step at a time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import peewee
import vodozemac
from nio.crypto import InboundGroupSession, Olm, OlmDevice
from nio.store import SqliteStore

from bridges.matrix.crypto.errors import KeysUnreadable, StoreFailed

MAX_SESSIONS = 20_000
"""Keys kept, of rooms and of devices each: past it the oldest go at the next start."""


class _Store(SqliteStore):  # type: ignore[misc] # nio ships no types for it
    """nio's tables without its trust: whoever is in the room may read, so no device needs a person's blessing."""

    def is_device_verified(self, device: OlmDevice) -> bool:
        del device
        return False

    def is_device_blacklisted(self, device: OlmDevice) -> bool:
        del device
        return False

    def is_device_ignored(self, device: OlmDevice) -> bool:
        del device
        return True  # its unverified state is: nio would ask the database several times a device

    def save_inbound_group_session(self, session: InboundGroupSession) -> None:
        """Keep a room's key; one that somebody else gives again as their own doesn't take its place."""
        query = "SELECT sender_key FROM megolminboundsessions WHERE session_id = ?"
        known = self.database.execute_sql(query, (session.id,)).fetchone()
        if known is None or known[0] == session.sender_key:
            super().save_inbound_group_session(session)


def open_olm(user_id: str, device_id: str, database: Path, lock: str) -> Olm:
    """Return nio's machine for the device, made anew where the database is empty. KeysUnreadable, StoreFailed."""
    try:
        store = _Store(user_id, device_id, str(database.parent), pickle_key=lock, database_name=database.name)
        _prune(store)
        return Olm(user_id, device_id, store)
    except peewee.OperationalError as error:
        raise StoreFailed(f"the keys can't be read: {error}") from error
    except (peewee.DatabaseError, vodozemac.PickleException, vodozemac.LibolmPickleException) as error:
        raise KeysUnreadable(f"{database.name} is damaged ({type(error).__name__})") from error


def _prune(store: _Store) -> None:
    for table in ("megolminboundsessions", "olmsessions"):
        store.database.execute_sql(
            f"DELETE FROM {table} WHERE rowid NOT IN (SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT ?)",  # noqa: S608 - our two names
            (MAX_SESSIONS,),
        )


class Written:
    """All that is written within is on disk together when it ends; StoreFailed if it can't be.

    What is in memory is ahead of the disk then, so the keys have to be read anew.
    """

    def __init__(self, olm: Olm) -> None:
        self._atomic = olm.store.database.atomic()

    def __enter__(self) -> None:
        try:
            self._atomic.__enter__()
        except peewee.PeeweeException as error:
            raise StoreFailed(f"the keys can't be written: {error}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._atomic.__exit__(kind, error, trace)
        except peewee.PeeweeException as failed:
            raise StoreFailed(f"the keys can't be written: {failed}") from failed
        if isinstance(error, peewee.PeeweeException):
            raise StoreFailed(f"the keys can't be written: {error}") from error
