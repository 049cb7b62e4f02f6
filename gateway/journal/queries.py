# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the journal, one function a question. Each runs on the reader's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gateway.journal.records import Kept, MessageRecord, Messages, Standing
from gateway.journal.rows import RECORD, delivery_of, delivery_record, message_of, tried_ms
from gateway.journal.statements import packed
from gateway.model import (
    Address,
    BridgeName,
    Delivery,
    DeliveryId,
    Message,
    MessageId,
    RemoteId,
    ResumePoint,
    State,
)
from gateway.outbox.codec import UnreadableEnvelope

_PENDING = "d.state IN ('waiting', 'queued', 'sending')"
_THERE = "a.bridge = ? AND a.conversation = ?"
_IF_TRIED = "iif(instr(d.history, ' sending '), d.history, '')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What still has to leave, as far as it can be read."""

    upto: int
    deliveries: tuple[Delivery, ...]
    generations: dict[DeliveryId, int]
    """Where it isn't the first."""
    unreadable: tuple[DeliveryId, ...]


def pending(connection: sqlite3.Connection, bridge: BridgeName, after: int, limit: int, head: int) -> Waiting:
    """Return deliveries in the order they were accepted, `limit` and the rest of the last one's message."""
    columns = ("d.seq", "d.no", "d.id", "d.expires_ms", "m.received_ms", "d.body", "d.generation")
    source = f"FROM delivery d JOIN message m ON m.seq = d.no >> 12 WHERE d.bridge = ? AND {_PENDING}"
    order = "ORDER BY d.seq, d.no LIMIT ?"
    rows = packed(connection, columns, f"{source} AND d.seq > ? AND d.seq <= ? {order}", (bridge, after, head, limit))
    upto = head
    if len(rows) == limit:
        upto, last = rows[-1][0], rows[-1][1]
        rows += packed(connection, columns, f"{source} AND d.seq = ? AND d.no > ? {order}", (bridge, upto, last, -1))
    return _readable(upto, rows)


def _readable(upto: int, rows: Iterable[Sequence[Any]]) -> Waiting:
    deliveries: list[Delivery] = []
    unreadable: list[DeliveryId] = []
    generations: dict[DeliveryId, int] = {}
    for _, _, ident, expires_ms, received_ms, body, generation in rows:
        if generation:
            generations[DeliveryId(ident)] = generation
        try:
            deliveries.append(delivery_of(body or "", expires_ms, received_ms))
        except UnreadableEnvelope:
            unreadable.append(DeliveryId(ident))
    return Waiting(upto=upto, deliveries=tuple(deliveries), generations=generations, unreadable=tuple(unreadable))


def standings(connection: sqlite3.Connection, ids: Sequence[DeliveryId]) -> dict[DeliveryId, Standing]:
    """Return where these deliveries are; unknown ones are left out."""
    rows = packed(
        connection,
        (
            "d.id",
            "a.bridge",
            "a.conversation",
            "d.state",
            "d.remote_id",
            "d.generation",
            _IF_TRIED,
            "d.digest",
            *_REVISED,
        ),
        "FROM json_each(?) j CROSS JOIN delivery d ON d.id = j.value JOIN address a ON a.no = d.address"
        " LEFT JOIN message m ON d.revision > 0 AND m.seq = d.no >> 12",
        (json.dumps(ids),),
    )
    return {
        DeliveryId(ident): Standing(
            to=Address(BridgeName(bridge), conversation),
            state=State(state),
            remote_id=remote_id,
            generation=generation,
            tried_ms=tried_ms(history),
            revised=None if body is None else delivery_of(body, expires_ms, received_ms),
            is_digest=digest is not None,
        )
        for (
            ident,
            bridge,
            conversation,
            state,
            remote_id,
            generation,
            history,
            digest,
            body,
            expires_ms,
            received_ms,
        ) in rows
    }


_REVISED = ("iif(d.revision > 0, d.body, NULL)", "d.expires_ms", "m.received_ms")


def places(connection: sqlite3.Connection, bridge: BridgeName) -> tuple[str, ...]:
    """Return every conversation of a bridge that anything ever came from or went to."""
    rows = connection.execute("SELECT conversation FROM address WHERE bridge = ?", (bridge,))
    return tuple(conversation for (conversation,) in rows)


def unanswered(
    connection: sqlite3.Connection, bridge: BridgeName, conversations: Sequence[str], span: tuple[int, int], limit: int
) -> dict[DeliveryId, int]:
    """Return what was sent to these conversations and has no last word yet, with the time of its last change.

    `span`: only what changed last before its beginning, or after its end.
    """
    rows = connection.execute(
        """SELECT d.id, d.changed_ms FROM json_each(?) j JOIN address a ON a.bridge = ? AND a.conversation = j.value
        JOIN counterpart c ON c.address = a.no AND c.part > 0
        JOIN delivery d ON d.no BETWEEN c.seq << 12 AND (c.seq << 12) + 4095 AND d.address = a.no AND d.part = c.part
        WHERE d.state IN ('sent', 'heard') AND d.changed_ms NOT BETWEEN ? AND ? GROUP BY d.no ORDER BY d.no LIMIT ?""",
        (json.dumps(conversations), bridge, *span, limit),
    )
    return {DeliveryId(ident): changed_ms for ident, changed_ms in rows}


def resume_point(connection: sqlite3.Connection, bridge: BridgeName) -> ResumePoint | None:
    """Return where a source goes on."""
    row = connection.execute("SELECT point FROM resume WHERE bridge = ?", (bridge,)).fetchone()
    return None if row is None else ResumePoint(row[0])


def counterpart(connection: sqlite3.Connection, at: Address, remote_id: RemoteId, to: Address) -> RemoteId | None:
    """Return what the message that is `remote_id` at one address is called at another: its first part, as sent last."""
    row = connection.execute(
        f"""SELECT there.remote_id FROM counterpart here
        JOIN address a ON a.no = here.address AND {_THERE}
        JOIN address b ON b.bridge = ? AND b.conversation = ?
        JOIN counterpart there ON there.seq = here.seq AND there.address = b.no
        LEFT JOIN delivery d ON d.no BETWEEN there.seq << 12 AND (there.seq << 12) + 4095
            AND d.address = there.address AND d.remote_id = there.remote_id
        WHERE here.remote_id = ? ORDER BY there.part, d.no IS NULL LIMIT 1""",  # noqa: S608 - constants
        (at.bridge, at.conversation, to.bridge, to.conversation, remote_id),
    ).fetchone()
    return None if row is None else RemoteId(row[0])


def came_in(connection: sqlite3.Connection, deliveries: Sequence[Delivery]) -> list[DeliveryId]:
    """Return those whose message was received where they go."""
    asked = [(one.id, one.message.id, one.to.bridge, one.to.conversation) for one in deliveries]
    rows = connection.execute(
        """SELECT json_extract(j.value, '$[0]') FROM json_each(?) j
        JOIN message m ON m.id = json_extract(j.value, '$[1]')
        JOIN address a ON a.bridge = json_extract(j.value, '$[2]') AND a.conversation = json_extract(j.value, '$[3]')
        WHERE m.origin = a.no
            OR EXISTS (SELECT 1 FROM counterpart c WHERE c.seq = m.seq AND c.address = a.no AND c.part = 0)""",
        (json.dumps(asked),),
    )
    return [DeliveryId(ident) for (ident,) in rows]


def message(connection: sqlite3.Connection, ident: MessageId) -> MessageRecord | None:
    """Return one message and what became of it."""
    rows = packed(connection, _MESSAGE, "FROM message m WHERE m.id = ?", (ident,))
    return next(iter(_records(connection, rows)), None)


def messages_of(connection: sqlite3.Connection, ids: Sequence[DeliveryId]) -> tuple[MessageRecord, ...]:
    """Return the messages of these deliveries, each once, in ascending order."""
    source = """FROM message m WHERE m.seq IN
        (SELECT d.no >> 12 FROM json_each(?) j CROSS JOIN delivery d ON d.id = j.value) ORDER BY m.seq"""
    return _records(connection, packed(connection, _MESSAGE, source, (json.dumps(ids),)))


_MESSAGE = ("m.seq", "m.received_ms", "m.envelope")


def messages(
    connection: sqlite3.Connection, which: Messages, low: int, high: int, limit: int, *, latest: bool
) -> tuple[MessageRecord, ...]:
    """Return messages with low < seq <= high in ascending order: the first `limit` of them, or (`latest`) the last."""
    asked = {"low": low, "high": high, "limit": limit, "state": which.state and which.state.value}
    if which.address is not None:
        asked |= {"bridge": which.address.bridge, "conversation": which.address.conversation}
    wanted = _WANTED[which.address is not None] + (_IN_STATE if which.state is not None else "")
    source = f"FROM message m WHERE m.seq > :low AND m.seq <= :high{wanted}"
    rows = packed(connection, _MESSAGE, f"{source} ORDER BY m.seq {'DESC' if latest else 'ASC'} LIMIT :limit", asked)
    return _records(connection, rows[::-1] if latest else rows)


_ADDRESS = "(SELECT no FROM address WHERE bridge = :bridge AND conversation = :conversation)"
_HAS = "EXISTS (SELECT 1 FROM delivery d WHERE d.no BETWEEN m.seq << 12 AND (m.seq << 12) + 4095 AND"
_WANTED = ("", f" AND (m.origin = {_ADDRESS} OR {_HAS} d.address = {_ADDRESS}))")
_IN_STATE = f" AND {_HAS} d.state = :state)"


def _records(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> tuple[MessageRecord, ...]:
    found = packed(
        connection,
        ("d.no >> 12", *RECORD),
        "FROM json_each(?) j CROSS JOIN delivery d ON d.no BETWEEN j.value << 12 AND (j.value << 12) + 4095"
        " JOIN address a ON a.no = d.address ORDER BY d.no",
        (json.dumps([seq for seq, _, _ in rows]),),
    )
    by_seq = {seq: [row[1:] for row in group] for seq, group in groupby(found, key=lambda row: row[0])}
    records: list[MessageRecord] = []
    for seq, received_ms, envelope in rows:
        said = message_or_none(envelope, received_ms)
        if said is not None:
            deliveries = tuple(map(delivery_record, by_seq.get(seq, ())))
            records.append(MessageRecord(message=said, seq=seq, deliveries=deliveries))
    return tuple(records)


def message_or_none(envelope: str, received_ms: int) -> Message | None:
    """Read a message; None if this release can't."""
    try:
        return message_of(envelope, received_ms)
    except UnreadableEnvelope:
        return None  # a release that went back: what it can't read it doesn't show


def delivery(connection: sqlite3.Connection, ident: DeliveryId) -> Kept | None:
    """Return one delivery with its message."""
    rows = packed(
        connection,
        ("d.no >> 12", "m.received_ms", "m.envelope", "d.expires_ms", "d.body", "abs(d.digest) = d.no", *RECORD),
        "FROM delivery d JOIN message m ON m.seq = d.no >> 12 JOIN address a ON a.no = d.address WHERE d.id = ?",
        (ident,),
    )
    for seq, received_ms, envelope, expires_ms, body, is_digest, *columns in rows:
        return Kept(
            message=message_of(envelope, received_ms),
            seq=seq,
            record=delivery_record(columns),
            delivery=None if body is None else delivery_of(body, expires_ms, received_ms),
            is_digest=bool(is_digest),
        )
    return None


def tally(connection: sqlite3.Connection) -> dict[tuple[BridgeName, State], int]:
    """Return how many deliveries are in which state."""
    rows = packed(connection, ("t.bridge", "t.state", "t.n"), "FROM tally t WHERE t.n > 0")
    return {(BridgeName(bridge), State(state)): n for bridge, state, n in rows}


_OLDEST = f"""(SELECT m.received_ms FROM message m WHERE m.seq = (SELECT d.no >> 12 FROM delivery d
    WHERE d.bridge = t.bridge AND {_PENDING} ORDER BY d.seq LIMIT 1))"""  # noqa: S608 - constants


def oldest_pending(connection: sqlite3.Connection) -> dict[BridgeName, int]:
    """Return when the oldest message that still has to go to a bridge was received."""
    rows = packed(
        connection,
        ("t.bridge", _OLDEST),
        "FROM (SELECT bridge FROM tally WHERE n > 0 AND state IN ('waiting', 'queued', 'sending') GROUP BY bridge) t",
    )
    return {BridgeName(bridge): received_ms for bridge, received_ms in rows if received_ms is not None}
