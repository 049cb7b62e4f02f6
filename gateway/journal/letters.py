# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters, page by page. A page never holds some of a message's only."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

from gateway.journal.queries import message_or_none
from gateway.journal.records import DeadLetter, DeadLetters, LetterPage
from gateway.journal.rows import RECORD, delivery_record
from gateway.journal.statements import packed

_COLUMNS: Final = ("d.no", "m.received_ms", "m.envelope", *RECORD)
_SOURCE: Final = """FROM delivery d JOIN message m ON m.seq = d.no >> 12 JOIN address a ON a.no = d.address
    WHERE d.state = 'failed' AND (? IS NULL OR d.bridge = ?) AND (? IS NULL OR d.seq <= ?)
    AND (? = '[]' OR d.id IN (SELECT value FROM json_each(?)))"""


def after(connection: sqlite3.Connection, which: DeadLetters, seq: int, limit: int) -> LetterPage:
    """Return dead letters of messages after a sequence, the earliest accepted first."""
    rows = _page(connection, which, "d.no >= ? ORDER BY d.no", (seq + 1) << 12, limit)
    if len(rows) == limit:
        last = rows[-1][0]
        rest = "d.no > ? AND d.no < ? ORDER BY d.no"
        rows += packed(connection, _COLUMNS, f"{_SOURCE} AND {rest}", (*_of(which), last, ((last >> 12) + 1) << 12))
    return _letters(rows, which, limit)


def before(connection: sqlite3.Connection, which: DeadLetters, seq: int, limit: int) -> LetterPage:
    """Return dead letters of messages before a sequence, the latest accepted first."""
    rows = _page(connection, which, "d.no < ? ORDER BY d.no DESC", seq << 12, limit)
    if len(rows) == limit:
        last = rows[-1][0]
        rest = "d.no < ? AND d.no >= ? ORDER BY d.no DESC"
        rows += packed(connection, _COLUMNS, f"{_SOURCE} AND {rest}", (*_of(which), last, (last >> 12) << 12))
    return _letters(rows, which, limit)


def _page(connection: sqlite3.Connection, which: DeadLetters, place: str, at: int, limit: int) -> list[list[Any]]:
    return packed(connection, _COLUMNS, f"{_SOURCE} AND {place} LIMIT ?", (*_of(which), at, limit))


def _of(which: DeadLetters) -> tuple[Any, ...]:
    ids = json.dumps(sorted(which.ids))
    return which.destination, which.destination, which.upto, which.upto, ids, ids


def _letters(rows: list[list[Any]], which: DeadLetters, limit: int) -> LetterPage:
    """Read rows, and leave out those with another reason; `limit`: fewer rows were all there are."""
    found = (_letter(*row) for row in rows)
    words = which.reason.casefold()
    wanted = tuple(letter for letter in found if letter is not None and words in letter.reason.casefold())
    return LetterPage(letters=wanted, following=rows[-1][0] >> 12 if len(rows) >= limit else None)


def _letter(no: int, received_ms: int, envelope: str, *columns: Any) -> DeadLetter | None:
    said = message_or_none(envelope, received_ms)
    if said is None:
        return None
    record = delivery_record(columns)
    return DeadLetter(
        id=record.id,
        message=said,
        seq=no >> 12,
        to=record.to,
        part=record.part,
        parts=record.parts,
        reason=record.reason,
        changed_ms=record.changed_ms,
    )
