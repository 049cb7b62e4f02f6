# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decided what, when, where and why: written with the decision itself, kept over restarts, the latest of them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from gateway.model import SenderId

KIND = "audit"
"""Of the decisions among which they are kept."""
ELSEWHERE = "audit elsewhere"
"""What other boxes decided: apart, so that none of them, were it stolen, pushes out what this one did."""
MOST = 5_000
"""Entries that are kept; past it the oldest goes."""
MOST_ELSEWHERE = 5_000
"""Of what other boxes decided; more than is known of them at once."""
_LAST = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that was decided."""

    what: str
    """In a word: ``mute``, ``unmute``, ``ban``, ``slow``, ``approve``."""
    about: str
    """Whom or what: an id, a pattern, an address."""
    by: SenderId
    at_ms: int
    where: str = ""
    """The conversation it was said in, or ``command line``, ``API``, ``file``."""
    detail: str = ""
    """How much, how long: ``for 1 h``, ``transmit``."""
    why: str = ""
    number: int = 0
    """Grows with each; 0: not kept yet."""


def note(connection: sqlite3.Connection, deed: Deed, *, elsewhere: bool = False) -> None:
    """Keep one, inside the caller's transaction. `elsewhere`: another box decided it."""
    kind, most = (ELSEWHERE, MOST_ELSEWHERE) if elsewhere else (KIND, MOST)
    latest = "SELECT coalesce(max(key), '0') FROM decision WHERE kind IN (?, ?)"
    number = int(connection.execute(latest, (KIND, ELSEWHERE)).fetchone()[0]) + 1
    more = {"what": deed.what, "about": deed.about, "where": deed.where, "detail": deed.detail, "why": deed.why}
    value = json.dumps(more, ensure_ascii=False)
    connection.execute("INSERT INTO decision VALUES (?, ?, ?, ?, ?)", (kind, _key(number), value, deed.by, deed.at_ms))
    oldest = "SELECT key FROM decision WHERE kind = ?1 ORDER BY key DESC LIMIT 1 OFFSET ?2"
    connection.execute(f"DELETE FROM decision WHERE kind = ?1 AND key <= ({oldest})", (kind, most))  # noqa: S608 - words above


def before(connection: sqlite3.Connection, number: int | None, limit: int) -> tuple[Deed, ...]:
    """Return the latest before that number, or of all; the latest first."""
    rows = connection.execute(
        "SELECT key, value, made_by, at_ms FROM decision WHERE kind IN (?, ?) AND key < ? ORDER BY key DESC LIMIT ?",
        (KIND, ELSEWHERE, _key(_LAST if number is None else min(number, _LAST)), limit),
    )
    return tuple(
        Deed(number=int(key), by=SenderId(by), at_ms=at_ms, **json.loads(value)) for key, value, by, at_ms in rows
    )


def _key(number: int) -> str:
    return f"{number:013d}"
