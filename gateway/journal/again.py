# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found by the drain once more, as if it came in now. Inside the writer's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gateway.journal.rows import PLACE_BITS, NewDelivery
from gateway.journal.store import Store
from gateway.model import DeliveryId, MessageId, State

_AGAIN = """UPDATE delivery SET seq = ?, part = ?, parts = ?, expires_ms = ?, state = ?, changed_ms = ?, opening = ?,
    history = history || ?, body = ?, generation = generation + ?
    WHERE id = ? AND state IN (SELECT value FROM json_each(?))"""
_IS_THERE = "SELECT 1 FROM delivery WHERE id = ?"
_LAST = """SELECT m.seq, max(d.no) FROM message m LEFT JOIN delivery d
    ON d.no BETWEEN m.seq << 12 AND (m.seq << 12) + 4095 WHERE m.id = ? GROUP BY m.seq"""


def again(
    store: Store, news: Sequence[tuple[MessageId, NewDelivery]], only_from: frozenset[State], *, fresh_key: bool
) -> tuple[DeliveryId, ...]:
    """Let the drain find deliveries once more; return those it will.

    Those that are there must be in one of these states: whoever asks has looked a while ago. `fresh_key`: they are
    sent under another one, for the network may remember the key it refused.
    """
    seq = store.next_seq()
    states = json.dumps([state.value for state in only_from])
    return tuple(
        new.id
        for message, new in news
        if _again(store, (seq, int(fresh_key), states), new) or _add(store, message, new)
    )


def _again(store: Store, how: tuple[int, int, str], new: NewDelivery) -> bool:
    seq, later, states = how
    fields = (new.part, new.parts, new.expires_ms, new.state.value, new.at_ms, store.opening, new.line, new.body)
    return store.connection.execute(_AGAIN, (seq, *fields, later, new.id, states)).rowcount > 0


def _add(store: Store, message: MessageId, new: NewDelivery) -> bool:
    """Add a delivery that its message didn't have: it was fitted into more parts this time."""
    found = store.connection.execute(_LAST, (message,)).fetchone()
    if found is None or store.connection.execute(_IS_THERE, (new.id,)).fetchone():
        return False
    seq, last = found
    no = seq << PLACE_BITS if last is None else last + 1
    if no >> PLACE_BITS != seq:
        return False
    store.add_later(no, new)
    return True
