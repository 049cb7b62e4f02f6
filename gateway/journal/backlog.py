# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked about deliveries that may be changed before they leave. Runs on the reader's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from gateway.journal.records import Held, Original
from gateway.journal.rows import message_of
from gateway.journal.statements import packed
from gateway.model import Address, BridgeName, DeliveryId, RemoteId
from gateway.outbox.codec import UnreadableEnvelope

TRIED = "instr(d.history, ' sending ') > 0"
"""It was on its way once: whoever refused it, or went away, may have it."""
UNSENT = f"d.state IN ('waiting', 'queued') AND NOT {TRIED}"
"""Nobody has it but us."""

NAMED = """(d.remote_id IS NOT NULL OR EXISTS (
    SELECT 1 FROM counterpart c WHERE c.seq = d.no >> 12 AND c.address = d.address AND c.part IN (0, d.part)))"""
"""It has a name there: of ours, of another box's that said it, or of a copy that was heard there."""

_MAY_BE_THERE = f"""d.state IN ('sending', 'sent', 'heard', 'delivered')
    OR (d.state IN ('waiting', 'queued') AND {TRIED}) OR (d.state IN ('failed', 'cancelled') AND {NAMED})"""

_OF_MESSAGE = "d.no BETWEEN :seq << 12 AND (:seq << 12) + 4095"
_EDITS = """SELECT d.no FROM edit e JOIN delivery d ON d.no BETWEEN e.seq << 12 AND (e.seq << 12) + 4095
    WHERE e.target = :seq"""


def original(connection: sqlite3.Connection, at: Address, remote_id: RemoteId) -> Original | None:
    """Return the message that is known as `remote_id` at this address; None too if it can't be read any more."""
    row = connection.execute(
        """SELECT m.seq, m.received_ms, m.envelope, c.part FROM address a JOIN counterpart c ON c.address = a.no
        JOIN message m ON m.seq = c.seq WHERE a.bridge = ? AND a.conversation = ? AND c.remote_id = ?""",
        (at.bridge, at.conversation, remote_id),
    ).fetchone()
    if row is None:
        return None
    seq, received_ms, envelope, part = row
    try:
        said = message_of(envelope, received_ms)
    except UnreadableEnvelope:
        return None
    return Original(
        message=said,
        seq=seq,
        is_own=part == 0 and said.origin == at,
        expires_ms=_bound_for(connection, seq),
        touches=_touches(connection, seq),
        waits=_where(connection, seq, UNSENT),
        is_there=_where(connection, seq, _MAY_BE_THERE),
    )


def _bound_for(connection: sqlite3.Connection, seq: int) -> dict[Address, int | None]:
    rows = connection.execute(
        f"""SELECT a.bridge, a.conversation, d.expires_ms FROM delivery d JOIN address a ON a.no = d.address
        WHERE {_OF_MESSAGE}""",  # noqa: S608 - constants
        {"seq": seq},
    )
    return {Address(BridgeName(bridge), conversation): expires_ms for bridge, conversation, expires_ms in rows}


def _where(connection: sqlite3.Connection, seq: int, condition: str) -> frozenset[Address]:
    rows = connection.execute(
        f"""SELECT DISTINCT a.bridge, a.conversation FROM delivery d JOIN address a ON a.no = d.address
        WHERE {_OF_MESSAGE} AND ({condition})""",  # noqa: S608 - constants
        {"seq": seq},
    )
    return frozenset(Address(BridgeName(bridge), conversation) for bridge, conversation in rows)


def _touches(connection: sqlite3.Connection, seq: int) -> dict[BridgeName, tuple[DeliveryId, ...]]:
    rows = connection.execute(
        f"""SELECT bridge, id FROM delivery d WHERE {_OF_MESSAGE}
        UNION SELECT bridge, id FROM delivery WHERE no IN ({_EDITS})
        UNION SELECT c.bridge, c.id FROM delivery d JOIN delivery c ON c.no = d.digest WHERE {_OF_MESSAGE}""",  # noqa: S608 - constants
        {"seq": seq},
    )
    found: dict[BridgeName, list[DeliveryId]] = {}
    for bridge, ident in rows:
        found.setdefault(BridgeName(bridge), []).append(DeliveryId(ident))
    return {bridge: tuple(ids) for bridge, ids in found.items()}


def held(
    connection: sqlite3.Connection, to: Address, after: tuple[int, int], limit: int
) -> tuple[tuple[int, int], Sequence[Held]]:
    """Return a page of what waits for one address, and where the next page begins."""
    columns = ("d.seq", "d.no", "d.id", "d.part", "d.parts", "d.expires_ms", TRIED, "d.digest", "d.state = 'sending'")
    source = """FROM delivery d JOIN message m ON m.seq = d.no >> 12 WHERE d.bridge = ?
        AND d.state IN ('waiting', 'queued', 'sending') AND (d.seq, d.no) > (?, ?) ORDER BY d.seq, d.no LIMIT ?"""
    here = ("(SELECT no FROM address WHERE bridge = d.bridge AND conversation = ?)",)
    rows = packed(
        connection,
        (*columns, f"iif(d.address = {here[0]}, m.envelope, NULL)", "m.received_ms"),
        source,
        (to.conversation, to.bridge, *after, limit),
    )
    place = (rows[-1][0], rows[-1][1]) if rows else after
    found = (_held(row) for row in rows)
    return place, [one for one in found if one is not None]


def _held(row: Sequence[Any]) -> Held | None:
    _, no, ident, part, parts, expires_ms, is_tried, digest, is_sending, envelope, received_ms = row
    if envelope is None:
        return None
    try:
        said = message_of(envelope, received_ms)
    except UnreadableEnvelope:
        return None
    return Held(
        id=DeliveryId(ident),
        no=no,
        seq=no >> 12,
        part=part,
        parts=parts,
        message=said,
        expires_ms=expires_ms,
        is_tried=bool(is_tried or is_sending),
        is_digest=digest is not None,
    )


def digest_of(
    connection: sqlite3.Connection, at: Address, remote_id: RemoteId, to: Address
) -> tuple[DeliveryId, RemoteId | None] | None:
    """Return the digest in which the message known as `remote_id` at one address went to another, and its name."""
    row = connection.execute(
        """SELECT c.id, c.remote_id FROM counterpart here
        JOIN address a ON a.no = here.address AND a.bridge = ? AND a.conversation = ?
        JOIN address b ON b.bridge = ? AND b.conversation = ?
        JOIN delivery d ON d.no BETWEEN here.seq << 12 AND (here.seq << 12) + 4095 AND d.address = b.no
        JOIN delivery c ON c.no = abs(d.digest)
        WHERE here.remote_id = ? LIMIT 1""",
        (at.bridge, at.conversation, to.bridge, to.conversation, remote_id),
    ).fetchone()
    return None if row is None else (DeliveryId(row[0]), None if row[1] is None else RemoteId(row[1]))
