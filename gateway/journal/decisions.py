# SPDX-License-Identifier: GPL-3.0-or-later
"""What people decided in chats, beside the configuration file: kept over restarts, with who and when."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.journal import audit
from gateway.journal.audit import Deed
from gateway.journal.reader import Reader
from gateway.journal.store import Store
from gateway.journal.writer import Writer
from gateway.model import NEVER_SET_MS, Full, SenderId

MOST = 2_000
"""Decisions of one kind that are kept; one more is declined, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One of them."""

    kind: str
    key: str
    by: SenderId
    at_ms: int
    value: Mapping[str, Any] = field(default_factory=dict)


class Decisions:
    """Every call raises JournalError when the disk or the file can't be used."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def of(self, kind: str) -> tuple[Decision, ...]:
        """Return all of a kind, the oldest first."""
        return await self._reader.ask(lambda connection: _of(connection, kind))

    async def keep(self, decision: Decision, deed: Deed | None = None) -> None:
        """Keep it, in place of one with its key, and who did that; Full past `MOST` of a kind."""
        if not await self._writer.task(lambda store, _: _keep(store, decision, deed), durable=True):
            raise full()

    async def drop(self, kind: str, key: str, deed: Deed | None = None) -> bool:
        """Forget one, and keep who did that; whether there was one."""
        return await self._writer.task(lambda store, _: _drop(store, kind, key, deed), durable=True)

    async def note(self, deed: Deed, *, elsewhere: bool = False) -> None:
        """Keep that something was decided which is kept in another place; `elsewhere`: by another box."""
        await self._writer.task(lambda store, _: audit.note(store.connection, deed, elsewhere=elsewhere), durable=True)

    async def audit(self, before: int | None = None, limit: int = 100) -> tuple[Deed, ...]:
        """Return who decided what, the latest first: the latest of all, or before the one of that number."""
        return await self._reader.ask(lambda connection: audit.before(connection, before, limit))


def must_fit(others: int) -> None:
    """Full if that many of a kind, other than the one to be kept, leave no room for it."""
    if others >= MOST:
        raise full()


def full() -> Full:
    """Return why one more isn't kept."""
    return Full(f"{MOST:,} of these are kept already: take one back first")


def shift(connection: sqlite3.Connection, delta_ms: int, *, first_ms: int, last_ms: int) -> None:
    """Move the times of what was decided between these two, and of what was before a clock was ever set."""
    connection.execute(
        "UPDATE decision SET at_ms = at_ms + :delta WHERE at_ms BETWEEN :first AND :last OR at_ms < :never_set",
        {"delta": delta_ms, "first": first_ms, "last": last_ms, "never_set": NEVER_SET_MS},
    )


def _of(connection: sqlite3.Connection, kind: str) -> tuple[Decision, ...]:
    rows = connection.execute(
        "SELECT key, value, made_by, at_ms FROM decision WHERE kind = ? ORDER BY at_ms, key", (kind,)
    )
    return tuple(
        Decision(kind=kind, key=key, value=json.loads(value), by=SenderId(by), at_ms=at_ms)
        for key, value, by, at_ms in rows
    )


def _keep(store: Store, decision: Decision, deed: Deed | None) -> bool:
    connection = store.connection
    row = {"kind": decision.kind, "key": decision.key}
    (others,) = connection.execute("SELECT count(*) FROM decision WHERE kind = :kind AND key <> :key", row).fetchone()
    if others >= MOST:
        return False
    value = json.dumps(dict(decision.value), ensure_ascii=False)
    connection.execute(
        "INSERT OR REPLACE INTO decision VALUES (:kind, :key, :value, :by, :at)",
        row | {"value": value, "by": decision.by, "at": decision.at_ms},
    )
    if deed is not None:
        audit.note(connection, deed)
    return True


def _drop(store: Store, kind: str, key: str, deed: Deed | None) -> bool:
    gone = store.connection.execute("DELETE FROM decision WHERE kind = ? AND key = ?", (kind, key)).rowcount > 0
    if gone and deed is not None:
        audit.note(store.connection, deed)
    return gone
