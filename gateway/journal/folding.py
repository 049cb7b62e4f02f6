# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests in the database: one delivery says in short what it and others said. Inside the writer's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gateway.journal.backlog import UNSENT
from gateway.journal.records import Change, Folded, Rewrite
from gateway.journal.rows import delivery_of, line, message_of
from gateway.journal.store import Store
from gateway.model import Address, BridgeName, Delivery, DeliveryId, Message, State
from gateway.outbox.codec import LANE_OF_MESSAGE, LATE_OF_MESSAGE, UnreadableEnvelope, encode

MOST_NAMED = 40
"""The last so many messages of a digest are given to whoever words it."""
MOST_ORIGINS = 3

IN_DOUBT = "perhaps it was already sending when the gateway was cut off"
"""In the history; the word counts: see `backlog.TRIED`."""

_DOUBT = f"""UPDATE delivery AS d SET opening = :opening,
    history = history || :at || ' ' || state || ' ' || :words || char(10) WHERE no IN (
        SELECT no FROM (SELECT w.no, row_number() OVER (
                PARTITION BY w.address, json_extract(m.envelope, '{LANE_OF_MESSAGE}') ORDER BY w.seq, w.no
            ) AS nth FROM delivery w JOIN message m ON m.seq = w.no >> 12
            WHERE w.bridge = :bridge AND w.state IN ('waiting', 'queued', 'sending')) WHERE nth <= :most)
    AND {UNSENT}"""  # noqa: S608 - constants
_CARRIER = f"SELECT d.no, d.address FROM delivery d WHERE d.id = ? AND {UNSENT}"  # noqa: S608 - constants
_FOLD = f"""UPDATE delivery AS d SET state = 'folded', digest = iif(digest < 0, -1, 1) * :carrier, body = NULL,
    changed_ms = :at, opening = :opening, history = history || :line
    WHERE d.id IN (SELECT value FROM json_each(:ids)) AND d.no <> :carrier AND {UNSENT} RETURNING id, no"""  # noqa: S608 - constants
# A digest that was folded itself leaves what it stands for to the new one.
_TAKE_OVER = """UPDATE delivery SET digest = :carrier WHERE digest IN (SELECT value FROM json_each(:nos))"""
_CARRY = "UPDATE delivery SET digest = no WHERE no = :carrier AND digest IS NULL"
_EDITS_OF_FOLDED = """SELECT d.id FROM delivery f JOIN edit e ON e.target = f.no >> 12
    JOIN delivery d ON d.no BETWEEN e.seq << 12 AND (e.seq << 12) + 4095 AND d.address = f.address
    WHERE f.digest = ?"""
_SPOKEN = """FROM delivery d JOIN message m ON m.seq = d.no >> 12
    WHERE d.digest = ? AND NOT EXISTS (SELECT 1 FROM edit WHERE seq = m.seq)"""
_SAID = f"max(0, m.received_ms - coalesce(json_extract(m.envelope, '{LATE_OF_MESSAGE}'), 0))"
_COUNT = f"SELECT count(DISTINCT m.seq), min({_SAID}), max({_SAID}) {_SPOKEN}"
_ORIGINS = f"""SELECT a.bridge, a.conversation FROM address a
    WHERE a.no IN (SELECT DISTINCT m.origin {_SPOKEN}) LIMIT {MOST_ORIGINS}"""  # noqa: S608 - constants
_LATEST = f"SELECT DISTINCT m.seq, m.envelope, m.received_ms {_SPOKEN} ORDER BY m.seq DESC LIMIT {MOST_NAMED}"
_BODY = """SELECT d.id, d.bridge, d.state, d.body, d.expires_ms, m.received_ms FROM delivery d
    JOIN message m ON m.seq = d.no >> 12 WHERE d.no = ?"""
_REVISE = """UPDATE delivery SET body = ?, part = ?, parts = ?, revision = revision + 1, changed_ms = ?, opening = ?,
    history = history || ? WHERE no = ?"""


def doubt(store: Store, bridge: BridgeName, most: int, at_ms: int) -> None:
    """Note of the first that wait in each conversation's lanes that they may have been sent."""
    bound = {"at": at_ms, "bridge": bridge, "most": most, "words": IN_DOUBT, "opening": store.opening}
    store.connection.execute(_DOUBT, bound)


def fold(
    store: Store, carrier: DeliveryId, members: Sequence[DeliveryId], rewrite: Rewrite, at_ms: int
) -> tuple[Change, ...] | None:
    """Fold members into a carrier; None if that one isn't ours alone any more."""
    found = store.connection.execute(_CARRIER, (carrier,)).fetchone()
    if found is None:
        return None
    no = found[0]
    store.connection.execute(_CARRY, {"carrier": no})
    folded = _fold(store, no, carrier, members, at_ms)
    edits = [ident for (ident,) in store.connection.execute(_EDITS_OF_FOLDED, (no,))]
    folded += _fold(store, no, carrier, edits, at_ms)
    return (*folded, *word(store, no, rewrite, at_ms))


def _fold(store: Store, no: int, carrier: DeliveryId, ids: Sequence[DeliveryId], at_ms: int) -> list[Change]:
    if not ids:
        return []
    reason = f"into the digest {carrier}"
    said = line(at_ms, State.FOLDED, reason)
    bound = {"carrier": no, "at": at_ms, "opening": store.opening, "line": said, "ids": json.dumps(ids)}
    rows = store.connection.execute(_FOLD, bound).fetchall()
    nos = json.dumps([number for _, number in rows])
    store.connection.execute(_TAKE_OVER, {"carrier": no, "nos": nos})
    return [Change(id=DeliveryId(ident), state=State.FOLDED, reason=reason, at_ms=at_ms) for ident, _ in rows]


def word(store: Store, no: int, rewrite: Rewrite, at_ms: int) -> tuple[Change, ...]:
    """Give a carrier its words anew, from what it stands for now; nothing left, and it is cancelled."""
    ident, _, state, body, expires_ms, received_ms = store.connection.execute(_BODY, (no,)).fetchone()
    contents = _contents(store, no)
    if contents is None:
        reason = "all that the digest named was taken back"
        return (store.move(no, Change(id=DeliveryId(ident), state=State.CANCELLED, reason=reason, at_ms=at_ms)),)
    try:
        delivery = rewrite(delivery_of(body, expires_ms, received_ms), contents)
    except UnreadableEnvelope:
        return ()  # a newer release's: whoever claims it will say so
    reason = f"a digest of {contents.count} message{'s' if contents.count > 1 else ''}"
    change = Change(id=DeliveryId(ident), state=State(state), reason=reason, at_ms=at_ms)
    revise(store, no, delivery, change)
    return (change,)


def revise(store: Store, no: int, delivery: Delivery, change: Change) -> None:
    """Give a delivery another body; `change` says so in its history."""
    said = line(change.at_ms, change.state, change.reason)
    body = encode(delivery).decode()
    store.connection.execute(_REVISE, (body, delivery.part, delivery.parts, change.at_ms, store.opening, said, no))


def _contents(store: Store, no: int) -> Folded | None:
    count, first_ms, last_ms = store.connection.execute(_COUNT, (no,)).fetchone()
    if not count:
        return None
    origins = [Address(BridgeName(b), c) for b, c in store.connection.execute(_ORIGINS, (no,))]
    latest = [_said(envelope, received) for _, envelope, received in store.connection.execute(_LATEST, (no,))]
    return Folded(
        count=count,
        first_ms=first_ms,
        last_ms=last_ms,
        origins=tuple(origins),
        latest=tuple(message for message in reversed(latest) if message is not None),
    )


def _said(envelope: str, received_ms: int) -> Message | None:
    try:
        return message_of(envelope, received_ms)
    except UnreadableEnvelope:
        return None
