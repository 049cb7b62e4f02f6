# SPDX-License-Identifier: GPL-3.0-or-later
"""The outage log's statements: one function a kind of question or write."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.journal.outage_records import Became, Outage, OutageKind
from gateway.journal.rows import clean, history
from gateway.journal.store import Store
from gateway.model import State

KEPT: Final = 200
"""Outages of each bridge, of the queue, of the journal and of the gateway that are kept: the latest."""
STEP: Final = 1000
"""Messages whose deliveries are counted at once."""
MOST_COMPARED: Final = 5000
"""Deliveries that wait: with more, all is counted again."""
MOST_REASON: Final = 300

_BECAME: Final = {
    State.SENT: "late",
    State.HEARD: "late",
    State.DELIVERED: "late",
    State.FOLDED: "folded",
    State.EXPIRED: "expired",
    State.CANCELLED: "cancelled",
    State.FAILED: "failed",
    State.WAITING: "waiting",
    State.QUEUED: "waiting",
    State.SENDING: "waiting",
}
_COLUMNS = """no, kind, name, began_ms, began_in, ended_ms, reason, low, head, high, counted_ms,
    late, folded, expired, cancelled, failed, waiting"""
_OLDEST = """SELECT min((SELECT d.no >> 12 FROM delivery d INDEXED BY delivery_pending
    WHERE d.bridge = t.bridge AND d.state IN ('waiting', 'queued', 'sending') ORDER BY d.seq LIMIT 1))
    FROM (SELECT DISTINCT bridge FROM tally WHERE :name IN (bridge, '')) t"""
_STILL_WAITING = """SELECT count(*) FROM (SELECT 1
    FROM (SELECT DISTINCT bridge FROM tally WHERE :name IN (bridge, '')) t
    CROSS JOIN delivery d INDEXED BY delivery_pending ON d.bridge = t.bridge
    WHERE d.state IN ('waiting', 'queued', 'sending') AND d.seq BETWEEN :low AND :high LIMIT :limit)"""
# What ended as it was accepted (not permitted, say) never waited for anything.
_WAITED = "substr(history, instr(history, ' ') + 1, 8) = 'waiting '"
_SPAN = f"FROM delivery WHERE no >= :low << 12 AND no < (:high + 1) << 12 AND :name IN (bridge, '') AND {_WAITED}"
# By openings, and by time within one only: a box may start with its clock years behind.
_SINCE = "(opening > :began_in OR (opening = :began_in AND changed_ms >= :began))"
_COUNT = f"""SELECT state, count(*) {_SPAN}
    AND (no >= (:head + 1) << 12 OR state IN ('waiting', 'queued', 'sending') OR {_SINCE}) GROUP BY state"""
_TOLD_LATER = f"SELECT history {_SPAN} AND {_SINCE} AND state IN ('heard', 'delivered')"


def begin(store: Store, kind: OutageKind, name: str, at_ms: int, reason: str) -> Outage:
    """Write that something is away, and forget the oldest of its kind beyond `KEPT`; return it.

    One of it that is still open ends there: whoever was to end it died.
    """
    connection = store.connection
    of_it = {"kind": kind.value, "name": clean(name), "at": at_ms, "opening": store.opening, "head": store.head}
    connection.execute(
        "UPDATE outage SET ended_ms = :at, ended_in = :opening, high = :head"
        " WHERE kind = :kind AND name = :name AND ended_ms IS NULL",
        of_it,
    )
    (oldest,) = connection.execute(_OLDEST, of_it).fetchone()
    low = store.head + 1 if oldest is None or kind is OutageKind.JOURNAL else min(oldest, store.head + 1)
    connection.execute(
        "INSERT INTO outage (kind, name, began_ms, began_in, reason, low, head)"
        " VALUES (:kind, :name, :at, :opening, :reason, :low, :head)",
        of_it | {"reason": clean(reason[:MOST_REASON]), "low": low},
    )
    (no,) = connection.execute("SELECT last_insert_rowid()").fetchone()
    connection.execute(
        f"""DELETE FROM outage WHERE kind = :kind AND name = :name AND no <= (SELECT no FROM outage
        WHERE kind = :kind AND name = :name ORDER BY no DESC LIMIT 1 OFFSET {KEPT})""",  # noqa: S608 - a constant
        of_it,
    )
    return _one(connection, no)


def was_away(store: Store, since_ms: int, until_ms: int, reason: str) -> Outage | None:
    """Write that the gateway was away: since a time of an earlier opening, until one of this."""
    outage = begin(store, OutageKind.GATEWAY, "", until_ms, reason)
    store.connection.execute(
        "UPDATE outage SET began_ms = ?, began_in = ? WHERE no = ?", (since_ms, store.opening - 1, outage.no)
    )
    return end(store, outage.no, until_ms)


def explain(store: Store, no: int, reason: str) -> None:
    """Write why it is away now."""
    store.connection.execute("UPDATE outage SET reason = ? WHERE no = ?", (clean(reason[:MOST_REASON]), no))


def end(store: Store, no: int, at_ms: int) -> Outage | None:
    """Write that it is back; None if the log has forgotten it."""
    store.connection.execute(
        "UPDATE outage SET ended_ms = ?, ended_in = ?, high = ?, counted_ms = NULL WHERE no = ? AND ended_ms IS NULL",
        (at_ms, store.opening, store.head, no),
    )
    found = store.connection.execute("SELECT 1 FROM outage WHERE no = ?", (no,)).fetchone()
    return _one(store.connection, no) if found else None


def save_counts(store: Store, no: int, became: Became, at_ms: int) -> None:
    """Write what became of what waited. What is done is never uncounted, though retention forgets it."""
    store.connection.execute(
        "UPDATE outage SET counted_ms = ?, late = max(late, ?), folded = max(folded, ?), expired = max(expired, ?),"
        " cancelled = max(cancelled, ?), failed = ?, waiting = ? WHERE no = ?",
        (at_ms, became.late, became.folded, became.expired, became.cancelled, became.failed, became.waiting, no),
    )


def alive(store: Store, at_ms: int, *, stopped: bool) -> None:
    """Leave a sign of life; `stopped`: it is the last one."""
    store.set_meta("alive_ms", at_ms)
    store.set_meta("stopped", int(stopped))


def last_sign(connection: sqlite3.Connection) -> tuple[int, bool] | None:
    """Return when the run before was last seen alive, and whether it was stopped; None if there was none."""
    found = dict(connection.execute("SELECT name, value FROM meta WHERE name IN ('alive_ms', 'stopped')"))
    if "alive_ms" not in found:
        return None
    last = connection.execute("SELECT received_ms FROM message ORDER BY seq DESC LIMIT 1").fetchone()
    return max(found["alive_ms"], last[0] if last else 0), bool(found["stopped"])


def shift(store: Store, delta_ms: int) -> None:
    """Move the times that this opening wrote."""
    store.connection.execute(
        "UPDATE outage SET began_ms = began_ms + iif(began_in = :opening, :delta, 0),"
        " ended_ms = ended_ms + iif(ended_in = :opening, :delta, 0)",
        {"opening": store.opening, "delta": delta_ms},
    )


def still_open(connection: sqlite3.Connection) -> tuple[Outage, ...]:
    """Return those that have not ended, oldest first."""
    return _rows(connection, "WHERE ended_ms IS NULL ORDER BY no")


def unsettled(connection: sqlite3.Connection) -> tuple[Outage, ...]:
    """Return those whose counts may still change, oldest first."""
    return _rows(connection, "WHERE ended_ms IS NULL OR counted_ms IS NULL OR waiting > 0 ORDER BY no")


def latest(connection: sqlite3.Connection) -> tuple[Outage, ...]:
    """Return the latest of each bridge and of each kind."""
    return _rows(connection, "WHERE no IN (SELECT max(no) FROM outage GROUP BY kind, name) ORDER BY kind, name")


def listed(
    connection: sqlite3.Connection, before: int | None, limit: int, kind: OutageKind | None, name: str | None
) -> tuple[Outage, ...]:
    """Return outages, the latest first, of before a number."""
    asked = {"before": before, "limit": limit, "kind": kind and kind.value, "name": name}
    return _rows(
        connection,
        "WHERE (:before IS NULL OR no < :before) AND (:kind IS NULL OR kind = :kind)"
        " AND (:name IS NULL OR name = :name) ORDER BY no DESC LIMIT :limit",
        asked,
    )


def is_as_counted(connection: sqlite3.Connection, outage: Outage) -> bool:
    """Whether, of one that is over, as many still wait as were counted: then nothing has changed. Cheap."""
    waiting = outage.became.waiting
    if outage.high is None or outage.counted_ms is None or waiting > MOST_COMPARED:
        return False
    asked = {"name": outage.name, "low": outage.low, "high": outage.high, "limit": waiting + 1}
    (found,) = connection.execute(_STILL_WAITING, asked).fetchone()
    return bool(found == waiting)


def count(connection: sqlite3.Connection, outage: Outage, after: int, head: int) -> tuple[int | None, Became]:
    """Count what became of the deliveries of some messages after one; also return where to go on, None at the end."""
    last = head if outage.high is None else outage.high
    upto = min(last, after + STEP)
    span = {"low": after + 1, "high": upto, "name": outage.name, "head": outage.head}
    span |= {"began": outage.began_ms, "began_in": outage.began_in}
    counts: Counter[str] = Counter()
    for state, n in connection.execute(_COUNT, span):
        counts[_BECAME[State(state)]] += n
    if after < outage.head:
        told = connection.execute(_TOLD_LATER, span | {"high": min(upto, outage.head)})
        counts["late"] -= sum(_had_left(lines, outage.began_ms) for (lines,) in told)
    return (upto if upto < last else None), Became(**counts)


def _had_left(lines: str, at_ms: int) -> bool:
    """Whether it was sent before; what its network said of it came later."""
    return any(change.at_ms < at_ms and not change.state.is_pending for change in history(lines))


def _one(connection: sqlite3.Connection, no: int) -> Outage:
    (found,) = _rows(connection, "WHERE no = :no", {"no": no})
    return found


def _rows(connection: sqlite3.Connection, where: str, bound: dict[str, Any] | None = None) -> tuple[Outage, ...]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM outage {where}", bound or {})  # noqa: S608 - ours
    return tuple(map(_outage, rows))


def _outage(row: Sequence[Any]) -> Outage:
    no, kind, name, began_ms, began_in, ended_ms, reason, low, head, high, counted_ms, *counts = row
    outage = Outage(
        no=no,
        kind=OutageKind(kind),
        name=name,
        began_ms=began_ms,
        began_in=began_in,
        ended_ms=ended_ms,
        reason=reason,
        low=low,
        head=head,
        high=high,
        counted_ms=counted_ms,
    )
    late, folded, expired, cancelled, failed, waiting = counts
    became = Became(late=late, folded=folded, expired=expired, cancelled=cancelled, failed=failed, waiting=waiting)
    return replace(outage, became=became)
